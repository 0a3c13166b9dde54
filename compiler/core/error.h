// Errors and the source locations they name.
#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace arete {

/// A line of the user's program. As a defaulted last parameter, `Loc loc = Loc::here()` would name
/// this header; the two builtins must be default arguments of the function the user calls, which
/// is why builders take `Operand`s (ops/operand.h), whose constructor carries them.
struct Loc {
    const char* file = nullptr;
    int line = 0;

    explicit operator bool() const { return file != nullptr; }
    friend bool operator==(const Loc&, const Loc&) = default;
    /// "net.cpp:31": the file without its folders; empty where unknown.
    std::string str() const;
};

/// Base of everything that Arete throws. `what()` starts with the user's line where one is known.
class Error : public std::runtime_error {
  public:
    Error(Loc loc, std::string_view message);
    Loc loc() const { return loc_; }

  private:
    Loc loc_;
};

/// An expression that cannot be: wrong dtype, rank, shape, argument, update or gradient.
class GraphError : public Error {
  public:
    using Error::Error;
};

/// A graph that cannot be compiled on this machine or with these options.
class CompileError : public Error {
  public:
    using Error::Error;
};

/// Bad values met while a function runs: an index or a slice out of range.
class RangeError : public Error {
  public:
    using Error::Error;
};

/// A function of the host failed that a program called: a factorisation of a matrix that has none, or
/// a user's own function that threw.
class CallError : public Error {
  public:
    using Error::Error;
};

/// A call with the wrong number, dtype or shape of arguments.
class ArgumentError : public Error {
  public:
    using Error::Error;
};

/// Memory that the system does not grant: for an array, or for what a function needs. Everything is
/// as it was before.
class MemoryError : public Error {
  public:
    using Error::Error;
};

/// Mode::nan_guard met a NaN, an infinity or a huge value.
class NanGuardError : public Error {
  public:
    using Error::Error;
};

/// Mode::debug found that a pass, a rule or a kernel changes a value.
class DebugModeError : public Error {
  public:
    using Error::Error;
};

/// A data file that is missing, truncated or corrupt.
class DataError : public Error {
  public:
    using Error::Error;
};

/// A device or driver that fails or is absent.
class DeviceError : public Error {
  public:
    using Error::Error;
};

/// A bug of Arete, with what to report.
class InternalError : public Error {
  public:
    explicit InternalError(std::string_view message, Loc loc = {});
};

/// Throws a MemoryError, one without message where there is no memory for that either.
[[noreturn]] void fail_without_memory(Loc loc, const char* what, std::string_view name);

/// Calls f. A std::bad_alloc on the way becomes a MemoryError at `loc` that names `what` and
/// `name`.
template <class F>
decltype(auto) with_memory(Loc loc, const char* what, std::string_view name, F&& f) {
    try {
        return f();
    } catch (const std::bad_alloc&) {
        fail_without_memory(loc, what, name);
    }
}

/// Throws E with a formatted message: `fail<GraphError>(loc, "dot: inner sizes differ: {}", t)`.
template <class E, class... Args>
[[noreturn]] void fail(Loc loc, fmt::format_string<Args...> format, Args&&... args) {
    throw E(loc, fmt::format(format, std::forward<Args>(args)...));
}

/// An invariant of the compiler itself. Always checked: compiling is cheap next to a wrong result.
#define ARETE_CHECK(condition, ...)                                              \
    do {                                                                         \
        if (!(condition))                                                        \
            throw ::arete::InternalError(                                        \
                ::fmt::format("{}: {}", #condition, ::fmt::format(__VA_ARGS__)), \
                ::arete::Loc{__FILE__, __LINE__});                               \
    } while (false)

}  // namespace arete

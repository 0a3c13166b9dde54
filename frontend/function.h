// function(): compiles expressions into something that can be called.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/core/options.h"
#include "compiler/ops/operand.h"
#include "compiler/program/memory.h"
#include "compiler/program/pass_time.h"
#include "compiler/rewrite/rewrite.h"

namespace arete {

class Target;

/// variable <- value, after the call's outputs are computed; all values see the old variables.
struct Update {
    Update(const Expr& variable, const Operand& value)
        : variable(variable), value(value), loc(value.loc) {}
    Expr variable;
    Operand value;
    Loc loc;
};

/// Computes `replacement` wherever the graph has `what`.
struct Given {
    Given(const Expr& what, const Operand& replacement) : what(what), replacement(replacement) {}
    Expr what;
    Operand replacement;
};

enum class OnUnusedInput : std::uint8_t { error, warn, ignore };

/// How a function is carried out.
enum class Mode : std::uint8_t {
    fast_run,      ///< rewritten, fused, scheduled, native code
    fast_compile,  ///< fewest rewrites and cheap code generation: compiles faster, runs slower
    /// As fast_run, with rules that are equal for real numbers but whose intermediate results may
    /// leave the range of the dtype where those as written do not, or the other way: scales move
    /// out of sums and products (docs/rewrites.md, "fast_math").
    fast_math,
    /// As fast_run, slowly and with everything checked against the graph interpreter on the real
    /// arguments: what each rule and each pass makes of the graph, what each kernel computes, and
    /// the results. A DebugModeError names the pass, rule or kernel that changes a value, and the
    /// user's line; shared variables are as they were before the call.
    debug,
    /// As fast_run, but a NanGuardError names the first kernel whose result has a NaN, an infinity
    /// or a value beyond 1e10, and the user's line; shared variables are as before the call.
    nan_guard,
    interpret,  ///< the kernels before scheduling, run by the loop interpreter: the oracle
};

struct FunctionOptions {
    std::vector<Expr> inputs;
    std::vector<Expr> outputs;
    std::vector<Update> updates;
    std::vector<Given> givens;
    OnUnusedInput on_unused_input = OnUnusedInput::error;
    std::string name = "function";
    Mode mode = Mode::fast_run;
    bool profile = false;  ///< measure every kernel (fast_run, fast_compile); see Function::profile
    std::optional<Options> options;  ///< from the environment where not set
    /// Options::device for this function: where it runs.
    std::optional<std::string> device;
    /// Options::max_specialisations for this function.
    std::optional<int> max_specialisations;
    /// Rewrite rules of your own, applied once the graph is in canonical form.
    std::vector<Rule> rules;
};

/// What compiling and running cost, of the specialisation that ran last.
struct FunctionStats {
    double compile_ms = 0;         ///< graph passes and code generation of all specialisations
    std::vector<PassTime> passes;  ///< the same by pass; verifiers and dumps are left out
    int specialisations = 0;       ///< compiled so far: one for each new set of shapes
    int live_specialisations = 0;  ///< those among them that are still kept
    int from_cache = 0;            ///< those among them that the disk cache had
    int kernels = 0;               ///< native kernels in a call
    std::int64_t arena_bytes = 0;  ///< memory for intermediates
};

/// What one kernel of a function cost over all its calls so far.
struct KernelProfile {
    std::string name;
    std::string lines;  ///< the user's lines that it computes
    std::int64_t calls = 0;
    double ms = 0;      ///< in total
    double share = 0;   ///< of the time of all kernels
    double gflops = 0;  ///< floating-point operations a nanosecond
    double gbytes = 0;  ///< bytes of its operands, each counted once, a nanosecond
};
/// The kernels of one op class together: those of one name, and all that update shared variables.
struct OpClassProfile {
    std::string op;
    int kernels = 0;
    std::int64_t calls = 0;  ///< of all its kernels
    double ms = 0;
    double share = 0;
    double gflops = 0, gbytes = 0;  ///< over the time of all its kernels
};
/// The profile by op class, slowest first.
std::vector<OpClassProfile> by_op_class(const std::vector<KernelProfile>& profile);
/// A table of the kernels, slowest first, and one of the op classes.
std::string to_string(const std::vector<KernelProfile>& profile);

/// The kernels of a step on some machine.
struct KernelPlan {
    int kernels = 0;
    std::string text;  ///< what each does and makes, as ARETE_DUMP=fusion writes it
};

/// A compiled function. Copies share the compiled code. Thread-safe: concurrent calls of one
/// function run one after another. Code is kept for Options::max_specialisations sets of shapes;
/// beyond, what was used least recently goes, and a warning on stderr says once which sizes vary.
class Function {
  public:
    /// Compiles on the first call with new shapes, checks the arguments, runs, returns one Array an
    /// output. Arguments are Arrays, std::vectors or C++ numbers (converted to the input's dtype).
    /// Throws ArgumentError for wrong arguments, RangeError for an index out of range and
    /// MemoryError where there is no memory, leaving every shared variable as it was.
    template <class... Args>
    std::vector<Array> operator()(const Args&... args) const {
        return with_memory({}, "call of a function", "", [&] {
            std::vector<Array> arrays;
            arrays.reserve(sizeof...(args));
            (arrays.push_back(argument(arrays.size(), args)), ...);
            return call(arrays);
        });
    }
    std::vector<Array> call(std::span<const Array> inputs) const;
    /// As call(), writing results to arrays of the outputs' exact types. Allocates nothing once
    /// compiled.
    void call_into(std::span<Array> outputs, std::span<const Array> inputs) const;

    /// As calling with `first`, then with one more each time, `count` times: a function whose only
    /// argument is an integer scalar that sets no size, the number of a mini-batch say. Returns an
    /// Array an output with the results of all calls along a new first axis. On a device with
    /// memory of its own the argument is counted up there, and nothing is copied or waited for
    /// between calls. Where a call fails, those before it have been done, and none after it. An
    /// ArgumentError for other functions, a negative count, and arguments that the input's dtype
    /// does not hold.
    std::vector<Array> run_many(std::int64_t first, std::int64_t count) const;

    const std::string& name() const;
    FunctionStats stats() const;
    /// Time of each kernel of the specialisation that ran last, in the order of the step; empty
    /// unless the function was made with `profile`.
    std::vector<KernelProfile> profile() const;

    /// Where intermediate values live: one plan a specialisation that is kept, in the order of
    /// compilation.
    std::vector<MemoryPlan> memory() const;
    /// Writes one self-contained HTML page: the graph after each pass, every rewrite, every kernel
    /// as loops, LLVM IR and assembly (with its time, where the function was made with `profile`),
    /// and the memory plan, of the specialisation that ran last. Compiles it once more. A function
    /// that has not been called must have static sizes. An ArgumentError where the file cannot be
    /// written.
    void report(const std::string& path) const;
    /// The kernels that the specialisation that ran last would be on another machine, which need
    /// not be at hand. Only planned, not translated. A function that has not been called must have
    /// static sizes.
    KernelPlan plan(std::shared_ptr<const Target> target) const;

    class Impl;
    explicit Function(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    Function() = default;

  private:
    Array argument(std::size_t, const Array& a) const { return a; }
    template <Element T>
    Array argument(std::size_t i, T v) const {
        return number(i, Array(v));
    }
    template <Element T>
    Array argument(std::size_t, const std::vector<T>& v) const {
        return Array(v);
    }
    /// A C++ number as input i's dtype, where that loses nothing.
    Array number(std::size_t i, const Array& value) const;

    std::shared_ptr<Impl> impl_;
};

/// Builds a function; a GraphError names what is wrong: an input that is no input variable or that
/// nothing uses, an input that the graph needs and that is missing, an update of something that is
/// not shared, or one that changes dtype or sizes.
Function function(FunctionOptions options, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE());

}  // namespace arete

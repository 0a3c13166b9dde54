// The allocation functions of this binary, which it replaces: they count, and fail when told to.
#pragma once

#include <atomic>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define ARETE_COUNTS 0  // the sanitizer has replaced them already
#else
#define ARETE_COUNTS 1
#endif

namespace arete::test {

/// By all threads, so far.
extern std::atomic<long> allocations;

/// While it lives, an allocation of this thread fails: the one with this number, counted from 0, of
/// those of at least so many bytes; or all from that one on.
class FailingAllocation {
  public:
    enum class Which { one, all_from };
    explicit FailingAllocation(long number, Which which = Which::one, std::size_t at_least = 0);
    ~FailingAllocation();
    FailingAllocation(const FailingAllocation&) = delete;
    FailingAllocation& operator=(const FailingAllocation&) = delete;
    /// True where it came to that.
    static bool failed();
};

}  // namespace arete::test

#include "tests/allocations/allocator.h"

#include <cerrno>
#include <cstdlib>

namespace arete::test {

std::atomic<long> allocations{0};

namespace {
thread_local long left = -1;  // allocations until one fails; none does below 0
thread_local bool all_from = false, has_failed = false;
thread_local std::size_t at_least = 0;

// Counts an allocation; true where it is to fail.
bool fails(std::size_t bytes) {
    ++allocations;
    if (left < 0 || bytes < at_least) return false;
    if (left > 0) {
        --left;
        return false;
    }
    if (!all_from) left = -1;
    has_failed = true;
    return true;
}
}  // namespace

FailingAllocation::FailingAllocation(long number, Which which, std::size_t bytes) {
    all_from = which == Which::all_from;
    at_least = bytes;
    has_failed = false;
    left = number;
}
FailingAllocation::~FailingAllocation() {
    left = -1;
}
bool FailingAllocation::failed() {
    return has_failed;
}

}  // namespace arete::test

#if ARETE_COUNTS
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) noexcept {
    if (arete::test::fails(n)) return nullptr;
    return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
    if (arete::test::fails(n * size)) return nullptr;
    return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) noexcept {
    if (arete::test::fails(n)) return nullptr;
    return __libc_realloc(p, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) noexcept {
    if (arete::test::fails(n)) return nullptr;
    return __libc_memalign(alignment, n);
}
void* memalign(std::size_t alignment, std::size_t n) noexcept {
    if (arete::test::fails(n)) return nullptr;
    return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t n) noexcept {
    if (arete::test::fails(n)) return ENOMEM;
    *p = __libc_memalign(alignment, n);
    return *p ? 0 : ENOMEM;
}
}  // operator new calls malloc or aligned_alloc
#endif

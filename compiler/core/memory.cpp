#include "compiler/core/memory.h"

#include <new>

#include <sys/mman.h>
#include <unistd.h>

namespace arete {

std::shared_ptr<void> guarded_bytes(std::size_t bytes, bool at_end) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (bytes + page - 1) / page * page, whole = inner + 2 * page;
    void* base = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    char* start = static_cast<char*>(base) + page;
    const std::shared_ptr<void> owner(base, [whole](void* p) { munmap(p, whole); });
    if (inner > 0 && mprotect(start, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    return {owner, at_end ? start + inner - bytes : start};
}

}  // namespace arete

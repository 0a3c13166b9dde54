// Accesses of threads to the same memory that no barrier puts in order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/loops/kernel.h"

namespace arete::loops {

/// Watches a run of a kernel, one thread after another, for two threads that touch one element, one
/// of them writing, without a barrier of both in between, and for shared memory that is read before
/// it is written. What it finds does not depend on the order of the run.
class Conflicts {
  public:
    /// A thread, and how many barriers it has passed: of the grid; of the grid and of its block; of
    /// all. Two accesses are in order where the count that the smallest group of both keeps
    /// differs.
    struct Thread {
        std::int32_t block = 0, warp = 0, number = 0;
        std::int32_t of_grid = 0, of_block = 0, of_warp = 0;
    };

    /// `pointers` are those of the parameters, by buffer: equal ones are one memory. `threads` says
    /// how to call a thread: in blocks, or, without it, as an iteration of a parallel loop.
    Conflicts(const Kernel& kernel, IdSpan<BufferId, void* const> pointers, bool threads);

    /// A block begins, whose shared memory nothing has written, or ends. What it has read of
    /// unwritten memory is an error at the end, so that one about a barrier comes before it.
    void begin_block(std::int32_t block);
    void end_block(std::int32_t block);
    void read(const Thread& t, const Stmt& s, BufferId buffer, std::int64_t element);
    void write(const Thread& t, const Stmt& s, BufferId buffer, std::int64_t element);

  private:
    struct Access {
        Thread thread;
        const Stmt* statement = nullptr;
    };
    // Of the reads since the last write: the last, and the last from another thread of its warp,
    // another warp of its block and another block. If a read by any thread is not in order with a
    // write, one of these is not.
    struct Element {
        Access written, read, of_warp, of_block, of_grid;
    };

    Element& at(const Thread& t, BufferId buffer, std::int64_t element);
    void compare(const Access& before, const Access& now, bool wrote, bool writes, BufferId buffer,
                 std::int64_t element) const;
    std::string text(const Thread& t) const;

    const Kernel& k_;
    bool threads_;
    std::string unwritten_;                       // the first read of what nothing had written
    IdVector<BufferId, std::size_t> memory_;      // of parameters
    std::vector<std::vector<Element>> elements_;  // by memory
    std::unordered_map<std::int32_t, IdVector<BufferId, std::vector<Element>>> shared_;  // by block
};

}  // namespace arete::loops

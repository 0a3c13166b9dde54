// What the loops around a register tile move between the caches.
#pragma once

#include <map>
#include <vector>

#include "compiler/core/integers.h"
#include "compiler/program/program.h"
#include "compiler/targets/cpu/blocking.h"

namespace arete {

/// Estimates the bytes that move between the caches, from the footprints of operands in each loop.
class Traffic {
  public:
    Traffic(const loops::Nest& nest, const Tiling& tiling, const Machine& machine);

    /// Of all operands.
    double all_bytes() const { return all_bytes_; }

    /// What is much smaller than the last cache is still there since the call before.
    bool from_memory() const { return all_bytes_ > static_cast<double>(m_.l3_bytes) / 8; }

    /// Elements of `v` in one register tile.
    std::int64_t tile_size(loops::Var v) const;

    /// Tiles along `v`.
    std::int64_t tiles(loops::Var v) const { return ceil_div(extent(v), tile_size(v)); }

    /// Vectors of accumulators that wait while another block of the reduction runs, for all tiles
    /// of the loops from b.cut_at on.
    std::int64_t waiting(const Blocking& b) const;

    /// The same in bytes.
    std::int64_t waiting_bytes(const Blocking& b) const;

    /// Are the next block's operands asked for while one is worked on?
    bool asks_ahead(const Blocking& b) const;

    /// Bytes of the next block, which are asked for while this one is worked on.
    double ahead_bytes(const Blocking& b) const;

    /// Cycles of the whole nest: the tiling's own, with what its loops wait for.
    double cycles(const Blocking& b) const;

  private:
    // A loop that leaves `to` elements of an axis to the loops inside it.
    struct Step {
        loops::Var axis;
        std::int64_t to;
        double trips;
    };

    std::int64_t extent(loops::Var v) const { return nest_.extents[v]; }

    std::vector<Step> steps_of(const Blocking& b) const;

    // Steps along an operand's address by their distance, and how many there are in a box: the
    // steps of two axes along one direction (a pixel and a filter's tap) overlap.
    std::map<std::int64_t, std::int64_t> directions(const loops::Instr& load,
                                                    const loops::Box& box) const;

    // How many integers a term can be that depends on numbers which are read, where they are few.
    static std::int64_t values_of(const loops::Index::Term& term);

    // Bytes of the cache lines that an operand touches in a box. `occupied`: of the cache that they
    // take. Rows a multiple of a large power of two apart share few of a cache's sets, and push
    // each other out while the rest of it is empty.
    double footprint(const loops::Instr& load, const loops::Box& box, bool occupied = false) const;

    // Bytes that a cache of this capacity has to fetch. The outermost loop whose body's data fit
    // keeps them; the loops around it fetch again what moves with them or with a loop in between.
    double misses(const std::vector<Step>& steps, const std::vector<loops::Box>& boxes,
                  double capacity, const Blocking& b, bool memory) const;

    // Memory gives a fraction of its bandwidth to short pieces far apart. In blocks, the pieces of
    // the next block are asked for while this one is worked on, which must take a while.
    double slowness(const loops::Instr& load, const Blocking& b) const;

    // What one block of the cut reduction runs over.
    loops::Box block_of(const Blocking& b) const;

    const loops::Nest& nest_;
    const Tiling& t_;
    const Machine& m_;
    loops::Box whole_;  // the extents of its axes
    std::vector<const loops::Instr*> operands_;
    double all_bytes_ = 0;
};

/// The machine as the kernels of this program find it: where a call walks more than the last cache
/// holds, little of what a kernel reads is still there since the call before.
Machine as_found_by(const Program& program, const Machine& machine);

/// True where an operand is a matrix whose rows are walked a few vectors at a time, along `axis`:
/// the processor does not foresee the next piece, so that it has to be asked for.
bool walks_far(const loops::Nest& nest, const Tiling& tiling, const loops::Instr& load,
               loops::Var axis);

}  // namespace arete

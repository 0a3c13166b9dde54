// What a register tile costs: the estimate by which tilings are compared.
#pragma once

#include <vector>

#include "compiler/loops/nest.h"
#include "compiler/targets/cpu/sums.h"
#include "compiler/targets/cpu/tiling.h"
#include "compiler/targets/cpu/walk.h"

namespace arete {

/// Estimates the cycles of one nest in any tiling, from its instructions, its accesses and the
/// machine's ports, latencies and registers. The nest and the machine must outlive it.
class TileCost {
  public:
    TileCost(const loops::Nest& nest, const Machine& machine);

    /// Lanes of a vector of what is stored or accumulated.
    int lanes() const { return lanes_; }
    /// Whether a reduction gives positions, which has to run in order.
    bool positions() const { return positions_; }
    /// Whether values outside of reductions use quotients of an axis.
    bool quotients() const { return quotients_; }
    /// Whether loads inside reductions are guarded.
    bool guarded() const { return !conditions_.empty(); }
    const std::vector<Walk>& loads_inside() const { return inside_; }

    /// Cycles of the whole nest, on one core, without those of packing. Where the sum passes
    /// `limit` before all of it has been added up, any number beyond it.
    double cycles(const Tiling& t, double limit);

    /// Loads whose elements lanes along this axis would gather, if to copy them costs clearly less
    /// than what is done with them; else, of partial sums, those worth aligning.
    std::vector<loops::ValueId> worth_packing(loops::Var inner) const;

    /// To copy what is packed, once, or for each of a few pieces of the work where threads share it
    /// along an axis that the operand does not have.
    double packing(const Tiling& t, double cycles) const;

    /// Vectors in a block of this many elements or rows.
    std::int64_t vectors_of(const Tiling& t, std::int64_t block) const;

    /// The innermost reduction loop where it is short enough to be unrolled, or none.
    loops::Var reduction_to_unroll(const Tiling& t) const;

    /// Instructions of the kernel in a tiling, what is unrolled counted as often as it is repeated.
    double instructions(const Tiling& t) const;

    /// Whether what follows a reduction in lanes runs in vectors: the last tiled axis walks the
    /// results one by one.
    bool finishes_in_vectors(const Tiling& t) const;

  private:
    // What is the same for all parts of a nest in one tiling.
    struct Fixed {
        const Tiling& t;
        bool finishes;
        double accesses;  // cycles of the loads and stores outside of reductions, of one result
    };

    std::int64_t extent(loops::Var v) const { return nest_.extents[v]; }
    std::int64_t step(const Tiling& t, loops::Var v) const;
    void collect(const std::vector<loops::ValueId>& roots, std::vector<Walk>& loads, double& work);
    void find_conditions();
    bool known(const Tiling& t, const Walk& condition) const;
    template <class Copies>
    double work_of_conditions(const Tiling& t, const Copies& copies) const;
    double crossings(const Tiling& t, const loops::Index& e) const;
    double access_cycles(const Tiling& t, const Walk& e, bool store) const;
    void set_loads(const Tiling& t);
    bool in_vectors(const Tiling& t, const Walk& e) const {
        return t.lanes > 1 && (e.uses(t.inner) || (t.outer && e.uses(t.outer)));
    }
    bool reduces(loops::Var v) const {
        return std::find(nest_.reduce_axes.begin(), nest_.reduce_axes.end(), v) !=
               nest_.reduce_axes.end();
    }
    bool fills_vectors(const loops::Instr& i) const;
    void align(loops::Var inner, double work, std::vector<loops::ValueId>& out) const;
    double work_of_vector(const Tiling& t, std::int64_t vectors) const;
    Fixed fixed(const Tiling& t) const;
    double tile_cycles(const Fixed& fixed, std::int64_t block,
                       const std::int64_t (&sizes)[Tiling::most_tiles]) const;

    const loops::Nest& nest_;
    const Machine& m_;
    int lanes_ = 1;
    bool positions_ = false;
    bool quotients_ = false;
    std::vector<loops::ValueId> outside_ids_;  // what the stores need, operands first
    std::vector<loops::ValueId> inside_roots_;
    std::vector<Walk> inside_, outside_, stores_;
    std::vector<Walk> conditions_;  // of the guarded loads inside
    double inside_work_ = 0, outside_work_ = 0;
    std::size_t inside_size_ = 0, outside_size_ = 0;  // all instructions, addresses among them

    SumOrder sums_[2];  // without lanes, by lanes
    // access_cycles of the loads inside, and the vector space that they are for
    std::vector<double> loads_;
    bool has_loads_ = false;
    loops::Var loads_inner_, loads_outer_;
    bool loads_over_reduction_ = false;
    std::vector<loops::ValueId> loads_packed_;
};

}  // namespace arete

// The loops that a tiling and a blocking mean. Private to this folder.
#pragma once

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/blocking.h"
#include "compiler/targets/cpu/machine.h"
#include "compiler/targets/cpu/sums.h"
#include "compiler/targets/cpu/tiling.h"

namespace arete {

using namespace loops;

/// Emits the kernel of one nest. The loops over blocks and tiles are in emitter.cpp, what one
/// register tile does in emit_tile.cpp, how long sums add up in emit_sums.cpp, and what the memory
/// is asked for ahead in prefetch.cpp.
class Emitter {
  public:
    // block: an axis that a loop around the kernel walks, the kernel's variable 0; -1: none. The
    // loops are added to a kernel of another part of the nest, or to an empty one.
    Emitter(const Nest& nest, const Tiling& tiling, const Blocking& blocking,
            const Machine& machine, Var block, Kernel before)
        : nest_(nest),
          t_(tiling),
          b_(blocking),
          machine_(machine),
          k_(std::move(before)),
          order_(order_of_sums(nest, tiling, blocking.cut, blocking.cut_size)) {
        vars_.resize(nest.extents.size());
        if (k_.buffers.empty()) {
            k_.name = nest.name;
            k_.buffers = nest.buffers;
            if (block) k_.add_var("block", extent(block));
        }
        if (block) var(block) = Index::var(Var(0));
        ranges_.resize(nest.extents.size());
        loop_numbers_.resize(blocking.loops.size());
        for (Var v : nest.extents.ids()) range(v).size = extent(v);
    }

    Kernel run() {
        append(k_.body, emit_axis(0, true));
        return std::move(k_);
    }

  private:
    using Statements = std::vector<Stmt>;

    // What of an axis the code that is being made runs over: all, a chunk, a block.
    struct Range {
        Index start;
        std::int64_t size = 1;
    };

    // What becomes of a register tile: all of it, or, where the reduction is cut, one block of the
    // sums, or what follows the last one.
    enum class Phase { Whole, Accumulate, Finish };

    std::int64_t extent(Var v) const { return nest_.extents[v]; }
    Index& var(Var v) { return vars_[v]; }
    Range& range(Var v) { return ranges_[v]; }
    bool vector_axis(Var v) const { return t_.is_vector(v); }
    std::size_t tile_of(Var v) const {
        std::size_t k = 0;
        while (k < t_.tiles.size() && t_.tiles[k].axis != v) ++k;
        return k;
    }

    static void append(Statements& to, Statements from) {
        for (Stmt& s : from) to.push_back(std::move(s));
    }

    // `body` repeated `count` times; the loop variable scaled by `step` plus `offset` is given to
    // it.
    Statements repeat(const std::string& name, std::int64_t count, std::int64_t step,
                      std::int64_t offset, LoopKind kind,
                      const std::function<Statements(const Index&)>& body);

    // The main part of a range of an axis cut into tiles of `size`, then the rest.
    Statements segments(
        Var v, std::int64_t size, LoopKind kind,
        const std::function<Statements(const Index& start, std::int64_t size)>& body);

    Statements emit_axis(std::size_t position, bool outermost);

    // All tiles of the loops inside, for one block of the reduction after another; their
    // accumulators wait in scratch memory.
    Statements emit_blocks(std::size_t position);

    // Sets the axes of the vector space to the p-th element of the current block.
    void set_vector_axes(const Index& start, const Index& p);

    std::int64_t block_elements(std::int64_t block) const {
        return t_.outer ? block * extent(t_.inner) : block;
    }

    // The vectors of a block: whole ones, then one with lanes to spare.
    Statements over_vectors(std::int64_t elements,
                            const std::function<Statements(const Index& p, const Index& lane,
                                                           std::int64_t active)>& body);

    // The register tile: its unrolled axes, numbering their combinations by `slot`.
    Statements over_tiles(std::size_t k, const Index& slot,
                          const std::function<Statements(const Index& slot)>& body) {
        return over_tiles(k, t_.tiles.size(), slot, body);
    }
    Statements over_tiles(std::size_t k, std::size_t end, const Index& slot,
                          const std::function<Statements(const Index& slot)>& body) {
        if (k == end) return body(slot);
        return repeat(nest_.var_names[t_.tiles[k].axis] + "t", tile_size_[k], 1, 0,
                      LoopKind::Unrolled, [&](const Index& at) {
                          var(t_.tiles[k].axis) = tile_start_[k] + at;
                          return over_tiles(k + 1, end, slot * tile_size_[k] + at, body);
                      });
    }

    std::int64_t tile_count() const {
        return std::accumulate(tile_size_.begin(), tile_size_.end(), std::int64_t{1},
                               std::multiplies<>());
    }

    Cloner cloner() {
        Cloner c(nest_, k_);
        c.vars = vars_;
        return c;
    }

    Statements stores(Cloner& clone) {
        Statements out;
        for (const CheckThat& c : nest_.checks) out.push_back(clone.check(c));
        for (const StoreTo& s : nest_.stores) out.push_back(clone.store(s));
        return out;
    }

    bool lanes_are_spatial() const { return t_.lanes > 1 && !t_.over_reduction; }

    // Runs body for each element slot of the tile, vectors included where the lanes are spatial.
    Statements over_elements(const std::function<Statements(const Index& slot)>& body);

    // Buffers of an accumulator; none is best where it shares another's. Where a sum adds up in
    // parts, best holds one of them, `sum` those before it, and `error` what rounding lost, if it
    // is kept. Of lanes that are partial sums, total and total_error are what they fold into.
    struct Local {
        BufferId best, where, sum, error, total, total_error;
        BufferId all() const { return sum ? sum : best; }
    };
    using Locals = IdVector<AccId, Local>;

    Statements emit_tile();

    // A masked load that overlaps the vector of a masked store shortly before has to wait for it,
    // even where no element is shared: rows updated in place, with lanes to spare, are all computed
    // before the first is stored.
    bool scatters(const Locals& locals) const;
    Statements store_one_by_one(const Locals& locals);
    bool stores_wait(const Locals& locals) const;

    // Operands copied into panels for the loops from here on (packing.cpp).
    struct Panel {
        BufferId buffer;
        std::vector<std::pair<Var, Range>> axes;  // of its rows, outermost first
        Range lanes;                              // what it holds of the lanes' axis
        std::int64_t block = 1;                   // lanes of a row, padded; more are a panel beside
        std::int64_t rows = 1;
    };
    // Rows of a panel as one axis: those of its axes `first` to `last`, the innermost being
    // `along`.
    struct Run {
        Var along;
        Range rows;
        std::int64_t stride = 1;  // rows of the panel between two of the run
        bool backwards = false;   // in memory
        std::size_t first = 0, last = 0;
    };
    Statements pack();
    Statements fill(const Panel& panel, const Instr& load);
    Run run_along(const Panel& panel, const Instr& load, Var along) const;
    Statements each_row(const Panel& panel, std::size_t k, const Run* run,
                        const std::function<Statements()>& body);
    Statements pieces(const std::string& what, const Range& range, std::int64_t size,
                      const std::function<Statements(const Index&, std::int64_t)>& body);
    // What the loops from b_.pack_at on walk of an axis.
    Range span(Var v) const;
    Index row_of(const Panel& panel) const;
    void read_panels(Cloner& clone);

    // Accumulators of one element.
    Statements initialise(const Locals& locals, const Index& slot, bool partial);

    // Accumulators from where they wait, or back there.
    Statements exchange(const Locals& locals, bool partial, bool back);

    Statements combine_lanes(const Locals& locals);

    // The result of accumulator a.
    Value result(const Locals& locals, AccId a, const Index& slot);

    Statements reduce_axis(std::size_t position, const Locals& locals);

    // Do the accumulator's elements add up in parts, in the tile that is being made?
    bool in_parts(AccId a) const { return parts_ && is_float_sum(nest_.accumulators[a]); }
    bool in_chains() const { return parts_ && order_.chain > 0; }
    bool in_elements() const { return parts_ && order_.chain == 0; }

    // Of what type a sum's parts are added up, and of what type elements are, for one part.
    DType type_of_sum(AccId a) const;
    DType type_of_part(AccId a) const;
    bool keeps_errors(AccId a) const {
        return in_parts(a) && order_.exact && nest_.accumulators[a].dtype == DType::F64;
    }

    // Adds best[slot], a part, to a sum and its errors, if there are any.
    Statements add_part(BufferId best, const Index& slot, BufferId sum, BufferId error,
                        const Index& at);

    // All loops of the reduction.
    Statements reduce(const Locals& locals);

    // Sets the parts of sums to zero.
    Statements begin_parts(const Locals& locals);

    // Adds the parts to the sums: to those that wait, where the reduction is cut.
    Statements end_parts(const Locals& locals);

    // Of lanes that are partial sums, the vectors of a block, added pairwise.
    Statements update_pairs(const Locals& locals);

    // `count` steps for one element of the tile; go_to sets the axes to one of them.
    Statements fold_group(const Locals& locals, const Index& slot, std::int64_t count,
                          const std::function<void(std::int64_t)>& go_to, const Index& lane,
                          std::int64_t active);

    // The whole reduction is a few instructions that reuse nothing, the window of a pooling:
    // without loops, and one vector of results after another, so that few values are held. What its
    // steps load in common is loaded once.
    bool short_window() const;
    bool long_finish() const;
    Statements window(const Locals& locals, const Index& slot);

    // The largest or smallest of a few floats, NaN where there is one. NaNs are looked for by
    // themselves: two comparisons an element, one of which serves two, instead of three in a row.
    Value extreme(Reduction reduction, const std::vector<Value>& elements);

    // A panel of a matrix too large for the cache is walked in short pieces far apart, which the
    // processor does not foresee: ask for the pieces of a few steps ahead, or, where the reduction
    // is cut, for those of the next block, which there is time to fetch from memory.
    Statements prefetches(Var v);

    // Lanes of partial sums walk several rows of a matrix side by side. Where hardly more is done
    // with a row than reading it from memory, ask for the rows of the next tile meanwhile.
    Statements row_prefetches();

    // Where partial sums run over one block of the reduction after another, ask for the next
    // block's part of an operand that comes from memory; loops that repeat this one share the work.
    Statements block_prefetches();

    // After a short sum the results are due before a large array has come to the cache: ask for
    // their places, and for what they replace, when the sum begins.
    Statements result_prefetches();

    // One step of the reduction for every element of the tile.
    Statements update(const Locals& locals);

    bool multiplies_lanes(const Instr& product) const;

    // active >= 0: lanes from `active` on must leave their partial sum as it is.
    Statements fold(const Locals& locals, const Index& slot, const Index& lane,
                    std::int64_t active);
    Statements fold_one(const Locals& locals, AccId a, const Index& slot, const Index& lane,
                        std::int64_t active);

    const Nest& nest_;
    const Tiling& t_;
    const Blocking& b_;
    const Machine& machine_;
    Kernel k_;
    SumOrder order_;
    bool parts_ = false;               // do sums of this tile add up in parts?
    std::size_t chain_at_ = 0;         // the reduction axis that is cut into chains
    std::int64_t chain_steps_ = 0;     // iterations of it in one; 0: none is cut
    IdVector<Var, Index> vars_;        // of the nest, in terms of the kernel's
    IdVector<Var, Range> ranges_;      // by the nest's variable
    Index tile_number_;                // of the segment being made
    std::vector<Index> loop_numbers_;  // the same for each of b_.loops
    Phase phase_ = Phase::Whole;
    std::vector<Panel> panels_;  // as t_.packed
    bool packed_ = false;
    IdVector<AccId, BufferId> waiting_;         // scratch buffers
    IdVector<AccId, BufferId> waiting_errors_;  // the same of what rounding lost, if it is kept
    std::int64_t waiting_slots_ = 0;            // elements of it a tile
    Index waiting_tile_;                        // number of the tile among those that wait
    Index block_start_;
    std::int64_t block_size_ = 1;
    std::vector<Index> tile_start_;
    std::vector<std::int64_t> tile_size_;
};

}  // namespace arete

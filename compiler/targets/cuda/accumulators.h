// What a thread keeps of the reductions of a nest, and how threads put theirs together.
#pragma once

#include <vector>

#include "compiler/targets/cuda/builder.h"

namespace arete::cuda {

/// In what parts a thread adds floats up (docs/architecture.md, Accuracy of sums): so many one
/// after another, then once with twice the precision.
struct Chains {
    bool plain = false;       ///< all of them are one chain: there are few
    std::int64_t length = 1;  ///< of a chain, where there are several
};
/// `steps`: elements that a thread folds; `alone`: no other thread has a part of its sums.
Chains chains_of(const Nest& nest, std::int64_t steps, bool alone);

/// The accumulators of one thread.
class Accumulators {
  public:
    /// Adds their registers to the kernel.
    Accumulators(const Nest& nest, Kernel& kernel, Chains chains);

    /// Sets all to what folding leaves unchanged.
    std::vector<Stmt> start();
    /// Folds the elements at the place that `clone` says, which is the one with this number.
    std::vector<Stmt> fold(Cloner& clone, const Index& position);
    /// Are there sums that add up in chains? Then each chain begins and ends with these.
    bool in_chains() const;
    std::vector<Stmt> start_chain();
    std::vector<Stmt> end_chain();
    /// The results of this thread alone, for Cloner::accs.
    IdVector<AccId, Value> results();

    /// The same in memory that a block shares: adds buffers of so many threads, and puts the
    /// thread's own results to its place there.
    std::vector<Stmt> share(std::int64_t threads, const Index& own);
    /// Folds what is at `other` into what is at `own`.
    std::vector<Stmt> fold_shared(const Index& own, const Index& other);
    /// The results that are at a place.
    IdVector<AccId, Value> shared_results(const Index& at);

  private:
    // Buffers, where there are such.
    struct State {
        BufferId best;   // the value so far
        BufferId where;  // the position of it
        BufferId error;  // what rounding lost of it
        BufferId chain;  // the sum of the chain
        BufferId shared_best, shared_where, shared_error;
    };
    bool exact(const Accumulator& a) const { return is_float_sum(a) && !chains_.plain; }
    bool chained(const Accumulator& a) const {
        return exact(a) && a.reduction == Reduction::Sum && chains_.length > 1;
    }
    BufferId add(const char* what, AccId number, DType t, Space space, std::int64_t size);
    std::vector<Stmt> to_total(const State& s, const Accumulator& a, Value term);
    std::vector<Stmt> fold_extreme(const State& s, Reduction r, const Index& own,
                                   const Index& other);
    Value result(const Accumulator& a, Value best, Value error, Value where) const;

    const Nest& nest_;
    Kernel& k_;
    Chains chains_;
    IdVector<AccId, State> states_;
};

}  // namespace arete::cuda

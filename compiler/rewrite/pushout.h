// What loops compute step by step and need not: products before and behind them.
#pragma once

#include <vector>

#include "compiler/rewrite/loop.h"

namespace arete {

/// Moves products out of a loop. `before`: those of a sequence's rows with what does not change
/// become one product, whose rows are a sequence. `behind`: where a state adds up products from
/// step to step, their operands are kept, and one product behind the loop sums over the steps, too.
class PushOut {
  public:
    /// `only_last`: by state, whether nothing but its last row is read.
    PushOut(Loop& loop, const std::vector<char>& only_last);
    /// True where something was moved.
    bool run();
    /// The results of the changed loop, in the numbering of the one that was given.
    std::vector<Expr> build() const;

  private:
    // Rows of a value, one for each step: of a sequence, or an output of the loop.
    struct Stacked {
        Expr rows;        // of a sequence
        int output = -1;  // of the loop
        Ints order;       // of its axes behind the first, where these are reordered
    };
    // A term of a sum over the steps.
    struct Term {
        std::shared_ptr<const Node> node;
        Stacked a, b;  // operands; of reductions only a
    };
    struct Sum {
        std::size_t state = 0;  // in the given numbering
        Expr initial;
        std::vector<Term> terms;
        bool alone = true;  // the state itself is gone
    };

    bool before();
    bool behind();
    bool move_product(const std::shared_ptr<const Node>& dot);
    bool invariant(const Expr& e) const;
    Expr outside(const Expr& e) const;
    const Loop::Sequence* sequence(const Expr& param) const;
    bool is_kept(const Expr& e) const;
    int column_of(const Expr& e) const;
    static Expr flat(Expr e);
    Stacked stack(const Expr& e);
    Expr rows(const Stacked& s, const std::vector<Expr>& results) const;
    Expr total(const Term& t, const std::vector<Expr>& results) const;
    std::vector<Expr> terms_of(const Loop::State& s) const;
    void split(std::size_t state, const std::vector<Expr>& terms, std::vector<char>& gone);

    Loop& loop_;
    const std::vector<char> only_last_;
    const std::int64_t steps_;
    const std::size_t given_states_, given_outputs_;
    std::vector<int> state_now_;  // by state that was given: its number now; -1: gone
    std::vector<Sum> sums_;
    bool backwards_ = false;  // kept rows are in the order of the steps, or against it
};

}  // namespace arete

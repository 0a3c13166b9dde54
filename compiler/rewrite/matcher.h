// Matching of patterns. Private to the rule engine.
#pragma once

#include "compiler/rewrite/rewrite.h"

namespace arete {

/// f(view(x), view(y)) where e is views, or casts to a wider float, of an elementwise f(x, y); e
/// itself where it is not, or where the shape would not be known to be e's.
Expr with_views_inside(const Expr& e);

/// Enumerates the ways in which a pattern matches an expression: a depth-first search over the
/// orders of the operands of commutative ops, the last one met first, which begins anew for each
/// sequence of choices.
class Matcher {
  public:
    /// `through_views`: where the pattern asks for an elementwise op and meets a view (or a cast to
    /// a wider float) of one, the view is moved to the operands: f(view(x)) is read as
    /// view(f(x)). `around` may be null.
    Matcher(const Pattern& pattern, const Expr& e, const Surroundings* around,
            bool through_views = false);

    /// The next way to match, null where there is none left.
    std::optional<Match> next();

  private:
    bool swapped();
    bool turn_last();
    bool bind(char name, const Expr& e);
    bool step(const Pattern& p, const Expr& e);
    bool step_into(const Pattern& p, const Expr& e);
    const Expr& keep(Expr e);

    const Pattern& pattern_;
    const Expr& e_;
    Match m_;
    const bool through_views_;
    unsigned swaps_ = 0;  // bit k: the k-th choice
    int made_ = 0, next_ = 0;
    bool more_ = true;
};

}  // namespace arete

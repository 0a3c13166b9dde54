// Pullbacks of elementwise ops whose slope has a singularity that what follows may take away again.
#pragma once

#include "compiler/ops/op.h"

namespace arete {

std::vector<Expr> pullback_abs(const PullbackArgs& a);
std::vector<Expr> pullback_sqrt(const PullbackArgs& a);
std::vector<Expr> pullback_pow(const PullbackArgs& a);

/// g / y, where g is a multiple of y as it is written, or of an odd function of it: y may be 0.
/// Empty for others.
Expr quotient(const Expr& g, const Expr& y);
/// The gradient g of f(x), which underflows far below 0, or far from it: exactly 0 there where x is
/// made with exponentials, which may have overflowed.
Expr unless_flat_below(const Expr& g, const Expr& x);
Expr unless_flat(const Expr& g, const Expr& x);
/// The gradient g of f(x), which vanishes where x is infinite: exactly 0 there, so that its own
/// slopes are, too.
Expr unless_infinite(const Expr& g, const Expr& x);
/// The same of one that vanishes as 1 / x^2: 0 where that overflows.
Expr unless_far(const Expr& g, const Expr& x);
/// True for squares, other powers above 1 of what is not negative, and sums and positive multiples
/// of such: never negative, and where they are 0 their gradient is, too.
bool is_sum_of_squares(const Expr& e);

}  // namespace arete

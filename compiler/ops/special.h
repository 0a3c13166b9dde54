// Elementwise functions that exist because the obvious formula overflows or cancels. Integers give
// f32; the stabilising rewrites put these in place of the formulas.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

Expr erfc(const Operand& a);      ///< 1 - erf(a), accurate where that is small
Expr erfcx(const Operand& a);     ///< exp(a^2) erfc(a), which does not underflow
Expr log_erfc(const Operand& a);  ///< log(erfc(a)), also where erfc(a) underflows
/// 2 / sqrt(pi) exp(-a^2) / erfc(a): minus the slope of log(erfc(a)).
Expr erfc_hazard(const Operand& a);
Expr bell(const Operand& a);          ///< exp(-a^2), whose slopes vanish at infinity, too
Expr log1mexp(const Operand& a);      ///< log(1 - exp(a)) of a negative a; NaN above 0
Expr log_cosh(const Operand& a);      ///< log(cosh(a)), without overflow and accurate near 0
Expr log_softplus(const Operand& a);  ///< log(softplus(a)), also where softplus(a) underflows
/// exp(order * a - exp(a)): of order 0 the part beyond, of order 1 the density of the distribution
/// of smallest values, whose slopes vanish where exp(a) overflows, too.
Expr gumbel(const Operand& a, int order);
Expr gumbel_cdf(const Operand& a);      ///< 1 - exp(-exp(a)), accurate where that is small
Expr log_gumbel_cdf(const Operand& a);  ///< its logarithm, also where it underflows or is 1
/// log(exp(a) + exp(b)), without overflow.
Expr logaddexp(const Operand& a, const Operand& b);

}  // namespace arete

// Elementary and special functions, elementwise. Integers give f32.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

// Values are within 2 ulp, with C's results for NaN, infinities, zeros of both signs and denormals.
Expr exp2(const Operand& a);   ///< 2^a
Expr log2(const Operand& a);   ///< logarithm to base 2
Expr log10(const Operand& a);  ///< logarithm to base 10
Expr cbrt(const Operand& a);   ///< cube root, also of negative numbers
/// sqrt(a^2 + b^2), without overflow; slopes 0 where both are 0. Infinite where either is, beside
/// NaN, too.
Expr hypot(const Operand& a, const Operand& b);
Expr tan(const Operand& a);   ///< tangent of radians
Expr asin(const Operand& a);  ///< in [-pi/2, pi/2]; NaN beyond -1 and 1, as acos and atanh are
Expr acos(const Operand& a);  ///< in [0, pi]
Expr atan(const Operand& a);  ///< in [-pi/2, pi/2]
/// The angle of the point (x, y), in [-pi, pi]: C's atan2 and its order. Slopes are 0 at the
/// origin.
Expr atan2(const Operand& y, const Operand& x);
Expr sinh(const Operand& a);        ///< hyperbolic sine
Expr cosh(const Operand& a);        ///< hyperbolic cosine
Expr asinh(const Operand& a);       ///< inverse of sinh
Expr acosh(const Operand& a);       ///< inverse of cosh for a >= 1; NaN below
Expr atanh(const Operand& a);       ///< inverse of tanh
Expr reciprocal(const Operand& a);  ///< 1 / a
Expr rsqrt(const Operand& a);       ///< 1 / sqrt(a)

/// The inverse of erf, within 4 ulp: infinite at -1 and 1, NaN beyond.
Expr erfinv(const Operand& a);
/// log|gamma(a)|, within 4 ulp for a > 0, also near its zeros 1 and 2; of a negative a within 4 ulp
/// of the logarithms that it is a difference of. Infinite at 0, -1, -2, ...
Expr lgamma(const Operand& a);
/// The slope of lgamma, within 8 ulp for a > 0. At -1, -2, ... NaN, at 0 infinite, of the other
/// sign.
Expr digamma(const Operand& a);
/// The derivative of digamma of order n, from 1 on (of order 0 digamma itself), within 16 ulp for
/// a > 0 and n <= 10. SciPy's name and order. A GraphError where n is negative.
Expr polygamma(int n, const Operand& a);

/// Modified Bessel functions of the first kind of orders 0 and 1, within 4 ulp.
Expr i0(const Operand& a);
Expr i1(const Operand& a);

}  // namespace arete

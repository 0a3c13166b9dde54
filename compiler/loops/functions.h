// Functions of floats beyond those that are instructions (code.h), as programs of instructions.
// Each takes and gives one float type. Those of f32 are computed in f64, with shorter polynomials,
// unless said otherwise, and rounded once more: they are within an ulp.
#pragma once

#include "compiler/loops/code.h"

namespace arete::loops {

// Within 2 ulp over the whole domain, with C's results for NaN, infinities, zeros of both signs and
// denormals.
Value exp2(Value x);
Value log2(Value x);
Value log10(Value x);
Value cbrt(Value x);
Value hypot(Value x, Value y);
Value tan(Value x);
Value asin(Value x);
Value acos(Value x);
Value atan(Value x);
Value atan2(Value y, Value x);
Value sinh(Value x);
Value cosh(Value x);
Value asinh(Value x);
Value acosh(Value x);
Value atanh(Value x);

/// The inverse of erf, within 4 ulp: infinite at -1 and 1, NaN beyond.
Value erfinv(Value x);
/// log|gamma(x)|, within 4 ulp for x > 0, also at its zeros 1 and 2. For negative x it is a
/// difference of logarithms, right to 4 ulp of the larger of these; infinite at 0, -1, -2, ...
Value lgamma(Value x);
/// The slope of lgamma for x > 0, within 8 ulp, also at its zero; for negative x right to 8 ulp of
/// the larger of its two terms. Infinite at zeros, of the other sign; NaN at -1, -2, ...
Value digamma(Value x);
/// The derivative of digamma of an order from 1 on, within 16 ulp for x > 0. At -1, -2, ... it is
/// infinite where the order is odd, and NaN where it is even, since its limits differ there.
Value polygamma(int order, Value x);
/// I_n(x) / x^n, of the modified Bessel function of the first kind, for n up to 6 within 4 ulp.
Value bessel_ratio(int order, Value x);

// Exact.
/// |magnitude| with the sign of another, also that of a zero; and true where that is minus. A NaN
/// has none, and counts as positive: what its bit says is open, since instructions leave it open.
Value copysign(Value magnitude, Value sign);
Value signbit(Value x);
/// The next number of the type after x in the direction of y; y where they are equal.
Value nextafter(Value x, Value y);

/// a / b, rounded towards zero: as floor_quotient is (math.h), of floats and integers. Of integers
/// 0 where b is, and INT_MIN / -1 wraps.
Value trunc_quotient(Value a, Value b);
/// What trunc_quotient leaves, with the sign of a, as C's fmod and %. Of integers 0 where b is.
Value trunc_remainder(Value a, Value b);
/// The greatest common divisor of integers, not negative but where it wraps (of INT_MIN and 0);
/// that of 0 and 0 is 0.
Value greatest_divisor(Value a, Value b);
/// Bits of an integer moved by `count` of the same type. What leaves the type is lost; all bits do
/// where count is negative or not below the width. To the right the sign is moved in.
Value shift_left(Value a, Value count);
Value shift_right(Value a, Value count);

}  // namespace arete::loops

// Elementwise ops that are exact: truncating division, signs and neighbours of floats, and bits of
// integers.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

Expr trunc(const Operand& a);  ///< towards zero; integers are their own
/// a / b rounded towards zero, and what that leaves, with the sign of a: C's / and % of integers,
/// trunc(a / b) and fmod of floats, the latter exact. Of integers both are 0 where b is, and
/// trunc_div(INT_MIN, -1) wraps to INT_MIN. Bools count as i32. (floordiv and mod round down.)
Expr trunc_div(const Operand& a, const Operand& b);
Expr fmod(const Operand& a, const Operand& b);
/// minimum(maximum(a, low), high): NumPy's clip, high where low is above it. At its ends the slope
/// is 1, but 0 where low is the number 0, as relu's.
Expr clip(const Operand& a, const Operand& low, const Operand& high);

/// Bool. False of integers.
Expr isinf(const Operand& a);
Expr isfinite(const Operand& a);  ///< neither infinite nor NaN; true of integers
Expr signbit(const Operand& a);   ///< is it negative, or -0? NaN has no sign
/// |a| with the sign of b, also of a zero; a NaN counts as positive. Integers give f32.
Expr copysign(const Operand& a, const Operand& b);
/// The next number of the dtype after a in the direction of b; b where they are equal. Integers
/// give f32. Not differentiable.
Expr nextafter(const Operand& a, const Operand& b);

/// Greatest common divisor and least common multiple of integers, not negative but where they wrap;
/// with 0 the other's magnitude, and 0. Bools count as i32. A GraphError for floats.
Expr gcd(const Operand& a, const Operand& b);
Expr lcm(const Operand& a, const Operand& b);

/// Bits of integers and bools; a GraphError for floats.
Expr bitwise_and(const Operand& a, const Operand& b);
Expr bitwise_or(const Operand& a, const Operand& b);
Expr bitwise_xor(const Operand& a, const Operand& b);
Expr bitwise_not(const Operand& a);  ///< of a bool its negation
/// The bits of an integer moved by b places; those that leave it are lost, and all do where b is
/// negative or not below the number of bits: the result is 0 then, or -1 where a negative number is
/// moved right, as in NumPy. Bools count as i32. A GraphError for floats.
Expr left_shift(const Operand& a, const Operand& b);
Expr right_shift(const Operand& a, const Operand& b);

}  // namespace arete

// Elementwise ops with NumPy broadcasting. Operands are cast to one dtype; C++ numbers adapt. A number
// that the dtype it takes cannot hold is a GraphError (u8 + 300, i32 * 1e300), except in comparisons,
// which compare with what it is (u8 > -1 is true, i32 == 0.5 false).
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

Expr operator+(const Operand& a, const Operand& b);
Expr operator-(const Operand& a, const Operand& b);
Expr operator*(const Operand& a, const Operand& b);
/// True division: integers give f32.
Expr operator/(const Operand& a, const Operand& b);
/// floor(a / b) and the remainder with the sign of b, as in Python and NumPy, for floats from the
/// exact fmod. Of integers both are 0 where b is, and floordiv(INT_MIN, -1) wraps to INT_MIN.
Expr floordiv(const Operand& a, const Operand& b);
Expr mod(const Operand& a, const Operand& b);
Expr operator-(const Operand& a);
Expr abs(const Operand& a);
Expr sign(const Operand& a);  ///< -1, 0 or 1; NaN stays
Expr sqr(const Operand& a);   ///< a * a
/// Square root and the transcendental functions take integers to f32.
Expr sqrt(const Operand& a);
Expr exp(const Operand& a);
Expr expm1(const Operand& a);
Expr log(const Operand& a);
Expr log1p(const Operand& a);
Expr tanh(const Operand& a);
Expr sin(const Operand& a);
Expr cos(const Operand& a);
Expr erf(const Operand& a);
Expr floor(const Operand& a);
Expr ceil(const Operand& a);
Expr round(const Operand& a);     ///< ties to even
Expr sigmoid(const Operand& a);   ///< 1 / (1 + exp(-a)), without overflow
Expr relu(const Operand& a);      ///< maximum(a, 0) with slope 0 at 0
Expr softplus(const Operand& a);  ///< log(1 + exp(a)), without overflow
Expr pow(const Operand& a, const Operand& b);
/// NaN where either is NaN. At ties the gradient goes to a.
Expr maximum(const Operand& a, const Operand& b);
Expr minimum(const Operand& a, const Operand& b);

/// Comparisons give bool. (There is no ==: C++ would rewrite it.)
Expr eq(const Operand& a, const Operand& b);
Expr neq(const Operand& a, const Operand& b);
Expr operator<(const Operand& a, const Operand& b);
Expr operator<=(const Operand& a, const Operand& b);
Expr operator>(const Operand& a, const Operand& b);
Expr operator>=(const Operand& a, const Operand& b);
/// Logical operations take any dtype (non-zero is true) and give bool.
Expr operator&&(const Operand& a, const Operand& b);
Expr operator||(const Operand& a, const Operand& b);
Expr logical_xor(const Operand& a, const Operand& b);
Expr operator!(const Operand& a);
Expr isnan(const Operand& a);

/// condition ? a : b, elementwise.
Expr where(const Operand& condition, const Operand& a, const Operand& b);
/// Conversion. Float to integer truncates towards zero and saturates (300.7 to u8 is 255, -1 is 0),
/// NaN gives 0; an integer wraps to a narrower one, as in NumPy; to bool tests for non-zero.
Expr cast(const Operand& a, DType t);
/// a, but a constant to gradients.
Expr stop_gradient(const Operand& a);

}  // namespace arete

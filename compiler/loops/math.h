// Transcendental functions as polynomials of the loop IR, so that their bits are the same on every
// back end.
#pragma once

#include <span>

#include "compiler/loops/nest.h"

namespace arete::loops {

/// Makes products that one sum reads, and nothing else, fused multiply-adds with it: one rounding
/// and one instruction less, alike for every consumer of the loops. Before expand_math, whose
/// expansions are rounded as written. Products that are read elsewhere, too, are to be in `apart`.
void form_fma(Nest& nest, std::span<const ValueId> apart = {});

/// Replaces every transcendental instruction (`is_transcendental`) of an f32 or f64 nest by
/// primitive ones; no other instruction, buffer, store or check changes.
///
/// Results are within 2 ulp everywhere, NaN, infinities, signed zeros and denormals as in IEEE 754
/// and C; fmod is exact. For sin and cos of |x| > 2^19 (f32) or 2^46 (f64), and for fmod where the
/// quotient has more bits than its type, the expansion calls a function (far.h) behind a branch.
///
/// The code relies on each operation being rounded as written: a printer must not reassociate it
/// (also where fast_math is set), form or split an fma, or flush denormals to zero.
void expand_math(Nest& nest);

/// Expansions multiply by 2^n in two steps, through the bits of two exponents, since 2^n itself may
/// be denormal or infinite. The first product is exact, so that the result is rounded once, as that
/// of Scale, which takes their place here: the same bits, for machines that have the instruction.
Nest with_scale(const Nest& nest);

/// The expansion of one transcendental instruction; the operands are f32 or f64 of one code.
Value expand(Op op, std::span<const Value> args);

/// 1 - erf(x), e^(x^2) erfc(x) and log(erfc(x)) of f32 or f64, within 4 ulp, with the limits of C's
/// erfc at infinities. Composed of primitive instructions (log_erfc also of transcendental ones),
/// so that they need no instruction of their own.
Value erfc(Value x);
Value erfcx(Value x);
Value log_erfc(Value x);

/// floor(a / b), and the remainder with the sign of b, of floats: as Python and NumPy compute them,
/// from fmod. The remainder is fmod's, which is exact, or that plus b, rounded once. A zero remainder
/// has the sign of b, a zero quotient that of a / b. By zero the quotient is a / b, the remainder NaN.
Value floor_quotient(Value a, Value b);
Value floor_remainder(Value a, Value b);

}  // namespace arete::loops

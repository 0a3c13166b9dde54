// Transcendental functions as polynomials of the loop IR, so that their bits are the same on every
// back end.
#pragma once

#include <span>

#include "compiler/loops/nest.h"

namespace arete::loops {

/// Makes products that one sum reads, and nothing else, fused multiply-adds with it: one rounding
/// and one instruction less, alike for every consumer of the loops. Before expand_math, whose
/// expansions are rounded as written.
void form_fma(Nest& nest);

/// Replaces every transcendental instruction (`is_transcendental`) of an f32 or f64 nest by
/// branch-free primitive ones; no other instruction, buffer, store or check changes.
///
/// Results are within 2 ulp everywhere, NaN, infinities, signed zeros and denormals as in IEEE 754
/// and C, except for sin and cos of large arguments: these are within 2 ulp for |x| <= 2^19 (f32)
/// and |x| <= 2^46 (f64), lose accuracy slowly up to 2^22 and 2^50, and are NaN beyond, where the
/// reduction modulo pi/2 would leave no correct bit.
///
/// The code relies on each operation being rounded as written: a printer must not reassociate it
/// (also where fast_math is set), form or split an fma, or flush denormals to zero.
void expand_math(Nest& nest);

/// The expansion of one transcendental instruction; the operands are f32 or f64 of one code.
Value expand(Op op, std::span<const Value> args);

/// 1 - erf(x), e^(x^2) erfc(x) and log(erfc(x)) of f32 or f64, within 4 ulp, with the limits of C's
/// erfc at infinities. Composed of primitive instructions (log_erfc also of transcendental ones),
/// so that they need no instruction of their own.
Value erfc(Value x);
Value erfcx(Value x);
Value log_erfc(Value x);

}  // namespace arete::loops

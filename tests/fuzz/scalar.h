// What scalar instructions mean, of long doubles and of integers that wrap: written apart from
// compiler/loops/evaluate.cpp, which is among what is tested.
#pragma once

#include <cstdint>

#include "compiler/loops/code.h"

namespace arete::fuzz {

/// v rounded to f32, or else to f64.
long double round_to(DType t, long double v);
/// The distance from 1 to the next number of a float dtype.
double epsilon(DType t);
/// True where v has no more digits than a dtype whose range is endless.
bool fits(DType t, long double v);
/// The low bits of v as an integer dtype, or bool, has them.
std::int64_t wrapped(DType t, std::uint64_t v);
/// An instruction of two integers of dtype t.
std::int64_t integer(loops::Op op, DType t, std::int64_t a, std::int64_t b);
/// The larger, or the smaller; NaN where either is NaN.
long double extreme(bool largest, long double a, long double b);
/// Instructions of floats, without rounding to a dtype. An InternalError where there is none.
long double unary(loops::Op op, long double a);
long double binary(loops::Op op, long double a, long double b);

}  // namespace arete::fuzz

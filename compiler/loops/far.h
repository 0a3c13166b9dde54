// Functions where the expansions of math.h do not reach: few elements need them, so that they are
// plain C++, called for one element after another.
#pragma once

#include <cstdint>
#include <span>

#include "compiler/loops/code.h"

namespace arete::loops {

/// sin and cos of any number, within 1 ulp; NaN of infinities and NaN. The reduction modulo pi/2
/// multiplies the significand by as many bits of 2/pi as matter, in integers (Payne and Hanek,
/// "Radian reduction for trigonometric functions", 1983).
double far_sin(double x);
double far_cos(double x);
float far_sin(float x);
float far_cos(float x);

/// C's fmod, exactly, in a time that does not grow with the quotient.
double far_fmod(double a, double b);
float far_fmod(float a, float b);

/// The name by which code calls a rare instruction (`is_rare`) on elements of type t:
///   void name(T* result, const T* x, std::int64_t n), or (result, a, b, n) of two operands.
std::string_view far_name(Op op, DType t);

/// All functions that code may call by name.
struct FarFunction {
    std::string_view name;
    void* address;
};
std::span<const FarFunction> far_functions();

}  // namespace arete::loops

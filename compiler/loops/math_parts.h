// Parts shared by the expansions of the transcendental functions; private to math*.cpp.
//
// All polynomials are our own minimax fits (Remez exchange in 60-digit arithmetic over a fine
// Chebyshev grid, the error weighted to be relative to the function's value), whose coefficients
// were then rounded to the element type; those of f32 were moved by single ulps as long as that
// lowered the largest error. Each table states the form, the interval, and the weighted error of
// the rounded polynomial. Coefficients are listed from the lowest power up.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "compiler/loops/code.h"

namespace arete::loops::math {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The layout of a float type, and constants that depend on it.
struct Format {
    DType bits;              // the integer of the same size
    int fraction;            // stored bits of the significand
    std::int64_t bias;       // of the exponent
    std::int64_t sqrt_half;  // the bits of sqrt(1/2)
    double ln2, ln2_low;     // ln(2) in two parts
    /// 1.5 * 2^fraction. Adding it to |v| < 2^(fraction - 1) rounds v to the nearest integer
    /// (ties to even) and leaves that integer in the low bits of the sum.
    double magic;
    double smallest_normal;
};

const Format& format(DType t);

/// An integer literal of the type of `like`.
Value integer(Value like, std::int64_t v);
Value bits(Value a);
Value from_bits(Value a, DType t);
/// The sign bit of `a`, as an integer, and a non-negative value with the sign of another.
Value sign_bit(Value a);
Value copy_sign(Value magnitude, Value sign);

/// min(x, high) and max(x, low) that keep a NaN in x. Selects of this shape are one instruction on
/// x86, whereas Min and Max, which also order zeros, are several.
Value at_most(Value x, double high);
Value at_least(Value x, double low);

/// c[0] + c[1] x + c[2] x^2 + ...
Value polynomial(Value x, std::span<const double> c);
/// The same, continued by lower terms: (c[0] + c[1] x + ...) * x + below.
Value polynomial(Value x, std::span<const double> c, double below);

/// x = n step + r with |r| <= step / 2, for |x| < 2^10 or so, where step is ln(2) times a power of
/// two, step_scale; `shifted` has n + offset in its low bits.
struct ExpArgument {
    Value r, shifted;
};
ExpArgument reduce_exp(Value x, std::int64_t offset, double step_scale = 1.0);
/// 2^(n + offset - bias), from the low bits of `shifted`; the exponent must be that of a normal.
Value power_of_two(Value shifted, DType t);
/// e^(x + low), rounded once to a denormal or infinity where it is one; |low| is far below 1, and
/// NaN in x is kept. `low` may be absent.
Value exp_of(Value x, Value low = {});

/// x = m 2^e with sqrt(1/2) <= m < sqrt(2), for positive normal x. `biased` is e + bias.
struct LogArgument {
    Value m, biased;
};
LogArgument split_exponent(Value x);
/// biased - subtract, as a float; `subtract` is at least `bias` in absolute value, and exact.
Value exponent(const LogArgument& a, Value subtract);

Value expand_exp(Value x);
Value expand_expm1(Value x);
Value expand_tanh(Value x);
Value expand_log(Value x);
Value expand_log1p(Value x);
Value expand_sin(Value x);
Value expand_cos(Value x);
Value expand_erf(Value x);
Value expand_pow(Value x, Value y);
Value expand_fmod(Value a, Value b);

}  // namespace arete::loops::math

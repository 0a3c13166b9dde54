// exp, expm1 and tanh: reduction by ln(2), a polynomial, and scaling through the exponent's bits.
#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

namespace {

// e^r = 1 + r + r^2 Q(r) on [-0.34668, 0.34668], relative to e^r: f32 2^-28.1, f64 2^-56.4.
constexpr double exp32[] = {0.49999994, 0.166665167, 0.0416682661, 0.00836907979, 0.00138171343};
constexpr double exp64[] = {0.50000000000000111,    0.16666666666666413,
                            0.04166666666652994,    0.0083333333334945879,
                            0.0013888888943694806,  0.0001984126950646042,
                            2.4801493024604427e-05, 2.7557586338089166e-06,
                            2.7630277186223597e-07, 2.5000118186861748e-08};

// The same form and interval, relative to e^r - 1: f32 2^-30.3, f64 2^-60.0.
constexpr double expm1_32[] = {0.5,           0.166666657,   0.0416664183,
                               0.00833346415, 0.00139406486, 0.000198459165};
constexpr double expm1_64[] = {0.5,
                               0.16666666666666677,
                               0.041666666666666512,
                               0.0083333333333216724,
                               0.0013888888888962448,
                               0.00019841269886019576,
                               2.4801587172462214e-05,
                               2.7557244313951383e-06,
                               2.7557402648532073e-07,
                               2.510900186529196e-08,
                               2.087534631375564e-09};

// r coth r = 1 + r^2 H(r^2) on [-0.55, 0.55], relative: f32 2^-26.0, f64 2^-57.3.
constexpr double coth32[] = {0.33333236, -0.0222021975, 0.00199929182};
constexpr double coth64[] = {0.3333333333333332,      -0.022222222222210264,
                             0.0021164021159595803,   -0.00021164020372293042,
                             2.1377720753277095e-05,  -2.1639510028809425e-06,
                             2.1773217052724544e-07,  -1.9412125645977553e-08};

// e^r - 1 of a reduced argument.
Value expm1_reduced(Value r) {
    Value q = r.dtype() == DType::F32 ? polynomial(r, expm1_32) : polynomial(r, expm1_64);
    return fma(r * r, q, r);
}

}  // namespace

ExpArgument reduce_exp(Value x, std::int64_t offset, double step_scale) {
    const Format& f = format(x.dtype());
    double shift = f.magic + static_cast<double>(offset);
    Value shifted = fma(x, literal(x, 0x1.71547652b82fep+0 / step_scale), literal(x, shift));
    Value n = shifted - shift;
    // The first fma is exact: both x and n ln2 are multiples of the result's last place.
    Value r = fma(n, literal(x, -f.ln2 * step_scale), x);
    return {fma(n, literal(x, -f.ln2_low * step_scale), r), shifted};
}

Value power_of_two(Value shifted, DType t) {
    return from_bits(shl(shifted, format(t).fraction), t);
}

Value exp_of(Value x, Value low) {
    const DType t = x.dtype();
    // Beyond these the result is infinite, or rounds to zero.
    Value clamped = t == DType::F32 ? at_least(at_most(x, 89), -105)
                                    : at_least(at_most(x, 710), -746);
    // With the doubled bias the low bits are n + 2 bias = n1 + n2, where each half is a biased
    // exponent of a normal number, also where 2^n is not. The first product is exact.
    ExpArgument a = reduce_exp(clamped, 2 * format(t).bias);
    Value r = low ? a.r + low : a.r;
    Value q = t == DType::F32 ? polynomial(r, exp32, 1.0) : polynomial(r, exp64, 1.0);
    Value p = fma(q, r, literal(r, 1.0));
    Value n = bits(a.shifted);
    Value n1 = shr(n, 1);
    return p * power_of_two(n1, t) * power_of_two(n - n1, t);
}

Value expand_exp(Value x) { return exp_of(x); }

// 2^n (e^r - 1) + (2^n - 1) through half of it: 2^(n - 1) does not overflow before the result.
Value expand_expm1(Value x) {
    const DType t = x.dtype();
    // Below the lower limit the result rounds to -1.
    Value clamped = t == DType::F32 ? at_least(at_most(x, 89), -18)
                                    : at_least(at_most(x, 710), -38);
    ExpArgument a = reduce_exp(clamped, format(t).bias - 1);
    Value scale = power_of_two(bits(a.shifted), t);
    Value half = fma(expm1_reduced(a.r), scale, scale - 0.5);
    // Tiny arguments are their own result: the halves of denormals and -0 would be lost.
    Value tiny = lt(abs(x), t == DType::F32 ? 0x1p-26 : 0x1p-56);
    return select(tiny, x, half + half);
}

// Let h = r coth r = 1 + w, an even function with a short polynomial.
// Below 0.55: tanh x = x / h(x), where the error is that of w, which is small.
// Above: with |x| = n ln(2) / 2 + r and s = 2^n, e^(2|x|) = s e^(2r) = s (h + r) / (h - r), hence
//   tanh |x| = 1 - 2 / (e^(2|x|) + 1) = 1 - 2 (h - r) / ((s + 1) h + (s - 1) r).
// Both are quotients with one denominator if s = 1 below.
Value expand_tanh(Value x) {
    const DType t = x.dtype();
    Value a = at_most(abs(x), t == DType::F32 ? 9.125 : 19.125);  // tanh rounds to 1 there
    ExpArgument e = reduce_exp(a, format(t).bias, 0.5);
    Value zero = literal(x, 0.0), one = literal(x, 1.0);
    Value below = lt(a, 0.55);
    Value r = select(below, a, e.r);
    Value s = select(below, one, power_of_two(bits(e.shifted), t));
    Value v = r * r;
    Value w = v * (t == DType::F32 ? polynomial(v, coth32) : polynomial(v, coth64));
    Value plus = s + 1.0;
    Value denominator = plus + fma(s - 1.0, r, plus * w);
    Value z = select(below, r, (r - w) - 1.0);
    Value quotient = (z + z) / denominator;
    return copy_sign(select(below, zero, one) + quotient, x);
}

}  // namespace arete::loops::math

// log and log1p: the exponent times ln(2) plus a polynomial in the significand.
#include <limits>

#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

namespace {

// log(1 + f) = f - f^2 / 2 + f^3 P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log(1 + f):
// f32 2^-27.3, f64 2^-56.4.
constexpr double log32[] = {0.333333313, -0.250008196, 0.200012296, -0.166233733,
                            0.142017543, -0.131601512, 0.12761645,  -0.0763465837};
constexpr double log64[] = {
    0.33333333333333143,  -0.24999999999987976,  0.20000000000066609,  -0.16666666669825639,
    0.14285714280093104,  -0.12499999691461323,  0.11111111147486986,  -0.10000015205598833,
    0.090909239307532488, -0.083329135531415188, 0.076915298457553169, -0.071494393890280505,
    0.066845887916029495, -0.06196678969222822,  0.056683796205373463, -0.056777837966770266,
    0.06503486298167048,  -0.059817005650154145, 0.026150952203814415};

// e ln(2) + log(1 + f), the small terms first.
Value log_sum(Value f, Value e) {
    const Format& fmt = format(f.dtype());
    Value q = f.dtype() == DType::F32 ? polynomial(f, log32, -0.5) : polynomial(f, log64, -0.5);
    Value small = fma(f * f, q, e * fmt.ln2_low);
    return fma(e, literal(f, fmt.ln2), f + small);
}

// Infinity and NaN map to themselves, `zero` to -infinity, and what lies below it to NaN.
Value special_cases(Value x, double zero, Value result) {
    Value low = select(eq(x, zero), literal(x, -infinity), literal(x, nan));
    return select(gt(x, zero), select(lt(x, infinity), result, x), low);
}

}  // namespace

LogArgument split_exponent(Value x) {
    const Format& f = format(x.dtype());
    Value b = bits(x);
    // Moves the border between two exponents from 1 to sqrt(1/2).
    std::int64_t one = f.bias << f.fraction;
    Value moved = b + integer(b, one - f.sqrt_half);
    Value fraction = moved & integer(b, (std::int64_t{1} << f.fraction) - 1);
    return {from_bits(fraction + integer(b, f.sqrt_half), x.dtype()), shr(moved, f.fraction)};
}

// The small integer becomes the low bits of 2^fraction + biased: no conversion is needed, which
// x86 before AVX-512 lacks for 64 bits.
Value exponent(const LogArgument& a, Value subtract) {
    const Format& f = format(a.m.dtype());
    std::int64_t top = (f.bias + f.fraction) << f.fraction;
    return from_bits(a.biased | integer(a.biased, top), a.m.dtype()) - subtract;
}

Value expand_log(Value x) {
    const Format& f = format(x.dtype());
    const int up = f.fraction + 1;
    double scale = static_cast<double>(std::int64_t{1} << up);
    double base = static_cast<double>((std::int64_t{1} << f.fraction) + f.bias);
    Value denormal = lt(x, f.smallest_normal);
    LogArgument a = split_exponent(select(denormal, x * scale, x));
    Value e = exponent(a, select(denormal, literal(x, base + up), literal(x, base)));
    return special_cases(x, 0.0, log_sum(a.m - 1.0, e));
}

// With u = 1 + x rounded, and c what the rounding lost: 1 + x = 2^e (m + c 2^-e).
Value expand_log1p(Value x) {
    const Format& f = format(x.dtype());
    Value u = x + 1.0;
    Value lost = x - (u - 1.0);
    LogArgument a = split_exponent(u);
    // 2^-e is zero for the largest exponents, where nothing is lost that matters.
    Value minus_e = max(integer(a.biased, 2 * f.bias) - a.biased, integer(a.biased, 0));
    Value scale = from_bits(shl(minus_e, f.fraction), x.dtype());
    double base = static_cast<double>((std::int64_t{1} << f.fraction) + f.bias);
    Value e = exponent(a, literal(x, base));
    Value result = special_cases(x, -1.0, log_sum(fma(lost, scale, a.m - 1.0), e));
    return select(eq(x, 0.0), x, result);  // keeps -0
}

}  // namespace arete::loops::math

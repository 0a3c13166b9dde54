// pow: e^(y log |x|) with the logarithm in more than the type's precision, then C's special cases.
#include <limits>

#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

namespace {

// f32 is computed in f64.
// log2(1 + f) = f P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], relative error 2^-38.5.
constexpr double log2_[] = {1.4426950408865744,   -0.72134752032749705, 0.48089834880277194,
                            -0.36067379314633535, 0.2885387957395843,   -0.24044643311354597,
                            0.20610712239552356,  -0.18043676070630718, 0.16021668584837012,
                            -0.14249854464631193, 0.13027538741807476,  -0.13462954016852346,
                            0.13251302848059326,  -0.069739824275787399};
// 2^r = 1 + r E(r) on |r| <= 0.501, relative error 2^-28.9.
constexpr double exp2_[] = {0.69314720311266298,   0.24022647880052203,   0.055503318566014086,
                            0.0096184398341001877, 0.0013399131844798282, 0.00015353159056253726};

// log(m) = 2 s (1 + s^2 / 3 + s^4 G(s^2)) with s = (m - 1) / (m + 1), s^2 <= 0.02944: relative
// error 2^-66.2.
constexpr double atanh_[] = {0.20000000000001128,  0.14285714285049883,  0.11111111259938689,
                             0.090908921859801275, 0.076933785370670721, 0.066284122182444949,
                             0.065981304026613383};

// Gives the logarithm of 0, infinity and NaN; `log` elsewhere.
Value log_of_ends(Value x, Value log) {
    return select(lt(x, infinity), select(eq(x, 0.0), literal(x, -infinity), log), x);
}

// x^y for x >= 0 (or NaN) of f32; NaN where both y and log x are in doubt (1^inf, 0^0, inf^0).
Value positive_power32(Value x32, Value y32) {
    Value x = cast(x32, DType::F64), y = cast(y32, DType::F64);
    const Format& f = format(DType::F64);
    LogArgument a = split_exponent(x);  // a denormal f32 is a normal f64
    Value e = exponent(a, literal(x, 0x1p52 + static_cast<double>(f.bias)));
    Value m = a.m - 1.0;
    Value log = log_of_ends(x, fma(m, polynomial(m, log2_), e));
    Value p = at_least(at_most(y * log, 129), -151);  // beyond: infinity, or rounds to zero
    double shift = f.magic + static_cast<double>(f.bias);
    Value shifted = p + shift;
    Value r = p - (shifted - shift);
    Value power = polynomial(r, exp2_, 1.0) * power_of_two(bits(shifted), DType::F64);
    return cast(power, DType::F32);
}

// The same for f64; the logarithm is the sum of two f64.
Value positive_power64(Value x, Value y) {
    const Format& f = format(DType::F64);
    Value denormal = lt(x, f.smallest_normal);
    LogArgument a = split_exponent(select(denormal, x * 0x1p53, x));
    double base = 0x1p52 + static_cast<double>(f.bias);
    Value e = exponent(a, select(denormal, literal(x, base + 53), literal(x, base)));

    // s + s_low = (m - 1) / (m + 1), m - 1 exact, m + 1 = d + d_low.
    Value n = a.m - 1.0, d = a.m + 1.0;
    Value d_low = a.m - (d - 1.0);
    Value inverse = literal(x, 1.0) / d;
    Value s = n * inverse;
    Value s_low = fma(-s, d_low, fma(-s, d, n)) * inverse;

    // s^2 / 3 + s^4 G is 1% of the whole: the product s^2 and the sum need only a little more
    // than f64, hence c + c_low.
    Value v = s * s;
    Value v_low = fma(s, s, -v) + (s + s) * s_low;
    Value g = v * v * polynomial(v, atanh_);
    constexpr double third = 0x1.5555555555555p-2, third_low = 0x1.5555555555555p-56;
    Value w = v * third;
    Value w_low = fma(v, literal(x, third), -w) + fma(v, literal(x, third_low), v_low * third);
    Value c = w + g;
    Value c_low = (g - (c - w)) + w_low;

    // log(m) = 2 (s + (s_low + s (c + c_low))).
    Value t = s * c;
    Value t_low = fma(s, c, -t) + fma(s, c_low, fma(s_low, c, s_low));
    Value log_m = s + t;
    Value log_m_low = (t - (log_m - s)) + t_low;
    log_m = log_m + log_m;
    log_m_low = log_m_low + log_m_low;

    // Adding e ln(2), whose leading part (42 bits) makes an exact product.
    constexpr double ln2 = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
    Value lead = e * ln2;
    Value log = lead + log_m;
    Value low = (log_m - (log - lead)) + fma(e, literal(x, ln2_low), log_m_low);
    log = log_of_ends(x, log);

    Value p = y * log;
    Value p_low = fma(y, log, -p) + y * low;
    // Where p is out of range its low part does not count, and may be infinite or NaN.
    p_low = select(lt(abs(p), 800.0), p_low, literal(x, 0.0));
    return exp_of(p, p_low);
}

}  // namespace

Value expand_pow(Value x, Value y) {
    const DType t = x.dtype();
    Value one = literal(x, 1.0);
    Value a = abs(x);
    Value power = t == DType::F32 ? positive_power32(a, y) : positive_power64(a, y);
    power = select(eq(a, 1.0), one, power);  // also for infinite and NaN y

    Value half = y * 0.5;
    Value integral = eq(floor(y), y);
    Value odd = integral & ne(floor(half), half);
    Value flip = sign_bit(x);
    Value sign = select(odd, flip, integer(flip, 0));
    power = from_bits(bits(power) | sign, t);
    // Negative finite bases have real powers only for integers; this also gives (-1)^NaN = NaN.
    Value undefined = lt(x, 0.0) & gt(x, -infinity) & !integral;
    power = select(undefined, literal(x, nan), power);
    return select(eq(y, 0.0) | eq(x, 1.0), one, power);
}

}  // namespace arete::loops::math

// exp2, log2, log10, cbrt and hypot.
#include "compiler/loops/functions.h"
#include "compiler/loops/math_wide.h"

namespace arete::loops {

namespace {

using math::either;
using math::in_f64;

// 2^r = 1 + r E(r) on |r| <= 0.501, relative: 2^-33.1, 2^-55.4.
constexpr double power2_32[] = {
    0.6931471805599453,    0.24022650925021063,    0.055504108841199315,  0.009618056096717177,
    0.0013333501938341237, 0.00015461676975973325, 1.5297502543635438e-05};
constexpr double power2_64[] = {
    0.6931471805599453,     0.24022650695910072,    0.055504108664821625,   0.00961812910762848,
    0.0013333558146406117,  0.00015403530393370558, 1.5252733842009231e-05, 1.3215486808928519e-06,
    1.0178056855501161e-07, 7.054897189206508e-09,  4.455859112330208e-10,  2.572952812566595e-11};

// log(m) = 2 s (1 + s^2 W(s^2)) with s = (m - 1) / (m + 1), s^2 <= 0.02945, relative: 2^-35.8,
// 2^-60.7.
constexpr double logarithm32[] = {0.3333333327715009, 0.2000006100040844, 0.14275401276638355,
                                  0.1166548202588602};
constexpr double logarithm64[] = {0.3333333333333333,  0.2000000000000044,  0.14285714285400977,
                                  0.11111111196044504, 0.09090897800030397, 0.07693120940969297,
                                  0.06634357396174048, 0.0654361809832981};

// The cube root on [sqrt(1/2), sqrt(2)], relative 2^-19.1.
constexpr double root[] = {0.4233077964235478, 1.0479306955437162, -0.8201573094839348,
                           0.4955390366404781, -0.172186919831943, 0.02556608271860522};

// A factor, and what it lacks.
struct Factor {
    double high, low;
};

// e * unit + log(m) * base / 2 for x = m 2^e; e * unit.high is exact.
Value logarithm(Value x, Factor base, Factor unit) {
    return in_f64(x, [&](Value v, bool few) {
        const math::Format& f = math::format(DType::F64);
        const double bias = 0x1p52 + static_cast<double>(f.bias);
        Value of = v, bias_of = literal(v, bias);
        if (!few) {
            Value denormal = lt(v, f.smallest_normal);
            of = select(denormal, v * 0x1p53, v);
            bias_of = select(denormal, literal(v, bias + 53), literal(v, bias));
        }
        const math::LogArgument a = math::split_exponent(of);
        Value e = math::exponent(a, bias_of);
        Value n = a.m - 1.0, d = a.m + 1.0;
        Value s = n / d;
        Value rest = s * s * either(few, s * s, logarithm32, logarithm64) * s;
        // What the sum and the quotient have lost.
        if (!few) rest = rest + fma(-s, a.m - (d - 1.0), fma(-s, d, n)) / d;
        Value low = fma(s, literal(s, base.low), rest * base.high);
        Value log = fma(s, literal(s, base.high), fma(e, literal(e, unit.low), low));
        Value result = fma(e, literal(e, unit.high), log);
        Value none = select(eq(v, 0.0), literal(v, -math::infinity), literal(v, math::nan));
        return select(gt(v, 0.0), select(lt(v, math::infinity), result, v), none);
    });
}

}  // namespace

Value math::scaled_exp(Value x, int power, bool few) {
    // e^r = 1 + r + r^2 Q(r) on [-0.34668, 0.34668], relative to e^r: 2^-32.1, 2^-61.4.
    static constexpr double exp32[] = {0.5000000013482555,    0.16666666681641829,
                                       0.04166646475802058,   0.008333310906905634,
                                       0.0013933668558330638, 0.00019891011437884275};
    static constexpr double exp64[] = {0.5,
                                       0.1666666666666667,
                                       0.04166666666666667,
                                       0.008333333333326124,
                                       0.001388888888888374,
                                       0.0001984126987486234,
                                       2.480158732557753e-05,
                                       2.755725534730565e-06,
                                       2.7557273605333396e-07,
                                       2.5105239017360528e-08,
                                       2.0914702687466127e-09};
    const ExpArgument a = reduce_exp(x, 2 * format(DType::F64).bias + power);
    Value p = fma(fma(either(few, a.r, exp32, exp64), a.r, literal(x, 1.0)), a.r, literal(x, 1.0));
    Value n = bits(a.shifted);
    Value half = shr(n, 1);
    return p * power_of_two(half, DType::F64) * power_of_two(n - half, DType::F64);
}

Value exp2(Value x) {
    return in_f64(x, [](Value v, bool few) {
        // Beyond these the result is infinite, or rounds to zero.
        Value c = math::at_least(math::at_most(v, 1025), -1076);
        const math::Format& f = math::format(DType::F64);
        Value shifted = c + (f.magic + 2.0 * static_cast<double>(f.bias));
        Value r = c - (shifted - (f.magic + 2.0 * static_cast<double>(f.bias)));
        Value p = fma(either(few, r, power2_32, power2_64), r, literal(r, 1.0));
        Value n = math::bits(shifted);
        Value half = shr(n, 1);
        return p * math::power_of_two(half, DType::F64) * math::power_of_two(n - half, DType::F64);
    });
}

Value log2(Value x) {
    return logarithm(x, {0x1.71547652b82fep+1, 0x1.777d0ffda0d24p-55}, {1, 0});
}

Value log10(Value x) {
    return logarithm(x, {0x1.bcb7b1526e50ep-1, 0x1.95355baaafad3p-56},
                     {0x1.34413509f7000p-2, 0x1.3fde623e2566bp-43});
}

// |x| = m 2^(3 k + r) with r in {-1, 0, 1}; the root of m 2^r from a polynomial and one step of
// Halley's iteration, whose error is the third power of that before it.
Value cbrt(Value x) {
    return in_f64(x, [](Value v, bool few) {
        const math::Format& f = math::format(DType::F64);
        Value a = abs(v), of = a;
        Value denormal = lt(a, f.smallest_normal);
        if (!few) of = select(denormal, a * 0x1p54, a);
        const math::LogArgument l = math::split_exponent(of);
        Value e = math::exponent(l, literal(v, 0x1p52 + static_cast<double>(f.bias)));
        Value k = round(e * (1.0 / 3));
        Value r = fma(k, literal(k, -3.0), e);
        Value one = literal(v, 1.0);
        const auto by_rest = [&](double above, double below) {
            return select(gt(r, 0.5), literal(v, above),
                          select(lt(r, -0.5), literal(v, below), one));
        };
        Value m = l.m * by_rest(2, 0.5);
        Value y = math::polynomial(l.m, root) * by_rest(1.2599210498948732, 0.7937005259840998);
        Value square = y * y;
        Value miss = fma(-square, y, m);
        y = y + y * miss / fma(square + square, y, m);
        if (!few) k = select(denormal, k - 18.0, k);
        Value shifted = k + (f.magic + static_cast<double>(f.bias));
        Value result = y * math::power_of_two(math::bits(shifted), DType::F64);
        Value usual = gt(a, 0.0) & lt(a, math::infinity);
        return select(usual, math::copy_sign(result, v), v);
    });
}

Value hypot(Value x, Value y) {
    return in_f64(x, y, [](Value u, Value v, bool few) {
        Value a = abs(u), b = abs(v);
        Value infinite = eq(a, math::infinity) | eq(b, math::infinity);
        Value h;
        if (few) {
            h = sqrt(fma(a, a, b * b));
        } else {
            // By powers of two, so that squares stay in range.
            Value m = max(a, b);
            Value one = literal(m, 1.0), large = gt(m, 0x1p511), small = lt(m, 0x1p-500);
            Value down =
                select(large, literal(m, 0x1p-600), select(small, literal(m, 0x1p600), one));
            Value up = select(large, literal(m, 0x1p600), select(small, literal(m, 0x1p-600), one));
            a = a * down;
            b = b * down;
            h = sqrt(fma(a, a, b * b)) * up;
        }
        return select(infinite, literal(h, math::infinity), h);
    });
}

}  // namespace arete::loops

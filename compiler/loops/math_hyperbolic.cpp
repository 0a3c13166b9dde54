// sinh, cosh and the inverses of the hyperbolic functions.
#include "compiler/loops/functions.h"
#include "compiler/loops/math_wide.h"

namespace arete::loops {

namespace {

using math::either;
using math::in_f64;

// sinh x = x + x^3 S(x^2) on [0, 1], relative: 2^-32.5, 2^-56.8.
constexpr double sinh32[] = {0.16666666646842135, 0.00833333967591706, 0.00019838101968683888,
                             2.8062802582276946e-06};
constexpr double sinh64[] = {0.16666666666666666,   0.008333333333333333,  0.00019841269841269773,
                             2.755731922404034e-06, 2.505210836405804e-08, 1.6059048396350562e-10,
                             7.646625361656657e-13, 2.8445264169895285e-15};

// atanh x = x + x^3 T(x^2) on [0, 1/2], relative 2^-57.6.
constexpr double atanh64[] = {0.3333333333333333,   0.2000000000000087,   0.14285714285488846,
                              0.1111111113405809,   0.09090907875688518,  0.07692346108805066,
                              0.06665883232659046,  0.058931382593187094, 0.051604446522550286,
                              0.05443792667937839,  0.012219494246581255, 0.13576149109826186,
                              -0.14477005451011896, 0.21115109506841145};

// Half of e^|x|.
Value half_exp(Value a, bool few) {
    return math::scaled_exp(math::at_most(a, 720), -1, few);
}

// Beyond this the square may overflow, and log(2 x) is all that counts.
constexpr double huge = 0x1p60;

// log(1 + z), plus log(2) where `doubled`.
Value log_of(Value z, Value doubled) {
    Value l = log1p(z);
    return select(doubled, l + 0.69314718055994529, l);
}

}  // namespace

Value sinh(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value a = abs(v), z = a * a;
        Value near = fma(a * z, either(few, z, sinh32, sinh64), a);
        Value e = half_exp(a, few);
        return math::copy_sign(select(lt(a, 1.0), near, e - 0.25 / e), v);
    });
}

Value cosh(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value e = half_exp(abs(v), few);
        return e + 0.25 / e;
    });
}

// log(a + sqrt(a^2 + 1)), of which what is above 1 does not cancel.
Value asinh(Value x) {
    return in_f64(x, [](Value v, bool) {
        Value a = abs(v), far = gt(a, huge);
        Value root = sqrt(fma(a, a, literal(a, 1.0)));
        Value z = a + a * a / (1.0 + root);
        return math::copy_sign(log_of(select(far, a, z), far), v);
    });
}

// log(x + sqrt(x^2 - 1)), the same.
Value acosh(Value x) {
    return in_f64(x, [](Value v, bool) {
        Value t = v - 1.0, far = gt(v, huge);
        Value z = t + sqrt(fma(t, t, t + t));
        return select(lt(v, 1.0), literal(v, math::nan), log_of(select(far, t, z), far));
    });
}

Value atanh(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value a = abs(v);
        Value far = 0.5 * log1p((a + a) / (1.0 - a));
        if (few) return math::copy_sign(abs(far), v);
        Value z = a * a;
        Value near = fma(a * z, math::polynomial(z, atanh64), a);
        return math::copy_sign(abs(select(lt(a, 0.5), near, far)), v);
    });
}

}  // namespace arete::loops

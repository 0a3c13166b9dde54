// erfc and its scaled form, for which there is no scalar instruction: rows build them from these.
#include "compiler/loops/math.h"
#include "compiler/loops/math_parts.h"

namespace arete::loops {

namespace {

// (1 + 2 a) erfcx(a) - 1 = P(t) with t = (a - 3) / (a + 3), which takes [0, inf) to [-1, 1): the
// substitution of Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in
// 0 <= x < inf" (1981). Our own interpolations at Chebyshev points in 50-digit arithmetic; the error
// relative to erfcx: f32 2^-26.0 (2^-28.6 before the coefficients were rounded), f64 2^-55.0.
constexpr double scaled32[] = {0.253008068,    -0.135621071,    -0.0475622937,  0.129644096,
                               -0.119273677,   0.0683166981,    -0.0237703882,  0.00249882252,
                               0.00188821566,  -0.000726160826, -0.000104221181, 7.72041385e-05,
                               3.89175148e-06};
constexpr double scaled64[] = {
    0.25300805826972966,     -0.1356211061245812,     -0.047562294353449122,
    0.12964515870276316,     -0.11927366341538978,    0.06830802734389313,
    -0.023770514917107986,   0.0025293918173706497,   0.0018886903443894542,
    -0.00077983228312603872, -0.00010515971612176149, 0.00012509940933306624,
    4.9491841822760662e-06,  -2.0100759037808861e-05, -7.3079859406957236e-07,
    3.4728430145951554e-06,  3.5571413343395913e-07,  -6.1729716397093394e-07,
    -1.4042772727671948e-07, 1.0252159854733823e-07,  4.1031674722876435e-08,
    -1.3744637271614611e-08, -8.2052872175488619e-09, 1.1435382719942424e-09,
    8.3732398019135645e-10,  -2.5208846559132343e-11};

constexpr double pole = 3;

// erfcx(a) for a >= 0.
Value scaled_of_magnitude(Value a) {
    const bool f32 = a.dtype() == DType::F32;
    // Further out only the leading term of the asymptotic series counts, 1 / (a sqrt(pi)).
    const double far = 0x1p40;
    Value x = math::at_most(a, far);
    Value inverse = 1.0 / (x + pole);
    Value t = (x - pole) * inverse;
    // One Newton step: t += (x - pole - t (x + pole)) / (x + pole).
    Value miss = fma(t, -x, fma(t + 1.0, literal(x, -pole), x));
    t = fma(inverse, miss, t);
    Value p = f32 ? math::polynomial(t, scaled32) : math::polynomial(t, scaled64);
    // (1 + p) / (1 + 2 x), and the same kind of step for the quotient.
    Value half = 0.5 / (x + 0.5);
    Value q = fma(p, half, half);
    Value rest = (p - q) + fma(q + q, -x, literal(x, 1.0));
    Value near = fma(rest, half, q);
    return select(lt(literal(a, far), a), 0.56418958354775629 / a, near);
}

// e^(sign x^2), with the rounding error of the square made good.
Value exp_of_square(Value x, double sign) {
    // Beyond the limit the result is 0 or infinite, and the error of the square would be NaN.
    Value a = math::at_most(abs(x), 40);
    Value square = a * a;
    Value low = fma(a, a, -square);
    return sign < 0 ? math::exp_of(-square, -low) : math::exp_of(square, low);
}

}  // namespace

Value erfcx(Value x) {
    Value scaled = scaled_of_magnitude(abs(x));
    // erfcx(-x) = 2 e^(x^2) - erfcx(x)
    Value e = exp_of_square(x, 1);
    return select(lt(x, 0.0), (e + e) - scaled, scaled);
}

Value erfc(Value x) {
    Value tail = exp_of_square(x, -1) * scaled_of_magnitude(abs(x));
    return select(lt(x, 0.0), 2.0 - tail, tail);
}

Value log_erfc(Value x) {
    // Both terms of the sum are negative: nothing cancels.
    Value tail = log(scaled_of_magnitude(abs(x))) - x * x;
    return select(lt(x, 0.5), log1p(-erf(x)), tail);
}

}  // namespace arete::loops

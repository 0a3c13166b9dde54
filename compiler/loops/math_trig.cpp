// sin and cos: Cody-Waite reduction modulo pi/2 with fma, and a polynomial for each; far.h beyond.
#include <array>

#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

namespace {

// sin r = r + r^3 S(r^2), relative: f32 on |r| <= 0.81 2^-27.6, f64 on |r| <= 0.80 2^-56.8. The
// intervals exceed pi/4 because the multiple of pi/2 is chosen in rounded arithmetic.
constexpr double sin32[] = {-0.166666523, 0.00833200943, -0.000194947512};
constexpr double sin64[] = {-0.16666666666666621,    0.0083333333333198405,
                            -0.00019841269827728812, 2.7557312965228156e-06,
                            -2.5050643636545242e-08, 1.5890127484780242e-10};

// cos r = 1 - r^2 / 2 + r^4 C(r^2) on the same intervals, relative: f32 2^-32.5, f64 2^-62.5.
constexpr double cos32[] = {0.0416666418, -0.00138871255, 2.44112234e-05};
constexpr double cos64[] = {0.041666666666666574,   -0.0013888888888869803,
                            2.4801587286802243e-05, -2.7557313582939197e-07,
                            2.0875619314440719e-09, -1.1354296536173022e-11};

// pi/2 as a sum of three numbers of the type, each the rest of the sum rounded.
constexpr std::array<double, 3> half_pi32{0x1.921fb6p+0, -0x1.777a5cp-25, -0x1.ee59dap-50};
constexpr std::array<double, 3> half_pi64{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54,
                                          -0x1.f1976b7ed8fbcp-110};

// sin(given + quarter pi/2), quarter 0 or 1, from |given|: so -0 keeps its sign, and sine and
// cosine of one number share what they can.
Value sine(Value given, std::int64_t quarter) {
    const DType t = given.dtype();
    Value x = abs(given);
    const bool f32 = t == DType::F32;
    const Format& f = format(t);
    Value shifted = fma(x, literal(x, 0x1.45f306dc9c883p-1), literal(x, f.magic));
    Value n = shifted - f.magic;
    // The first fma is exact for every n in range (the result is a multiple of the last place of
    // the leading part, or of x), and the second is where much cancels.
    Value r = x;
    for (double part : f32 ? half_pi32 : half_pi64) r = fma(n, literal(x, -part), r);

    Value v = r * r;
    Value s = fma(v * r, f32 ? polynomial(v, sin32) : polynomial(v, sin64), r);
    Value c =
        fma(v, f32 ? polynomial(v, cos32, -0.5) : polynomial(v, cos64, -0.5), literal(x, 1.0));
    Value quadrant = bits(shifted);
    if (quarter) quadrant = quadrant + integer(quadrant, quarter);
    Value odd = ne(quadrant & integer(quadrant, 1), integer(quadrant, 0));
    Value flip = shl(quadrant, f32 ? 30 : 62);  // its second bit; others go
    if (!quarter) flip = flip ^ bits(given);
    flip = sign_bit(from_bits(flip, t));
    Value near = from_bits(bits(select(odd, c, s)) ^ flip, t);
    // Beyond, the parts of pi/2 have too few bits, and soon n is no longer exact.
    Value beyond = lt(literal(x, f32 ? 0x1p19 : 0x1p46), x);
    return select(beyond, rarely(quarter ? Op::CosIf : Op::SinIf, beyond, {&given, 1}), near);
}

}  // namespace

Value expand_sin(Value x) {
    return sine(x, 0);
}
Value expand_cos(Value x) {
    return sine(x, 1);
}

}  // namespace arete::loops::math

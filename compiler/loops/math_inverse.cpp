// tan, and the inverses of sine, cosine and tangent.
#include "compiler/loops/functions.h"
#include "compiler/loops/math_wide.h"

namespace arete::loops {

namespace {

using math::either;
using math::in_f64;

constexpr double half_pi = 0x1.921fb54442d18p+0, half_pi_low = 0x1.1a62633145c07p-54;

// atan x = x + x^3 A(x^2) on [0, 1], relative: 2^-31.8, 2^-57.0.
constexpr double atan32[] = {-0.33333333293301176, 0.19999990275947271,   -0.14285317963907304,
                             0.1110470678864422,   -0.09036742342070782,  0.0741749696430051,
                             -0.05760716083128117, 0.038327445983064846,  -0.019261081322765883,
                             0.00620725453378005,  -0.0009362994719496015};
constexpr double atan64[] = {
    -0.3333333333333333,     0.19999999999999984,   -0.14285714285711718,   0.11111111110929807,
    -0.09090909084093506,    0.07692307534369985,   -0.06666664203478607,   0.0588232553920069,
    -0.05262931380521779,    0.04760471049395462,   -0.043407182638729704,  0.03971908106924452,
    -0.036139320776507194,   0.03213544133307827,   -0.02718155333081564,   0.021121594179966983,
    -0.014503079564732733,   0.00844989240397037,   -0.004000209679906822,  0.0014617449054205385,
    -0.00038394037972999467, 6.417524965866564e-05, -5.1088410388226665e-06};

// asin x = x + x^3 S(x^2) on [0, 1/2], relative: 2^-34.0, 2^-58.9.
constexpr double asin32[] = {0.16666666686147094,  0.07499992383419403, 0.044647675217118564,
                             0.030268919101073113, 0.02361371422189475, 0.01056694782140368,
                             0.03098546039993495};
constexpr double asin64[] = {0.16666666666666666,   0.07500000000000119,   0.04464285714255019,
                             0.030381944475693704,  0.022372157435623815,  0.017352816768546473,
                             0.013963775787848137,  0.011566511821890942,  0.009621402747344831,
                             0.009322101501082774,  0.0030350071727267636, 0.019579201619744684,
                             -0.019277545928584553, 0.029635026263548546};

// sin r = r + r^3 S(r^2) and cos r = 1 - r^2 / 2 + r^4 C(r^2) on |r| <= 0.80, relative: 2^-56.8 and
// 2^-62.5.
constexpr double sine64[] = {-0.16666666666666621,    0.0083333333333198405,
                             -0.00019841269827728812, 2.7557312965228156e-06,
                             -2.5050643636545242e-08, 1.5890127484780242e-10};
constexpr double cosine64[] = {0.041666666666666574,   -0.0013888888888869803,
                               2.4801587286802243e-05, -2.7557313582939197e-07,
                               2.0875619314440719e-09, -1.1354296536173022e-11};

// The quotient of sine and cosine, each with what its rounding has lost.
Value tangent(Value given) {
    Value x = abs(given);
    const math::Format& f = math::format(DType::F64);
    Value shifted = fma(x, literal(x, 0x1.45f306dc9c883p-1), literal(x, f.magic));
    Value n = shifted - f.magic;
    // x - n pi/2: the first term is exact, and the second, which is subtracted without its low part
    // first, is where much cancels.
    Value lead = fma(n, literal(x, -0x1.921fb54442d18p+0), x);
    Value second = n * 0x1.1a62633145c07p-54;
    Value second_low = fma(n, literal(x, 0x1.1a62633145c07p-54), -second);
    Value top = lead - second;
    Value lost = (lead - top) - second;
    lost = fma(n, literal(x, 0x1.f1976b7ed8fbcp-110), lost - second_low);
    Value r = top + lost;
    Value r_low = (top - r) + lost;

    Value v = r * r;
    Value v_low = fma(r, r, -v);
    Value s_rest = fma(v * r, math::polynomial(v, sine64), r_low * (1.0 - 0.5 * v));
    Value s = r + s_rest;
    Value s_low = (r - s) + s_rest;
    Value half = 0.5 * v;
    Value one = literal(x, 1.0), near_one = one - half;
    Value c_rest = ((one - near_one) - half) +
                   fma(v * v, math::polynomial(v, cosine64), -(0.5 * v_low) - r * r_low);
    Value c = near_one + c_rest;
    Value c_low = (near_one - c) + c_rest;

    Value quadrant = math::bits(shifted);
    Value odd = ne(quadrant & math::integer(quadrant, 1), math::integer(quadrant, 0));
    Value a = select(odd, c, s), a_low = select(odd, c_low, s_low);
    Value b = select(odd, s, c), b_low = select(odd, s_low, c_low);
    Value q = a / b;
    Value near = q + (fma(-q, b, a) + fma(-q, b_low, a_low)) / b;
    near = select(odd, -near, near);
    near = math::from_bits(math::bits(near) ^ math::sign_bit(given), DType::F64);
    Value beyond = lt(literal(x, 0x1p46), x);
    Value far = rarely(Op::SinIf, beyond, {&given, 1}) / rarely(Op::CosIf, beyond, {&given, 1});
    return select(beyond, far, near);
}

// atan(n / d) of 0 <= n, d, of which none is infinite, or one.
Value angle(Value n, Value d, bool few) {
    Value steep = lt(d, n);
    Value a = select(steep, d, n), b = select(steep, n, d);
    b = select(eq(b, 0.0), literal(b, 1.0), b);
    Value q = a / b;
    Value z = q * q;
    Value p = either(few, z, atan32, atan64);
    Value flat, turned;
    if (few) {
        flat = fma(q * z, p, q);
        turned = half_pi - flat;
    } else {
        // What the quotient has lost; of an infinite one nothing.
        Value lost = select(lt(b, math::infinity), fma(-q, b, a), literal(q, 0.0)) / b;
        flat = q + fma(q * z, p, lost);
        turned = half_pi - (flat - half_pi_low);
    }
    return select(steep, turned, flat);
}

// asin(|x|) is s + rest, and beyond 1/2 it is pi/2 - 2 (s + rest).
struct ArcSine {
    Value beyond, s, rest;
};
ArcSine arc_sine(Value a, bool few) {
    Value beyond = gt(a, 0.5);
    Value half = 0.5 * (1.0 - a);  // exact there
    Value root = sqrt(half);
    Value z = select(beyond, half, a * a), s = select(beyond, root, a);
    Value rest = s * z * either(few, z, asin32, asin64);
    if (!few) {
        Value lost = fma(-root, root, half) / (root + root);
        rest = rest + select(beyond & gt(root, 0.0), lost, literal(a, 0.0));
    }
    return {beyond, s, rest};
}

}  // namespace

Value tan(Value x) {
    return in_f64(x, [](Value v, bool few) { return few ? sin(v) / cos(v) : tangent(v); });
}

Value atan(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value a = math::at_most(abs(v), 0x1p60);  // pi/2 from there on
        return math::copy_sign(angle(a, literal(a, 1.0), few), v);
    });
}

Value atan2(Value y, Value x) {
    return in_f64(y, x, [](Value v, Value u, bool few) {
        Value a = abs(v), b = abs(u);
        Value both = eq(a, math::infinity) & eq(b, math::infinity), one = literal(a, 1.0);
        Value result = angle(select(both, one, a), select(both, one, b), few);
        Value back = 2 * half_pi - (result - 2 * half_pi_low);
        result = select(signbit(u), back, result);
        // A NaN in either has made it one.
        return math::copy_sign(abs(result), v);
    });
}

Value asin(Value x) {
    return in_f64(x, [](Value v, bool few) {
        const ArcSine a = arc_sine(abs(v), few);
        Value near = a.s + a.rest;
        Value far = (half_pi - 2.0 * a.s) - (2.0 * a.rest - half_pi_low);
        return math::copy_sign(abs(select(a.beyond, far, near)), v);
    });
}

Value acos(Value x) {
    return in_f64(x, [](Value v, bool few) {
        const ArcSine a = arc_sine(abs(v), few);
        Value minus = lt(v, 0.0);
        Value s = select(minus, -a.s, a.s), rest = select(minus, -a.rest, a.rest);
        Value near = half_pi - (s + (rest - half_pi_low));
        Value twice = 2.0 * a.s, twice_rest = 2.0 * a.rest;
        Value far = select(minus, (2 * half_pi - twice) - (twice_rest - 2 * half_pi_low),
                           twice + twice_rest);
        return select(a.beyond, far, near);
    });
}

}  // namespace arete::loops

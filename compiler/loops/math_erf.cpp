// erf: an odd polynomial up to 1, and 1 - 2^-q(|x|) beyond.
#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

namespace {

// erf x = x + x P(x^2) on |x| <= 1, relative to erf x: f32 2^-29.3, f64 2^-56.3.
constexpr double small32[] = {0.128379166,   -0.37612626,     0.112835854,   -0.0268538129,
                              0.00518832542, -0.000801017508, 7.85380034e-05};
constexpr double small64[] = {0.12837916709551259,     -0.37612638903183748,
                              0.11283791670954857,     -0.026866170645072893,
                              0.0052239776247808428,   -0.00085483269787409557,
                              0.00012055331036858951,  -1.4925593506029611e-05,
                              1.6460972804996735e-06,  -1.6350025112550917e-07,
                              1.4657879208065133e-08,  -1.1365663880098907e-09,
                              5.9452587851271407e-11};

// -log2(1 - erf(1 + t)) on [0, 2.95] (f32) and [0, 4.95] (f64), weighted by its effect relative to
// erf: f32 2^-27.5, f64 2^-57.0. At the ends erf rounds to 1.
constexpr double big32[] = {2.66841674,    3.80722451,    1.21636164,     0.0598768629,
                            -0.0142760873, 0.00263920962, -0.000268879929};
constexpr double big64[] = {
    2.6684166967815997,      3.8072253458535883,      1.2163466576871063,
    0.059959990016989491,    -0.014475749850150417,   0.0028535084123973669,
    -0.00034237576780220123, -3.7936215745373224e-05, 3.9237320101986364e-05,
    -1.394953971139534e-05,  3.0725473455062338e-06,  -2.9322249802098374e-07,
    -8.4860705072474677e-08, 4.8608107131133808e-08,  -1.2403182794941263e-08,
    1.9225839400823838e-09,  -1.7414988837418112e-10, 7.1105994482340071e-12};

// 2^r = 1 + r E(r) on |r| <= 0.501, relative to 2^r: f32 2^-26.2, f64 2^-54.7. It is multiplied by
// at most 1 - erf 1 = 0.157.
constexpr double exp2_32[] = {0.693147182,   0.240225941,   0.0555036627,
                              0.00962543953, 0.00133879564, 0.000133379901};
constexpr double exp2_64[] = {0.69314718055994529,    0.24022650695910133,
                              0.05550410866482005,    0.009618129107593576,
                              0.0013333558146780369,  0.00015403530457868845,
                              1.5252733489228631e-05, 1.3215434874542336e-06,
                              1.0178200539381674e-07, 7.0738579355910443e-09,
                              4.4347204398348248e-10};

}  // namespace

Value expand_erf(Value x) {
    const DType t = x.dtype();
    const bool f32 = t == DType::F32;
    Value square = x * x;
    Value small = fma(x, f32 ? polynomial(square, small32) : polynomial(square, small64), x);

    Value a = abs(x);
    Value above = at_most(a, f32 ? 3.95 : 5.95) - 1.0;
    Value q = f32 ? polynomial(above, big32) : polynomial(above, big64);
    const Format& f = format(t);
    double shift = f.magic + static_cast<double>(f.bias);
    Value shifted = literal(x, shift) - q;
    Value r = (literal(x, shift) - shifted) - q;  // -q less the nearest integer: exact
    Value e = f32 ? polynomial(r, exp2_32, 1.0) : polynomial(r, exp2_64, 1.0);
    Value scale = power_of_two(bits(shifted), t);
    Value big = literal(x, 1.0) - e * scale;
    return select(lt(a, 1.0), small, copy_sign(big, x));
}

}  // namespace arete::loops::math

// lgamma, its derivatives, and the inverse of erf.
//
// Polynomials here and in the other files beside functions.h are interpolations at Chebyshev points
// in 60-digit arithmetic, rounded; errors are those of the rounded ones.
#include <array>
#include <vector>

#include "compiler/loops/functions.h"
#include "compiler/loops/math.h"
#include "compiler/loops/math_wide.h"

namespace arete::loops {

namespace {

using math::either;
using math::in_f64;

// lgamma(2 + t) = t B(t) on [-1/2, 1], relative: 2^-31.7, 2^-54.9.
constexpr double middle32[] = {
    0.422784335066951,      0.32246703271175725,    -0.06735229600449497,    0.020580838386013687,
    -0.007385695159825894,  0.002890232196618212,   -0.0011912552562852792,  0.0005098540400566062,
    -0.0002292360766540735, 0.00010494907140492508, -3.9087712565666506e-05, 7.50933338182912e-06};
constexpr double middle64[] = {
    0.42278433509846713,     0.3224670334241132,      -0.06735230105319796,
    0.020580808427787502,    -0.007385551028687111,   0.0028905103306125996,
    -0.0011927539111748094,  0.0005096695270786523,   -0.00022315476914202685,
    9.945749459386184e-05,   -4.4926118904862264e-05, 2.050723289467849e-05,
    -9.440199753274835e-06,  4.375472004777847e-06,   -2.0371195482358996e-06,
    9.511969731319312e-07,   -4.5041997201473635e-07, 2.2102374422908605e-07,
    -1.0784595012220329e-07, 4.4561979632842775e-08,  -1.2394516911278076e-08,
    1.6305432352127331e-09};

// Stirling's series: lgamma(x) = (x - 1/2) log(x) - x + log(2 pi) / 2 + u S(u^2), u = 1 / x <= 1/8,
// absolute: 2^-33.8, 2^-57.6.
constexpr double stirling32[] = {0.08333333326463777, -0.0027776985451962778,
                                 0.0007800347189829517};
constexpr double stirling64[] = {
    0.08333333333333333,   -0.002777777777773988, 0.0007936507897524059, -0.0005952365845057049,
    0.0008414700852503147, -0.001890382993887715, 0.005065905360156132};

// The zero of digamma, in two parts. digamma(1 + t) = (1 + t - zero) R(t) on [0, 1], relative:
// 2^-32.9, 2^-53.2.
constexpr double zero_of_digamma = 1.4616321449683622, zero_low = 9.549995429965697e-17;
constexpr double root32[] = {1.2503801373505936,   -0.8546933087986441, 0.7524653280747562,
                             -0.7144741347197495,  0.6975697023251816,  -0.6852432148856061,
                             0.660172115188913,    -0.5954106999834144, 0.4684415931677977,
                             -0.2949057703360228,  0.13434799805115039, -0.03847129001627309,
                             0.0051290832618366995};
constexpr double root64[] = {
    1.2503801375034054,   -0.8546933606017872,  0.7524682722898366,   -0.7145407117237952,
    0.6983635062827709,   -0.6909821117553209,  0.6874892570390758,   -0.6858009220247125,
    0.6849693366820493,   -0.6845198765618055,  0.6840762626460354,   -0.6828767821166839,
    0.6788124544340014,   -0.6669050150020259,  0.6382236370392429,   -0.5816704146549394,
    0.4904624601402627,   -0.37048020435719825, 0.2425000232004317,   -0.13290704562915945,
    0.058721117253207805, -0.01994800658341644, 0.004865025457393708, -0.0007554603762670956,
    5.596002350342592e-05};

// digamma(x) = log(x) - u / 2 - u^2 F(u), u = 1 / x <= 1/2, relative: 2^-32.6, 2^-58.0.
constexpr double tail32[] = {
    0.08333333361993846,  -7.317698026920679e-08, -0.008330302147439725, -4.7029211270038065e-05,
    0.004314280648382173, -0.0012633464553910296, -0.002356575590114807, 0.0016893173974607877};
constexpr double tail64[] = {
    0.08333333333333333,  -1.894209402732127e-16, -0.00833333333327493,  -7.826478171055583e-12,
    0.003968254533289096, -2.462317400290044e-08, -0.004165967177228652, -1.3683922268343973e-05,
    0.007767434090471168, -0.001974296703698751,  -0.005901151328431112, -0.08772578028018278,
    0.45958948468930394,  -1.1554934195133462,    1.8528123022071896,    -2.0070520922017634,
    1.4398210448508302,   -0.622819123027206,     0.12360693081119968};

// sin(pi r) = r (pi + r^2 S(r^2)) and cos(pi r) = 1 - pi^2 r^2 / 2 + r^4 C(r^2) on |r| <= 1/4,
// relative: 2^-57.5, 2^-58.5.
constexpr double sine_pi[] = {-5.16771278004997,      2.550164039877345,     -0.5992645293206467,
                              0.08214588659718804,    -0.007370430309255328, 0.00046628788510387926,
                              -2.1741791147907915e-05};
constexpr double cosine_pi[] = {4.0587121264167685,    -1.335262768854445,
                                0.23533063033194873,   -0.02580688955299108,
                                0.0019295176821642942, -0.0001038330402942876};
constexpr double pi = 0x1.921fb54442d18p+1, log_pi = 0x1.250d048e7a1bdp+0;

// erfinv(x) = x P(w), w = -log(1 - x^2) <= 5, and Q(sqrt(w)) up to sqrt(w) = 6.2, relative:
// 2^-33.9, 2^-31.0.
constexpr double inverse_near[] = {
    0.8862269253981395,      0.23201367024532019,   0.011549299438956629,   -0.00233490579592786,
    -0.00012851973714040642, 4.731327091702654e-05, 1.3458085751527609e-06, -5.728545735020383e-07,
    -2.35062337802583e-07,   8.350653684004119e-08, -1.129706500238048e-08, 7.591358436857782e-10,
    -2.1203565131819003e-11};
constexpr double inverse_far[] = {
    0.2510562142353567,     -0.24663715688124863,    2.2732408325602576,    -2.682599870214449,
    2.1058657841874204,     -1.1515361090442175,     0.4552110720549395,    -0.1331296110749217,
    0.029114185178977653,   -0.004758220429554191,   0.0005738646853099714, -4.964029956848273e-05,
    2.9163813319950273e-06, -1.0430063674421607e-07, 1.714940617351724e-09};

// Bernoulli's numbers B_2j over (2j)!.
constexpr double bernoulli[] = {
    0.08333333333333333,   -0.001388888888888889,  3.306878306878307e-05,  -8.267195767195768e-07,
    2.08767569878681e-08,  -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15, -2.174868698558062e-16, 5.509002828360229e-18,  -1.3954464685812522e-19};

Value at_pole(Value v) {
    return eq(v, floor(v)) & le(v, 0.0);
}

// x - round(x), exactly; 0 for an infinite x.
Value from_integer(Value x) {
    Value r = x - round(x);
    return select(lt(abs(x), math::infinity), r, literal(x, 0.0));
}

// lgamma(b) of b >= 0.
Value positive_lgamma(Value b, bool few) {
    Value low = lt(b, 0.5), first = lt(b, 1.5), second = lt(b, 3.0), last = ge(b, 8.0);
    Value whole = floor(b);
    Value t = select(low, b, select(first, b - 1.0, select(second, b - 2.0, b - whole)));
    t = select(last, literal(b, 0.0), t);
    Value middle = t * either(few, t, middle32, middle64);
    // Of gamma(b) = (b - 1) (b - 2) ... gamma(2 + t).
    Value product = b - 1.0;
    for (const int k : {2, 3, 4, 5})
        product = select(ge(b, k + 2.0), product * (b - static_cast<double>(k)), product);
    Value one = literal(b, 1.0);
    Value z = select(low, b * (b + 1.0), select(first, b, select(second, one, product)));
    Value l = log(select(last, b, z));
    Value near = middle + select(first, -l, l);
    Value u = 1.0 / b;
    Value series = u * either(few, u * u, stirling32, stirling64);
    Value far = fma(b - 0.5, l - 1.0, series + 0.41893853320467278);
    return select(last, far, near);
}

// digamma(b) of b >= 0, or -0.
Value positive_digamma(Value b, bool few) {
    Value first = lt(b, 1.0);
    Value u = 1.0 / b;
    Value t = math::at_most(select(first, b, b - 1.0), 1.0);
    Value near = ((t - (zero_of_digamma - 1.0)) - zero_low) * either(few, t, root32, root64);
    near = select(first, near - u, near);
    Value v = math::at_most(u, 0.5);
    Value far = log(b) - fma(v * v, either(few, v, tail32, tail64), 0.5 * v);
    return select(lt(b, 2.0), near, far);
}

// x^n
Value power(Value x, int n) {
    Value result;
    for (Value p = x; n > 0; n /= 2, p = p * p)
        if (n % 2) result = result ? result * p : p;
    return result;
}

double factorial(int n) {
    return n < 2 ? 1 : n * factorial(n - 1);
}

// n! times the sum of (b + k)^-(n + 1) over k from 0: terms of it, then Euler and Maclaurin's
// formula.
Value hurwitz(Value b, int n) {
    const int s = n + 1, terms = 10 + n / 2;
    Value w = b + static_cast<double>(terms), u = 1.0 / w;
    std::array<double, std::size(bernoulli)> terms_of{};
    double rising = s;  // s (s + 1) ... (s + 2 j)
    for (std::size_t j = 0; j < terms_of.size(); ++j) {
        const double k = s + 2.0 * static_cast<double>(j);
        if (j > 0) rising *= (k - 1) * k;
        terms_of[j] = bernoulli[j] * rising;
    }
    Value series = math::polynomial(u * u, terms_of);
    // u^n / n + u^s / 2 + u^(s + 1) series
    Value sum = power(u, n) * fma(u, fma(u, series, literal(u, 0.5)), literal(u, 1.0 / n));
    for (int k = terms - 1; k >= 0; --k)
        // 0 added to -0 would be 0.
        sum = sum + power(1.0 / (k ? b + static_cast<double>(k) : b), s);
    return factorial(n) * sum;
}

// The derivative of order n of pi cot(pi x), from the cotangent c: polynomials in it.
Value cotangent_slope(Value c, int n) {
    std::vector<double> p{0, 1};
    for (int k = 0; k < n; ++k) {
        std::vector<double> next(p.size() + 1);
        for (std::size_t j = 1; j < p.size(); ++j) {
            const double d = -pi * static_cast<double>(j) * p[j];
            next[j - 1] += d;
            next[j + 1] += d;
        }
        p = next;
    }
    for (double& v : p) v *= pi;
    return math::polynomial(c, p);
}

Value cotangent(Value v) {
    const Value r = from_integer(v);
    const math::HalfTurn a = math::half_turn(abs(r));
    return math::copy_sign(a.cosine, r) / a.sine;
}

}  // namespace

math::HalfTurn math::half_turn(Value x) {
    Value steep = gt(x, 0.25);
    Value r = select(steep, 0.5 - x, x), z = r * r;
    Value s = r * fma(z, polynomial(z, sine_pi), literal(z, pi));
    Value c =
        fma(z * z, polynomial(z, cosine_pi), fma(z, literal(z, -pi * pi / 2), literal(z, 1.0)));
    return {select(steep, c, s), select(steep, s, c)};
}

Value erfinv(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value a = abs(v);
        Value w = math::at_most(-log((1.0 - a) * (1.0 + a)), 38.4);
        Value y = select(lt(w, 5.0), a * math::polynomial(w, inverse_near),
                         math::polynomial(sqrt(w), inverse_far));
        if (!few) {
            // One Newton step; beyond 1/2 with what is left to 1, which is exact.
            Value miss = select(lt(a, 0.5), erf(y) - a, (1.0 - a) - erfc(y));
            y = y - miss * (0.88622692545275801 * exp(y * y));
        }
        y = select(eq(a, 1.0), literal(a, math::infinity), y);
        return math::copy_sign(abs(y), v);
    });
}

Value lgamma(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value minus = lt(v, 0.0);
        Value of = positive_lgamma(select(minus, 1.0 - v, abs(v)), few);
        // gamma(x) gamma(1 - x) = pi / sin(pi x)
        Value sine = math::half_turn(abs(from_integer(v))).sine;
        Value mirrored = (log_pi - log(sine)) - of;
        Value result = select(minus, mirrored, of);
        return select(at_pole(v), literal(v, math::infinity), result);
    });
}

Value digamma(Value x) {
    return in_f64(x, [](Value v, bool few) {
        Value minus = lt(v, 0.0);
        Value of = positive_digamma(select(minus, 1.0 - v, v), few);
        Value mirrored = of - pi * cotangent(v);
        Value result = select(minus, mirrored, of);
        return select(at_pole(v) & minus, literal(v, math::nan), result);
    });
}

Value polygamma(int order, Value x) {
    return in_f64(x, [order](Value v, bool) {
        const bool odd = order % 2 != 0;
        Value minus = lt(v, 0.0);
        Value sum = hurwitz(select(minus, 1.0 - v, v), order);
        Value of = odd ? sum : -sum;
        // (-1)^n f(1 - x) - f(x) = pi d^n/dx^n cot(pi x)
        Value mirrored = (odd ? -of : of) - cotangent_slope(cotangent(v), order);
        Value result = select(minus, mirrored, of);
        return select(at_pole(v) & minus, literal(v, odd ? math::infinity : math::nan), result);
    });
}

}  // namespace arete::loops

// Modified Bessel functions of the first kind, over powers of their argument.
#include <cmath>
#include <numbers>
#include <vector>

#include "compiler/loops/functions.h"
#include "compiler/loops/math_wide.h"

namespace arete::loops {

namespace {

// From here on Hankel's series reaches the last place before its terms grow.
constexpr double series_up_to = 24;

// I_n(x) / x^n is the sum of x^2k / (2^(n + 2k) k! (n + k)!): coefficients as far as they count.
std::vector<double> bessel_series(int n, double least) {
    std::vector<double> out;
    double c = std::ldexp(1.0, -n) / std::tgamma(n + 1.0), sum = 0, at = 1;
    for (int k = 0; k == 0 || c * at > least * sum || k < 12; ++k) {
        out.push_back(c);
        sum += c * at;
        at *= series_up_to * series_up_to;
        c /= 4.0 * (k + 1) * (n + k + 1);
    }
    return out;
}

// I_n(x) sqrt(2 pi x) e^-x as a series in 1 / x: as far as terms count, or fall.
std::vector<double> hankel_series(int n, double least) {
    std::vector<double> out;
    double c = 1, at = 1;
    for (int k = 1; std::fabs(c) * at > least; ++k) {
        out.push_back(c);
        const double odd = 2.0 * k - 1;
        const double next = -c * (4.0 * n * n - odd * odd) / (8.0 * k);
        at /= series_up_to;
        if (k > n + 8 && std::fabs(next) * at > std::fabs(c) * at * series_up_to) break;
        c = next;
    }
    return out;
}

}  // namespace

Value bessel_ratio(int order, Value x) {
    return math::in_f64(x, [order](Value v, bool few) {
        const double least = few ? 0x1p-32 : 0x1p-58;
        Value a = abs(v), z = math::at_most(a, series_up_to);
        Value near = math::polynomial(z * z, bessel_series(order, least));
        Value far = math::at_least(a, series_up_to);
        Value u = 1.0 / far;
        // The exponential overflows before the result, which has smaller factors.
        Value e = math::scaled_exp(math::at_most(far, 780), -128, few);
        Value h =
            math::polynomial(u, hankel_series(order, least)) * sqrt(u * (0.5 / std::numbers::pi));
        Value power = literal(v, 1.0);
        for (int k = 0; k < order; ++k) power = power * u;
        Value large = (e * h) * power * 0x1p128;
        large = select(gt(a, 780.0), literal(v, math::infinity), large);
        return select(gt(a, series_up_to), large, near);
    });
}

}  // namespace arete::loops

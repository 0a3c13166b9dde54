#include "tests/fuzz/special.h"

#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <utility>
#include <vector>

namespace arete::fuzz {

namespace {

long double erfcx(long double x) {
    if (x < 10) return std::exp(x * x) * std::erfc(x);
    // 1 / (x sqrt(pi)) (1 - 1 / (2 x^2) + 1 * 3 / (2 x^2)^2 - ...), until terms grow.
    const long double q = 1 / (2 * x * x);
    long double term = 1, sum = 1;
    for (int k = 1; k < 60 && std::fabs(term) > 1e-21L; ++k) sum += term *= -q * (2 * k - 1);
    return sum / (x * std::sqrt(std::numbers::pi_v<long double>));
}

constexpr long double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi_v<long double>;

// (k/2) / (x + ((k+1)/2) / (x + ...)), of which the derivatives of erfcx are made for large x.
long double fraction(long double x, int k) {
    long double t = 0;
    for (int j = k + 400; j >= k; --j) t = j / 2.0L / (x + t);
    return t;
}

long double erfcx_slope(long double x, int order) {
    long double y = erfcx(x), last = 0;
    for (int k = 1; k <= order; ++k) {
        const long double next = x >= 2   ? -2 * fraction(x, k) * y
                                 : k == 1 ? 2 * x * y - two_over_sqrt_pi
                                          : 2 * x * y + 2 * (k - 1) * last;
        last = std::exchange(y, next);
    }
    return y;
}

// h = 2 / sqrt(pi) / erfcx(x), h' = h (h - 2 x), and so on by Leibniz.
long double erfc_hazard_slope(long double x, int order) {
    if (x > 1e3L) {
        // 2 x + 1 / x - 1 / x^3 + ..., from the series of erfcx.
        constexpr long double series[] = {2, 1, -1, 2.5L, -9.25L, 44.125L};
        long double sum = 0;
        for (int k = 0; k < 6; ++k) {
            long double term = series[k];
            int power = 1 - 2 * k;
            for (int n = 0; n < order; ++n) term *= power--;
            sum += term == 0 ? 0 : term * std::pow(x, static_cast<long double>(power));
        }
        return sum;
    }
    std::vector<long double> h{two_over_sqrt_pi / erfcx(x)};
    for (int n = 0; n < order; ++n) {
        long double next = 0, binomial = 1;
        for (int j = 0; j <= n; ++j) {
            const int rest = n - j;
            const long double slope = rest == 0 ? 2 * x : rest == 1 ? 2 : 0;
            next += binomial * h[j] * (h[rest] - slope);
            binomial = binomial * rest / (j + 1);
        }
        h.push_back(next);
    }
    return h.back();
}

long double erfinv(long double x) {
    const long double a = std::fabs(x);
    if (a == 1) return x * std::numeric_limits<long double>::infinity();
    if (!(a < 1)) return std::numeric_limits<long double>::quiet_NaN();
    // Newton's steps from above, where the function is convex.
    long double y = a < 0.5L ? a : std::sqrt(-std::log((1 - a) * (1 + a)));
    for (int k = 0; k < 200; ++k) {
        const long double step = (a < 0.5L ? std::erf(y) - a : (1 - a) - std::erfc(y)) /
                                 (two_over_sqrt_pi * std::exp(-y * y));
        y -= step;
        if (std::fabs(step) <= 1e-19L * y) break;
    }
    return std::copysign(y, x);
}

// The derivative of digamma of some order, by its recurrence and the asymptotic series; negative
// arguments are moved up, too.
long double polygamma(long double x, int order) {
    if (std::isnan(x) || (x < 0 && x == std::floor(x)))
        return order % 2 && x < 0 ? std::numeric_limits<long double>::infinity()
                                  : std::numeric_limits<long double>::quiet_NaN();
    if (std::isinf(x)) return order == 0 ? x : 0;
    // Too many steps: what is left of the slope of log|gamma|'s reflection is not looked at.
    if (x < -5000) return std::numeric_limits<long double>::quiet_NaN();
    constexpr long double b[] = {1.0L / 6,   -1.0L / 30,     1.0L / 42,
                                 -1.0L / 30, 5.0L / 66,      -691.0L / 2730,
                                 7.0L / 6,   -3617.0L / 510, 43867.0L / 798};
    const auto power = [](long double v, int k) {
        return std::pow(v, static_cast<long double>(k));
    };
    const auto factorial = [](int k) { return std::tgamma(static_cast<long double>(k + 1)); };
    long double sum = 0;
    for (; x < 60; x += 1) sum += factorial(order) / power(x, order + 1);
    sum += order == 0 ? -std::log(x) : factorial(order - 1) / power(x, order);
    sum += factorial(order) / (2 * power(x, order + 1));
    for (int j = 1; j <= 9; ++j)
        sum += b[j - 1] * factorial(2 * j + order - 1) / factorial(2 * j) / power(x, 2 * j + order);
    return order % 2 ? sum : -sum;
}

// I_n(x) / x^n by its series, whose terms have one sign.
long double bessel_ratio(long double x, int order) {
    if (std::isnan(x)) return x;
    if (std::fabs(x) > 12000) return std::numeric_limits<long double>::infinity();
    const long double z = x * x / 4;
    long double term = std::ldexp(1.0L, -order) / std::tgamma(order + 1.0L), sum = term;
    for (int k = 1; term > sum * 1e-21L || k * k < z; ++k)
        sum += term *= z / (static_cast<long double>(k) * (order + k));
    return sum;
}

template <long double (*F)(long double)>
long double plain(long double x, int) {
    return F(x);
}

}  // namespace

const Function* function_of(std::string_view op) {
    static const std::map<std::string_view, Function> all{
        {"erfc", [](long double x, int) { return std::erfc(x); }},
        {"erfcx", [](long double x, int) { return erfcx(x); }},
        {"erfcx_slope", erfcx_slope},
        {"erfc_hazard", [](long double x, int) { return two_over_sqrt_pi / erfcx(x); }},
        {"erfc_hazard_slope", erfc_hazard_slope},
        {"log_erfc",
         [](long double x, int) {
             return x < 5 ? std::log(std::erfc(x)) : std::log(erfcx(x)) - x * x;
         }},
        {"exp2", plain<std::exp2>},
        {"log2", plain<std::log2>},
        {"log10", plain<std::log10>},
        {"cbrt", plain<std::cbrt>},
        {"tan", plain<std::tan>},
        {"asin", plain<std::asin>},
        {"acos", plain<std::acos>},
        {"atan", plain<std::atan>},
        {"sinh", plain<std::sinh>},
        {"cosh", plain<std::cosh>},
        {"asinh", plain<std::asinh>},
        {"acosh", plain<std::acosh>},
        {"atanh", plain<std::atanh>},
        {"erfinv", plain<erfinv>},
        {"lgamma", plain<std::lgamma>},
        {"digamma", [](long double x, int) { return polygamma(x, 0); }},
        {"polygamma", polygamma},
        {"bessel_ratio", bessel_ratio}};
    const auto found = all.find(op);
    return found == all.end() ? nullptr : &found->second;
}

}  // namespace arete::fuzz

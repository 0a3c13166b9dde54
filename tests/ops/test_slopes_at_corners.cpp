// The first three derivatives of every elementwise row of one float, without naming one, at the
// corners of each dtype: both infinities, the largest, the smallest and denormal numbers, zeros,
// neighbours of 1. They are what mathematics has there, a limit where that is one: slopes that
// vanish faster than their argument grows are 0 at infinity, not 0 times infinity.
#include <map>
#include <numbers>
#include <set>
#include <string>

#include "compiler/ops/op.h"
#include "tests/ops/gradient_cases.h"
#include "tests/targets.h"

using namespace arete;
using namespace arete::test;

namespace {

using Real = long double;
constexpr Real infinite = std::numeric_limits<Real>::infinity();
constexpr Real two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi_v<Real>;

/// Derivatives by order; NaN: there is none, or it is not looked at.
struct Slopes {
    Real first = std::numeric_limits<Real>::quiet_NaN(), second = first, third = first;
};

// n^k times a slope that vanishes faster than any power: 0 where that is.
Real vanishing(Real slope, Real factor) {
    return slope == 0 ? 0 : slope * factor;
}

// (k/2) / (x + ((k+1)/2) / (x + ...)): of erfc's repeated integrals one to that before.
Real fraction(Real x, int k) {
    Real t = 0;
    for (int j = k + 400; j >= k; --j) t = Real(j) / 2 / (x + t);
    return t;
}

// A derivative of erfcx.
Real erfcx_slope(Real x, int order) {
    Real y = x < 2 ? std::exp(x * x) * std::erfc(x) : two_over_sqrt_pi / 2 / (x + fraction(x, 1));
    if (std::isinf(y)) return order % 2 ? -y : y;
    for (Real last = 0, k = 1; k <= order; ++k) {
        const Real next = x >= 2   ? y * fraction(x, static_cast<int>(k)) * -2
                          : k == 1 ? 2 * x * y - two_over_sqrt_pi
                                   : 2 * x * y + 2 * (k - 1) * last;
        last = std::exchange(y, next);
    }
    return y;
}

Slopes erfc_hazard_slopes(Real x, Real* hazard = nullptr) {
    if (x < -50) {
        if (hazard) *hazard = 0;
        return {0, 0, 0};
    }
    Real h, d, dd;
    if (x < 2) {
        h = two_over_sqrt_pi / erfcx_slope(x, 0);
        d = h * (h - 2 * x), dd = d * (h - 2 * x) + h * (d - 2);
    } else {
        const Real r = 2 * fraction(x, 1), t = fraction(x, 2), u = fraction(x, 3);
        const Real slope = -r * (2 * t - r);
        h = 2 * x + r, d = 2 + slope;
        dd = -slope * (2 * t - r) - r * (4 * t * (t - u) - slope);
    }
    if (hazard) *hazard = h;
    return {d, dd, NaN};
}

Slopes sigmoid_slopes(Real x) {
    const Real e = std::exp(-std::fabs(x)), d = e / ((1 + e) * (1 + e));
    return {d, -d * std::tanh(x / 2), d * (1 - 6 * d)};
}

Slopes tanh_slopes(Real x) {
    const Real t = std::tanh(x), e = std::exp(-2 * std::fabs(x)), d = 4 * e / ((1 + e) * (1 + e));
    return {d, -2 * t * d, -2 * d * d + 4 * t * t * d};
}

Slopes log_softplus_slopes(Real x) {
    const Real e = std::exp(x);
    if (x < -15)
        return {1 - e / 2 + 5 * e * e / 12, -e / 2 + 5 * e * e / 6, -e / 2 + 5 * e * e / 3};
    const Real s = x < 0 ? e / (1 + e) : 1 / (1 + std::exp(-x)), p = x > 40 ? x : std::log1p(e);
    const Slopes of = sigmoid_slopes(x);
    return {s / p, of.first / p - s / p * (s / p),
            of.second / p - 3 * s / p * (of.first / p) + 2 * (s / p) * (s / p) * (s / p)};
}

// exp(k x - e^x), whose derivative is k times itself, less the one of k + 1.
Slopes gumbel_slopes(Real x, int order) {
    const auto g = [x](int k) {
        return x > 1000 ? 0 : std::exp((k == 0 ? 0 : static_cast<Real>(k) * x) - std::exp(x));
    };
    Real c[4] = {1, 0, 0, 0}, d[3];  // of g(order), g(order + 1), ...
    for (Real& slope : d) {
        Real next[4], total = 0;
        for (int j = 0; j < 4; ++j)
            next[j] = static_cast<Real>(order + j) * c[j] - (j > 0 ? c[j - 1] : 0);
        for (int j = 0; j < 4; ++j) total += next[j] == 0 ? 0 : next[j] * g(order + j);
        std::copy(next, next + 4, c);
        slope = total;
    }
    return {d[0], d[1], d[2]};
}

// h = t / (e^t - 1) of t = e^x: h' = h (1 - t - h).
Slopes log_gumbel_cdf_slopes(Real x) {
    const Real t = std::exp(x);
    if (x < -15) return {1 - t / 2 + t * t / 12, -t / 2 + t * t / 6, -t / 2 + t * t / 3};
    if (x > 20) return {0, 0, 0};
    const Real h = t / std::expm1(t), d = h * (1 - t - h);
    return {h, d, d * (1 - t - h) - h * (t + d)};
}

Slopes constant_slope(Real v) {
    return {v, 0, 0};
}

// log, of a base.
Slopes logarithm_slopes(Real x, Real c) {
    return {c / x, -c / x / x, 2 * c / x / x / x};
}

// 1 / sqrt(1 - x^2)
Slopes asin_slopes(Real x) {
    const Real d = (1 - x) * (1 + x), r = 1 / std::sqrt(d);
    // At the ends all are infinite, the third a difference of infinities.
    return {r, x / d * r, std::fabs(x) == 1 ? NaN : (1 + 2 * x * x) / d / d * r};
}

// 1 / sqrt(x^2 + c), of c = 1 and -1.
Slopes root_slopes(Real x, Real c) {
    if (std::isinf(x)) return {0, 0, 0};
    const Real d = c > 0 ? 1 + x * x : (x - 1) * (x + 1), r = 1 / std::sqrt(d);
    return {r, -x / d * r, d == 0 ? NaN : (2 * x * x - c) / d / d * r};
}

Real erfinv(Real x) {
    const Real a = std::fabs(x);
    if (a == 1) return std::copysign(infinite, x);
    Real y = a < 0.5L ? a : std::sqrt(-std::log((1 - a) * (1 + a)));
    for (int k = 0; k < 200; ++k) {
        const Real step = (a < 0.5L ? std::erf(y) - a : (1 - a) - std::erfc(y)) /
                          (two_over_sqrt_pi * std::exp(-y * y));
        y -= step;
        if (std::fabs(step) <= 1e-19L * y) break;
    }
    return std::copysign(y, x);
}

// A derivative of lgamma(x), x > 0: of order 1 digamma.
Real gamma_slope(Real x, int order) {
    if (std::isinf(x)) return order == 1 ? x : 0;
    constexpr Real b[] = {1.0L / 6,       -1.0L / 30, 1.0L / 42,      -1.0L / 30,    5.0L / 66,
                          -691.0L / 2730, 7.0L / 6,   -3617.0L / 510, 43867.0L / 798};
    const int n = order - 1;
    Real sum = 0, factorial = 1;
    for (int k = 2; k <= n; ++k) factorial *= k;
    for (; x < 60; x += 1) sum += factorial / std::pow(x, static_cast<Real>(order));
    Real term = std::tgamma(static_cast<Real>(n == 0 ? 1 : n)) / std::pow(x, static_cast<Real>(n));
    sum += n == 0 ? -std::log(x) : term;
    sum += factorial / (2 * std::pow(x, static_cast<Real>(order)));
    for (int j = 1; j <= 9; ++j)
        sum += b[j - 1] * std::tgamma(static_cast<Real>(2 * j + n)) /
               std::tgamma(static_cast<Real>(2 * j + 1)) /
               std::pow(x, static_cast<Real>(2 * j + n));
    return n % 2 ? sum : -sum;
}
// I_n(x) / x^n, whose slope is x times that of order n + 1.
Real bessel_ratio(Real x, int order) {
    if (std::fabs(x) > 11000) return infinite;
    const Real z = x * x / 4;
    Real term = std::ldexp(Real(1), -order) / std::tgamma(Real(order + 1)), sum = term;
    for (int k = 1; term > sum * 1e-21L || Real(k) * k < z; ++k)
        sum += term *= z / (Real(k) * (order + k));
    return sum;
}
Slopes bessel_slopes(Real x, int order) {
    const auto k = [&](int n) { return bessel_ratio(x, order + n); };
    return {x * k(1), k(1) + x * x * k(2), x * (3 * k(2) + x * x * k(3))};
}

Slopes gamma_slopes(Real x, int order) {
    return {gamma_slope(x, order), gamma_slope(x, order + 1), gamma_slope(x, order + 2)};
}

const std::map<std::string, Slopes (*)(Real, int)> expected{
    {"neg", [](Real, int) { return constant_slope(-1); }},
    {"abs", [](Real x, int) { return constant_slope(x > 0   ? 1
                                                    : x < 0 ? -1
                                                            : 0); }},
    {"relu", [](Real x, int) { return constant_slope(x > 0 ? 1 : 0); }},
    {"sqr",
     [](Real x, int) {
         return Slopes{2 * x, 2, 0};
     }},
    {"sqrt",
     [](Real x, int) {
         const Real y = std::sqrt(x);
         return Slopes{1 / (2 * y), -1 / (4 * y * y * y), 3 / (8 * y * y * y * y * y)};
     }},
    {"exp",
     [](Real x, int) {
         return Slopes{std::exp(x), std::exp(x), std::exp(x)};
     }},
    {"expm1",
     [](Real x, int) {
         return Slopes{std::exp(x), std::exp(x), std::exp(x)};
     }},
    {"log",
     [](Real x, int) {
         return Slopes{1 / x, -1 / x / x, 2 / x / x / x};
     }},
    {"log1p",
     [](Real x, int) {
         const Real y = 1 + x;
         return Slopes{1 / y, -1 / y / y, 2 / y / y / y};
     }},
    {"tanh", [](Real x, int) { return tanh_slopes(x); }},
    {"sin",
     [](Real x, int) {
         return Slopes{std::cos(x), -std::sin(x), -std::cos(x)};
     }},
    {"cos",
     [](Real x, int) {
         return Slopes{-std::sin(x), -std::cos(x), std::sin(x)};
     }},
    {"erf",
     [](Real x, int) {
         const Real d = two_over_sqrt_pi * std::exp(-x * x);
         return Slopes{d, vanishing(d, -2 * x), vanishing(d, 4 * x * x - 2)};
     }},
    {"erfc",
     [](Real x, int) {
         const Real d = -two_over_sqrt_pi * std::exp(-x * x);
         return Slopes{d, vanishing(d, -2 * x), vanishing(d, 4 * x * x - 2)};
     }},
    {"bell",
     [](Real x, int) {
         const Real d = std::exp(-x * x);
         return Slopes{vanishing(d, -2 * x), vanishing(d, 4 * x * x - 2),
                       vanishing(d, (12 - 8 * x * x) * x)};
     }},
    {"erfcx",
     [](Real x, int) {
         return Slopes{erfcx_slope(x, 1), erfcx_slope(x, 2), erfcx_slope(x, 3)};
     }},
    {"erfcx_slope",
     [](Real x, int order) {
         return Slopes{erfcx_slope(x, order + 1), erfcx_slope(x, order + 2),
                       erfcx_slope(x, order + 3)};
     }},
    {"log_erfc",
     [](Real x, int) {
         Real h = 0;
         const Slopes d = erfc_hazard_slopes(x, &h);
         return Slopes{-h, -d.first, -d.second};
     }},
    {"erfc_hazard", [](Real x, int) { return erfc_hazard_slopes(x); }},
    // Between its ends its own samples are compared with differences.
    {"erfc_hazard_slope",
     [](Real x, int) { return std::fabs(x) > 1e35L ? constant_slope(0) : Slopes(); }},
    {"sigmoid", [](Real x, int) { return sigmoid_slopes(x); }},
    {"softplus",
     [](Real x, int) {
         const Real e = std::exp(-std::fabs(x));
         const Slopes d = sigmoid_slopes(x);
         return Slopes{(x < 0 ? e : 1) / (1 + e), d.first, d.second};
     }},
    {"log1mexp",
     [](Real x, int) {
         const Real d = std::exp(x) / std::expm1(x), q = 1 / std::expm1(x);
         return Slopes{d, -d * q, d * q * q * (1 + std::exp(x))};
     }},
    {"log_cosh",
     [](Real x, int) {
         const Slopes d = tanh_slopes(x);
         return Slopes{std::tanh(x), d.first, d.second};
     }},
    {"log_softplus", [](Real x, int) { return log_softplus_slopes(x); }},
    {"gumbel", [](Real x, int order) { return gumbel_slopes(x, order); }},
    {"gumbel_cdf",
     [](Real x, int) {
         const Slopes d = gumbel_slopes(x, 1);
         return Slopes{x > 1000 ? 0 : std::exp(x - std::exp(x)), d.first, d.second};
     }},
    {"log_gumbel_cdf", [](Real x, int) { return log_gumbel_cdf_slopes(x); }},
    {"exp2",
     [](Real x, int) {
         const Real c = std::numbers::ln2_v<Real>, y = std::exp2(x);
         return Slopes{c * y, c * c * y, c * c * c * y};
     }},
    {"log2", [](Real x, int) { return logarithm_slopes(x, std::numbers::log2e_v<Real>); }},
    {"log10", [](Real x, int) { return logarithm_slopes(x, std::numbers::log10e_v<Real>); }},
    {"cbrt",
     [](Real x, int) {
         const Real r = 1 / std::cbrt(x);
         return Slopes{r * r / 3, -2 * r * r * r * r * r / 9,
                       10 * r * r * r * r * r * r * r * r / 27};
     }},
    {"one_minus_sqr",
     [](Real x, int) {
         return Slopes{-2 * x, -2, 0};
     }},
    {"tan",
     [](Real x, int) {
         const Real t = std::tan(x), d = 1 + t * t;
         return Slopes{d, 2 * t * d, 2 * d * (1 + 3 * t * t)};
     }},
    {"asin", [](Real x, int) { return asin_slopes(x); }},
    {"acos",
     [](Real x, int) {
         const Slopes s = asin_slopes(x);
         return Slopes{-s.first, -s.second, -s.third};
     }},
    {"atan",
     [](Real x, int) {
         if (std::isinf(x)) return constant_slope(0);
         const Real q = 1 / (1 + x * x);
         return Slopes{q, -2 * x * q * q, (6 * x * x - 2) * q * q * q};
     }},
    {"sinh",
     [](Real x, int) {
         return Slopes{std::cosh(x), std::sinh(x), std::cosh(x)};
     }},
    {"cosh",
     [](Real x, int) {
         return Slopes{std::sinh(x), std::cosh(x), std::sinh(x)};
     }},
    {"asinh", [](Real x, int) { return root_slopes(x, 1); }},
    {"acosh", [](Real x, int) { return root_slopes(x, -1); }},
    {"atanh",
     [](Real x, int) {
         const Real r = 1 / ((1 - x) * (1 + x));
         return Slopes{r, 2 * x * r * r, (2 + 6 * x * x) * r * r * r};
     }},
    {"erfinv",
     [](Real x, int) {
         const Real y = erfinv(x), d = std::exp(y * y) / two_over_sqrt_pi;
         return Slopes{d, vanishing(y, 2 * d * d), d * d * d * (2 + 8 * y * y)};
     }},
    {"lgamma", [](Real x, int) { return gamma_slopes(x, 1); }},
    {"digamma", [](Real x, int) { return gamma_slopes(x, 2); }},
    {"polygamma", [](Real x, int order) { return gamma_slopes(x, order + 2); }},
    {"bessel_ratio", [](Real x, int order) { return bessel_slopes(x, order); }},
    {"softsign",
     [](Real x, int) {
         // The second derivative jumps at 0.
         if (x == 0) return Slopes{1, NaN, NaN};
         if (std::isinf(x)) return constant_slope(0);
         const Real r = 1 / (1 + std::fabs(x));
         return Slopes{r * r, std::copysign(2 * r * r * r, -x), 6 * r * r * r * r};
     }},
};

/// Where a function is defined, and at its ends; outside nothing is asked.
bool in_domain(const std::string& op, Real x) {
    if (op == "asin" || op == "acos" || op == "atanh" || op == "erfinv") return std::fabs(x) <= 1;
    if (op == "acosh") return x >= 1;
    if (op == "lgamma" || op == "digamma" || op == "polygamma") return x > 0;
    if (op == "log" || op == "log2" || op == "log10" || op == "sqrt")
        return x > 0 || (x == 0 && !std::signbit(x));
    if (op == "log1p") return x >= -1;
    if (op == "log1mexp") return x < 0;
    return true;
}

template <class T>
std::vector<T> points() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> out;
    for (const T v :
         {Limits::infinity(), Limits::max(), std::sqrt(Limits::max()), T(1e30), T(1e10), T(100),
          T(20), T(5.5), T(4.5), T(3), 1 + Limits::epsilon(), T(1), 1 - Limits::epsilon() / 2,
          T(0.3), std::sqrt(Limits::min()), Limits::min(), Limits::denorm_min(), T(0)})
        for (const T w : {v, -v}) out.push_back(w);
    return out;
}

// Rows whose slopes are right to the last place of 1, not of the slope.
const std::set<std::string> absolute{"tanh",   "log_cosh",   "sigmoid",       "softplus",
                                     "gumbel", "gumbel_cdf", "log_gumbel_cdf"};

template <class T>
void check_slopes(const std::string& name, const Sample& sample, std::map<std::string, int>& seen) {
    constexpr DType t = std::is_same_v<T, float> ? DType::F32 : DType::F64;
    constexpr Real epsilon = std::numeric_limits<T>::epsilon();
    const std::vector<T> at = points<T>();
    const auto n = static_cast<std::int64_t>(at.size());
    const Expr x = tensor(t, 1, "x", {n});
    const Expr built = sample.build({&x, 1});
    if (built.dtype() != t || std::string(built.node().op->name) != name) return;
    std::vector<Expr> slopes{built};
    for (int order = 0; order < 3; ++order)
        slopes.push_back(grad(sum(slopes.back()), x, {.disconnected_inputs = Disconnected::zero}));
    const auto row = expected.find(name);
    REQUIRE_MESSAGE(row != expected.end(), "no slopes to compare those of ", name, " with");
    ++seen[name];
    const Attrs& attrs = built.node().attrs;
    const int order = attrs.has("order") ? static_cast<int>(attrs.get<std::int64_t>("order")) : 0;
    constexpr Real tolerance[] = {0, 64, 1024, 16384, 262144, 4194304, 67108864};
    Array value(t, {n});
    std::copy(at.begin(), at.end(), value.data<T>());
    for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
        const std::vector<Array> got =
            function({.inputs = {x}, .outputs = slopes, .mode = mode}).call(std::array{value});
        for (std::size_t i = 0; i < at.size(); ++i) {
            if (!in_domain(name, at[i])) continue;
            const Slopes s = row->second(at[i], order);
            std::size_t k = 0;
            for (const Real exact : {s.first, s.second, s.third}) {
                const Real found = got[++k].as_double(static_cast<std::int64_t>(i));
                if (std::isnan(exact) || found == static_cast<T>(exact)) continue;
                const Real unit = std::numeric_limits<T>::min() +
                                  (absolute.count(name) ? epsilon : 0) + epsilon * std::fabs(exact);
                CHECK_MESSAGE(std::fabs(found - exact) <=
                                  tolerance[k + static_cast<std::size_t>(order)] * unit,
                              name, " of ", std::string(arete::name(t)), ": derivative ", k, " at ",
                              static_cast<double>(at[i]), " is ", static_cast<double>(found),
                              ", expected ", static_cast<double>(exact), " off by units ",
                              double(std::fabs(found - exact) / unit));
            }
        }
    }
}

}  // namespace

TEST_CASE("slopes at corners: every elementwise row has its derivatives there") {
    std::map<std::string, int> seen;
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->scalar || !op->pullback || !op->samples || op->arity != 1) continue;
        for (const Sample& sample : op->samples()) {
            if (sample.inputs.size() != 1 || !sample.differentiable) continue;
            check_slopes<float>(std::string(op->info.name), sample, seen);
            check_slopes<double>(std::string(op->info.name), sample, seen);
        }
    }
    for (const auto& [name, slopes] : expected) CHECK_MESSAGE(seen[name] > 0, name);
}

// erfc, erfcx, log_erfc, log1mexp and logaddexp against the C library in more precision.
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

/// Distance from the true value in units of the last place of T.
template <class T>
double ulps(T got, Wide<T> want) {
    using L = std::numeric_limits<T>;
    constexpr double wrong = std::numeric_limits<double>::infinity();
    if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : wrong;
    const T rounded = static_cast<T>(want);
    if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : wrong;
    int exponent = 0;
    std::frexp(want, &exponent);
    const int last = std::max(exponent, L::min_exponent) - L::digits;
    return static_cast<double>(std::abs(static_cast<Wide<T>>(got) - want) /
                               std::ldexp(Wide<T>(1), last));
}

/// The largest error of a compiled function of one element, over these arguments.
template <class T>
double worst(const std::function<Expr(const Expr&)>& build,
             const std::function<Wide<T>(Wide<T>)>& reference, const std::vector<T>& at) {
    const auto x = vector<T>("x");
    const Array out = function({.inputs = {x}, .outputs = {build(x)}})(at)[0];
    double most = 0;
    for (std::size_t i = 0; i < at.size(); ++i) {
        const double u = ulps<T>(out.data<T>()[i], reference(static_cast<Wide<T>>(at[i])));
        if (u > most) most = u;
        if (!(u <= 4))
            MESSAGE("at ", at[i], ": ", out.data<T>()[i], ", not ",
                    reference(static_cast<Wide<T>>(at[i])));
    }
    return most;
}

template <class T>
std::vector<T> between(double low, double high, int n) {
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> uniform(low, high);
    std::vector<T> out;
    for (int i = 0; i < n; ++i) out.push_back(static_cast<T>(uniform(random)));
    return out;
}

/// Small arguments of both signs, at every exponent down to the denormals.
template <class T>
std::vector<T> tiny(bool negative) {
    std::vector<T> out;
    for (int e = -1; e > std::numeric_limits<T>::min_exponent; --e) {
        out.push_back(static_cast<T>(std::ldexp(1.3, e)));
        if (negative) out.push_back(-out.back());
    }
    return out;
}

template <class W>
W scaled_erfc(W x) {
    using std::erfc, std::exp;
    // Where the product is infinity times 0: the asymptotic series.
    const long double v = static_cast<long double>(x);
    if (v > 60) {
        const long double r = 1 / (2 * v * v);
        return static_cast<W>((1 - r * (1 - 3 * r * (1 - 5 * r * (1 - 7 * r)))) /
                              (v * std::sqrt(std::acos(-1.0L))));
    }
    return static_cast<W>(std::exp(v * v) * std::erfc(v));
}

}  // namespace

TEST_CASE_TEMPLATE("erfc, erfcx and log_erfc are within 4 ulp", T, float, double) {
    using W = Wide<T>;
    const bool f32 = std::is_same_v<T, float>;
    const auto near = tiny<T>(true), middle = between<T>(-7, f32 ? 10 : 27, 40000),
               far = between<T>(f32 ? 10 : 27, 59, 2000);
    const auto e = [](const Expr& x) { return erfc(x); };
    const std::function<W(W)> c_erfc = [](W x) { return std::erfc(x); };
    CHECK(worst<T>(e, c_erfc, near) <= 4);
    CHECK(worst<T>(e, c_erfc, middle) <= 4);
    CHECK(worst<T>(e, c_erfc, far) <= 4);  // 0, and denormals before

    const auto scaled = [](const Expr& x) { return erfcx(x); };
    const std::function<W(W)> c_scaled = scaled_erfc<W>;
    CHECK(worst<T>(scaled, c_scaled, near) <= 4);
    CHECK(worst<T>(scaled, c_scaled, middle) <= 4);
    CHECK(worst<T>(scaled, c_scaled, far) <= 4);
    CHECK(worst<T>(scaled, c_scaled, {T(1e3), T(1e6), T(1e11), T(1e12), T(1e13), T(1e30)}) <= 4);

    const auto logs = [](const Expr& x) { return log_erfc(x); };
    const std::function<W(W)> c_logs = [](W x) {
        const long double v = static_cast<long double>(x);
        return static_cast<W>(v < 0.5L ? std::log1p(-std::erf(v)) : std::log(std::erfc(v)));
    };
    CHECK(worst<T>(logs, c_logs, near) <= 4);
    CHECK(worst<T>(logs, c_logs, middle) <= 4);
    CHECK(worst<T>(logs, c_logs, far) <= 4);
}

TEST_CASE_TEMPLATE("log1mexp and logaddexp are within 4 ulp", T, float, double) {
    using W = Wide<T>;
    const auto logs = [](const Expr& x) { return log1mexp(x); };
    const std::function<W(W)> c_logs = [](W x) {
        const long double v = static_cast<long double>(x);
        return static_cast<W>(v < -0.7L ? std::log1p(-std::exp(v)) : std::log(-std::expm1(v)));
    };
    std::vector<T> near = tiny<T>(false);
    for (T& v : near) v = -v;
    CHECK(worst<T>(logs, c_logs, near) <= 4);
    CHECK(worst<T>(logs, c_logs, between<T>(-80, 0, 40000)) <= 4);

    // Against a fixed second operand; both are positive, since a logarithm near 0 cannot be as
    // accurate.
    for (const T y : {T(0.5), T(3), T(100), T(3000)}) {
        const auto sums = [&](const Expr& x) { return logaddexp(x, constant(Array(y))); };
        const std::function<W(W)> c_sums = [&](W x) {
            const long double a = x, b = y, m = std::max(a, b);
            return static_cast<W>(m + std::log1p(std::exp(-std::fabs(a - b))));
        };
        CHECK(worst<T>(sums, c_sums, between<T>(0, 200, 20000)) <= 4);
    }
}

TEST_CASE_TEMPLATE("special functions of special values", T, float, double) {
    constexpr T infinity = std::numeric_limits<T>::infinity(),
                nan = std::numeric_limits<T>::quiet_NaN();
    const auto x = vector<T>("x", {4});
    const auto f = function({.inputs = {x},
                             .outputs = {erfc(x), erfcx(x), log_erfc(x), log1mexp(x),
                                         logaddexp(x, x), logaddexp(x, constant(Array(T(1))))}});
    const auto out = f(std::vector<T>{-infinity, infinity, nan, 0});
    const auto check = [](const Array& got, std::vector<double> want) {
        for (std::size_t i = 0; i < want.size(); ++i) {
            CAPTURE(i);
            const double v = got.as_double(static_cast<std::int64_t>(i));
            if (std::isnan(want[i]))
                CHECK(std::isnan(v));
            else if (std::isinf(want[i]))
                CHECK(v == want[i]);
            else
                CHECK(v == doctest::Approx(want[i]).epsilon(1e-6));
        }
    };
    constexpr double inf = infinity, none = nan;
    check(out[0], {2, 0, none, 1});
    CHECK(out[1].as_double(0) == inf);
    check(out[1], {inf, 0, none, 1});
    check(out[2], {std::log(2.0), -inf, none, 0});
    check(out[3], {0, none, none, -inf});
    check(out[4], {-inf, inf, none, std::log(2.0)});
    check(out[5], {1, inf, none, std::log(1 + std::exp(1.0))});
}

TEST_CASE("logsumexp: infinite elements count as in the formula") {
    const auto x = matrix<double>("x", {4, 3});
    constexpr double inf = std::numeric_limits<double>::infinity();
    const auto out = function({.inputs = {x}, .outputs = {logsumexp(x)}})(
        Array(std::vector<double>{-inf, -inf, -inf, inf, 0, 1, -inf, 1000, 1000, inf, -inf, 0},
              {4, 3}))[0];
    CHECK(out.as_double(0) == -inf);
    CHECK(out.as_double(1) == inf);
    CHECK(out.as_double(2) == doctest::Approx(1000 + std::log(2.0)));
    CHECK(out.as_double(3) == inf);
}

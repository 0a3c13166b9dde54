// Near relatives of what has a stable form: other spellings of 1 + f(x) under a logarithm, infinite
// coefficients of exponentials, powers of 0 and 1 under a logarithm.
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct Spelling {
    const char* name;
    std::function<Expr(const Expr&)> build;
    std::function<long double(long double)> value, slope;
    std::vector<double> at;
};

long double log_of_erfc(long double x) {
    // The continued series, where erfc underflows.
    if (x < 100) return std::log(std::erfc(x));
    const long double s = 1 / (2 * x * x);
    return -x * x - std::log(x * std::sqrt(std::acos(-1.0L))) + std::log(1 - s + 3 * s * s);
}
long double slope_of_log_erfc(long double x) {
    if (x < 100) return -2 / std::sqrt(std::acos(-1.0L)) * std::exp(-x * x) / std::erfc(x);
    const long double s = 1 / (2 * x * x);
    return -2 * x / (1 - s + 3 * s * s);
}
long double softplus_of(long double x) {
    return x > 50 ? x : std::log1p(std::exp(x));
}

std::vector<Spelling> spellings() {
    const long double ln2 = std::log(2.0L);
    const auto tanh_value = [=](double sign, double scale) {
        return [=](long double x) {
            return std::log((long double)scale) + ln2 - softplus_of(-2 * sign * x);
        };
    };
    const auto tanh_slope = [](double sign) {
        return [=](long double x) { return 2 * sign / (1 + std::exp(2 * sign * x)); };
    };
    const auto erf_value = [](double sign, double scale) {
        return [=](long double x) { return std::log((long double)scale) + log_of_erfc(-sign * x); };
    };
    const auto erf_slope = [](double sign) {
        return [=](long double x) { return -sign * slope_of_log_erfc(-sign * x); };
    };
    const std::vector<double> left{-300, -20, -8, -1, 0, 0.5, 2}, right{300, 20, 8, 1, 0, -0.5, -2};
    using E = const Expr&;
    return {
        {"log1p(tanh)", [](E x) { return log1p(tanh(x)); }, tanh_value(1, 1), tanh_slope(1), left},
        {"log1p(-tanh)", [](E x) { return log1p(-tanh(x)); }, tanh_value(-1, 1), tanh_slope(-1),
         right},
        {"log(a - a tanh)", [](E x) { return log(0.5 - 0.5 * tanh(x)); }, tanh_value(-1, 0.5),
         tanh_slope(-1), right},
        {"log(a tanh + a)", [](E x) { return log(3 * tanh(x) + 3); }, tanh_value(1, 3),
         tanh_slope(1), left},
        {"log1p(erf)", [](E x) { return log1p(erf(x)); }, erf_value(1, 1), erf_slope(1), left},
        {"log1p(-erf)", [](E x) { return log1p(-erf(x)); }, erf_value(-1, 1), erf_slope(-1), right},
        {"log(a + a erf)", [](E x) { return log(0.5 + 0.5 * erf(x)); }, erf_value(1, 0.5),
         erf_slope(1), left},
        {"log(1 - (1 + erf) / 2)", [](E x) { return log(1 - 0.5 * (1 + erf(x))); },
         erf_value(-1, 0.5), erf_slope(-1), right},
    };
}

double scalar_of(const Expr& e, const std::vector<std::pair<Expr, double>>& at, Mode mode) {
    std::vector<Expr> inputs;
    std::vector<Array> values;
    for (const auto& [x, v] : at) {
        inputs.push_back(x);
        values.emplace_back(v);
    }
    const auto f = function(
        {.inputs = inputs, .outputs = {e}, .on_unused_input = OnUnusedInput::ignore, .mode = mode});
    return f.call(values)[0].as_double();
}

}  // namespace

TEST_CASE("stable relatives: logarithms of 1 + tanh and 1 + erf, however scaled") {
    for (const Spelling& s : spellings())
        for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
            CAPTURE(s.name);
            const Expr x = vector<double>("x");
            const Expr v = s.build(x);
            const auto f = function({.inputs = {x}, .outputs = {v, grad(sum(v), x)}, .mode = mode});
            const std::vector<Array> out = f(Array(s.at));
            for (std::size_t k = 0; k < s.at.size(); ++k) {
                CAPTURE(s.at[k]);
                const auto i = static_cast<std::int64_t>(k);
                const auto value = double(s.value(s.at[k])), slope = double(s.slope(s.at[k]));
                CHECK(std::fabs(out[0].as_double(i) - value) <=
                      4e-15 * std::max(1.0, std::fabs(value)));
                CHECK(std::fabs(out[1].as_double(i) - slope) <=
                      4e-15 * std::max(1.0, std::fabs(slope)));
            }
        }
}

TEST_CASE("stable relatives: infinite coefficients stay infinite") {
    const auto x = scalar<double>("x"), z = scalar<double>("z");
    for (const Mode mode : {Mode::fast_run, Mode::interpret})
        for (const double at : {-800.0, 0.0, 800.0}) {
            CHECK(scalar_of(1.0 / (exp(x) + z), {{x, at}, {z, inf}}, mode) == 0);
            CHECK(scalar_of(log(exp(x) + z), {{x, at}, {z, inf}}, mode) == inf);
            CHECK(scalar_of(exp(x) / sqr(z + exp(2 * x)), {{x, at}, {z, -inf}}, mode) == 0);
        }
    const auto u = vector<double>("u"), w = vector<double>("w");
    for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
        CHECK(scalar_of(log(exp(x) * z + exp(-x) * z), {{x, 720}, {z, inf}}, mode) == inf);
        const auto f =
            function({.inputs = {u, w}, .outputs = {log(sum(w * exp(u)))}, .mode = mode});
        CHECK(f(Array(std::vector<double>{900, 0}), Array(std::vector<double>{1, inf}))[0]
                  .as_double() == inf);
    }
}

TEST_CASE("stable relatives: logarithms of powers of 0 and 1 and to the power of 0") {
    const auto x = scalar<double>("x"), z = scalar<double>("z");
    const Expr p = log(pow(sigmoid(x), z)), q = log(pow(exp(x), z));
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
        for (const double at : {-inf, inf, not_a_number, 3.0}) {
            CHECK(scalar_of(p, {{x, at}, {z, 0}}, mode) == 0);
            CHECK(scalar_of(q, {{x, at}, {z, 0}}, mode) == 0);
        }
        for (const double power : {-inf, inf, not_a_number, 3.0})
            CHECK(scalar_of(q, {{x, 0}, {z, power}}, mode) == 0);
        CHECK(scalar_of(q, {{x, 2}, {z, 3}}, mode) == doctest::Approx(6));
        // The slope by the power is log(u), also where that is 0.
        CHECK(scalar_of(grad(q, z), {{x, 2}, {z, 0}}, mode) == doctest::Approx(2));
    }
    CHECK(scalar_of(p, {{x, -2000}, {z, 2}}, Mode::fast_run) == -4000);
}

TEST_CASE("stable relatives: what is 1 at 0 is exactly 1 there") {
    const auto check = [](auto zero) {
        using T = decltype(zero);
        const auto x = scalar<T>("x");
        const Expr by_erfc = log(1 - exp(-sqr(x)) / erfc(x)), by_bell = log(1 - bell(x) / erfc(x));
        for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret})
            for (const Expr& e : {by_erfc, by_bell}) {
                const auto f = function({.inputs = {x}, .outputs = {e}, .mode = mode});
                CHECK(f(zero)[0].as_double() == -std::numeric_limits<double>::infinity());
                CHECK(f(T(-1))[0].as_double() ==
                      doctest::Approx(std::log(1 - std::exp(-1.0) / std::erfc(-1.0))));
            }
    };
    check(0.0f);
    check(0.0);
}

TEST_CASE("stable relatives: gradients through many steps add up in double precision") {
    const auto b = scalar<float>("b");
    const auto x = vector<float>("x");
    const Expr mapped =
        map([&](const std::vector<Expr>& a) -> StepResult { return a[0] * b; }, {x})[0];
    for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
        const auto f =
            function({.inputs = {x, b}, .outputs = {grad(sum(mapped), b)}, .mode = mode});
        const std::int64_t n = mode == Mode::interpret ? 20000 : 2000000;
        const double got = f(full<float>({n}, 1.1f), 1.0f)[0].as_double();
        CHECK(got == doctest::Approx(static_cast<double>(1.1f) * double(n)).epsilon(1e-7));
    }
}

TEST_CASE("stable relatives: chains of branches, with gradients, compile in moderate time") {
    // What is counted is work: each branch is looked at a few times, not once for every other one.
    const auto x = vector<double>("x", {8});
    const auto chain = [&](int n) {
        Expr y = x;
        for (int i = 0; i < n; ++i) y = ifelse(sum(y) > double(i), sin(y), cos(y) + x);
        return y;
    };
    const auto f = function({.inputs = {x}, .outputs = {grad(sum(sin(chain(120))), x)}});
    double want = 1;
    // All elements are equal: y > i / 8 decides, and derivatives multiply.
    double y = 0.5, slope = 1;
    for (int i = 0; i < 120; ++i) {
        const bool more = 8 * y > i;
        slope = more ? std::cos(y) * slope : -std::sin(y) * slope + 1;
        y = more ? std::sin(y) : std::cos(y) + 0.5;
    }
    want = std::cos(y) * slope;
    CHECK(f(full<double>({8}, 0.5))[0].as_double(3) == doctest::Approx(want));
}

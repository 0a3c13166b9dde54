// What rules made of formulas that are finite as written, and slopes where a root ends.
#include <cmath>
#include <limits>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

template <class T>
std::vector<double> run(const Expr& x, const Expr& y, std::vector<T> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    const Array out = function({.inputs = {x}, .outputs = {y}})(Array(std::move(values), {n}))[0];
    std::vector<double> all;
    for (std::int64_t i = 0; i < out.size(); ++i) all.push_back(out.as_double(i));
    return all;
}

}  // namespace

TEST_CASE("range: coefficients whose sum overflows stay apart") {
    const auto x = vector<float>("x");
    const std::vector<float> at{0, 0.3f, 1e-10f, -0.25f};
    for (const Expr& y : {x * 3e38f + x * 2e38f, x * 2e38f + x * 2e38f + x * 1e38f,
                          -(x * -3e38f + x * -2e38f), 3e38f * x - x * -2e38f}) {
        const auto got = run(x, y, at);
        for (std::size_t i = 0; i < at.size(); ++i)
            CHECK(got[i] == doctest::Approx(static_cast<double>(at[i]) * 5e38));
    }
    const auto z = vector<double>("z");
    CHECK(run(z, z * 1e308 + z * 1.5e308, std::vector<double>{0, 0.25})[0] == 0);
    CHECK(run(z, z * 1e308 + z * 1.5e308, std::vector<double>{0, 0.25})[1] ==
          doctest::Approx(0.25 * 1e308 + 0.25 * 1.5e308));
}

TEST_CASE("range: logarithms of even powers of what may be negative") {
    const auto x = vector<double>("x");
    for (const double n : {2.0, 4.0, 6.0})
        for (const double v : {1.0, 2.0, -1.0, 0.5, 30.0}) {
            const double base = std::expm1(v);
            CAPTURE(n);
            CAPTURE(v);
            CHECK(run(x, log(pow(1 - exp(x), n)), std::vector<double>{v})[0] ==
                  doctest::Approx(n * std::log(std::fabs(base))));
            CHECK(run(x, log(pow(exp(x) - 1, n)), std::vector<double>{v})[0] ==
                  doctest::Approx(n * std::log(std::fabs(base))));
        }
    // So have products and quotients of two negative numbers.
    for (const double v : {0.5, 2.0, -1.0}) {
        const double a = std::expm1(v), b = std::expm1(2 * v);
        CHECK(run(x, log((1 - exp(x)) / (1 - exp(2 * x))), std::vector<double>{v})[0] ==
              doctest::Approx(std::log(a / b)));
        CHECK(run(x, log((exp(x) - 1) * (exp(2 * x) - 1)), std::vector<double>{v})[0] ==
              doctest::Approx(std::log(a * b)));
        CHECK(run(x, log(sum((exp(x) - 1) * (exp(2 * x) - 1))), std::vector<double>{v})[0] ==
              doctest::Approx(std::log(a * b)));
    }
    // An odd power of a negative number has none.
    CHECK(std::isnan(run(x, log(pow(1 - exp(x), 3.0)), std::vector<double>{1})[0]));
}

TEST_CASE("range: means of squares and variances have roots with slope 0 at 0") {
    const auto x = matrix<double>("x", {2, 3});
    const Array zeros_ = zeros<double>({2, 3}), equal = full<double>({2, 3}, 7);
    const auto slope = [&](const Expr& cost, const Array& at) {
        return function({.inputs = {x}, .outputs = {grad(cost, x)}})(at)[0];
    };
    const auto all_zero = [](const Array& a) {
        for (std::int64_t i = 0; i < a.size(); ++i)
            if (a.as_double(i) != 0) return false;
        return a.size() == 6;
    };
    CHECK(all_zero(slope(sqrt(mean(sqr(x))), zeros_)));
    CHECK(all_zero(slope(sum(sqrt(mean(sqr(x), 1))), zeros_)));
    CHECK(all_zero(slope(pow(mean(sqr(x)), 0.5), zeros_)));
    CHECK(all_zero(slope(sum(sqrt(var(x, 1))), equal)));
    CHECK(all_zero(slope(sqrt(var(x)), equal)));
    CHECK(all_zero(slope(sqrt(mean(sqr(x - mean(x)))), equal)));
    // Of a normalised row the sum is constant: what is left is rounding of 1 / 1e-5.
    const Array rest = slope(sum((x - mean(x, 1, true)) / (sqrt(var(x, 1, true)) + 1e-5)), equal);
    for (std::int64_t i = 0; i < rest.size(); ++i) CHECK(std::fabs(rest.as_double(i)) < 1e-9);
}

TEST_CASE("range: two hundred rotations come to rest") {
    const auto x = vector<float>("x", {64});
    Expr rotated = x, window = x;
    for (int k = 0; k < 200; ++k) {
        rotated = concatenate({rotated(slice(1, none)), rotated(slice(0, 1))}, 0);
        window = concatenate({window, window(slice(0, 3))}, 0)(slice(2, 66));
    }
    std::vector<float> in;
    for (int k = 0; k < 64; ++k) in.push_back(static_cast<float>(k));
    const auto got = run(x, rotated, in);
    for (std::size_t k = 0; k < 64; ++k) CHECK(got[k] == static_cast<double>((k + 200) % 64));
    std::vector<double> expected(in.begin(), in.end());
    for (int k = 0; k < 200; ++k) {
        expected.insert(expected.end(), {expected[0], expected[1], expected[2]});
        expected = {expected.begin() + 2, expected.begin() + 66};
    }
    CHECK(run(x, window, in) == expected);
}

TEST_CASE("range: what underflows is not enlarged, whatever the coefficients of exponentials") {
    using Long = long double;
    const auto x = vector<float>("x");
    struct Written {
        const char* name;
        Expr (*build)(const Expr& x, float c);
        Long (*value)(Long x, Long c);
    };
    const Written all[] = {
        {"exp(x) / (1 + c exp(x))",
         [](const Expr& x, float c) { return exp(x) / (1 + c * exp(x)); },
         [](Long x, Long c) { return std::exp(x) / (1 + c * std::exp(x)); }},
        {"1 / (c + exp(x))", [](const Expr& x, float c) { return 1 / (c + exp(x)); },
         [](Long x, Long c) { return 1 / (c + std::exp(x)); }},
        {"1 / (1 + c exp(x))", [](const Expr& x, float c) { return 1 / (1 + c * exp(x)); },
         [](Long x, Long c) { return 1 / (1 + c * std::exp(x)); }},
        {"x / (c + exp(x))", [](const Expr& x, float c) { return x / (c + exp(x)); },
         [](Long x, Long c) { return x / (c + std::exp(x)); }},
        {"c exp(x) / (c + exp(x))",
         [](const Expr& x, float c) { return c * exp(x) / (c + exp(x)); },
         [](Long x, Long c) { return c * std::exp(x) / (c + std::exp(x)); }},
        {"c exp(x) / (1 + c exp(x)) * c",
         [](const Expr& x, float c) { return c * exp(x) / (1 + c * exp(x)) * c; },
         [](Long x, Long c) { return c * std::exp(x) / (1 + c * std::exp(x)) * c; }},
        {"exp(x + log(c)) * sigmoid(-x)",
         [](const Expr& x, float c) { return exp(x + std::log(c)) * sigmoid(-x); },
         [](Long x, Long c) { return std::exp(x + std::log(c)) / (1 + std::exp(x)); }},
        {"exp(x + log(c)) * exp(-softplus(x))",
         [](const Expr& x, float c) { return exp(x + std::log(c)) * exp(-softplus(x)); },
         [](Long x, Long c) { return std::exp(x + std::log(c)) / (1 + std::exp(x)); }},
        {"exp(x + log(c)) * exp(-logaddexp(x, 0))",
         [](const Expr& x, float c) { return exp(x + std::log(c)) * exp(-logaddexp(x, 0)); },
         [](Long x, Long c) { return std::exp(x + std::log(c)) / (1 + std::exp(x)); }}};
    std::vector<float> at;
    for (float v = -110; v <= 110; v += 2.75F) at.push_back(v);
    int compared = 0;
    for (const Written& w : all)
        for (const float c : {1e-30F, 1e-20F, 1e-8F, 1e-3F, 0.05F, 1.F, 20.F, 1e3F, 1e8F, 1e20F}) {
            const Array in(at);
            const Expr e = w.build(x, c);
            const Array got = function({.inputs = {x}, .outputs = {e}})(in)[0],
                        plain = function(
                            {.inputs = {x}, .outputs = {e}, .mode = Mode::fast_compile})(in)[0];
            for (std::size_t k = 0; k < at.size(); ++k) {
                const auto i = static_cast<std::int64_t>(k);
                const Long exact = w.value(at[k], c);
                // Where the formula as written is a normal number, that is right.
                const double written = plain.as_double(i);
                if (!std::isfinite(written) || std::fabs(exact) < 1e-36L ||
                    std::fabs(exact) > 1e37L ||
                    std::fabs(written - static_cast<double>(exact)) > 1e-4 * std::fabs(written))
                    continue;
                ++compared;
                CAPTURE(w.name);
                CAPTURE(c);
                CAPTURE(at[k]);
                // Exponents up to 200 are rounded.
                CHECK(std::fabs(got.as_double(i) - static_cast<double>(exact)) <=
                      5e-5 * std::fabs(static_cast<double>(exact)));
            }
        }
    CHECK(compared > 3000);
}

TEST_CASE("range: quotients of exponentials that cancel keep NaN") {
    const auto x = vector<float>("x");
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const Expr& e : {(1 + exp(x)) / (1 + exp(x)), (2 + 2 * exp(x)) / (1 + exp(x)),
                          (exp(-x) + exp(x)) / (3 * exp(x) + 3 * exp(-x))}) {
        const auto got = run(x, e, std::vector<float>{nan, 0, 100});
        CHECK(std::isnan(got[0]));
        CHECK(std::isfinite(got[1]));
        CHECK(got[2] == doctest::Approx(got[1]));
    }
}

TEST_CASE("range: products and quotients of exponentials are what was written, of either sign") {
    const auto x = scalar<double>("x");
    const Expr e = exp(x), m = expm1(x), s = sigmoid(x), t = tanh(x);
#define WRITTEN(y) \
    { #y, y }
    const std::pair<const char*, Expr> all[] = {
        WRITTEN(sqrt(sqr(m)) * e / exp(x)),
        WRITTEN(pow(sqr(m), 0.5) * e / exp(x)),
        WRITTEN(pow(sqr(m), 1.5) * s / sigmoid(x)),
        WRITTEN(pow(pow(m, 2), 0.5) * e * exp(-x)),
        WRITTEN(sqrt(m * m) * e * exp(-x)),
        WRITTEN(sqrt(sqr(e - 1)) * e / exp(x)),
        WRITTEN(pow(sqr(1 - e), 1.5) / e * exp(x)),
        WRITTEN(sqr(m) * e / (exp(x) * pow(sqr(m), 0.5))),
        WRITTEN(m * e / (m * exp(x))),
        WRITTEN(e / m / m),
        WRITTEN(e / sqr(m)),
        WRITTEN(e * e / (m * m * m)),
        WRITTEN(e / (1 - e) / (1 - e)),
        WRITTEN(1 / m * (e - 1)),
        WRITTEN(pow(m, 3) / m),
        WRITTEN(pow(m, 3) * e / (m * m) / e),
        WRITTEN((1 - e) / (1 + e)),
        WRITTEN((e - 1) / (e + 1) * (1 + e)),
        WRITTEN((e - exp(-x)) / (e + exp(-x)) / s * s),
        WRITTEN((3 - 2 * e) / (1 + 5 * e)),
        WRITTEN((3 - 2 * e) / (-1 - 5 * e)),
        WRITTEN((3 - 2 * e + exp(2 * x)) / (1 + 5 * e)),
        WRITTEN((3 - 2 * e + exp(2 * x)) / (1 + 5 * e + exp(-x))),
        WRITTEN(e / (e + exp(2 * x) + exp(-3 * x))),
        WRITTEN((e + 1) / (e + 1e-9)),
        WRITTEN(log(e + 2) - log(3 * e + 1)),
        WRITTEN(log(exp(2 * x) - e + 1)),
        WRITTEN(log((e - 1) * (e - 1))),
        WRITTEN(exp(-e) * e / exp(x)),
        WRITTEN(exp(-e) * exp(e)),
        WRITTEN(exp(x - e) / exp(x)),
        WRITTEN(exp(2 * x - e) * exp(-x)),
        WRITTEN((1 - exp(-e)) / e),
        WRITTEN(1 - exp(-exp(1 - x))),
        WRITTEN(exp(-exp(-2 * x) * 3)),
        WRITTEN(sqr(s) / s * (1 - s)),
        WRITTEN(s * s * s / pow(s, 2.5)),
        WRITTEN(pow(s, 0.3) / pow(1 + e, 0.7)),
        WRITTEN(sqrt(1 + e) / sqrt(e)),
        WRITTEN(pow(1 + e, -1.5) * e),
        WRITTEN(pow(2 + 3 * e, -1.5) * e),
        WRITTEN(exp(3 * x) / pow(1 + e, 3)),
        WRITTEN(exp(x + 1) / (1 + e) / exp(2 * x - 1) * exp(x)),
        WRITTEN(2 * s - 1),
        WRITTEN(1 - 2 * s),
        WRITTEN(3 * s - 3),
        WRITTEN(3 - 6 * s),
        WRITTEN(t / (1 + e) * (1 + e))};
#undef WRITTEN
    for (const auto& [name, y] : all) {
        CAPTURE(name);
        const Function stable = function({.inputs = {x}, .outputs = {y, grad(y, x)}}),
                       plain =
                           function({.inputs = {x}, .outputs = {y}, .mode = Mode::fast_compile});
        const auto written = [&](double at) { return plain(at)[0].item<double>(); };
        for (const double at : {-3.0, -1.0, -0.25, 0.5, 2.0, 5.0}) {
            CAPTURE(at);
            const std::vector<Array> got = stable(at);
            const double value = written(at), h = 1e-5 * (1 + std::fabs(at));
            CHECK(std::fabs(got[0].item<double>() - value) <= 1e-9 * std::fabs(value));
            const double slope = (written(at + h) - written(at - h)) / (2 * h);
            CHECK(std::fabs(got[1].item<double>() - slope) <=
                  1e-4 * (std::fabs(slope) + std::fabs(value)));
        }
    }
}

TEST_CASE("range: stable forms look through the conversion of a choice") {
    const auto x = vector<float>("x");
    const Expr chosen = cast(where(x > 0, x, -2 * x), DType::F64);
    const auto got = run(x, log(chosen), std::vector<float>{3, -5});
    CHECK(got[0] == doctest::Approx(std::log(3.0)));
    CHECK(got[1] == doctest::Approx(std::log(10.0)));
}

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

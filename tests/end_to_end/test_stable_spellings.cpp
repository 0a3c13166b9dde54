// Functions of exponentials in the ways in which users write them: logistic curves with
// coefficients, hyperbolic tangents, extreme value distributions, and their logarithms. Values,
// first and second derivatives are compared with the very formula in numbers that hold all
// intermediate results.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/end_to_end/jet.h"

using namespace arete;
using arete::test::Jet;

namespace {

struct Spelling {
    const char* text;
    std::function<Expr(const Expr&)> build;
    std::function<Jet(const Jet&)> exact;
    /// Terms of this size cancel in the formula's stable form.
    double terms = 0;
    double most = 200;  ///< points up to here
    double least = 0;   ///< and not closer to 0 than this
};

// A formula, as an expression and as a number.
#define SPELLING(formula, ...)                                                                     \
    Spelling {                                                                                     \
#formula,                                                                                  \
            [](const Expr& x)                                                                      \
                 -> Expr { return formula; },                                                      \
                                           [](const Jet& x) -> Jet { return formula; } __VA_OPT__( \
                                                                , ) __VA_ARGS__                    \
    }

std::vector<Spelling> logistic_curves() {
    return {SPELLING((1 - exp(-x)) / (1 + exp(-x)), 1),
            SPELLING((exp(x) - 1) / (exp(x) + 1), 1),
            SPELLING((exp(x) - exp(-x)) / (exp(x) + exp(-x)), 1),
            SPELLING((exp(-x) - exp(x)) / (exp(x) + exp(-x)), 1),
            SPELLING((0.5 * exp(x) - 0.5 * exp(-x)) / (0.5 * exp(-x) + 0.5 * exp(x)), 1),
            SPELLING(((exp(x) - exp(-x)) / 2) / ((exp(x) + exp(-x)) / 2), 1),
            SPELLING((exp(2 * x) - 1) / (exp(2 * x) + 1), 1),
            SPELLING((exp(x * 2) - 1) / (1 + exp(x * 2)), 1),
            SPELLING((exp(x + x) - 1) / (exp(x + x) + 1), 1),
            SPELLING((1 - exp(-2 * x)) / (1 + exp(-2 * x)), 1),
            SPELLING(-(exp(-2 * x) - 1) / (exp(-x * 2) + 1), 1),
            SPELLING(expm1(2 * x) / (expm1(2 * x) + 2), 1),
            SPELLING((sqr(exp(x)) - 1) / (sqr(exp(x)) + 1), 1),
            SPELLING((exp(x) * exp(x) - 1) / (exp(x) * exp(x) + 1), 1),
            SPELLING(1 - 2 / (exp(2 * x) + 1), 1),
            SPELLING(2 / (1 + exp(-2 * x)) - 1, 1),
            SPELLING(2 * sigmoid(2 * x) - 1, 1),
            SPELLING(1 - 2 * sigmoid(x), 1),
            SPELLING(3 / (1 + 2 * exp(-x)), 1e-3),
            SPELLING(0.25 / (3 + 0.5 * exp(x)), 1e-3),
            SPELLING(1 / (2 + exp(x)), 1e-3),
            SPELLING(1 / (2 + exp(-3 * x)), 1e-3, 60),
            SPELLING(1 / (0.001 + exp(x)), 1e-3),
            SPELLING(exp(x) / (exp(x) + 3), 1e-3),
            SPELLING(exp(-x) / (0.5 + exp(-x)), 1e-3),
            SPELLING(exp(x) / (2 * exp(x) + 3), 1e-3),
            SPELLING(2 * exp(x) / (3 + 4 * exp(x)), 1e-3),
            SPELLING(exp(x) / (exp(x) + exp(-x)), 1e-3),
            SPELLING(exp(x) / (exp(x) + exp(0.5 * x)), 1e-3),
            SPELLING(exp(x) / (3 * exp(x) + 2 * exp(0.5 * x)), 1e-3),
            SPELLING(1 / (exp(x) + exp(-x)), 1e-3),
            SPELLING(2 / (exp(x) + exp(-x)), 1e-3),
            SPELLING(exp(x) / (exp(2 * x) + 1), 1e-3),
            SPELLING(exp(x) / (1 + exp(x) + exp(-x)), 1),
            SPELLING(1 / (1 + exp(x) + exp(2 * x)), 1),
            SPELLING((2 * exp(x) - 3) / (exp(x) + 4), 1e-2),
            SPELLING((2 * exp(x) + 3) / (exp(x) + 4), 1e-3),
            SPELLING(exp(-x) / sqr(1 + exp(-x)), 1e-3),
            SPELLING(exp(-x) / sqr(1 + 2 * exp(-x)), 1e-3),
            SPELLING(sqr(1 / (1 + 2 * exp(-x))), 1e-3),
            SPELLING(sqrt(3 / (1 + 2 * exp(-x))), 1e-3, 80),
            SPELLING(pow(sigmoid(x), 0.3), 1e-3),
            SPELLING(pow(sigmoid(x), 2.5), 1e-3),
            SPELLING(x / (1 + exp(-x)), 1e-3),
            SPELLING(x / (1 + exp(-1.702 * x)), 1e-3, 100),
            SPELLING(x / (2 + 3 * exp(-x)), 1e-3),
            SPELLING(1 / (exp(x) - 1), 1e-3, 200, 0.5),
            SPELLING(x / (exp(x) - 1), 1e-2, 200, 0.5),
            SPELLING(x / (1 - exp(-x)), 1, 200, 0.5)};
}

std::vector<Spelling> logarithms() {
    return {SPELLING(log(2 + exp(x)), 1),
            SPELLING(log(1 + 2 * exp(x)), 1),
            SPELLING(log(1e-8 + exp(x)), 1),
            SPELLING(log(0.5 + 0.5 * exp(-x)), 1),
            SPELLING(log((1 + exp(x)) / 2), 1),
            SPELLING(log(2 - 2 * exp(-x * x - 0.5)), 1),
            SPELLING(log(3 - exp(-x * x)), 1),
            SPELLING(log1p(2 * exp(x)), 1),
            SPELLING(log1p(exp(x) / 3), 1),
            SPELLING(log(exp(x) + exp(-x)), 1),
            SPELLING(log((exp(x) + exp(-x)) / 2), 1),
            SPELLING(log(0.5 * exp(x) + 0.5 * exp(-x)), 1),
            SPELLING(log(1 + exp(x) + exp(2 * x)), 1),
            SPELLING(log(3 * exp(x) + 2), 1),
            SPELLING(log(3 / (1 + 2 * exp(-x))), 1),
            SPELLING(log(1 - 1 / (1 + 2 * exp(-x))), 1),
            SPELLING(log(exp(x) / (exp(x) + 3)), 1),
            SPELLING(log(1 / (2 + exp(x))), 1),
            SPELLING(log(1 - exp(x) / (exp(x) + 3)), 1),
            SPELLING(log(exp(x) / (1 + exp(x) + exp(-x))), 1),
            SPELLING(log(exp(exp(-x * x)) - 1), 1, 2),
            SPELLING(log(exp(sqr(x) + 0.5) - 1), 1)};
}

std::vector<Spelling> extreme_values() {
    return {SPELLING(exp(-exp(-x))),
            SPELLING(exp(-exp(x))),
            SPELLING(1 - exp(-exp(x))),
            SPELLING(1 - exp(-exp(-x))),
            SPELLING(exp(-exp(-x)) * exp(-x)),
            SPELLING(exp(-x - exp(-x))),
            SPELLING(exp(-x) * exp(-exp(-x))),
            SPELLING(exp(-(x + exp(-x)))),
            SPELLING(exp(-2 * exp(-x))),
            SPELLING(exp(-exp(-3 * x)), 0, 60),
            SPELLING(3 * exp(-0.5 * exp(-2 * x))),
            SPELLING(1 - exp(-2 * exp(x))),
            SPELLING(-expm1(-exp(x))),
            SPELLING(log(exp(-exp(-x))), 0, 20),
            SPELLING(log(1 - exp(-exp(x))), 1),
            SPELLING(log(1 - exp(-exp(-x))), 1),
            SPELLING(log1p(-exp(-exp(x))), 1),
            SPELLING(log(1 - exp(-2 * exp(x))), 1),
            SPELLING(log(-expm1(-exp(x))), 1),
            SPELLING(1 - exp(-exp(-exp(x))), 0, 4)};
}

// Four functions of x, as columns or as numbers.
constexpr double slopes[] = {1, -0.5, 0, 2}, offsets[] = {0, 1, 2, -1};
Expr columns(const Expr& x) {
    const auto row = [&](const double* v) {
        return cast(constant(Array(std::vector<double>(v, v + 4), {1, 4})), x.dtype());
    };
    return dimshuffle(x, {0, 'x'}) * row(slopes) + row(offsets);
}
std::vector<Jet> columns(const Jet& x) {
    std::vector<Jet> out;
    for (int k = 0; k < 4; ++k) out.push_back(x * slopes[k] + offsets[k]);
    return out;
}
Expr weights(const Expr& x, std::vector<double> w) {
    return cast(constant(Array(w, {1, 4})), x.dtype());
}
Jet weighted(const Jet& x, std::vector<double> w) {
    Jet sum = 0;
    const std::vector<Jet> m = columns(x);
    for (std::size_t k = 0; k < 4; ++k) sum = sum + w[k] * exp(m[k]);
    return sum;
}

std::vector<Spelling> sums_of_columns() {
    const std::vector<double> ones{1, 1, 1, 1}, some{0.5, 0, 2, 3}, hot{0, 1, 0, 0};
    const auto jet = [](std::vector<double> above, std::vector<double> below) {
        return [above, below](const Jet& x) {
            return log(weighted(x, above)) - log(weighted(x, below));
        };
    };
    const auto others = [](std::size_t k) {
        std::vector<double> w(4, 1);
        w[k] = 0;
        return w;
    };
    std::vector<Spelling> out;
    const auto add = [&](const char* text, std::function<Expr(const Expr&)> build,
                         std::function<Jet(const Jet&)> exact) {
        out.push_back({text, std::move(build), std::move(exact), 4});
    };
    add(
        "log(mean(exp(m), 1))", [](const Expr& x) { return log(mean(exp(columns(x)), 1)); },
        [=](const Jet& x) { return log(weighted(x, ones) / 4.0); });
    add(
        "log(sum(w * exp(m), 1))",
        [=](const Expr& x) { return log(sum(weights(x, some) * exp(columns(x)), 1)); },
        [=](const Jet& x) { return log(weighted(x, some)); });
    add(
        "log(mean(w * exp(m), 1))",
        [=](const Expr& x) { return log(mean(exp(columns(x)) * weights(x, some), 1)); },
        [=](const Jet& x) { return log(weighted(x, some) / 4.0); });
    add(
        "log(sum(one hot * softmax(m), 1))",
        [=](const Expr& x) { return log(sum(weights(x, hot) * softmax(columns(x)), 1)); },
        jet(hot, ones));
    add(
        "log(sum(one hot * exp(m) / sum(exp(m)), 1))",
        [=](const Expr& x) {
            const Expr e = exp(columns(x));
            return log(sum(weights(x, hot) * (e / sum(e, 1, true)), 1));
        },
        jet(hot, ones));
    add(
        "log(softmax(m)[:, 1:3].sum(1))",
        [=](const Expr& x) { return log(sum(softmax(columns(x))(all, slice(1, 3)), 1)); },
        jet({0, 1, 1, 0}, ones));
    add(
        "log(1 + sum(exp(m), 1))", [](const Expr& x) { return log(1 + sum(exp(columns(x)), 1)); },
        [=](const Jet& x) { return log(1.0 + weighted(x, ones)); });
    add(
        "log(exp(m) / (1 + sum(exp(m), 1)))",
        [](const Expr& x) {
            const Expr e = exp(columns(x));
            return log(e / (1 + sum(e, 1, true)))(all, 0);
        },
        [=](const Jet& x) { return x - log(1.0 + weighted(x, ones)); });
    for (const int k : {0, 1, 3}) {
        add(
            "log(1 - softmax(m))[:, k]",
            [k](const Expr& x) { return log(1 - softmax(columns(x)))(all, k); },
            jet(others(static_cast<std::size_t>(k)), ones));
        add(
            "log(1 - softmax(m)[:, k])",
            [k](const Expr& x) { return log(1 - softmax(columns(x))(all, k)); },
            jet(others(static_cast<std::size_t>(k)), ones));
    }
    return out;
}

std::vector<double> points(double most, double least) {
    std::vector<double> out;
    for (const double x :
         {1e-3,  0.1,   0.7,   1.0,   2.0,   3.0,   4.5,   6.0,   8.0,   9.5,  15.0,
          17.0,  18.5,  20.0,  25.0,  30.0,  37.0,  45.0,  60.0,  80.0,  89.0, 100.0,
          105.0, 150.0, 200.0, 400.0, 710.0, 720.0, 750.0, 800.0, 1000.0})
        if (x >= least && (x <= most || most >= 200))
            for (const double v : {x, -x}) out.push_back(v);
    return out;
}

struct Worst {
    double x = 0, got = 0, want = 0, factor = 0;
};

// The largest error as a multiple of what is allowed.
Worst compare(const Array& got, const std::vector<double>& x, const std::vector<test::Big>& want,
              double terms, DType t) {
    const double eps = t == DType::F32 ? 0x1p-24 : 0x1p-53;
    const double tiny = t == DType::F32 ? 0x1p-126 : 0x1p-1022;
    const double most = t == DType::F32 ? 3.3e38 : 1.7e308;
    Worst worst;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const test::Big size = abs(want[i]);
        if (size > most) continue;
        const double w = want[i].convert_to<double>(),
                     g = got.as_double(static_cast<std::int64_t>(i));
        // An exponent is rounded before it is raised.
        const double parts = std::fabs(x[i]) < 5 ? std::max(terms, 0.25) : terms;
        const double scale =
            std::max(std::fabs(w) * (8 + 4 * std::fabs(x[i])), (16 + std::fabs(x[i])) * parts);
        const double allowed = 4 * eps * scale + 4 * tiny;
        const double factor =
            std::isfinite(g) ? std::fabs(g - w) / allowed : std::numeric_limits<double>::infinity();
        if (factor > worst.factor) worst = {x[i], g, w, factor};
    }
    return worst;
}

void check(const std::vector<Spelling>& spellings) {
    for (const Spelling& s : spellings)
        for (const DType t : {DType::F32, DType::F64}) {
            std::vector<double> x;  // as the dtype has them
            for (double v : points(s.most, s.least))
                x.push_back(t == DType::F32 ? static_cast<float>(v) : v);
            std::vector<test::Big> want[3];
            for (const double v : x) {
                const Jet y = s.exact(Jet(v, 1, 0));
                want[0].push_back(y.v);
                want[1].push_back(y.d);
                want[2].push_back(y.dd);
            }
            for (const bool known : {true, false}) {
                const auto n = static_cast<std::int64_t>(x.size());
                const Expr z = known ? tensor(t, 1, "z", {n}) : tensor(t, 1, "z");
                const Expr y = s.build(z), g = grad(sum(y), z),
                           h = grad(sum(g), z, {.disconnected_inputs = Disconnected::zero});
                const auto got =
                    function({.inputs = {z},
                              .outputs = {y, g, h},
                              .on_unused_input = OnUnusedInput::ignore})(Array(x).astype(t));
                for (std::size_t k = 0; k < 3; ++k) {
                    const Worst w = compare(got[k], x, want[k], s.terms, t);
                    CHECK_MESSAGE(w.factor <= 1, std::string(s.text), " of ", std::string(name(t)),
                                  std::string(known ? "" : ", sizes known late"), ", derivative ",
                                  k, " at ", w.x, ": ", w.got, " instead of ", w.want, " (",
                                  w.factor, ")");
                }
            }
        }
}

}  // namespace

TEST_CASE("stable spellings: logistic curves and hyperbolic tangents") {
    check(logistic_curves());
}

TEST_CASE("stable spellings: logarithms of sums of exponentials") {
    check(logarithms());
}

TEST_CASE("stable spellings: extreme value distributions") {
    check(extreme_values());
}

TEST_CASE("stable spellings: weighted sums, means and what softmax leaves") {
    check(sums_of_columns());
}

TEST_CASE("stable spellings: of constants, stable forms are looked for before they are folded") {
    for (const DType t : {DType::F32, DType::F64}) {
        const auto number = [t](double v) { return cast(constant(Array(v)), t); };
        const Expr large = number(1000), small = number(-1000), x = tensor(t, 1, "x", {1});
        const std::vector<Expr> outputs{x + log(1 + exp(large)),
                                        x + log(sigmoid(small)),
                                        x + log(1 - sigmoid(large)),
                                        x + exp(large) / (1 + exp(large)),
                                        x + log(exp(large) + exp(small)),
                                        x + log(1 - tanh(large)) / 2,
                                        x + log(exp(small)),
                                        grad(sum(log(1 + exp(large * x))), x)};
        const double want[] = {1000, -1000, -1000, 1, 1000, std::log(2.0) / 2 - 1000, -1000, 500};
        const auto got = function({.inputs = {x}, .outputs = outputs})(zeros(t, {1}));
        for (std::size_t k = 0; k < outputs.size(); ++k)
            CHECK(got[k].as_double(0) == doctest::Approx(want[k]).epsilon(1e-6));
    }
}

// Optimisers beside their papers' formulas, written out in double loops.
#include <cmath>
#include <functional>

#include "tests/support.h"

#include <doctest/doctest.h>

using namespace arete;

namespace {

constexpr int steps = 7;
constexpr double rate = 0.05;

// The slope of a cost that is no square: 0.5 sum(w^2) + sum(cos(w)).
double slope(double w) {
    return w - std::sin(w);
}
Expr cost_of(const Expr& w) {
    return 0.5 * sum(sqr(w)) + sum(cos(w));
}

/// One element's way: w from step to step, of the gradient at w and the step's number from 1 on.
using Formula = std::function<void(double& w, double g, int t)>;

void follows(const char* name,
             const std::function<std::vector<Update>(const std::vector<Shared>&,
                                                     const std::vector<Expr>&)>& optimiser,
             const std::function<Formula()>& formula) {
    for (const DType t : {DType::F64, DType::F32}) {
        INFO(std::string(name), " of ", std::string(arete::name(t)));
        const std::vector<double> first{2, -0.7, 0, 5, 0.01};
        const Shared w = shared(Array(first).astype(t), "w"),
                     b = shared(Array(-1.5).astype(t), "b");
        const Expr cost = cost_of(w) + cost_of(b);
        const auto train =
            function({.outputs = {cost}, .updates = optimiser({w, b}, grad(cost, {w, b}))});
        for (int k = 0; k < steps; ++k) train();
        const double tolerance = t == DType::F64 ? 1e-13 : 2e-5;
        const auto expected = [&](double v) {
            const Formula step = formula();
            for (int k = 1; k <= steps; ++k) step(v, slope(v), k);
            return v;
        };
        for (std::size_t i = 0; i < first.size(); ++i) {
            const double want = expected(first[i]);
            CHECK(std::fabs(w.get_value().as_double(static_cast<std::int64_t>(i)) - want) <=
                  tolerance * (1 + std::fabs(want)));
        }
        CHECK(std::fabs(b.get_value().as_double() - expected(-1.5)) <= 3 * tolerance);
    }
}

using Params = const std::vector<Shared>&;
using Gradients = const std::vector<Expr>&;

}  // namespace

TEST_CASE("optimisers: each follows its paper") {
    follows(
        "sgd", [](Params p, Gradients g) { return sgd(p, g, rate); },
        [] { return [](double& w, double g, int) { w -= rate * g; }; });
    follows(
        "momentum", [](Params p, Gradients g) { return sgd_momentum(p, g, rate); },
        [] {
            return [v = 0.0](double& w, double g, int) mutable {
                v = 0.9 * v - rate * g;
                w += v;
            };
        });
    follows(
        "nesterov",
        [](Params p, Gradients g) {
            return sgd_momentum(p, g, rate, {.momentum = 0.8, .nesterov = true});
        },
        [] {
            return [v = 0.0](double& w, double g, int) mutable {
                v = 0.8 * v - rate * g;
                w += 0.8 * v - rate * g;
            };
        });
    follows(
        "adagrad", [](Params p, Gradients g) { return adagrad(p, g, rate); },
        [] {
            return [s = 0.0](double& w, double g, int) mutable {
                s += g * g;
                w -= rate * g / (std::sqrt(s) + 1e-10);
            };
        });
    follows(
        "rmsprop", [](Params p, Gradients g) { return rmsprop(p, g, rate); },
        [] {
            return [m = 0.0](double& w, double g, int) mutable {
                m = 0.9 * m + 0.1 * g * g;
                w -= rate * g / (std::sqrt(m) + 1e-8);
            };
        });
    follows(
        "adadelta", [](Params p, Gradients g) { return adadelta(p, g); },
        [] {
            return [m = 0.0, s = 0.0](double& w, double g, int) mutable {
                m = 0.95 * m + 0.05 * g * g;
                const double d = g * std::sqrt(s + 1e-6) / std::sqrt(m + 1e-6);
                s = 0.95 * s + 0.05 * d * d;
                w -= d;
            };
        });
    const auto adam_of = [](double decay) {
        return [decay] {
            return [decay, m = 0.0, v = 0.0](double& w, double g, int t) mutable {
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                const double mean = m / (1 - std::pow(0.9, t)),
                             square = v / (1 - std::pow(0.999, t));
                w = w - rate * decay * w - rate * mean / (std::sqrt(square) + 1e-8);
            };
        };
    };
    follows(
        "adam", [](Params p, Gradients g) { return adam(p, g, rate); }, adam_of(0));
    follows(
        "adamw", [](Params p, Gradients g) { return adamw(p, g, rate, {.weight_decay = 0.1}); },
        adam_of(0.1));
}

TEST_CASE("optimisers: a rate may be an input, and gradients are clipped together") {
    const Shared w = shared(Array(std::vector<double>{3, 4}), "w"), b = shared(Array(12.0), "b");
    const auto eta = scalar<double>("eta");
    const Expr cost = 0.5 * sum(sqr(w)) + 0.5 * sqr(b);  // whose gradient has norm 13
    const auto g = clip_by_global_norm(grad(cost, {w, b}), 6.5);
    const auto train = function({.inputs = {eta}, .outputs = g, .updates = sgd({w, b}, g, eta)});
    const auto got = train(2.0);
    CHECK(got[0].str() == "f64[2] {1.5, 2}");
    CHECK(got[1].str() == "f64[] {6}");
    CHECK(w.get_value().str() == "f64[2] {0, 0}");
    CHECK(b.get_value().str() == "f64[] {0}");
    // Of norm 0 and below the bound they are as they were.
    CHECK(train(2.0)[0].str() == "f64[2] {0, 0}");
    const auto x = vector<double>("x");
    const auto clipped = function({.inputs = {x}, .outputs = {clip_by_norm(x, 10)}});
    CHECK(clipped(std::vector<double>{3, 4})[0].str() == "f64[2] {3, 4}");
    CHECK(clipped(std::vector<double>{30, 40})[0].str() == "f64[2] {6, 8}");
}

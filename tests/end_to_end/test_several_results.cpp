// Ops with several results: by a lowering that says which one it makes, and by a definition of
// each.
#include <cmath>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/ops/op.h"
#include "tests/support.h"

using namespace arete;

namespace {

std::vector<TensorType> infer_twice(const InferArgs& a) {
    return {a.type(0), a.type(0)};
}

constinit const OpDef sum_and_product_op{
    .info = {.name = "sum_and_product"},
    .doc = "a + b and a * b of one shape",
    .arity = 2,
    .infer = infer_twice,
    .lower =
        [](Lowering& l, std::span<const loops::Index> at) {
            const loops::Value a = l.load(0, at), b = l.load(1, at);
            return l.output == 0 ? a + b : a * b;
        },
    .pullback =
        [](const PullbackArgs& a) {
            std::vector<Expr> g(2);
            const auto add = [](Expr& to, const Expr& e) { to = to.empty() ? e : to + e; };
            if (!a.g[0].empty()) add(g[0], a.g[0]), add(g[1], a.g[0]);
            if (!a.g[1].empty()) add(g[0], a.g[1] * a.x[1]), add(g[1], a.g[1] * a.x[0]);
            return g;
        },
    .samples = nullptr};

constinit const OpDef exp_and_double_op{
    .info = {.name = "exp_and_double"},
    .doc = "exp(x) and 2 x",
    .infer = infer_twice,
    .expand =
        [](const Node& n) {
            return std::vector<Expr>{exp(n.inputs[0]), n.inputs[0] * 2};
        },
    .samples = nullptr};

}  // namespace

TEST_CASE("several results: each is what its own lowering makes, in one kernel") {
    const Expr a = vector<double>("a", {5}), b = vector<double>("b", {5});
    const std::vector<Expr> both = apply_all(sum_and_product_op, {a, b}, {}, {});
    const Array av(std::vector<double>{1, 2, 3, 0, -1}), bv(std::vector<double>{4, -5, 6, 7, 0.5});
    for (Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
        CAPTURE(static_cast<int>(mode));
        const Function f = function({.inputs = {a, b}, .outputs = both, .mode = mode});
        const std::vector<Array> got = f(av, bv);
        for (std::int64_t i = 0; i < 5; ++i) {
            CHECK(got[0].as_double(i) == av.as_double(i) + bv.as_double(i));
            CHECK(got[1].as_double(i) == av.as_double(i) * bv.as_double(i));
        }
        if (mode == Mode::fast_run) CHECK(f.stats().kernels == 1);
    }
    // Only the second is read, and derived.
    const Expr cost = sum(both[1] * both[0]);
    const std::vector<Expr> g = grad(cost, {a, b});
    const std::vector<Array> got = function({.inputs = {a, b}, .outputs = g})(av, bv);
    for (std::int64_t i = 0; i < 5; ++i) {
        const double x = av.as_double(i), y = bv.as_double(i);
        CHECK(got[0].as_double(i) == doctest::Approx(2 * x * y + y * y));
        CHECK(got[1].as_double(i) == doctest::Approx(2 * x * y + x * x));
    }
}

TEST_CASE("several results: a definition gives all of them") {
    const Expr x = vector<double>("x");
    const std::vector<Expr> both = apply_all(exp_and_double_op, {x}, {}, {});
    const Array v(std::vector<double>{0, 1, -2});
    for (Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
        const std::vector<Array> got =
            function({.inputs = {x}, .outputs = {both[1], both[0]}, .mode = mode})(v);
        for (std::int64_t i = 0; i < 3; ++i) {
            CHECK(got[0].as_double(i) == 2 * v.as_double(i));
            CHECK(got[1].as_double(i) == doctest::Approx(std::exp(v.as_double(i))));
        }
    }
}

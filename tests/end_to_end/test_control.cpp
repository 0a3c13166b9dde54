// Branches, calls of the host, graphs as ops, and derivatives of more than scalars.
#include <atomic>
#include <cmath>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/end_to_end/all_modes.h"

using namespace arete;
using test::check_all;
using test::difference;
using test::f64;
using test::message_of;

namespace {

// Counts how often it runs.
HostFunction counted(std::atomic<int>& calls) {
    return {"counted", [](const std::vector<TensorType>& t) { return t; },
            [&calls](std::span<const Array> x, std::span<Array> y) {
                ++calls;
                std::copy_n(x[0].data<double>(), x[0].size(), y[0].data<double>());
            },
            [](const auto&, const auto&, const std::vector<Expr>& g) { return g; }};
}

}  // namespace

TEST_CASE("ifelse: only the chosen side is computed") {
    std::atomic<int> yes{0}, no{0}, both{0};
    const Expr x = vector<double>("x"), c = scalar<double>("c");
    const Expr common = call(counted(both), {x * 2})[0];
    const Expr y =
        ifelse(c > 0, call(counted(yes), {common + 1})[0] * 3, call(counted(no), {common - 1})[0]);
    const Function f = function({.inputs = {x, c}, .outputs = {y}});
    CHECK(f(f64({1, 2}), 1.0)[0].equals(f64({9, 15})));
    CHECK(yes == 1);
    CHECK(no == 0);
    CHECK(f(f64({1, 2}), -1.0)[0].equals(f64({1, 3})));
    CHECK(f(f64({1, 2}), std::nan(""))[0].equals(f64({1, 3})));
    CHECK(yes == 1);
    CHECK(no == 2);
    CHECK(both == 3);
}

TEST_CASE("ifelse: values and gradients in all modes, of several values and in chains") {
    const Expr x = vector<double>("x"), c = scalar<double>("c");
    const auto both = ifelse(c > 0, std::vector<Operand>{x * x, sum(x)},
                             std::vector<Operand>{tanh(x), sum(x) * 2});
    const Expr cost = sum(both[0]) * both[1];
    const double t1 = std::tanh(1.0), t2 = std::tanh(2.0);
    check_all({x, c}, {both[0], both[1], grad(cost, x)}, {f64({1, 2}), Array(1.0)},
              {f64({1, 4}), Array(3.0), f64({2 * 3 + 5, 4 * 3 + 5})});
    check_all({x, c}, {both[0], both[1], grad(cost, x)}, {f64({1, 2}), Array(0.0)},
              {f64({t1, t2}), Array(6.0),
               f64({(1 - t1 * t1) * 6 + 2 * (t1 + t2), (1 - t2 * t2) * 6 + 2 * (t1 + t2)})});
    // A chain of choices stays linear in its length.
    Expr e = x;
    for (int k = 0; k < 30; ++k) e = ifelse(c > static_cast<double>(k), e * 2, e + 1);
    check_all({x, c}, {e, grad(sum(e), x)}, {f64({1}), Array(2.5)}, {f64({8 + 27}), f64({8})});
    // The same value on both sides, a constant, an input.
    check_all({x, c}, {ifelse(c > 0, x, x), ifelse(c > 0, x, zeros_like(x)), ifelse(c, 1.0, 2.0)},
              {f64({3}), Array(-1.0)}, {f64({3}), f64({0}), Array(1.0f)});
    // A side whose gradient is infinite sends nothing where it is not chosen.
    check_all({x}, {grad(ifelse(x(0) > 0, sum(sqrt(x)), sum(x) * 0), x)}, {f64({0, 1})},
              {f64({0, 0})});
}

TEST_CASE("ifelse: in loops, and loops in branches") {
    const Expr x = vector<double>("x"), c = scalar<double>("c");
    const auto each = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return ifelse(a[0] > c, a[0] * a[0], -a[0]);
        },
        {x});
    check_all({x, c}, {each[0], grad(sum(each[0]), x)}, {f64({1, 2, 3}), Array(1.5)},
              {f64({-1, 4, 9}), f64({-1, 4, 6})});
    const Expr running = foldl([](const std::vector<Expr>& a) -> StepResult { return a[0] * a[1]; },
                               {x}, {ones_like(x(0))})[0];
    const Expr choice = ifelse(c > 0, running, sum(x));
    check_all({x, c}, {choice, grad(choice, x)}, {f64({1, 2, 4}), Array(1.5)},
              {Array(8.0), f64({8, 4, 2})});
}

TEST_CASE("ifelse: errors") {
    const Expr x = vector<float>("x", {3}), c = scalar<float>("c");
    CHECK(message_of([&] { ifelse(x > 0, x, x); }).find("must be a scalar") != std::string::npos);
    CHECK(message_of([&] { ifelse(c, x, sum(x)); }).find("one shape") != std::string::npos);
    CHECK(message_of([&] {
              ifelse(c, std::vector<Operand>{x}, std::vector<Operand>{});
          }).find("at least one") != std::string::npos);
    const Expr a = vector<float>("a"), b = vector<float>("b");
    const Function f = function({.inputs = {a, b, c}, .outputs = {ifelse(c, a, b)}});
    CHECK_THROWS_AS(f(zeros<float>({2}), zeros<float>({3}), 1.0f), GraphError);
}

TEST_CASE("call: what a function of the host throws names the line, and nothing has changed") {
    const auto s = shared(Array(1.0), "s");
    const Expr x = vector<double>("x");
    HostFunction checked{"checked",
                         [](const std::vector<TensorType>& t) { return t; },
                         [](std::span<const Array> in, std::span<Array> out) {
                             if (in[0].as_double(0) < 0) throw std::runtime_error("it is negative");
                             std::copy_n(in[0].data<double>(), in[0].size(), out[0].data<double>());
                         },
                         {}};
    const int line = __LINE__ + 1;
    const Expr y = call(checked, {x})[0];
    for (Mode mode : {Mode::fast_run, Mode::interpret}) {
        const Function f =
            function({.inputs = {x}, .outputs = {y}, .updates = {{s, s + 1}}, .mode = mode});
        const double before = s.get_value().item<double>();
        const std::string text = message_of([&] { f(f64({-1})); });
        CHECK(text.find(fmt::format("test_control.cpp:{}: checked: it is negative", line)) !=
              std::string::npos);
        CHECK_THROWS_AS(f(f64({-1})), CallError);
        CHECK(s.get_value().item<double>() == before);
        CHECK(f(f64({2}))[0].equals(f64({2})));
        CHECK(s.get_value().item<double>() == before + 1);
    }
    CHECK(message_of([&] { grad(sum(y), x); }).find("checked has no gradient") !=
          std::string::npos);
    // In a loop it runs in each step.
    std::atomic<int> calls{0};
    const auto rows = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return call(counted(calls), {reshape(a[0], {1})})[0] * 2;
        },
        {x});
    CHECK(function({.inputs = {x}, .outputs = rows})(f64({1, 2, 3}))[0].equals(
        f64({2, 4, 6}, {3, 1})));
    CHECK(calls == 3);
}

TEST_CASE("op from graph: inlined, or with a gradient of its own") {
    const Expr x = vector<double>("x"), y = vector<double>("y"), a = vector<double>("a", {3});
    const auto w = shared(Array(2.0), "w");
    const OpFromGraph plain({x, y}, {x * y + w, x - y});
    const auto r = plain({a, a + 1});
    check_all({a}, {r[0], r[1], grad(sum(r[0]), a)}, {f64({1, 2, 3})},
              {f64({4, 8, 14}), f64({-1, -1, -1}), f64({3, 5, 7})});
    // Straight through a rounding.
    const OpFromGraph rounded(
        {x}, {round(x) * w},
        [](const auto&, const auto& out, const auto& g) {
            REQUIRE(out.size() == 1);
            return std::vector<Expr>{g[0] * 10};
        },
        "rounded");
    const Expr z = rounded({a * 0.6})[0];
    check_all({a}, {z, grad(sum(z * z), a)}, {f64({1, 2, 3})},
              {f64({2, 2, 4}), f64({2 * 2 * 10 * 0.6, 24, 48})});
    CHECK(message_of([&] { plain({a}); }).find("1 arguments for 2") != std::string::npos);
    CHECK(message_of([&] { plain({a, sum(a)}); }).find("argument 2") != std::string::npos);
    const OpFromGraph wrong({x}, {x}, [](const auto&, const auto&, const auto& g) {
        return std::vector<Expr>{sum(g[0])};
    });
    CHECK(message_of([&] { grad(sum(wrong({a})[0]), a); }).find("the input is f64[3]") !=
          std::string::npos);
}

TEST_CASE("derivatives: Rop, Jacobian and Hessian") {
    const Expr x = vector<double>("x"), v = vector<double>("v"), m = matrix<double>("m");
    const Expr f = dot(m, x * x) * x(0);
    // f_i = x0 sum_j m_ij x_j^2
    const Array mv = f64({1, 2, 3, 4}, {2, 2}), xv = f64({2, 3}), vv = f64({1, -1});
    const double s0 = 1 * 4 + 2 * 9, s1 = 3 * 4 + 4 * 9;
    const Array j =
        f64({s0 + 2 * 1 * 2 * 2, 2 * 2 * 2 * 3, s1 + 2 * 3 * 2 * 2, 2 * 4 * 2 * 3}, {2, 2});
    const Array rop = f64({j.as_double(0) - j.as_double(1), j.as_double(2) - j.as_double(3)});
    check_all({x, v, m}, {jacobian(f, x), Rop(f, {x}, {v})}, {xv, vv, mv}, {j, rop}, 1e-10);
    const Expr cost = x(0) * x(0) * x(1) + sum(exp(x));
    check_all({x}, {hessian(cost, x)}, {xv},
              {f64({2 * 3 + std::exp(2.0), 4, 4, std::exp(3.0)}, {2, 2})}, 1e-10);
    // A Hessian of what is linear is zeros; a Jacobian of a scalar is its gradient.
    check_all({x}, {hessian(sum(x * 2), x), jacobian(sum(x * x), x)}, {xv},
              {f64({0, 0, 0, 0}, {2, 2}), f64({4, 6})});
    check_all({x}, {hessian(sum(x * x * x), x)}, {Array(DType::F64, {0})},
              {Array(DType::F64, {0, 0})});
    CHECK(message_of([&] { Rop(f, {x}, {}); }).find("0 directions") != std::string::npos);
    CHECK(message_of([&] { jacobian(m, m); }).find("must be a vector") != std::string::npos);
    CHECK(message_of([&] { hessian(sum(m), m); }).find("by vectors") != std::string::npos);
}

TEST_CASE("linear algebra: what LAPACK cannot factorise is an error, corners") {
    const Expr a = matrix<double>("a"), b = vector<double>("b");
    const auto run = [&](const Expr& e, const Array& x) {
        return function({.inputs = {a}, .outputs = {e}})(x)[0];
    };
    CHECK(message_of([&] {
              run(cholesky(a), f64({1, 2, 2, 1}, {2, 2}));
          }).find("not positive definite") != std::string::npos);
    CHECK(message_of([&] {
              run(matrix_inverse(a), f64({1, 2, 2, 4}, {2, 2}));
          }).find("singular") != std::string::npos);
    CHECK(run(det(a), f64({1, 2, 2, 4}, {2, 2})).item<double>() == 0);
    CHECK(run(det(a), Array(DType::F64, {0, 0})).item<double>() == 1);
    // The gradient of a determinant is its cofactors, also where there is no inverse.
    CHECK(difference(run(grad(det(a), a), f64({1, 2, 2, 4}, {2, 2})), f64({4, -2, -2, 1}, {2, 2})) <
          1e-12);
    CHECK(difference(run(grad(det(a), a), zeros<double>({2, 2})), zeros<double>({2, 2})) < 1e-12);
    CHECK(run(slogdet(a).logdet, f64({1, 2, 2, 4}, {2, 2})).item<double>() == -INFINITY);
    CHECK(run(slogdet(a).sign, f64({0, 1, 1, 0}, {2, 2})).item<double>() == -1);
    CHECK(std::isnan(run(eigh(a).w, f64({1, NAN, NAN, 1}, {2, 2})).as_double(0)));
    // Only the lower triangle counts.
    CHECK(difference(run(cholesky(a), f64({4, 99, 2, 5}, {2, 2})), f64({2, 0, 1, 2}, {2, 2})) <
          1e-12);
    CHECK_THROWS_AS(run(det(a), zeros<double>({2, 3})), GraphError);
    CHECK_THROWS_AS(solve(matrix<double>("s", {3, 3}), vector<double>("r", {2})), GraphError);
    // Decompositions multiply to what they are made of.
    const Expr m = matrix<double>("m", {4, 3});
    const Svd s = svd(m);
    const Qr d = qr(m);
    Generator random(2);
    const Array x = random.normal({4, 3}, 0, 1).astype(DType::F64);
    const std::vector<Array> r = function(
        {.inputs = {m}, .outputs = {dot(s.u * s.s, s.vt), dot(d.q, d.r), dot(d.q.T(), d.q)}})(x);
    CHECK(difference(r[0], x) < 1e-12);
    CHECK(difference(r[1], x) < 1e-12);
    CHECK(difference(r[2], f64({1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3})) < 1e-12);
}

TEST_CASE("linear algebra: the gradient of qr of sizes that are known when it is called") {
    // q r is the matrix itself, whatever its shape; of the factors by themselves what known sizes
    // give.
    const auto x = matrix<double>("x");
    const auto gradients = [](const Expr& m) {
        const Qr d = qr(m);
        return std::vector<Expr>{grad(sum(sqr(dot(d.q, d.r))), m),
                                 grad(sum(exp(d.r) * 0.1) + sum(d.q * d.q * d.q), m)};
    };
    const std::vector<Expr> late = gradients(x);
    for (const Sizes& sizes : {Sizes{4, 2}, Sizes{2, 4}, Sizes{3, 3}, Sizes{1, 3}, Sizes{3, 1}}) {
        CAPTURE(sizes[0]);
        CAPTURE(sizes[1]);
        const Array value = Generator(7).uniform(sizes, 0.5, 2).astype(DType::F64);
        const auto known = matrix<double>("known", {sizes[0], sizes[1]});
        const std::vector<Array> want = function({.inputs = {known}, .outputs = gradients(known)})
                                            .call(std::vector<Array>{value});
        Array twice = value.copy();
        for (std::int64_t k = 0; k < twice.size(); ++k) twice.data<double>()[k] *= 2;
        check_all({x}, late, {value}, {twice, want[1]}, 1e-9);
    }
}

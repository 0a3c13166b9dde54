// Loops: Theano's textbook uses of scan against values computed by hand, in every mode; gradients
// against differences and against the unrolled graph.
#include <cmath>
#include <cstdio>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "tests/end_to_end/all_modes.h"

using namespace arete;
using test::check_all;
using test::f64;

namespace {

ScanOptions steps_of(ScanFunction fn, std::vector<Sequence> sequences,
                     std::vector<OutputInfo> outputs_info) {
    ScanOptions o;
    o.fn = std::move(fn);
    o.sequences = std::move(sequences);
    o.outputs_info = std::move(outputs_info);
    return o;
}

}  // namespace

TEST_CASE("scan: powers, with a number of steps known at the call") {
    const auto a = vector<double>("A");
    const auto k = scalar<std::int64_t>("k");
    ScanOptions o = steps_of([&](const std::vector<Expr>& x) -> StepResult { return x[0] * a; }, {},
                             {ones_like(a)});
    o.n_steps = k;
    const Expr powers = scan(o).outputs[0];
    for (std::int64_t n : {0, 1, 2, 5}) {
        std::vector<double> want, slope(3, 0);
        const double base[] = {0, 1, 3};
        for (std::int64_t i = 1; i <= n; ++i)
            for (std::size_t j = 0; j < 3; ++j) {
                want.push_back(std::pow(base[j], static_cast<double>(i)));
                slope[j] += static_cast<double>(i) * std::pow(base[j], static_cast<double>(i - 1));
            }
        check_all({a, k}, {powers, grad(sum(powers), a)}, {f64({0, 1, 3}), Array(n)},
                  {f64(want, {n, 3}), f64(slope)});
    }
}

TEST_CASE("scan: a polynomial is a map over its coefficients and exponents") {
    const Expr c = vector<double>("c"), x = scalar<double>("x");
    const auto terms = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return a[0] * pow(x, cast(a[1], DType::F64));
        },
        {c, arange(c.shape(0))});
    const Expr value = sum(terms[0]);
    check_all({c, x}, {value, grad(value, x), grad(grad(value, x), x)},
              {f64({1, 0, 2, 3}), Array(3.0)},
              {Array(1 + 18.0 + 81), Array(12.0 + 81), Array(4.0 + 54)}, 1e-10);
}

TEST_CASE("scan: accumulation over rows, forwards and backwards") {
    const auto x = matrix<double>("x");
    const ScanFunction add = [](const std::vector<Expr>& a) -> StepResult { return a[0] + a[1]; };
    ScanOptions forward = steps_of(add, {x}, {zeros_like(x(0))}), backward = forward;
    backward.go_backwards = true;
    check_all({x},
              {scan(forward).outputs[0], scan(backward).outputs[0],
               foldl(add, {x}, {zeros_like(x(0))})[0], foldr(add, {x}, {zeros_like(x(0))})[0]},
              {f64({1, 2, 3, 4, 5, 6}, {3, 2})},
              {f64({1, 2, 4, 6, 9, 12}, {3, 2}), f64({5, 6, 8, 10, 9, 12}, {3, 2}), f64({9, 12}),
               f64({9, 12})});
    // Of no rows there are none, and a fold is where it began.
    check_all({x}, {scan(forward).outputs[0], foldl(add, {x}, {constant(f64({7, 8}))})[0]},
              {Array(DType::F64, {0, 2})}, {Array(DType::F64, {0, 2}), f64({7, 8})});
}

TEST_CASE("scan: taps of sequences and outputs") {
    const auto x = vector<double>("x");
    // y[t] = x[t-1] + 10 x[t+1] + 2 y[t-1] + y[t-2]
    const ScanOptions o = steps_of(
        [](const std::vector<Expr>& a) -> StepResult { return a[0] + a[1] * 10 + a[2] + a[3] * 2; },
        {Sequence(x, {-1, 1})}, {OutputInfo(constant(f64({1, 2})), {-2, -1})});
    const Expr y = scan(o).outputs[0];
    const std::vector<double> in{1, 2, 3, 4, 5};
    std::vector<double> want{1, 2};
    for (std::size_t t = 1; t + 1 < in.size(); ++t)
        want.push_back(in[t - 1] + 10 * in[t + 1] + want[want.size() - 2] + 2 * want.back());
    want.erase(want.begin(), want.begin() + 2);
    check_all({x}, {y}, {f64(in)}, {f64(want)});
    CHECK(verify_grad(
              [&](const std::vector<Expr>& v) {
                  ScanOptions p = o;
                  p.sequences = {Sequence(v[0], {-1, 1})};
                  p.outputs_info = {OutputInfo(v[1], {-2, -1})};
                  return scan(p).outputs[0];
              },
              {f64(in), f64({1, 2})}) < 1e-5);
}

TEST_CASE("scan: until ends the loop, and rows repeat the last one") {
    const auto limit = scalar<double>("limit");
    ScanOptions o = steps_of(
        [&](const std::vector<Expr>& a) -> StepResult {
            const Expr next = a[0] * 2;
            return {{next, next + 1}, {}, next > limit};
        },
        {}, {OutputInfo(constant(Array(1.0))), none});
    o.n_steps = 6;
    const ScanResult r = scan(o);
    check_all({limit}, {r.outputs[0], r.outputs[1], r.steps, r.outputs[0](-1), r.outputs[1](-1)},
              {Array(5.0)},
              {f64({2, 4, 8, 8, 8, 8}), f64({3, 5, 9, 9, 9, 9}), Array(std::int64_t{3}), Array(8.0),
               Array(9.0)});
    // The condition never holds.
    check_all({limit}, {r.outputs[0](-1), r.steps}, {Array(1e9)},
              {Array(64.0), Array(std::int64_t{6})});
    // It holds at once, and where it is NaN it does not.
    check_all({limit}, {r.outputs[0](-1), r.steps}, {Array(-1.0)},
              {Array(2.0), Array(std::int64_t{1})});
    check_all({limit}, {r.steps}, {Array(std::nan(""))}, {Array(std::int64_t{6})});
}

TEST_CASE("scan: gradients through a loop that ends by a condition") {
    const auto x = scalar<double>("x");
    ScanOptions o = steps_of(
        [&](const std::vector<Expr>& a) -> StepResult {
            const Expr next = a[0] * x;
            return {{next, next * next}, {}, next > 20};
        },
        {}, {OutputInfo(ones_like(x)), none});
    o.n_steps = 10;
    const ScanResult r = scan(o);
    // x = 3: 3, 9, 27, 27, ...: x^3 from then on.
    const Expr last = r.outputs[0](-1);
    check_all({x}, {grad(last, x), grad(sum(r.outputs[0]), x), grad(sum(r.outputs[1]), x)},
              {Array(3.0)},
              {Array(27.0), Array(1 + 6 + 8 * 27.0), Array(6 + 4 * 27.0 + 8 * 6 * 243.0)}, 1e-10);
}

TEST_CASE("scan: shared variables change from step to step, and draws are new in each") {
    const auto total = shared(Array(1.0), "total");
    RandomStream rng(7);
    ScanOptions o;
    o.n_steps = 4;
    o.fn = [&](const std::vector<Expr>&) -> StepResult {
        return {{rng.uniform({2}), total + 0}, {{total, total * 2}}, {}};
    };
    const ScanResult r = scan(o);
    const Function f = function({.outputs = r.outputs, .updates = r.updates});
    std::vector<float> seen;
    for (int call = 0; call < 3; ++call) {
        const std::vector<Array> got = f();
        for (float v : got[0].values<float>()) {
            CHECK(std::find(seen.begin(), seen.end(), v) == seen.end());
            seen.push_back(v);
        }
        const double first = std::pow(16.0, call);
        CHECK(got[1].equals(f64({first, 2 * first, 4 * first, 8 * first})));
    }
    CHECK(total.get_value().item<double>() == 4096);
    // A draw outside of the loop is one number for all steps.
    const Expr once = rng.uniform({});
    const auto same_draw =
        map([&](const std::vector<Expr>& a) -> StepResult { return a[0] * 0 + once; },
            {constant(Array(std::vector<float>{1, 2, 3}))});
    const Array all = function({.outputs = same_draw})()[0];
    CHECK(all.as_double(0) == all.as_double(2));
}

TEST_CASE("scan: Gibbs sampling of a Boltzmann machine repeats by seed and differs by call") {
    const Expr w = matrix<float>("w"), v0 = vector<float>("v0");
    const auto chain = [&](RandomStream& rng) {
        ScanOptions o = steps_of(
            [&](const std::vector<Expr>& a) -> StepResult {
                const auto flip = [&](const Expr& p) {
                    return cast(rng.uniform(p.shape()) < p, DType::F32);
                };
                const Expr h = flip(sigmoid(dot(a[0], w)));
                return flip(sigmoid(dot(h, w.T())));
            },
            {}, {v0});
        o.n_steps = 5;
        return scan(o).outputs[0];
    };
    RandomStream one(3), again(3);
    const Function f = function({.inputs = {w, v0}, .outputs = {chain(one)}}),
                   g = function(
                       {.inputs = {w, v0}, .outputs = {chain(again)}, .mode = Mode::interpret});
    const Array weights(std::vector<float>(16 * 8, 0.1f), {16, 8});
    const Array start(std::vector<float>(16, 1.0f), {16});
    const Array a = f(weights, start)[0], b = f(weights, start)[0];
    CHECK(!a.equals(b));
    CHECK(g(weights, start)[0].equals(a));
    CHECK(g(weights, start)[0].equals(b));
}

TEST_CASE("scan: loops in loops") {
    const auto x = matrix<double>("x");
    // Of each row the running products; then the sum of those over rows.
    const auto rows = map(
        [](const std::vector<Expr>& row) -> StepResult {
            return scan(steps_of(
                            [](const std::vector<Expr>& a) -> StepResult { return a[0] * a[1]; },
                            {row[0]}, {ones_like(row[0](0))}))
                .outputs[0];
        },
        {x});
    check_all({x}, {rows[0], grad(sum(rows[0]), x)}, {f64({1, 2, 3, 4, 5, 6}, {2, 3})},
              {f64({1, 2, 6, 4, 20, 120}, {2, 3}),
               f64({1 + 2 + 6, 1 + 3, 2, 1 + 5 + 30, 4 + 24, 20}, {2, 3})});
}

TEST_CASE("scan: a Jacobian row by row, and a Hessian") {
    const auto x = vector<double>("x");
    const Expr y = x * x * x(0);
    const auto jacobian =
        map([&](const std::vector<Expr>& i) -> StepResult { return grad(y(i[0]), x); },
            {arange(y.shape(0))});
    check_all({x}, {jacobian[0]}, {f64({2, 3, 5})}, {f64({12, 0, 0, 9, 12, 0, 25, 0, 20}, {3, 3})});
}

TEST_CASE("scan: a recurrent net is its unrolled graph, gradients to second order") {
    const std::int64_t steps = 4, in = 3, out = 2, batch = 2;
    const Expr x = tensor3<double>("x", {steps, batch, in}), w = matrix<double>("w", {in, out}),
               u = matrix<double>("u", {out, out}), b = vector<double>("b", {out}),
               h0 = matrix<double>("h0", {batch, out});
    const auto step = [&](const Expr& row, const Expr& h) {
        return tanh(dot(row, w) + dot(h, u) + b);
    };
    const Expr looped =
        scan(steps_of([&](const std::vector<Expr>& a) -> StepResult { return step(a[0], a[1]); },
                      {x}, {h0}))
            .outputs[0];
    std::vector<Operand> rows;
    Expr h = h0;
    for (std::int64_t t = 0; t < steps; ++t) rows.emplace_back(h = step(x(t), h));
    const Expr unrolled = stack(rows);
    const std::vector<Expr> wrt{x, w, u, b, h0};
    const auto derivatives = [&](const Expr& y) {
        std::vector<Expr> out{y};
        const std::vector<Expr> g = grad(sum(sqr(y)), wrt);
        out.insert(out.end(), g.begin(), g.end());
        Expr all = sum(sqr(g[0]));
        for (std::size_t k = 1; k < g.size(); ++k) all = all + sum(sqr(g[k]));
        const std::vector<Expr> second = grad(all, wrt);
        out.insert(out.end(), second.begin(), second.end());
        return out;
    };
    Generator random(5);
    std::vector<Array> values;
    for (const Expr& e : wrt)
        values.push_back(random.normal(concrete(e.shape()), 0, 0.7).astype(DType::F64));
    const std::vector<Array> want =
        function({.inputs = wrt, .outputs = derivatives(unrolled)}).call(values);
    check_all(wrt, derivatives(looped), values, want, 1e-9);
    // The last value alone, which keeps no history.
    const Expr last = looped(-1), plain = unrolled(-1);
    check_all(wrt, {last, grad(sum(sqr(last)), u)}, values,
              function({.inputs = wrt, .outputs = {plain, grad(sum(sqr(plain)), u)}}).call(values),
              1e-9);
}

TEST_CASE("scan: truncated gradients go back so many steps") {
    const Expr x = vector<double>("x"), h0 = scalar<double>("h0");
    ScanOptions o = steps_of(
        [](const std::vector<Expr>& a) -> StepResult { return a[1] * 2 + a[0]; }, {x}, {h0});
    o.truncate_gradient = 2;
    const Expr last = scan(o).outputs[0](-1);
    check_all({x, h0}, {grad(last, x), grad(last, h0)}, {f64({1, 1, 1, 1}), Array(1.0)},
              {f64({0, 0, 2, 1}), Array(0.0)});
    // Fewer steps than that: all of them.
    check_all({x, h0}, {grad(last, x), grad(last, h0)}, {f64({1, 1}), Array(1.0)},
              {f64({2, 1}), Array(4.0)});
}

TEST_CASE("scan: what is hoisted, kept and dropped") {
    const Expr x = matrix<float>("x", {20, 3}), w = matrix<float>("w", {3, 4}),
               u = matrix<float>("u", {4, 4});
    const Expr y = scan(steps_of([&](const std::vector<Expr>& a)
                                     -> StepResult { return tanh(dot(a[0], w) + dot(a[1], u)); },
                                 {x}, {zeros_like(dot(x(0), w))}))
                       .outputs[0];
    const auto plan_of = [&](const std::vector<Expr>& outputs) {
        return function({.inputs = {x, w, u}, .outputs = outputs})
            .plan(cpu_target(described_machine("zen3")))
            .text;
    };
    const std::string last = plan_of({y(-1)}), all = plan_of({y});
    CAPTURE(last);
    CHECK(last.find("a ring") != std::string::npos);
    CHECK(all.find("a ring") == std::string::npos);
    // The products with rows of x are one product of 20 rows.
    CHECK(last.find("f32[20,4]") != std::string::npos);
    // Weight gradients are one product behind the loop, which keeps no sum of them.
    const std::string gradient = plan_of({grad(sum(y), u)});
    CAPTURE(gradient);
    CHECK(gradient.find("f32[2,4,4]") == std::string::npos);
}

TEST_CASE("scan: errors name the line and what does not fit") {
    const auto x = matrix<float>("x", {4, 3});
    const auto message = [&](const ScanOptions& o) { return test::message_of([&] { scan(o); }); };
    const ScanFunction add = [](const std::vector<Expr>& a) -> StepResult { return a[0] + a[1]; };
    CHECK(message(steps_of({}, {x}, {})).find("no function") != std::string::npos);
    CHECK(message(steps_of(add, {x}, {constant(Array(1.0f))}))
              .find("f32[] before the first step and f32[3]") != std::string::npos);
    CHECK(message(steps_of(add, {x}, {OutputInfo(x(0), {0})})).find("must be negative") !=
          std::string::npos);
    CHECK(message(steps_of(add, {x}, {OutputInfo(x, {-2, -1})})).find("needs 2 rows") !=
          std::string::npos);
    CHECK(message(steps_of(add, {Sequence(x, {-3, 2})}, {x(0)})).find("too few") !=
          std::string::npos);
    CHECK(message(steps_of(add, {}, {x(0)})).find("n_steps") != std::string::npos);
    ScanOptions o = steps_of(add, {x}, {x(0)});
    o.n_steps = 5;
    CHECK(message(o).find("4 rows, and 5 steps") != std::string::npos);
    o.n_steps = -1;
    CHECK(message(o).find("n_steps is -1") != std::string::npos);
    CHECK(message(steps_of(
                      [](const std::vector<Expr>& a) -> StepResult {
                          return {{a[0]}, {}, a[0] > 0};
                      },
                      {x}, {}))
              .find("must be a scalar") != std::string::npos);
    CHECK(message(steps_of(
                      [](const std::vector<Expr>& a) -> StepResult {
                          return {{a[0], a[0]}};
                      },
                      {x}, {OutputInfo(x(0))}))
              .find("2 outputs") != std::string::npos);
    // An expression of a step is of no use outside of it.
    Expr leaked;
    scan(steps_of([&](const std::vector<Expr>& a) -> StepResult { return leaked = a[0] * 2; }, {x},
                  {}));
    CHECK(test::message_of([&] {
              function({.inputs = {x}, .outputs = {leaked}});
          }).find("outside of the step") != std::string::npos);
    CHECK(test::message_of([&] {
              function({.inputs = {leaked.node().inputs[0]}, .outputs = {leaked}});
          }).find("not an input variable") != std::string::npos);
}

TEST_CASE("scan: a check that fails in a step leaves shared variables as they were") {
    const auto table = shared(Array(std::vector<float>{1, 2, 3}), "table");
    const auto at = vector<std::int64_t>("at");
    const auto read =
        map([&](const std::vector<Expr>& i) -> StepResult { return table(i[0]); }, {at});
    const Function f = function(
        {.inputs = {at}, .outputs = {read[0]}, .updates = {{table, table + sum(read[0])}}});
    CHECK_THROWS_AS(f(std::vector<std::int64_t>{0, 3}), RangeError);
    CHECK(table.get_value().equals(Array(std::vector<float>{1, 2, 3})));
    CHECK(f(std::vector<std::int64_t>{0, -1})[0].equals(Array(std::vector<float>{1, 3})));
}

TEST_CASE("scan: sums that something else reads stay in the loop") {
    const Expr a = tensor3<double>("a", {4, 3, 2}), b = tensor3<double>("b", {4, 3, 5});
    Generator random(3);
    const std::vector<Array> values{random.normal({4, 3, 2}, 0, 1).astype(DType::F64),
                                    random.normal({4, 3, 5}, 0, 1).astype(DType::F64)};
    using Step =
        std::function<std::vector<Expr>(const Expr& acc, const Expr& product, const Expr& more)>;
    const Step steps[] = {[](const Expr& acc, const Expr& p, const Expr& q) {
                              return std::vector{acc + p + q, acc};
                          },
                          [](const Expr& acc, const Expr& p, const Expr&) {
                              return std::vector{acc + p, acc};
                          },
                          [](const Expr& acc, const Expr& p, const Expr& q) {
                              const Expr h = acc + p + q;
                              return std::vector{h, h};
                          },
                          [](const Expr& acc, const Expr& p, const Expr& q) {
                              const Expr h = acc + p + q;
                              return std::vector{h, h * h};
                          },
                          [](const Expr& acc, const Expr& p, const Expr& q) {
                              const Expr half = acc + p;
                              return std::vector{half + q, half};
                          },
                          [](const Expr& acc, const Expr& p, const Expr&) {
                              return std::vector{acc + p + acc, p};
                          },
                          [](const Expr& acc, const Expr& p, const Expr& q) {
                              return std::vector{acc + p, p + q};
                          }};
    for (const Step& step : steps) {
        ScanOptions o = steps_of(
            [&](const std::vector<Expr>& v) -> StepResult {
                const Expr p = dot(v[0].T(), v[1]);
                return {step(v[2], p, tanh(p * 2))};
            },
            {a, b}, {OutputInfo(zeros<double>({2, 5})), none});
        const ScanResult r = scan(o);
        Expr acc = constant(zeros<double>({2, 5}));
        std::vector<Operand> rows;
        for (int t = 0; t < 4; ++t) {
            const Expr p = dot(a(t).T(), b(t));
            const std::vector<Expr> now = step(acc, p, tanh(p * 2));
            acc = now[0];
            rows.emplace_back(now[1]);
        }
        const std::vector<Array> want =
            function({.inputs = {a, b}, .outputs = {acc, stack(rows)}}).call(values);
        check_all({a, b}, {r.outputs[0](-1), r.outputs[1]}, values, want, 1e-11);
        check_all({a, b}, {r.outputs[0](-1)}, values, {want[0]}, 1e-11);
    }
}

TEST_CASE("scan: a loop that ends by a condition and of which nothing else is left") {
    const Expr x = vector<double>("x");
    const ScanResult r = scan(steps_of(
        [](const std::vector<Expr>& a) -> StepResult {
            return {{a[0] * 2}, {}, a[0] > 2.0};
        },
        {x}, {}));
    check_all({x}, {r.steps, grad(sum(r.outputs[0]), x)}, {f64({1, 2, 3, 4})},
              {Array(std::int64_t{3}), f64({2, 2, 4, 0})});
    check_all({x}, {grad(sum(r.outputs[0]), x)}, {f64({1, 2, 3, 4})}, {f64({2, 2, 4, 0})});
}

TEST_CASE("scan: truncated gradients of a loop that ends by a condition count its last steps") {
    const Expr w = scalar<double>("w"), h0 = scalar<double>("h0");
    for (const int most : {1, 2, 3}) {
        ScanOptions o = steps_of(
            [&](const std::vector<Expr>& a) -> StepResult {
                const Expr h = a[0] * w + 1;
                return {{h}, {}, h > 6.0};
            },
            {}, {h0});
        o.n_steps = 4;
        o.truncate_gradient = most;
        // 1, 3, 7: two steps. d/dw of the last: h1 + w h0.
        const Expr last = scan(o).outputs[0](-1);
        check_all({w, h0}, {grad(last, w), grad(last, h0)}, {Array(2.0), Array(1.0)},
                  {Array(most == 1 ? 3.0 : 5.0), Array(most < 2 ? 0.0 : 4.0)});
    }
}

TEST_CASE("scan: folds of other loops' rows, debug without steps, reports") {
    const Expr x = vector<double>("x"), w = scalar<double>("w");
    const auto doubled =
        map([](const std::vector<Expr>& a) -> StepResult { return a[0] * 2; }, {x});
    const auto last = foldl([](const std::vector<Expr>& a) -> StepResult { return a[0] + 1; },
                            {Sequence(doubled[0])}, {OutputInfo(none)});
    check_all({x}, {last[0]}, {f64({1, 2, 3})}, {Array(7.0)});
    ScanOptions o = steps_of(
        [&](const std::vector<Expr>& a) -> StepResult { return a[1] * w + a[0]; }, {x}, {w});
    o.n_steps = 0;
    const Expr y = scan(o).outputs[0];
    check_all({x, w}, {grad(sum(y), x)}, {f64({1, 2}), Array(1.0)}, {f64({0, 0})});
    const Function f = function({.inputs = {x, w}, .outputs = {last[0] + w}});
    f(f64({1, 2}), 1.0);
    const std::string page = "scan_report.html";
    CHECK_NOTHROW(f.report(page));
    std::remove(page.c_str());
}

TEST_CASE("scan: derivatives and graphs as ops inside of a step") {
    const Expr x = vector<double>("x"), p = scalar<double>("p");
    const auto rop = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return Rop(a[0] * a[0], {a[0]}, {ones_like(a[0]) * 3});
        },
        {x});
    const auto inlined = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return OpFromGraph({p}, {p * a[0]})({a[0] * 2.0})[0];
        },
        {x});
    const auto own = map(
        [&](const std::vector<Expr>& a) -> StepResult {
            return OpFromGraph({p}, {p * a[0]}, [](const auto&, const auto&, const auto& g) {
                return std::vector<Expr>{g[0] * 10};
            })({a[0] * 2.0})[0];
        },
        {x});
    check_all({x}, {rop[0], inlined[0], own[0], grad(sum(own[0]), x), grad(sum(rop[0]), x)},
              {f64({1, 2})}, {f64({6, 12}), f64({2, 8}), f64({2, 8}), f64({20, 20}), f64({6, 6})});
}

// fast_compile gives the same values; debug catches a wrong rule and a wrong kernel; nan_guard
// stops at the first bad kernel; and neither leaves anything half applied.
#include <cmath>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/ops/rows.h"
#include "examples/mnist/nets.h"
#include "frontend/modes.h"
#include "tests/support.h"

using namespace arete;
using arete::test::difference;
using arete::test::message_of;

namespace {

using Floats = std::vector<float>;

void has(const std::string& text, const std::string& part) {
    INFO("the message is: " << text);
    CHECK(text.find(part) != std::string::npos);
}

// A planted mistake: exp(x) * exp(y) is not exp(x - y).
const Rule wrong_rule{"product_of_exps", "exp(x) * exp(y) = exp(x - y)",
                      Pattern::apply("mul", {Pattern::apply("exp", {Pattern::any('x')}),
                                             Pattern::apply("exp", {Pattern::any('y')})}),
                      [](const Match& m) -> Expr {
                          return exp(at(at(m['x'], m.loc()) - at(m['y'], m.loc()), m.loc()));
                      }};
const Rule right_rule{"product_of_exps", "exp(x) * exp(y) = exp(x + y)",
                      Pattern::apply("mul", {Pattern::apply("exp", {Pattern::any('x')}),
                                             Pattern::apply("exp", {Pattern::any('y')})}),
                      [](const Match& m) -> Expr {
                          return exp(at(at(m['x'], m.loc()) + at(m['y'], m.loc()), m.loc()));
                      }};

// A planted mistake in a lowering: right by itself, wrong where its operand is inlined into it.
loops::Value lower_fragile(Lowering& l, std::span<const loops::Index> out) {
    loops::Value v = l.load(0, out);
    const bool loaded = l.code.values[v.id].op == loops::Op::Load;
    return loaded ? v : v + 1.0;
}
constinit const OpDef fragile_op{.info = {.name = "fragile"},
                                 .doc = "the operand; fails as test_modes wants it to",
                                 .infer = infer_same,
                                 .lower = lower_fragile};

/// Two steps of a small net's training: the costs and the parameters.
std::vector<Array> train(const NetRow& row, Mode mode, FunctionStats* stats = nullptr) {
    Generator random(4);
    const Network net = build_net(row, 2, {.seed = 1, .init = Init::n_in});
    const SharedData data = shared_data(random.uniform({4, kSide * kSide}, 0, 1),
                                        Array(std::vector<std::int32_t>{3, 1, 4, 1}), "random");
    const Function step = net.train_function(data, 0.1, {.lmbda = 0.1, .mode = mode});
    std::vector<Array> out{step(0)[0], step(1)[0]};
    for (const Shared& p : net.params) out.push_back(p.get_value());
    if (stats) *stats = step.stats();
    return out;
}

void agree(const std::vector<Array>& got, const std::vector<Array>& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t k = 0; k < got.size(); ++k) {
        CAPTURE(k);
        CHECK(difference(got[k], expected[k]) < 1e-4);
    }
}

}  // namespace

TEST_CASE("modes: fast_compile and fast_run compute the same, by other ways") {
    const NetRow tiny{"tiny", {2}, {8}, relu, "relu", 0.5, 0.1, 0, 1, ""};
    FunctionStats fast, quick;
    agree(train(tiny, Mode::fast_compile, &quick), train(tiny, Mode::fast_run, &fast));
    const auto passes = [](const FunctionStats& s) {
        std::string names;
        for (const PassTime& p : s.passes) names += " " + p.name;
        return names + " ";
    };
    CHECK(passes(fast).find(" stabilize ") != std::string::npos);
    CHECK(passes(fast).find(" llvm_machine_code ") != std::string::npos);
    CHECK(passes(quick).find(" stabilize ") == std::string::npos);
    CHECK(passes(quick).find(" specialize ") == std::string::npos);
    double sum = 0;
    for (const PassTime& p : fast.passes) sum += p.ms;
    CHECK(sum > 0);
    CHECK(sum <= fast.compile_ms);
    has(to_string(fast.passes), "llvm_machine_code");
}

TEST_CASE("modes: debug agrees with itself on training steps") {
    const NetRow conv{"conv", {2}, {5}, sigmoid, "sigmoid", 0, 0.1, 0, 1, ""};
    agree(train(conv, Mode::debug), train(conv, Mode::fast_run));
    const NetRow dropout{"dropout", {}, {12}, relu, "relu", 0.5, 0.1, 0, 1, ""};
    agree(train(dropout, Mode::debug), train(dropout, Mode::fast_run));
}

TEST_CASE("modes: debug names the rule, the pass, the node and the line of a wrong rewrite") {
    const auto x = vector<float>("x");
    const auto w = shared(Array(Floats{1, 2, 3}), "w");
    const int line = __LINE__ + 1;
    const Expr y = exp(x) * exp(w);
    const auto make = [&](const Rule& rule, Mode mode) {
        return function({.inputs = {x},
                         .outputs = {sum(y) + 1},
                         .updates = {{w, w - y}},
                         .name = "planted",
                         .mode = mode,
                         .rules = {rule}});
    };
    const Array at(Floats{0.5f, -1, 2});
    const Function f = make(wrong_rule, Mode::debug);
    const std::string message = message_of([&] { f(at); });
    has(message, fmt::format("test_modes.cpp:{}: function 'planted': ", line));
    has(message,
        "pass user_rules: rule product_of_exps (exp(x) * exp(y) = exp(x - y)) changes a "
        "value");
    has(message, "exp(x) * exp(w) became exp(x - w); element 0 of f32[3] was 4.4816");
    has(message, "it is 0.60653");
    CHECK_THROWS_AS(f(at), DebugModeError);  // again, for nothing was kept of it
    CHECK(w.get_value().equals(Array(Floats{1, 2, 3})));
    CHECK(f.stats().specialisations == 0);
    // Fast modes believe the rule, which shows that it was applied.
    const float e = std::exp(0.5f - 1), e2 = std::exp(-1.0f - 2), e3 = std::exp(2.0f - 3);
    CHECK(make(wrong_rule, Mode::fast_run)(at)[0].item<float>() ==
          doctest::Approx(e + e2 + e3 + 1));
    w.set_value(Array(Floats{1, 2, 3}));
    const float r = std::exp(1.5f) + std::exp(1.0f) + std::exp(5.0f) + 1;
    CHECK(make(right_rule, Mode::debug)(at)[0].item<float>() == doctest::Approx(r));
    CHECK(w.get_value().as_double(0) == doctest::Approx(1 - std::exp(1.5)));
}

TEST_CASE("modes: debug names a pass that changes a value without a rule") {
    const auto x = vector<float>("x");
    const Expr y = exp(x) * 2;
    const FunctionGraph graph = prepare_function({.inputs = {x}, .outputs = {y}, .name = "f"}, {});
    const Array at(Floats{1, 2, 3});
    const RewriteLog nothing;
    const std::vector<Expr> before{y}, right{exp(x) + exp(x)}, wrong{exp(x) * 2.1f};
    PassChecker checker(graph, {&at, 1});
    CHECK_NOTHROW(checker.check({"fine", before, right, nothing}));
    const std::string message = message_of([&] {
        checker.check({"broken", before, wrong, nothing});
    });
    has(message,
        "function 'f': pass broken changes a value, and no single rule of it does: "
        "exp(x) * 2 was f32[3] {5.43656");
    // What was not finite may become finite, and nothing else.
    const Array bad(Floats{-1, 0, 1});
    PassChecker unstable(graph, {&bad, 1});
    const std::vector<Expr> log_of{log(x)}, safe{log(maximum(x, 1e-3f))};
    CHECK_NOTHROW(unstable.check({"stabilising", log_of, safe, nothing}));
    CHECK_THROWS_AS(unstable.check({"worse", safe, log_of, nothing}), DebugModeError);
}

TEST_CASE("modes: debug names the kernel and the line of a wrong lowering") {
    const auto x = vector<float>("x", {4});
    const auto w = shared(ones<float>({4}), "w");
    const int line = __LINE__ + 1;
    const Expr y = apply(fragile_op, {exp(x)}, {}, Loc{__FILE__, __LINE__});
    const auto make = [&](Mode mode) {
        return function({.inputs = {x},
                         .outputs = {y},
                         .updates = {{w, w + sqr(w)}},
                         .name = "planted",
                         .mode = mode});
    };
    const Array at(Floats{0, 1, 2, 3});
    CHECK(make(Mode::fast_run)(at)[0].as_double(0) == 2);  // exp(0) + 1: it is wrong indeed
    CHECK(w.get_value().as_double(0) == 2);
    const Function f = make(Mode::debug);
    const std::string message = message_of([&] { f(at); });
    has(message, fmt::format("test_modes.cpp:{}: function 'planted': kernel 'exp_fragile", line));
    has(message,
        "which computes fragile(exp(x)) : f32[4] gives another value than the graph: "
        "element 0 should be 1, it is 2");
    CHECK_THROWS_AS(f(at), DebugModeError);
    CHECK(w.get_value().equals(full<float>({4}, 2)));
}

TEST_CASE("modes: debug lets the errors of a call through") {
    const auto x = vector<float>("x");
    const auto i = scalar<std::int64_t>("i");
    const auto w = shared(zeros<float>({1}), "w");
    const Function f = function(
        {.inputs = {x, i}, .outputs = {x(i)}, .updates = {{w, w + 1}}, .mode = Mode::debug});
    CHECK(f(Array(Floats{5, 6, 7}), 2)[0].item<float>() == 7);
    CHECK_THROWS_AS(f(Array(Floats{5, 6, 7}), 3), RangeError);
    CHECK(f(Array(Floats{5, 6, 7}), -3)[0].item<float>() == 5);
    CHECK(w.get_value().as_double() == 2);
}

TEST_CASE("modes: nan_guard stops at the first bad kernel and changes nothing") {
    const auto x = vector<float>("x");
    const auto w = shared(Array(Floats{1, 2, 3}), "w"), v = shared(Array(0.0f), "v");
    const int line = __LINE__ + 1;
    const Expr s = sum(log(x));
    const Expr y = exp(w) * s;
    const Function f = function({.inputs = {x},
                                 .outputs = {y},
                                 .updates = {{w, w - 0.1f * y}, {v, v + 1}},
                                 .name = "step",
                                 .mode = Mode::nan_guard});
    const auto first = f(Array(Floats{1, 2, 4}));
    CHECK(first[0].as_double(0) == doctest::Approx(std::exp(1.0) * std::log(8.0)));
    CHECK(v.get_value().item<float>() == 1);
    const Array before = w.get_value();

    std::string message = message_of([&] { f(Array(Floats{1, -1, 2})); });
    has(message, fmt::format("test_modes.cpp:{}: function 'step': a NaN (nan) at element 0 of 1 in "
                             "the result of kernel 'log_sum",
                             line));
    has(message, "which computes sum(log(x)) : f32[]");
    has(message, fmt::format("; the kernel computes test_modes.cpp:{}", line));
    CHECK_THROWS_AS(f(Array(Floats{1, -1, 2})), NanGuardError);
    has(message_of([&] { f(Array(Floats{1, 0, 2})); }), "an infinity (-inf)");
    has(message_of([&] {
            f(Array(Floats{1, std::nanf(""), 2}));
        }),
        "its operand 'x' has a NaN (nan) at element 1 of 3");
    CHECK(w.get_value().equals(before));
    CHECK(v.get_value().item<float>() == 1);
    // Nothing is broken: the next good call works.
    f(Array(Floats{1, 1, 1}));
    CHECK(v.get_value().item<float>() == 2);
}

TEST_CASE("modes: nan_guard takes huge values for bad ones, f64 too, and leaves integers alone") {
    const auto x = vector<double>("x");
    const auto n = vector<std::int64_t>("n");
    const Function f =
        function({.inputs = {x, n}, .outputs = {x * x, n * n}, .mode = Mode::nan_guard});
    const Array big(std::vector<std::int64_t>{1000000000000});
    CHECK(f(Array(std::vector<double>{1e4}), big)[0].as_double() == 1e8);
    has(message_of([&] {
            f(Array(std::vector<double>{1, 2e5}), big);
        }),
        "a huge value (40000000000) at element 1 of 2");
    const Function sgd_like =
        function({.inputs = {x}, .outputs = {sum(x)}, .mode = Mode::nan_guard});
    CHECK(sgd_like(Array(std::vector<double>{5e9, 5e9}))[0].as_double() == 1e10);
}

TEST_CASE("modes: debug takes f64 that was computed in f32 for f32, and emptiness for what it is") {
    const auto x = vector<float>("x");
    const Function f = function(
        {.inputs = {x},
         .outputs = {cast(1 - sqr(x), DType::F64), concatenate({x(slice(0, 0)), x(slice(0, 0))})},
         .mode = Mode::debug});
    const auto out = f(Array(Floats{0.761594176f, 0.3f, 0.1f}));
    CHECK(std::fabs(out[0].as_double() - 0.41997431) < 1e-7);
    CHECK(out[1].size() == 0);
}

TEST_CASE("modes: differences are found where rounding does not explain them") {
    const Array a(Floats{1, 2, 3}), close(Floats{1.00001f, 2, 3}), far(Floats{1, 2.1f, 3});
    CHECK(!first_difference(close, a));
    REQUIRE(first_difference(far, a));
    CHECK(first_difference(far, a)->element == 1);
    CHECK(first_difference(far, a)->was == "2");
    const float nan = std::nanf(""), inf = HUGE_VALF;
    CHECK(first_difference(Array(Floats{nan}), Array(Floats{1})));
    CHECK(first_difference(Array(Floats{inf}), Array(Floats{1})));
    CHECK(!first_difference(Array(Floats{1}), Array(Floats{nan})));  // made stable
    CHECK(first_difference(Array(std::vector<double>{1.00001}), Array(std::vector<double>{1.0})));
    using Ints = std::vector<std::int64_t>;
    CHECK(first_difference(Array(Ints{5, 6}), Array(Ints{5, 7}))->element == 1);
    CHECK(!first_difference(Array(Ints{5, 6}), Array(Ints{5, 6})));
    CHECK(first_difference(Array(Floats{1}), Array(Floats{1, 2})));
}

TEST_CASE("modes: debug takes arguments without elements") {
    const auto x = tensor(DType::F32, 3, "x", {2, 0, 3});
    const Function f =
        function({.inputs = {x}, .outputs = {sum(x, 1), sum(exp(x))}, .mode = Mode::debug});
    const auto out = f(zeros<float>({2, 0, 3}));
    CHECK(out[0].equals(zeros<float>({2, 3})));
    CHECK(out[1].item<float>() == 0);
}

TEST_CASE("modes: debug takes views without elements of arguments that kernels do not read") {
    const auto x = tensor3<float>("x", {2, 1, 2});
    const auto i = scalar<std::int64_t>("i");
    const auto at = vector<std::int64_t>("at", {1});
    const Expr none = reshape(x(all, slice(0, 0), slice(i, i + 1)), {2, 0});
    const Expr rows = take(none, at, 0);
    const Function f = function({.inputs = {x, i, at},
                                 .outputs = {where(rows < rows, rows, rows * rows),
                                             at + cast(sin(sum(sqr(rows))), DType::I64)},
                                 .mode = Mode::debug});
    const auto out = f(Array(std::vector<float>{1, 2, 3, 4}, {2, 1, 2}), std::int64_t{1},
                       Array(std::vector<std::int64_t>{1}));
    CHECK(out[0].shape() == Sizes{1, 0});
    CHECK(out[1].as_int(0) == 1);
}

TEST_CASE("modes: debug takes operands that nobody looks at beside others without elements") {
    // The gradient of a slice of nothing is zeros wherever the slice began.
    const Expr x = matrix<float>("x", {6, 0}), start = scalar<std::int64_t>("start");
    const Expr g = grad(sum(x(slice(start, start + 2))), x);
    const Function f = function({.inputs = {x, start},
                                 .outputs = {g, sum(g)},
                                 .on_unused_input = OnUnusedInput::ignore,
                                 .mode = Mode::debug});
    CHECK(f(zeros<float>({6, 0}), std::int64_t{1})[1].item<float>() == 0);
    const Expr y = vector<float>("y", {6}), empty = vector<float>("empty", {0});
    const Expr unread = apply(*find_op("dynamic_slice_grad"), {empty, start},
                              {{"steps", Ints{1}}, {"sizes", Shape{4}}}, {});
    const Expr checked =
        apply(*find_op("dynamic_slice_grad"),
              {empty, apply(*find_op("check_index"), {start}, {{"size", Dim(2)}}, {})},
              {{"steps", Ints{1}}, {"sizes", Shape{4}}}, {});
    const Function h =
        function({.inputs = {empty, start}, .outputs = {unread, checked}, .mode = Mode::debug});
    CHECK(h(zeros<float>({0}), std::int64_t{1})[0].equals(zeros<float>({4})));
    CHECK(h(zeros<float>({0}), std::int64_t{1})[1].equals(zeros<float>({4})));
}

TEST_CASE("modes: nan_guard tells the iteration of a loop, and the kernel of its body") {
    const auto x = scalar<float>("x");
    ScanOptions o;
    o.n_steps = 8;
    o.outputs_info = {x};
    const int line = __LINE__ + 1;
    o.fn = [](const std::vector<Expr>& a) -> StepResult { return log(a[0] - 1) * 2; };
    const auto message = [&](const Expr& y, Mode mode, float value) {
        const Function f = function({.inputs = {x}, .outputs = {y}, .mode = mode});
        try {
            f(value);
        } catch (const NanGuardError& e) {
            return std::string(e.what());
        }
        return std::string("no error");
    };
    const Expr y = scan(o).outputs[0];
    // 2 log(9), 2.4; 2 log(1.4), 0.7; the logarithm of a negative number.
    const std::string is = message(y, Mode::nan_guard, 4.3F);
    CAPTURE(is);
    CHECK(is.find("'scan'") != std::string::npos);
    CHECK(is.find("first in iteration 2: a NaN") != std::string::npos);
    CHECK(is.find("kernel 'log") != std::string::npos);
    CHECK(is.find(fmt::format("test_modes.cpp:{}", line)) != std::string::npos);
    CHECK(message(y, Mode::fast_run, 4.3F) == "no error");
    // A loop in a loop, and in a branch.
    ScanOptions outer;
    outer.n_steps = 3;
    outer.outputs_info = {x};
    outer.fn = [&](const std::vector<Expr>& a) -> StepResult {
        ScanOptions inner = o;
        inner.n_steps = 2;
        inner.outputs_info = {a[0]};
        return scan(inner).outputs[0](-1);
    };
    const Expr nested = scan(outer).outputs[0];
    const std::string deep = message(nested, Mode::nan_guard, 4.3F);
    CAPTURE(deep);
    CHECK(deep.find("first in iteration 1, 0: a NaN") != std::string::npos);
    const std::string branch = message(ifelse(x > 0, nested, nested * 2 + 1), Mode::nan_guard, 4.3F);
    CAPTURE(branch);
    CHECK(branch.find("a NaN") != std::string::npos);
}

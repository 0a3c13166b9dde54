// The rule engine; test_rules.cpp tests the tables.
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/ops/checks.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/random.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support.h"

using namespace arete;
using arete::test::difference;

namespace {

Expr once(const Expr& e, std::span<const Rule> rules, RewriteLog* log = nullptr) {
    return rewrite({&e, 1}, rules, log)[0];
}

}  // namespace

TEST_CASE("rewrite: the log names rules, lines and types") {
    const auto x = vector<float>("x", {3});
    const int line = __LINE__ + 1;
    const Expr e = log(1 + exp(x));
    RewriteLog log;
    const Expr out = once(e, stabilize_rules(), &log);
    CHECK(out.node().op->name == "softplus");
    CHECK(out.loc().line == line);  // new nodes take the user's line
    REQUIRE(log.firings.size() == 1);
    CHECK(std::string(log.firings[0].rule->name) == "log_of_exponentials");
    CHECK(log.firings[0].where == fmt::format("test_rewrite.cpp:{}", line));
    CHECK(log.str() ==
          fmt::format("log_of_exponentials: log(a exp(u) + b exp(v)) = logaddexp(u + log(a), v + "
                      "log(b))  # test_rewrite.cpp:{}\n"
                      "    log(add(1, exp(x))) : f32[3]\n"
                      " -> softplus(x) : f32[3]\n",
                      line));
}

TEST_CASE("rewrite: expressions in one line, cut short") {
    const auto x = vector<float>("x", {3}), y = vector<float>("y", {3});
    CHECK(to_line(x) == "x");
    CHECK(to_line(log(exp(x) + 0.1f) * y) == "mul(log(add(exp(x), 0.1)), y)");
    CHECK(to_line(exp(exp(exp(exp(x))))) == "exp(exp(exp(exp(x))))");
    CHECK(to_line(exp(exp(exp(exp(exp(x)))))) == "exp(exp(exp(exp(...))))");
    CHECK(to_line(sqr(x) + y, 1) == "add(..., y)");
    CHECK(to_line(concatenate({x, y, x, y, x, y, x})) == "concatenate(x, y, x, y, x, y, ...)");
}

TEST_CASE("rewrite: equal nodes merge, constants fold, draws stay apart") {
    const auto x = vector<float>("x", {3});
    const Expr twice = once(exp(x) / exp(x), canonicalize_rules());
    CHECK(same(twice.node().inputs[0], twice.node().inputs[1]));
    double v = 0;
    const Expr folded =
        once(x * (constant(Array(2.0f)) + 3) * constant(Array(4.0f)), canonicalize_rules());
    REQUIRE(folded.node().op->name == "mul");
    CHECK(is_constant_scalar(folded.node().inputs[1], &v));
    CHECK(v == 20);
    RandomStream random(1);
    const Expr difference = once(random.uniform({3}) - random.uniform({3}), canonicalize_rules());
    CHECK(!same(difference.node().inputs[0], difference.node().inputs[1]));
}

TEST_CASE("rewrite: small arrays of constants fold, large ones and views that repeat do not") {
    const auto fold = [](const Expr& e) { return once(e, canonicalize_rules()); };
    const auto row = constant(Array(std::vector<float>{1, 2, 3}));
    const auto column = constant(Array(std::vector<float>{10, 20}, {2, 1}));
    const Expr sums = fold(row + column);
    REQUIRE(constant_value(sums));
    CHECK(constant_value(sums)->equals(Array(std::vector<float>{11, 12, 13, 21, 22, 23}, {2, 3})));
    const Expr chosen = fold(where(row < 2.5f, row, column));
    REQUIRE(constant_value(chosen));
    CHECK(constant_value(chosen)->equals(Array(std::vector<float>{1, 2, 10, 1, 2, 20}, {2, 3})));
    const Expr shaped = fold(reshape(row + column, {3, 2}));
    REQUIRE(constant_value(shaped));
    CHECK(
        constant_value(shaped)->equals(Array(std::vector<float>{11, 12, 13, 21, 22, 23}, {3, 2})));
    const Expr whole = fold(cast(row, DType::I64) * 3);
    REQUIRE(constant_value(whole));
    CHECK(constant_value(whole)->equals(Array(std::vector<std::int64_t>{3, 6, 9})));
    const Expr large = fold(sqr(constant(ones<float>({65}))));
    CHECK(large.node().op->name == "sqr");
    const Expr repeated = fold(exp(broadcast_to(constant(Array(0.0f)), {50})));
    REQUIRE(repeated.node().op->name == "broadcast_to");
    CHECK(is_constant_scalar(repeated.node().inputs[0]));
}

TEST_CASE("rewrite: matching") {
    const auto x = vector<float>("x", {3}), y = vector<float>("y", {3});
    const Pattern sum_with_zero = Pattern::apply("add", {Pattern::any('x'), Pattern::number(0)});
    CHECK(match(sum_with_zero, x + 0));
    const auto swapped = match(sum_with_zero, 0 + x);  // add commutes
    REQUIRE(swapped);
    CHECK(same((*swapped)['x'], x));
    CHECK(!match(sum_with_zero, x + 1));
    CHECK(!match(sum_with_zero, x - 0));
    CHECK_THROWS_AS((*swapped)['y'], InternalError);
    const Pattern square = Pattern::apply("mul", {Pattern::any('x'), Pattern::any('x')});
    CHECK(match(square, x * x));
    CHECK(!match(square, x * y));
    const Pattern difference = Pattern::apply("sub", {Pattern::any('x'), Pattern::number(1)});
    CHECK(match(difference, x - 1));
    CHECK(!match(difference, 1 - x));  // sub does not
    // Either way round at two levels: (c + x) * y with the sum on the right.
    const Pattern nested = Pattern::apply(
        "mul",
        {Pattern::apply("add", {Pattern::any('x'), Pattern::number(2)}, 's'), Pattern::any('y')});
    const Expr e = y * (2 + x);
    const auto found = match(nested, e);
    REQUIRE(found);
    CHECK(same((*found)['y'], y));
    CHECK(same((*found)['x'], x));
    CHECK((*found)['s'].node().op->name == "add");
    CHECK(same(found->root(), e));
}

TEST_CASE("rewrite: where a guard refuses one way to match, the others are tried") {
    const auto x = vector<float>("x", {3}), y = vector<float>("y", {3});
    const auto two = constant(Array(2.0f)), four = constant(Array(4.0f));
    const auto value_of_constant = [](const Expr& e) {
        double v = 0;
        REQUIRE(e.node().op->name == "mul");
        REQUIRE((is_constant_scalar(e.node().inputs[0], &v) ||
                 is_constant_scalar(e.node().inputs[1], &v)));
        return v;
    };
    for (const Expr& e : {(x * two) * four, (two * x) * four, four * (x * two), four * (two * x)})
        CHECK(value_of_constant(once(e, canonicalize_rules())) == 8);
    // Three levels: g / s * (s * y) however its products are turned.
    for (const Expr& e : {(x / sigmoid(y)) * (sigmoid(y) * x), (x / sigmoid(y)) * (x * sigmoid(y)),
                          (sigmoid(y) * x) * (x / sigmoid(y)), (x * sigmoid(y)) * (x / sigmoid(y))})
        CHECK(to_string(Graph({once(e, stabilize_rules())})).find("sigmoid") == std::string::npos);
}

TEST_CASE("rewrite: guards, rules that decline, and rules that do not come to rest") {
    const auto x = vector<float>("x", {3}), y = vector<float>("y", {3});
    const Pattern sum_of_two = Pattern::apply("add", {Pattern::any('x'), Pattern::any('y')});
    const Expr e = x + y;
    const auto product = [](const Match& m) { return m['x'] * m['y']; };
    const Rule never{"never", "guarded", sum_of_two, product, [](const Match&) { return false; }};
    CHECK(once(e, {&never, 1}).node().op->name == "add");
    const Rule declines{"declines", "nothing", sum_of_two, [](const Match&) { return Expr(); }};
    CHECK(once(e, {&declines, 1}).node().op->name == "add");
    const Rule always{"always", "x + y = x * y", sum_of_two, product};
    CHECK(once(e, {&always, 1}).node().op->name == "mul");
    const Rule forth_and_back[] = {
        {"forth", "x + y = x - y", sum_of_two, [](const Match& m) { return m['x'] - m['y']; }},
        {"back", "x - y = exp(x) + y",
         Pattern::apply("sub", {Pattern::any('x'), Pattern::any('y')}),
         [](const Match& m) { return exp(m['x']) + m['y']; }}};
    const std::string message = arete::test::message_of([&] { once(e, forth_and_back); });
    CHECK(message.find("rewriting does not come to rest") != std::string::npos);
    const Rule narrows{"narrows", "another type", sum_of_two,
                       [](const Match& m) { return sum(m['x']); }};
    CHECK(arete::test::message_of([&] {
              once(e, {&narrows, 1});
          }).find("rule narrows: f32[3] became f32[]") != std::string::npos);
}

TEST_CASE("rewrite: stable where the formula is not") {
    const auto x = matrix<float>("x", {1, 4});
    const Array far = Array(std::vector<float>{-200, 200, 0, 90}, {1, 4});
    const auto value = [&](const Expr& e) {
        return function({.inputs = {x}, .outputs = {e}})(far)[0];
    };
    const Array plus = value(log(1 + exp(x)));
    CHECK(plus.as_double(0) == doctest::Approx(std::exp(-200.0)).epsilon(1e-3));
    CHECK(plus.as_double(1) == 200);
    CHECK(value(log(sigmoid(x))).as_double(0) == -200);
    CHECK(value(1 - sigmoid(x)).as_double(3) > 0);
    const Array logs = value(log(softmax(x)));
    CHECK(logs.as_double(0) == -400);
    CHECK(logs.as_double(1) == 0);
    const auto y = vector<std::int32_t>("y", {1});
    const Expr cost = mean(categorical_crossentropy(softmax(x), y));
    const auto out = function({.inputs = {x, y}, .outputs = {cost, grad(cost, x)}})(
        far, std::vector<std::int32_t>{0});
    CHECK(out[0].as_double() == 400);
    CHECK(out[1].equals(Array(std::vector<float>{-1, 1, 0, 0}, {1, 4})));
    CHECK(value(log(1 + 1e-10f * exp(x * 0))).as_double(0) == doctest::Approx(1e-10));
    CHECK(value(exp(x * 1e-12f) - 1).as_double(3) == doctest::Approx(90e-12));
}

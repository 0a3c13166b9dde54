// The rule engine, and every rule of the three tables: its left side, built from its own pattern,
// has the value of its right side.
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/ops/checks.h"
#include "compiler/ops/random.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support.h"

using namespace arete;
using arete::test::difference;

namespace {

constexpr std::int64_t rows = 5, columns = 7;

/// Applications that need more than operands: by op, the attributes to try.
std::vector<Attrs> attributes(std::string_view op, std::span<const Expr> args) {
    const Shape in = args.empty() ? Shape{} : args[0].shape();
    if (op == "softmax" || op == "log_softmax" || op == "softmax_grad" || op == "shape") {
        std::vector<Attrs> out;
        for (std::size_t axis = 0; axis < in.size(); ++axis)
            out.push_back({{"axis", static_cast<std::int64_t>(axis)}});
        return out;
    }
    if (op == "dimshuffle") {
        Ints same;
        for (std::size_t k = 0; k < in.size(); ++k) same.push_back(static_cast<std::int64_t>(k));
        return {{{"order", same}},
                {{"order", Ints{1, 0}}},
                {{"order", Ints{1, -1, 0}}},
                {{"order", Ints{1, 0, 2, 3}}}};
    }
    if (op == "reshape")
        return {{{"shape", in}},
                {{"shape", Shape{rows * columns}}},
                {{"shape", Shape{columns, 1, rows}}}};
    if (op == "broadcast_to") return {{{"shape", in}, {"repeats", Ints{}}}};
    if (op == "pad2d") return {{{"pad", Shape{2, 2, 1, 1}}}};
    if (op == "conv2d") return {{{"filter_flip", true}}, {{"filter_flip", false}}};
    if (op == "check_index") return {{{"size", Dim(rows)}}};
    if (op == "cast") return {{{"dtype", DType::F32}}, {{"dtype", DType::F64}}};
    return {Attrs{}};
}

/// Builds the expressions that a pattern may stand for, for given meanings of its variables.
class Builder {
  public:
    Builder(const std::map<char, Expr>& variables, DType t) : variables_(variables), t_(t) {}

    std::vector<Expr> all(const Pattern& p) const {
        switch (p.kind) {
            case Pattern::Kind::Any: return {variables_.at(p.name)};
            case Pattern::Kind::Constant: return {scalar_constant(t_, p.value)};
            case Pattern::Kind::Apply: break;
        }
        std::vector<std::vector<Expr>> choices{{}};
        for (const Pattern& arg : p.args) {
            std::vector<std::vector<Expr>> longer;
            for (const auto& before : choices)
                for (const Expr& e : all(arg)) {
                    longer.push_back(before);
                    longer.back().push_back(e);
                }
            choices = std::move(longer);
        }
        std::vector<Expr> out;
        for (const auto& args : choices)
            for (const Attrs& a : attributes(p.op, args)) try {
                    const OpDef* op = find_op(p.op);
                    REQUIRE(op);
                    out.push_back(apply(*op, args, a, Loc{"rule.cpp", 1}));
                } catch (const Error&) {
                    // No such expression, for these operands.
                }
        return out;
    }

  private:
    const std::map<char, Expr>& variables_;
    DType t_;
};

void variables_of(const Pattern& p, std::set<char>& out) {
    if (p.kind == Pattern::Kind::Any) out.insert(p.name);
    for (const Pattern& a : p.args) variables_of(a, out);
}

/// What a variable of a rule may be: tensors, and constants that guards ask for.
struct Meanings {
    explicit Meanings(DType t) {
        Generator random(5);
        // Matrices, and the gradient and the filters of a convolution.
        for (const Sizes& sizes : {Sizes{rows, columns}, Sizes{rows, columns}, Sizes{1, columns},
                                   Sizes{2, 8, 3, 3}, Sizes{8, 2, 3, 2}}) {
            leaves.push_back(tensor(t, static_cast<int>(sizes.size()), "x", sizes));
            // Positive, so that logarithms are defined; whole numbers for integers.
            Array v = random.uniform(sizes, 0.2, 1.8);
            if (!is_float(t)) v = random.uniform(sizes, 0, 9.99);
            bindings.emplace_back(leaves.back(), v.astype(t));
        }
        leaves.push_back(scalar_constant(t, 2.5));
        leaves.push_back(
            scalar_constant(t, is_float(t) || t == DType::I32 || t == DType::I64 ? -3.0 : 1.0));
        leaves.push_back(scalar_constant(DType::Bool, 1.0));
        leaves.push_back(scalar_constant(DType::Bool, 0.0));
        leaves.push_back(arange(4));
    }
    std::vector<Expr> leaves;
    std::vector<std::pair<Expr, Array>> bindings;
};

/// Evaluates both sides of a rule for everything that its pattern may stand for; how often it
/// fired.
int check_rule(const Rule& rule, DType t) {
    const Meanings meanings(t);
    std::set<char> names;
    variables_of(rule.pattern, names);
    const std::vector<char> order(names.begin(), names.end());
    int fired = 0;
    std::vector<std::size_t> choice(order.size(), 0);
    for (;;) {
        std::map<char, Expr> variables;
        for (std::size_t k = 0; k < order.size(); ++k)
            variables[order[k]] = meanings.leaves[choice[k]];
        for (const Expr& left : Builder(variables, t).all(rule.pattern)) {
            const auto m = match(rule.pattern, left);
            if (!m) {
                CHECK(!is_float(t));  // a constant of the pattern that t cannot hold
                continue;
            }
            if (rule.guard && !rule.guard(*m)) continue;
            const Expr right = rule.replace(*m);
            if (right.empty() || fired >= 40) continue;
            ++fired;
            CAPTURE(to_string(Graph({left})));
            CAPTURE(to_string(Graph({right})));
            REQUIRE(right.type() == left.type());
            const std::vector<Expr> both{left, right};
            const auto values = reference_eval(both, meanings.bindings);
            CHECK(difference(values[1], values[0]) <= (t == DType::F64   ? 1e-13
                                                       : t == DType::F32 ? 2e-6
                                                                         : 0));
        }
        std::size_t k = 0;
        while (k < order.size() && ++choice[k] == meanings.leaves.size()) choice[k++] = 0;
        if (k == order.size()) return fired;
    }
}

struct Table {
    const char* name;
    std::span<const Rule> rules;
};
std::vector<Table> tables() {
    return {{"canonicalize", canonicalize_rules()},
            {"stabilize", stabilize_rules()},
            {"specialize", specialize_rules()}};
}

Expr once(const Expr& e, std::span<const Rule> rules, RewriteLog* log = nullptr) {
    return rewrite({&e, 1}, rules, log)[0];
}

/// A training step, as a list of outputs.
std::vector<Expr> training_step() {
    const auto x = tensor4<float>("x", {4, 1, 8, 8});
    const auto y = vector<std::int32_t>("y", {4});
    const auto f = shared(zeros<float>({3, 1, 3, 3}), "f"), w = shared(zeros<float>({27, 5}), "w"),
               b = shared(zeros<float>({5}), "b");
    const Expr h = sigmoid(pool2d(conv2d(x, f), {2, 2}));
    const Expr p = softmax(dot(flatten(h, 2), w) + b);
    const Expr cost = -mean(log(p)(arange(y.shape(0)), y)) + 0.5f * 0.01f * sum(pow(w, 2)) +
                      mean(log(1 + exp(-b)));
    std::vector<Expr> out{cost};
    for (const Expr& g : grad(cost, {f, w, b})) out.push_back(g);
    return out;
}

}  // namespace

TEST_CASE("rewrite: both sides of every rule are equal, and every rule fires") {
    for (const Table& table : tables())
        for (const Rule& rule : table.rules) {
            INFO(fmt::format("{}: {}: {}", table.name, rule.name, rule.comment));
            for (const DType t : {DType::F32, DType::F64}) CHECK(check_rule(rule, t) > 0);
            for (const DType t : {DType::I32, DType::I64, DType::U8, DType::Bool})
                check_rule(rule, t);
            CHECK(std::string(rule.comment).size() > 4);
        }
}

TEST_CASE("rewrite: names are unique within a table") {
    for (const Table& table : tables()) {
        std::set<std::string> names;
        for (const Rule& rule : table.rules) CHECK(names.insert(rule.name).second);
    }
}

TEST_CASE("rewrite: twice is once") {
    std::vector<Expr> e = training_step();
    for (const Table& table : tables()) {
        INFO(std::string(table.name));
        e = rewrite(e, table.rules);
        RewriteLog log;
        const auto again = rewrite(e, table.rules, &log);
        CHECK(log.firings.empty());
        CHECK(to_string(Graph(again)) == to_string(Graph(e)));
    }
}

TEST_CASE("rewrite: the log names rules, lines and types") {
    const auto x = vector<float>("x", {3});
    const int line = __LINE__ + 1;
    const Expr e = log(1 + exp(x));
    RewriteLog log;
    const Expr out = once(e, stabilize_rules(), &log);
    CHECK(out.node().op->name == "softplus");
    CHECK(out.loc().line == line);  // new nodes take the user's line
    REQUIRE(log.firings.size() == 1);
    CHECK(std::string(log.firings[0].rule->name) == "softplus");
    CHECK(log.firings[0].where == fmt::format("test_rewrite.cpp:{}", line));
    CHECK(log.str().find(fmt::format("softplus (log(1 + exp(x)) = softplus(x)): log(add) : f32[3] "
                                     "-> softplus(x) : f32[3]  # test_rewrite.cpp:{}",
                                     line)) == 0);
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

// Every rule of the three tables: what it matches has the value of what it puts there, for every
// dtype for which such an expression exists. Rules come to rest, and a second run fires nothing.
#include <cmath>
#include <functional>
#include <limits>
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
#include "compiler/rewrite/specialize_shapes.h"
#include "examples/mnist/nets.h"
#include "tests/support.h"
#include "tests/targets.h"
#include "tests/unit/rule_builder.h"
#include "tests/unit/rule_corpus.h"

using namespace arete;
using arete::test::difference;

namespace {

constexpr std::int64_t rows = 5, columns = 7;

/// What a variable of a rule may be: tensors, and constants that guards ask for.
struct Meanings {
    Meanings(DType t, bool special) {
        Generator random(5);
        const auto add = [&](const Array& v) {
            leaves.push_back(tensor(t, v.rank(), "x", v.shape()));
            bindings.emplace_back(leaves.back(), v);
        };
        // Matrices, a product's operands, and the gradient and the filters of a convolution.
        for (const Sizes& sizes :
             {Sizes{rows, columns}, Sizes{rows, columns}, Sizes{1, columns}, Sizes{columns, rows},
              Sizes{rows, 1}, Sizes{}, Sizes{1, 1}, Sizes{2, 8, 3, 3}, Sizes{8, 2, 3, 2}}) {
            // Positive, so that logarithms are defined; whole numbers for integers.
            const bool exact = is_float(t);
            add((exact ? random.uniform(sizes, 0.2, 1.8) : random.uniform(sizes, 0, 9.99))
                    .astype(t));
        }
        if (is_float(t) && special) {
            constexpr double infinity = std::numeric_limits<double>::infinity();
            const double values[] = {0, 1, -1, infinity, -infinity, std::nan(""), 0.5};
            Array v(DType::F64, {rows, columns});
            for (std::int64_t i = 0; i < v.size(); ++i) v.data<double>()[i] = values[i * 3 % 7];
            add(v.astype(t));
        }
        leaves.push_back(scalar_constant(t, 2.0));
        leaves.push_back(scalar_constant(t, 4.0));
        leaves.push_back(
            scalar_constant(t, is_float(t) || t == DType::I32 || t == DType::I64 ? -3.0 : 1.0));
        leaves.push_back(scalar_constant(DType::Bool, 1.0));
        leaves.push_back(scalar_constant(DType::Bool, 0.0));
        leaves.push_back(vector<bool>("c", {columns}));
        bindings.emplace_back(
            leaves.back(),
            Array(std::vector<std::int64_t>{1, 0, 1, 1, 0, 0, 1}).astype(DType::Bool));
        if (special) leaves.push_back(cast(arange(columns), t));  // 0 is among them
        leaves.push_back(arange(4));
    }
    std::vector<Expr> leaves;
    std::vector<std::pair<Expr, Array>> bindings;
};

double tolerance(DType t) {
    return t == DType::F64 ? 1e-13 : t == DType::F32 ? 2e-6 : 0;
}

/// Both sides of one application of a rule.
void check_sides(const Expr& left, const Expr& right,
                 const std::vector<std::pair<Expr, Array>>& bindings) {
    CAPTURE(to_string(Graph({left})));
    CAPTURE(to_string(Graph({right})));
    REQUIRE(right.type() == left.type());
    const std::vector<Expr> both{left, right};
    const auto values = reference_eval(both, bindings);
    CHECK(difference(values[1], values[0]) <= tolerance(left.dtype()));
}

/// Evaluates both sides of a rule for everything that its pattern may stand for; how often it
/// fired.
int check_rule(const Rule& rule, DType t, bool special) {
    const Meanings meanings(t, special);
    std::set<char> names;
    test::variables_of(rule.pattern, names);
    const std::vector<char> order(names.begin(), names.end());
    constexpr int enough = 60;
    int fired = 0;
    std::vector<std::size_t> choice(order.size(), 0);
    for (;;) {
        std::map<char, Expr> variables;
        for (std::size_t k = 0; k < order.size(); ++k)
            variables[order[k]] = meanings.leaves[choice[k]];
        for (Expr left : test::PatternBuilder(variables, t).applications(rule.pattern)) {
            // Equal parts become one node, as in a compilation.
            left = rewrite({&left, 1}, std::span<const Rule>{})[0];
            if (left.node().is_leaf()) continue;
            const auto m = match(rule.pattern, left);
            if (!m || (rule.guard && !rule.guard(*m))) continue;
            const Expr right = rule.replace(*m);
            if (right.empty()) continue;
            ++fired;
            check_sides(left, right, meanings.bindings);
            if (fired >= enough) return fired;
        }
        std::size_t k = 0;
        while (k < order.size() && ++choice[k] == meanings.leaves.size()) choice[k++] = 0;
        if (k == order.size()) return fired;
    }
}

/// The rule alone applied to what is written for it, after the canonical ones; how often it fired.
int check_written(const Rule& rule, DType t) {
    int fired = 0;
    Generator random(6);
    const auto value = [&] {
        return (is_float(t) ? random.uniform({rows, columns}, 0.2, 1.8)
                            : random.uniform({rows, columns}, 0, 9.99))
            .astype(t);
    };
    const auto x = tensor(t, 2, "x", {rows, columns}), y = tensor(t, 2, "y", {rows, columns});
    const std::vector<std::pair<Expr, Array>> bindings{{x, value()}, {y, value()}};
    for (const Written& w : written_for_rules()) {
        if (std::string(w.rule) != rule.name) continue;
        std::vector<Expr> left;
        try {
            left = {w.build(x, y)};
        } catch (const Error&) {
            continue;  // no such expression for this dtype
        }
        const bool canonical = [&] {
            for (const Rule& r : canonicalize_rules())
                if (&r == &rule) return true;
            return false;
        }();
        if (!canonical) left = rewrite(left, Phase::Canonicalize);
        RewriteLog log;
        const auto right = rewrite(left, {&rule, 1}, &log);
        CAPTURE(to_string(Graph(left)));
        CHECK((!log.firings.empty() || !is_float(t)));
        fired += static_cast<int>(log.firings.size());
        check_sides(left[0], right[0], bindings);
    }
    return fired;
}

struct Table {
    std::string name;
    Phase phase;
    std::span<const Rule> rules;
    bool of_target = false;
};
std::vector<Table> tables() {
    std::vector<Table> out = {{"canonicalize", Phase::Canonicalize, canonicalize_rules()},
                              {"stabilize", Phase::Stabilize, stabilize_rules()},
                              {"specialize", Phase::Specialize, specialize_rules()},
                              {"fast_math", Phase::Specialize, fast_math_rules()}};
    for (const test::TargetRules& t : test::target_rules())
        out.push_back({t.device, Phase::Specialize, t.rules, true});
    return out;
}

/// A training step, as a list of outputs.
std::vector<Expr> small_step() {
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

/// The training step of one of the chapter's nets: the cost and the new parameters.
std::vector<Expr> step_of(const NetRow& row) {
    const Network net = build_net(row, 10, {});
    std::vector<Expr> variables(net.params.begin(), net.params.end());
    Expr cost = net.layer(net.size() - 1).cost(net);
    for (std::size_t l = 0; l < net.size(); ++l)
        if (row.lmbda != 0)
            cost = cost + 0.5f * static_cast<float>(row.lmbda / 5000) * sum(sqr(net.layer(l).w));
    std::vector<Expr> out{cost};
    const std::vector<Expr> g = grad(cost, variables);
    for (std::size_t k = 0; k < g.size(); ++k)
        out.push_back(variables[k] - static_cast<float>(row.eta) * g[k]);
    ShapeBinding sizes;
    sizes.sizes[net.x.node().id] = {10, kSide * kSide};
    sizes.sizes[net.y.node().id] = {10};
    return bind_shapes(out, sizes);
}

/// All phases in the order of the pipeline; after each a second run must find nothing to do.
void check_rest(std::vector<Expr> e) {
    for (const Table& table : tables()) {
        INFO(table.name);
        const bool fast_math = table.name == "fast_math";
        if (table.phase == Phase::Specialize) e = expand_composites(e);
        const std::span<const Rule> own = table.of_target ? table.rules : std::span<const Rule>();
        e = rewrite(e, table.phase, nullptr, fast_math, Products::fused, own);
        RewriteLog log;
        const auto again = rewrite(e, table.phase, &log, fast_math, Products::fused, own);
        CAPTURE(log.str());
        CHECK(log.firings.empty());
        CHECK(to_string(Graph(again)) == to_string(Graph(e)));
        // What rules make has the line of what it replaces.
        const Graph graph(e);
        for (const auto& node : graph.nodes())
            CHECK_MESSAGE((node->is_leaf() || node->loc()), std::string(node->op->name));
    }
}

}  // namespace

TEST_CASE("rules: both sides of every rule are equal, and every rule fires") {
    for (const Table& table : tables())
        for (const Rule& rule : table.rules) {
            INFO(fmt::format("{}: {}: {}", table.name, rule.name, rule.comment));
            // Stabilising rules mend what overflows; no other may change NaN or infinities.
            const bool special = table.phase != Phase::Stabilize && table.name != "fast_math";
            std::map<DType, int> fired;
            for (const DType t : all_dtypes)
                fired[t] = check_rule(rule, t, special) + check_written(rule, t);
            CHECK((fired[DType::F32] > 0) == (fired[DType::F64] > 0));
            int total = 0;
            for (const auto& [t, n] : fired) total += n;
            CHECK(total > 0);
            CHECK(std::string(rule.comment).size() > 4);
        }
}

TEST_CASE("rules: names are unique within a table, and each written expression has a rule") {
    std::set<std::string> everywhere;
    for (const Table& table : tables()) {
        std::set<std::string> names;
        for (const Rule& rule : table.rules) CHECK(names.insert(rule.name).second);
        everywhere.insert(names.begin(), names.end());
    }
    for (const Written& w : written_for_rules()) CHECK(everywhere.count(w.rule) == 1);
}

TEST_CASE("rules: twice is once") {
    check_rest(small_step());
}

TEST_CASE("rules: twice is once, for the training steps of the chapter's nets") {
    for (const NetRow& row : nets()) {
        CAPTURE(std::string(row.name));
        check_rest(step_of(row));
    }
}

// What the default promises of rules, at the corners of every dtype: operands are drawn from zeros
// of both signs, denormals, the smallest and the largest numbers, infinities, NaN, and integers
// that a double cannot tell apart. A rule may round otherwise, and may change the sign of a zero;
// it may not make a NaN, an infinity or a zero of another number, or the other way. Stabilising
// rules may, and those of Mode::fast_math, which have tests of their own.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/targets.h"
#include "tests/unit/rule_builder.h"
#include "tests/unit/rule_corners.h"

using namespace arete;
using arete::test::CornerOperands;
using arete::test::PatternBuilder;

namespace {

// The distance of neighbours of v in T, and of denormals where v is small.
double spacing(DType t, double v) {
    const int digits = t == DType::F32 ? 24 : 53, lowest = t == DType::F32 ? -125 : -1021;
    int exponent = 0;
    std::frexp(v, &exponent);
    return std::ldexp(1.0, std::max(exponent, lowest) - digits);
}

// Is `got` what the promise allows for `was`? `exact` is the value without rounding where it is
// known, else `was`.
bool keeps_promise(DType t, double got, double was, double exact) {
    if (std::isnan(got) || std::isnan(was)) return std::isnan(got) && std::isnan(was);
    if (std::isinf(got) || std::isinf(was)) return got == was;
    const double few = 16 * spacing(t, std::max(std::fabs(got), std::fabs(was)));
    if ((got == 0) != (was == 0)) return std::max(std::fabs(got), std::fabs(was)) <= few;
    return std::fabs(got - was) <= few || std::fabs(got - exact) <= few + 16 * spacing(t, exact);
}

struct Broken {
    std::string text;
};

// Both sides at all elements; empty where the promise is kept.
std::string compare(const Expr& left, const Expr& right, const Array* exact,
                    const std::vector<std::pair<Expr, Array>>& bindings) {
    const std::vector<Expr> both{left, right};
    const auto values = reference_eval(both, bindings);
    if (!is_float(left.dtype()))
        return values[0].equals(values[1])
                   ? std::string()
                   : fmt::format("{} became {}", values[0].str(), values[1].str());
    for (std::int64_t i = 0; i < values[0].size(); ++i) {
        const double was = values[0].as_double(i), got = values[1].as_double(i);
        if (!keeps_promise(left.dtype(), got, was, exact ? exact->as_double(i) : was))
            return fmt::format("element {}: {} became {}", i, was, got);
    }
    return {};
}

bool reduces(const Expr& e) {
    const Graph graph({e});
    return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                       [](const auto& n) { return n->op->has(Trait::Reduces); });
}

// Applies a rule to what its pattern may stand for, for random choices of operands; how often it
// fired.
int check_at_corners(const Rule& rule, DType t) {
    int fired = 0;
    std::set<char> names;
    test::variables_of(rule.pattern, names);
    const std::vector<char> order(names.begin(), names.end());
    std::mt19937 random(7);
    // Sums may be added in any order, which shows where terms are huge.
    for (const bool ordinary : {false, true}) {
        const CornerOperands operands(t, ordinary), wide(DType::F64, ordinary);
        for (int attempt = 0; attempt < 150 && fired < 40; ++attempt) {
            std::map<char, std::size_t> choice;
            for (const char c : order) choice[c] = random() % operands.leaves.size();
            const auto build = [&](const CornerOperands& from, DType dtype) {
                std::map<char, Expr> variables;
                for (const char c : order) variables[c] = from.leaves[choice[c]];
                return PatternBuilder(variables, dtype).applications(rule.pattern);
            };
            const std::vector<Expr> lefts = build(operands, t);
            const std::vector<Expr> exacts =
                t == DType::F32 ? build(wide, DType::F64) : std::vector<Expr>();
            for (std::size_t k = 0; k < lefts.size() && k < 6; ++k) {
                const Expr left = rewrite({&lefts[k], 1}, std::span<const Rule>{})[0];
                if (left.node().is_leaf() || reduces(left) != ordinary) continue;
                const auto m = match(rule.pattern, left);
                if (!m || (rule.guard && !rule.guard(*m))) continue;
                const Expr right = rule.replace(*m);
                if (right.empty()) continue;
                ++fired;
                Array exact;
                const bool known = exacts.size() == lefts.size() && is_float(left.dtype());
                if (known) {
                    std::vector<std::pair<Expr, Array>> bound;
                    for (std::size_t b = 0; b < operands.bindings.size(); ++b)
                        bound.emplace_back(
                            wide.bindings[b].first,
                            operands.bindings[b].second.astype(wide.bindings[b].first.dtype()));
                    exact = reference_eval({&exacts[k], 1}, bound)[0];
                }
                CAPTURE(to_line(left, 6));
                CAPTURE(to_line(right, 6));
                CAPTURE(name(t));
                const std::string broken =
                    compare(left, right, known ? &exact : nullptr, operands.bindings);
                CHECK_MESSAGE(broken.empty(), broken);
            }
        }
    }
    return fired;
}

}  // namespace

TEST_CASE("rules at the corners: the range and the special values are kept as written") {
    int total = 0, rules = 0;
    std::vector<std::span<const Rule>> tables{canonicalize_rules(), specialize_rules()};
    for (const test::TargetRules& t : test::target_rules()) tables.push_back(t.rules);
    for (const auto table : tables)
        for (const Rule& rule : table) {
            INFO(std::string(rule.name));
            int fired = 0;
            for (const DType t : all_dtypes) fired += check_at_corners(rule, t);
            total += fired;
            rules += fired > 0;
        }
    CHECK(total > 1000);
    CHECK(rules > 80);
}

TEST_CASE("rules at the corners: what Mode::fast_math may do is seen, so the comparison can fail") {
    int broken = 0;
    for (const Rule& rule : fast_math_rules()) {
        if (std::string(rule.name) != "sum_scaled" && std::string(rule.name) != "scale_constants")
            continue;
        const Expr x = vector<float>("x", {2});
        const Expr left =
            std::string(rule.name) == "sum_scaled" ? sum(x * 0.125f) : x * 1e30f * 1e-30f;
        const auto m = match(rule.pattern, left);
        REQUIRE(m);
        broken += !compare(left, rule.replace(*m), nullptr,
                           {{x, Array(std::vector<float>{3e38f, 3e38f})}})
                       .empty();
    }
    CHECK(broken == 2);
}

TEST_CASE("rules at the corners: the lowest integer is its own negative") {
    for (const DType t : {DType::I32, DType::I64}) {
        const Expr x = tensor(t, 1, "x", {3});
        const std::int64_t low = t == DType::I32 ? std::numeric_limits<std::int32_t>::min()
                                                 : std::numeric_limits<std::int64_t>::min();
        const Expr a = scalar_constant(t, low);
        const Array v = Array(std::vector<std::int64_t>{0, 5, -7}).astype(t);
        const auto values =
            function({.inputs = {x}, .outputs = {x + a, x - a, x * a, x - x * a}})(v);
        const auto plain =
            reference_eval(std::vector<Expr>{x + a, x - a, x * a, x - x * a}, {{x, v}});
        for (std::size_t k = 0; k < values.size(); ++k) CHECK(values[k].equals(plain[k]));
    }
}

// What the default promises of gradients, for every rule of the default tables, without naming one:
// the gradient of sum(w * e) for whatever e the rule's pattern may stand for, and the gradient of
// that, with operands from the corners of the dtype, after all rules and before any. What is finite
// as written stays finite and keeps its value; an infinity or a NaN stays what it is unless a
// stabilising rule has fired, which may give what real arithmetic gives.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "tests/targets.h"
#include "tests/unit/rule_builder.h"
#include "tests/unit/rule_corners.h"
#include "tests/unit/rule_corpus.h"

using namespace arete;
using namespace arete::test;

namespace {

using Bindings = std::vector<std::pair<Expr, Array>>;

/// sum(w * e), with weights of both signs.
Expr weighted(const Expr& e) {
    const std::int64_t n = size_of(e.shape()).value();
    Array w(e.dtype(), {n});
    for (std::int64_t i = 0; i < n; ++i) {
        const double v = i % 3 == 0 ? 1 : i % 3 == 1 ? -2 : 0.5;
        if (e.dtype() == DType::F32)
            w.data<float>()[i] = static_cast<float>(v);
        else
            w.data<double>()[i] = v;
    }
    return sum(reshape(e, {n}) * constant(w));
}

/// The float inputs that e depends on.
std::vector<Expr> variables(const Expr& e, const Bindings& bindings) {
    std::vector<Expr> out;
    const Graph graph({e});
    for (const auto& [x, value] : bindings)
        if (is_float(x.dtype()) && graph.contains(x.node())) out.push_back(x);
    return out;
}

bool reduces(const Expr& e) {
    const Graph graph({e});
    return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                       [](const auto& n) { return n->op->has(Trait::Reduces); });
}

/// The gradients of sum(w * e), and those of a sum of these; empty where there are none.
std::vector<Expr> derivatives(const Expr& e, const Bindings& bindings) {
    std::vector<Expr> out;
    const std::vector<Expr> wrt = variables(e, bindings);
    if (!is_float(e.dtype()) || wrt.empty()) return out;
    const GradOptions zero{.disconnected_inputs = Disconnected::zero};
    try {
        out = grad(weighted(e), wrt, zero);
        Expr slope;
        for (const Expr& g : out) slope = slope.empty() ? weighted(g) : slope + weighted(g);
        for (const Expr& g : grad(slope, wrt, zero)) out.push_back(g);
    } catch (const GraphError&) {
        // An op without a gradient.
    }
    return out;
}

/// After all phases; whether a stabilising rule has fired.
std::vector<Expr> with_rules(std::vector<Expr> e, bool& stabilised, bool fast_math = false) {
    RewriteLog log;
    e = rewrite(e, Phase::Canonicalize, nullptr, fast_math);
    e = rewrite(e, Phase::Stabilize, &log, fast_math);
    const auto table = stabilize_rules();
    for (const auto& firing : log.firings)
        stabilised = stabilised ||
                     (firing.rule >= table.data() && firing.rule < table.data() + table.size());
    return rewrite(expand_composites(e), Phase::Specialize, nullptr, fast_math);
}

/// Why an element breaks the promise; empty where it is kept. `wide` is what is written in f64.
std::string judge(DType t, double got, double was, double wide, bool stabilised) {
    if (std::isnan(was)) return std::isnan(got) || stabilised ? "" : "NaN became a number";
    if (std::isinf(was)) {
        if (got == was || stabilised) return "";
        return std::isnan(got) ? "an infinity became NaN" : "an infinity became another number";
    }
    if (!std::isfinite(got)) return "a number became NaN or infinite";
    // What rounding has spoilt as written may come out otherwise; of f64 that is not known.
    const double cancelled = t == DType::F64 ? 1e-12 : 0, scale = std::fabs(was);
    if (!(std::fabs(was - wide) <= 1e-5 * scale)) return "";
    return std::fabs(got - wide) <= 1e-4 * scale + cancelled ? "" : "another number";
}

/// All derivatives before and after the rules, element by element.
std::string compare(const Expr& e, const Bindings& bindings, const Expr& wide,
                    const Bindings& wide_bindings, int& elements, bool fast_math = false) {
    const std::vector<Expr> plain = derivatives(e, bindings),
                            exact = derivatives(wide, wide_bindings);
    if (plain.empty() || exact.size() != plain.size()) return {};
    bool stabilised = false;
    const std::vector<Expr> after = with_rules(plain, stabilised, fast_math);
    Bindings bound;
    for (std::size_t b = 0; b < bindings.size(); ++b)
        bound.emplace_back(wide_bindings[b].first,
                           bindings[b].second.astype(wide_bindings[b].first.dtype()));
    const auto was = reference_eval(plain, bindings), got = reference_eval(after, bindings),
               best = reference_eval(exact, bound);
    for (std::size_t k = 0; k < was.size(); ++k)
        for (std::int64_t i = 0; i < was[k].size(); ++i) {
            ++elements;
            const double v[] = {got[k].as_double(i), was[k].as_double(i), best[k].as_double(i)};
            const std::string broken = judge(was[k].dtype(), v[0], v[1], v[2], stabilised);
            if (!broken.empty())
                return fmt::format("{}: derivative {}, element {}: {} became {}, exactly {}",
                                   broken, k * 2 < was.size() ? 1 : 2, i, v[1], v[0], v[2]);
        }
    return {};
}

struct Tally {
    int rules = 0, fired = 0, elements = 0;
};

/// sqrt(-0) is -0, pow(-0, 0.5) is 0, and the slopes there infinities of these signs.
const std::set<std::string> documented{"pow_half"};

int check_patterns(const Rule& rule, DType t, Tally& tally) {
    int fired = 0;
    std::set<char> names;
    variables_of(rule.pattern, names);
    const std::vector<char> order(names.begin(), names.end());
    std::mt19937 random(11);
    // Sums may be added in any order, which shows where terms are huge.
    for (const bool ordinary : {false, true}) {
        const CornerOperands operands(t, ordinary), wide(DType::F64, ordinary);
        for (int attempt = 0; attempt < 100 && fired < (ordinary ? 24 : 16); ++attempt) {
            std::map<char, std::size_t> choice;
            for (const char c : order) choice[c] = random() % operands.leaves.size();
            const auto build = [&](const CornerOperands& from, DType dtype) {
                std::map<char, Expr> meanings;
                for (const char c : order) meanings[c] = from.leaves[choice[c]];
                return PatternBuilder(meanings, dtype).applications(rule.pattern);
            };
            const std::vector<Expr> lefts = build(operands, t), wides = build(wide, DType::F64);
            if (lefts.size() != wides.size()) continue;
            for (std::size_t k = 0; k < lefts.size() && k < 4; ++k) {
                const Expr left = rewrite({&lefts[k], 1}, std::span<const Rule>{})[0];
                if (left.node().is_leaf() || !is_float(left.dtype())) continue;
                const auto m = match(rule.pattern, left);
                if (!m || (rule.guard && !rule.guard(*m)) || rule.replace(*m).empty()) continue;
                const bool sums = reduces(left);
                if (sums != ordinary) continue;
                ++fired;
                const std::string broken =
                    compare(lefts[k], operands.bindings, wides[k], wide.bindings, tally.elements);
                CHECK_MESSAGE(broken.empty(), to_line(left, 6), " of ", name(t), ": ", broken);
            }
        }
    }
    return fired;
}

int check_written(const Rule& rule, DType t, Tally& tally) {
    int fired = 0;
    const CornerOperands operands(t, true), wide(DType::F64, true);
    for (const Written& w : written_for_rules()) {
        if (w.rule != std::string(rule.name)) continue;
        for (const auto& [i, j] : {std::pair{0u, 1u}, {1u, 2u}, {2u, 0u}}) try {
                const Expr e = w.build(operands.leaves[i], operands.leaves[j]);
                const std::string broken =
                    compare(e, operands.bindings, w.build(wide.leaves[i], wide.leaves[j]),
                            wide.bindings, tally.elements);
                CHECK_MESSAGE(broken.empty(), to_line(e, 6), " of ", name(t), ": ", broken);
                ++fired;
            } catch (const GraphError&) {
                // No such expression for this dtype.
            }
    }
    return fired;
}

}  // namespace

TEST_CASE("gradients of rules: what is finite as written is, at the corners, with all rules") {
    Tally tally;
    std::vector<std::span<const Rule>> tables{canonicalize_rules(), stabilize_rules(),
                                              specialize_rules()};
    for (const test::TargetRules& t : test::target_rules()) tables.push_back(t.rules);
    for (const auto table : tables)
        for (const Rule& rule : table) {
            if (documented.count(rule.name)) continue;
            INFO(std::string(rule.name));
            int fired = 0;
            for (const DType t : {DType::F32, DType::F64})
                fired += check_patterns(rule, t, tally) + check_written(rule, t, tally);
            tally.rules += fired > 0;
            tally.fired += fired;
        }
    CHECK(tally.rules > 140);
    CHECK(tally.fired > 3000);
    CHECK(tally.elements > 100000);
}

TEST_CASE("gradients of rules: what Mode::fast_math may do is seen, so the comparison can fail") {
    const Expr x = vector<float>("x", {2}), y = vector<double>("y", {2});
    const auto build = [](const Expr& v) { return sqr(v * 1e20 * 1e-20); };
    const Bindings at{{x, Array(std::vector<float>{1e25f, 1})}};
    int elements = 0;
    CHECK(compare(build(x), at, build(y), {{y, {}}}, elements).empty());
    CHECK(!compare(build(x), at, build(y), {{y, {}}}, elements, true).empty());
}

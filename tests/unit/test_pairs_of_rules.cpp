// Rules that follow each other: wherever one rule's pattern takes an operand, what another rule
// matches. Both fire, and whatever else then fires, and the result is compared at the corners with
// what is written: a number stays finite and keeps its value, an infinity or a NaN stays what it is
// unless a stabilising rule gives what real arithmetic gives.
//
// Every pair is tried in a run with ARETE_ALL_PAIRS=1; otherwise a sample, the same in each run.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
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

// What a rule matches: its pattern with operands, or what is written for it.
struct Instance {
    const Rule* rule = nullptr;
    const Written* written = nullptr;
    std::map<char, std::size_t> operands;  // by variable, which leaf
    std::size_t which = 0;                 // of the expressions that the pattern may stand for

    // With `inner` in place of one variable; empty where there is no such expression.
    Expr build(const CornerOperands& from, DType t, char hole, const Expr& inner) const {
        try {
            if (written) {
                const Expr &x = hole == 'x' ? inner : from.leaves[0],
                           &y = hole == 'y' ? inner : from.leaves[1];
                return written->build(x, y);
            }
            std::map<char, Expr> meanings;
            for (const auto& [name, leaf] : operands) meanings[name] = from.leaves[leaf];
            if (hole) meanings[hole] = inner;
            const std::vector<Expr> all = PatternBuilder(meanings, t).applications(rule->pattern);
            return which < all.size() ? all[which] : Expr();
        } catch (const GraphError&) {
            return {};
        }
    }
    std::vector<char> holes() const {
        if (written) return {'x', 'y'};
        std::vector<char> out;
        for (const auto& [name, leaf] : operands) out.push_back(name);
        return out;
    }
};

bool applies(const Rule& rule, const Expr& e) {
    const Expr left = rewrite({&e, 1}, std::span<const Rule>{})[0];
    if (left.node().is_leaf()) return false;
    const auto m = match(rule.pattern, left);
    return m && (!rule.guard || rule.guard(*m)) && !rule.replace(*m).empty();
}

// An expression of each rule, of floats.
std::vector<Instance> instances(const CornerOperands& operands, DType t) {
    std::vector<std::span<const Rule>> tables{canonicalize_rules(), stabilize_rules(),
                                              specialize_rules()};
    for (const TargetRules& r : target_rules()) tables.push_back(r.rules);
    std::vector<Instance> out;
    std::mt19937 random(5);
    for (const auto table : tables)
        for (const Rule& rule : table) {
            Instance found{&rule, nullptr, {}, 0};
            std::set<char> names;
            variables_of(rule.pattern, names);
            bool done = false;
            for (int attempt = 0; attempt < 200 && !done; ++attempt) {
                for (const char c : names) found.operands[c] = random() % operands.leaves.size();
                for (found.which = 0; found.which < 6 && !done; ++found.which) {
                    const Expr e = found.build(operands, t, 0, {});
                    if (e.empty()) break;
                    if (!is_float(e.dtype()) || !applies(rule, e)) continue;
                    out.push_back(found);
                    done = true;
                }
            }
            for (const Written& w : written_for_rules())
                if (w.rule == std::string(rule.name)) {
                    Instance written{&rule, &w, {}, 0};
                    if (!written.build(operands, t, 0, {}).empty()) out.push_back(written);
                }
        }
    return out;
}

// After all phases; whether a stabilising rule has fired.
Expr with_rules(const Expr& e, bool& stabilised) {
    RewriteLog log;
    std::vector<Expr> out = rewrite({&e, 1}, Phase::Canonicalize, nullptr);
    out = rewrite(out, Phase::Stabilize, &log);
    const auto table = stabilize_rules();
    for (const auto& firing : log.firings)
        stabilised = stabilised ||
                     (firing.rule >= table.data() && firing.rule < table.data() + table.size());
    return rewrite(expand_composites(out), Phase::Specialize, nullptr)[0];
}

// Does rounding decide, somewhere in e, what is computed? A condition or a whole number of
// something computed is another one where that rounds otherwise.
bool decides(const Expr& e) {
    static const std::set<std::string_view> steps{"floor", "ceil", "round", "trunc", "sign"};
    const Graph graph({e});
    return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const auto& n) {
        if (n->is_leaf() || (is_float(n->types[0].dtype) && !steps.count(n->op->name)))
            return false;
        return std::any_of(n->inputs.begin(), n->inputs.end(), [](const Expr& x) {
            return is_float(x.dtype()) && !x.node().is_leaf();
        });
    });
}

// Is everything in e computed in f64?
bool is_wide(const Expr& e) {
    const Graph graph({e});
    return std::none_of(graph.nodes().begin(), graph.nodes().end(),
                        [](const auto& n) { return n->types[0].dtype == DType::F32; });
}

// Why an element breaks the promise; empty where it is kept. `wide` is what is written in f64, as
// far as that is wider.
std::string judge(DType t, double got, double was, std::optional<double> wide, bool stabilised) {
    if (std::isnan(was)) return std::isnan(got) || stabilised ? "" : "NaN became a number";
    if (std::isinf(was)) {
        // What is written in f64 may be a negative number's logarithm: NaN, and rightly so.
        if (std::isnan(got))
            return stabilised && !(t == DType::F32 && wide && std::isinf(*wide))
                       ? ""
                       : "an infinity became NaN";
        // Infinite as well, of a zero whose sign is another one; or what is right of a stable form.
        return std::isinf(got) || stabilised ? "" : "an infinity became another number";
    }
    if (std::isnan(got)) return "a number became NaN";
    if (!wide) return "";
    // What is written may have lost all in one of its parts; a stable form then knows better.
    if (stabilised && (t == DType::F64 || was == 0 || std::fabs(*wide) < 1e-30)) return "";
    if (!std::isfinite(got)) return got == *wide ? "" : "a number became infinite";
    const double cancelled = t == DType::F64 ? 1e-12 : stabilised ? 1e-7 : 0;
    const double scale = std::fabs(was);
    if (!(std::fabs(was - *wide) <= 1e-5 * scale)) return "";
    return std::fabs(got - *wide) <= (stabilised ? 1e-3 : 1e-4) * scale + cancelled
               ? ""
               : "another number";
}

// p (1 - p) is right to the last place of 1 (docs/reliability.md): times an infinity it may be NaN.
const std::set<std::string_view> documented{"sigmoid_slope"};

// Infinite as written, NaN in a stable form, and what is written cannot tell, not even in f64: by
// the larger exponents of real numbers each of them is a negative number's logarithm, or its
// terms are equal but for a rounding.
struct Undecided {
    std::string_view outer, inner, why;
};
constexpr Undecided undecided[] = {
    {"log_of_scaled_exponentials", "gumbel_minus_one", "gumbel(x) - 1 is below 0, not 0"},
    {"log_of_scaled_exponentials", "sigmoid_minus_one", "sigmoid(x) - 1 is below 0, not 0"},
    {"log_of_scaled_exponentials", "log_gumbel_cdf", "log(gumbel_cdf(x)) is below 0, not 0"},
    {"log_of_scaled_exponentials", "log_erfc", "a negative weight of erfc(1e7)"},
    {"log_of_scaled_exponentials", "log_erfc_grad", "a negative weight of exp(-1e25)"},
    {"log_of_exponentials", "mul_neg", "x y - (x y + z) of a z that x y + z swallows"},
};

struct Tally {
    int pairs = 0, tried = 0, elements = 0, broken = 0;
};

void check_pair(const Instance& outer, const Instance& inner, DType t,
                const CornerOperands& operands, const CornerOperands& wide, Tally& tally) {
    const Expr inside = inner.build(operands, t, 0, {});
    const Expr inside_wide = inner.build(wide, DType::F64, 0, {});
    if (inside.empty() || inside_wide.empty()) return;
    for (const char hole : outer.holes()) {
        if (outer.written && inside.shape() != operands.leaves[0].shape()) break;
        const Expr e = outer.build(operands, t, hole, inside);
        if (e.empty() || !is_float(e.dtype())) continue;
        if (!outer.written && !applies(*outer.rule, e)) continue;
        const Expr e_wide = outer.build(wide, DType::F64, hole, inside_wide);
        if (e_wide.empty() || e_wide.rank() != e.rank()) continue;
        ++tally.pairs;
        bool stabilised = false;
        const Expr after = with_rules(e, stabilised);
        // What is infinite as written, a logarithm of 0 say, may be a negative number: its power is
        // NaN then, and rightly so.
        if (stabilised && std::string_view(outer.rule->name).substr(0, 4) == "pow_") break;
        if (documented.count(outer.rule->name)) break;
        const bool comparable = !decides(e) && is_wide(e_wide);
        std::vector<std::pair<Expr, Array>> bound;
        for (std::size_t b = 0; b < operands.bindings.size(); ++b)
            bound.emplace_back(wide.bindings[b].first,
                               operands.bindings[b].second.astype(wide.bindings[b].first.dtype()));
        const std::vector<Expr> both{e, after};
        const std::vector<Array> values = reference_eval(both, operands.bindings);
        const Array best = reference_eval({&e_wide, 1}, bound)[0];
        // What changes by more than is allowed where the operands change by a rounding tells
        // nothing.
        for (auto& [x, v] : bound)
            if (v.dtype() == DType::F64) {
                v = v.copy();
                for (std::int64_t i = 0; i < v.size(); ++i)
                    v.data<double>()[i] *= 1 + (t == DType::F32 ? 0x1p-23 : 0x1p-52);
            }
        const Array moved = reference_eval({&e_wide, 1}, bound)[0];
        // Zeros of either sign stand for small numbers of either sign: is one of these NaN?
        std::vector<Array> beside;
        for (const double small : {0x1p-10, -0x1p-10}) {
            for (std::size_t b = 0; b < bound.size(); ++b)
                if (Array& v = bound[b].second; v.dtype() == DType::F64)
                    for (std::int64_t i = 0; i < v.size(); ++i)
                        if (operands.bindings[b].second.as_double(i) == 0)
                            v.data<double>()[i] = small;
            beside.push_back(reference_eval({&e_wide, 1}, bound)[0]);
        }
        const auto settled = [&](std::int64_t i) {
            const double a = best.as_double(i), b = moved.as_double(i);
            return a == b || std::fabs(a - b) <= 1e-5 * std::fabs(a);
        };
        for (std::int64_t i = 0; i < values[0].size(); ++i) {
            ++tally.elements;
            const double was = values[0].as_double(i), got = values[1].as_double(i);
            const std::string broken =
                judge(t, got, was,
                      comparable && settled(i) ? std::optional(best.as_double(i)) : std::nullopt,
                      stabilised);
            if (broken.empty()) continue;
            if (std::isinf(was) && std::isnan(got) && stabilised &&
                (std::any_of(beside.begin(), beside.end(),
                             [&](const Array& v) { return std::isnan(v.as_double(i)); }) ||
                 std::any_of(std::begin(undecided), std::end(undecided), [&](const Undecided& u) {
                     return u.outer == outer.rule->name && u.inner == inner.rule->name;
                 })))
                continue;
            ++tally.broken;
            CHECK_MESSAGE(broken.empty(), std::string(outer.rule->name), " of ",
                          std::string(inner.rule->name), ": ", to_line(e, 8), " of ", name(t),
                          " became ", to_line(after, 8), ": ", broken, ": element ", i, ": ", was,
                          " became ", got, ", exactly ", best.as_double(i));
            break;
        }
        break;
    }
}

}  // namespace

TEST_CASE("rules in pairs: what two rules and all that follow them make is what was written") {
    const bool all_pairs = std::getenv("ARETE_ALL_PAIRS") != nullptr;
    Tally tally;
    for (const DType t : {DType::F32, DType::F64}) {
        // Sums may be added in any order, which shows where terms are huge.
        const CornerOperands operands(t, true), wide(DType::F64, true);
        const std::vector<Instance> rules = instances(operands, t);
        CHECK(rules.size() > 200);
        std::mt19937 random(17);
        for (const Instance& outer : rules)
            for (const Instance& inner : rules) {
                const auto drawn = random();
                if (!all_pairs && drawn % 16 != 0) continue;
                ++tally.tried;
                check_pair(outer, inner, t, operands, wide, tally);
            }
    }
    MESSAGE(tally.pairs, " pairs of ", tally.tried, " tried, ", tally.elements, " elements");
    CHECK(tally.pairs > (all_pairs ? 60000 : 3000));
    CHECK(tally.elements > 50000);
}

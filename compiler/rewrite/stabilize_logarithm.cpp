// Logarithms of what is never zero: of views, products, quotients, powers and conversions of
// expressions whose own logarithms have stable forms.
#include <algorithm>
#include <cmath>

#include "compiler/ops/elementwise.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/matcher.h"

namespace arete::rules {

namespace {

// log(u) by one of the stabilising rules; nothing where none applies. Positive constants count.
Expr stable_log(const Match& m, const Expr& u) {
    double v = 0;
    const Expr e = log(on(m, u));
    if (is_constant_scalar(u, &v)) return v > 0 ? e : Expr();
    for (const Rule& r : stabilize_rules()) {
        if (r.pattern.kind != Pattern::Kind::Apply || r.pattern.op != "log") continue;
        // What follows holds for any operand: no stable form of its own.
        if (std::string_view(r.name) == "log1p" || std::string_view(r.name) == "log1p_minus")
            continue;
        Matcher matches(r.pattern, e, nullptr, true);
        while (const std::optional<Match> found = matches.next()) {
            if (r.guard && !r.guard(*found)) continue;
            if (const Expr by = r.replace(*found); !by.empty() && by.type() == e.type()) return by;
        }
    }
    return {};
}

Expr log_of_view(const Match& m) {
    std::vector<Expr> inputs = m['v'].node().inputs;
    inputs[0] = stable_log(m, inputs[0]);
    return !inputs[0].empty() ? apply(def(m['v'].node()), inputs, attrs(m['v']), m.loc()) : Expr();
}

Expr log_of_product(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    const Expr b = !a.empty() ? stable_log(m, m['y']) : Expr();
    return !b.empty() ? on(m, a) + on(m, b) : Expr();
}

Expr log_of_quotient(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    const Expr b = !a.empty() ? stable_log(m, m['y']) : Expr();
    return !b.empty() ? on(m, a) - on(m, b) : Expr();
}

// Does the logarithm of 1 - exp(x), which may be negative, stand for it?
bool of_difference(const Expr& e, int depth = 4) {
    if (e.node().op->name == "log1mexp") return true;
    const auto& in = e.node().inputs;
    return depth > 0 && std::any_of(in.begin(), in.end(),
                                    [&](const Expr& x) { return of_difference(x, depth - 1); });
}

Expr log_of_power(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    // Even powers of negative numbers have a logarithm.
    double n = 0;
    const bool even = !is_constant_scalar(m['n'], &n) || std::fmod(n, 2) == 0;
    if (!a.empty() && even && of_difference(a) && !never_negative(m['x'])) return {};
    return !a.empty() ? if_same_type(m, on(m, a) * get(m, 'n')) : Expr();
}

Expr times(const Match& m, const Expr& e, double factor) {
    return on(m, e) * on(m, scalar_constant(m.root().dtype(), factor, m.loc()));
}

Expr log_of_square(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    return times(m, !a.empty() ? a : log(on(m, abs(get(m, 'x')))), 2);
}

Expr log_of_root(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    return !a.empty() ? times(m, a, 0.5) : Expr();
}

Expr log_of_cast(const Match& m) {
    if (!is_float(m['x'].dtype())) return {};
    const Expr a = stable_log(m, m['x']);
    return !a.empty() ? cast(on(m, a), m.root().dtype()) : Expr();
}

}  // namespace

std::span<const Rule> logarithm_rules() {
    static const Rule table[] = {
        {"log_of_view", "log(view(u)) = view(log(u)), where log(u) has a stable form",
         op("log", some('v', "view", is_view)), log_of_view},
        {"log_of_product", "log(u v) = log(u) + log(v), where both have stable forms",
         op("log", op("mul", any('x'), any('y'))), log_of_product},
        {"log_of_quotient", "log(u / v) = log(u) - log(v), where both have stable forms",
         op("log", op("div", any('x'), any('y'))), log_of_quotient},
        {"log_of_power", "log(u^n) = n log(u), where log(u) has a stable form",
         op("log", op("pow", any('x'), any('n'))), log_of_power},
        {"log_of_root", "log(sqrt(u)) = log(u) / 2, where log(u) has a stable form",
         op("log", op("sqrt", any('x'))), log_of_root},
        {"log_sqr", "log(sqr(x)) = 2 log|x|", op("log", op("sqr", any('x'))), log_of_square},
        {"log_of_cast", "log(cast(u)) = cast(log(u)), where log(u) has a stable form",
         op("log", op("cast", any('x'))), log_of_cast},
    };
    return table;
}

}  // namespace arete::rules

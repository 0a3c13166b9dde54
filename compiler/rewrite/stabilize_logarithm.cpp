// Logarithms of what is never zero: of views, products, quotients, powers and conversions of
// expressions whose own logarithms have stable forms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/softmax.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/matcher.h"

namespace arete::rules {

namespace {

// Sizes that are known late, as numbers: they are not negative.
bool is_size(const Expr& e) {
    if (e.node().is_leaf()) return false;
    const std::vector<Expr>& x = e.node().inputs;
    if (is_op(e, "cast")) return is_size(x[0]);
    return is_op(e, "shape") || (is_op(e, "mul") && is_size(x[0]) && is_size(x[1]));
}

// log(u) by one of the stabilising rules; nothing where none applies. Positive constants and sizes
// count.
Expr stable_log(const Match& m, const Expr& u) {
    double v = 0;
    const Expr e = log(on(m, u));
    if (is_constant_scalar(u, &v)) return v > 0 ? e : Expr();
    if (is_size(u)) return e;
    for (const Rule& r : stabilize_rules()) {
        if (r.pattern.kind != Pattern::Kind::Apply || r.pattern.op != "log") continue;
        // What follows holds for any operand, of any sign: no stable form of its own.
        const std::string_view name = r.name;
        if (name == "log1p" || name == "log1p_minus" || name == "log_of_scaled_exponentials")
            continue;
        Matcher matches(r.pattern, e, nullptr, true);
        while (const std::optional<Match> found = matches.next()) {
            if (r.guard && !r.guard(*found)) continue;
            if (const Expr by = r.replace(*found); !by.empty() && by.type() == e.type()) return by;
        }
    }
    return {};
}

// Does the logarithm of 1 - exp(x), which may be negative, stand for it?
bool of_difference(const Expr& e, int depth = 4) {
    if (e.node().op->name == "log1mexp") return true;
    const auto& in = e.node().inputs;
    return depth > 0 && std::any_of(in.begin(), in.end(),
                                    [&](const Expr& x) { return of_difference(x, depth - 1); });
}

// The same for a factor: two negative ones have a positive product.
Expr stable_log_of_factor(const Match& m, const Expr& u) {
    const Expr a = stable_log(m, u);
    return !a.empty() && of_difference(a) && !never_negative(u) ? Expr() : a;
}

Expr log_of_view(const Match& m) {
    std::vector<Expr> inputs = m['v'].node().inputs;
    inputs[0] = stable_log(m, inputs[0]);
    return !inputs[0].empty() ? apply(def(m['v'].node()), inputs, attrs(m['v']), m.loc()) : Expr();
}

Expr log_of_product(const Match& m) {
    const Expr a = stable_log_of_factor(m, m['x']);
    const Expr b = !a.empty() ? stable_log_of_factor(m, m['y']) : Expr();
    return !b.empty() ? on(m, a) + on(m, b) : Expr();
}

Expr log_of_quotient(const Match& m) {
    const Expr a = stable_log_of_factor(m, m['x']);
    const Expr b = !a.empty() ? stable_log_of_factor(m, m['y']) : Expr();
    return !b.empty() ? on(m, a) - on(m, b) : Expr();
}

Expr log_of_power(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    // Even powers of negative numbers have a logarithm.
    double n = 0;
    const bool even = !is_constant_scalar(m['n'], &n) || std::fmod(n, 2) == 0;
    if (!a.empty() && even && of_difference(a) && !never_negative(m['x'])) return {};
    if (a.empty()) return {};
    const Expr product = on(m, a) * get(m, 'n');
    if (is_constant_scalar(m['n'], &n)) return n != 0 ? if_same_type(m, product) : Expr();
    // u^0 is 1 of any u, and 1^n of any n: 0, where the product is 0 times an infinity or a NaN.
    const Operand zero = number(m, 0);
    const Operand finite = number(m, std::numeric_limits<double>::infinity());
    const auto lost = [&](const Operand& factor, const Operand& other) {
        return on(m, eq(factor, zero)) && on(m, !on(m, on(m, abs(other)) < finite));
    };
    const Expr one = on(m, lost(get(m, 'n'), on(m, a))) || on(m, lost(on(m, a), get(m, 'n')));
    return if_same_type(m, where(on(m, one), zero, on(m, product)));
}

Expr multiplied(const Match& m, const Expr& e, double factor) {
    return on(m, e) * on(m, scalar_constant(m.root().dtype(), factor, m.loc()));
}

Expr log_of_square(const Match& m) {
    const Expr a = stable_log_of_factor(m, m['x']);
    return multiplied(m, !a.empty() ? a : log(on(m, abs(get(m, 'x')))), 2);
}

Expr log_of_root(const Match& m) {
    const Expr a = stable_log(m, m['x']);
    return !a.empty() ? multiplied(m, a, 0.5) : Expr();
}

Expr log_of_cast(const Match& m) {
    if (!is_float(m['x'].dtype())) return {};
    const Expr a = stable_log(m, m['x']);
    return !a.empty() ? cast(on(m, a), m.root().dtype()) : Expr();
}

// Splits a product into factors whose logarithms have stable forms, which are added up in `logs`,
// and the others.
void split(const Match& m, const Expr& e, Expr& logs, Expr& others, int depth = 0) {
    constexpr int deepest = 6;
    if (is_op(e, "mul") && depth < deepest) {
        for (const Expr& x : e.node().inputs) split(m, x, logs, others, depth + 1);
        return;
    }
    const Expr l = stable_log_of_factor(m, e);
    Expr& to = l.empty() ? others : logs;
    const Expr& part = l.empty() ? e : l;
    to = to.empty() ? part : l.empty() ? on(m, to) * on(m, part) : on(m, to) + on(m, part);
}

// log(sum(w p)), where log(p) has a stable form; w may have either sign.
Expr log_of_weighted_sum(const Match& m) {
    const Expr& sum = m['s'];
    const Expr& z = sum.node().inputs[0];
    const bool product = is_op(z, "mul");
    if (!product && !is_op(z, "softmax") && !is_op(z, "exp") &&
        !(!z.node().is_leaf() && is_view(def(z.node()))))
        return {};
    Expr logs, others;
    split(m, z, logs, others);
    if (logs.empty()) return {};
    logs = broadcast_to(on(m, logs), z.shape());
    const bool keepdims = attrs(sum).get<bool>("keepdims");
    Expr out = others.empty()
                   ? logsumexp(on(m, logs), axes_of(sum), keepdims)
                   : logsumexp(on(m, logs), on(m, broadcast_to(on(m, others), z.shape())),
                               Axes(axes_of(sum)), keepdims);
    if (is_op(sum, "mean")) {
        const Expr n = cast(on(m, size(on(m, z), axes_of(sum))), z.dtype());
        out = on(m, out) - on(m, log(on(m, n)));
    }
    return if_same_type(m, out);
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
        {"log_of_weighted_sum", "log(sum(w u)) of any w, where log(u) has a stable form",
         op("log", named('s', "sum", any('x'))), log_of_weighted_sum},
        {"log_of_mean", "log(mean(w u)) = log(sum(w u)) - log(n), the same",
         op("log", named('s', "mean", any('x'))), log_of_weighted_sum},
        {"log_of_cast", "log(cast(u)) = cast(log(u)), where log(u) has a stable form",
         op("log", op("cast", any('x'))), log_of_cast},
    };
    return table;
}

}  // namespace arete::rules

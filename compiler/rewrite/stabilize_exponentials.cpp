// Quotients and logarithms of sums of exponentials with constant coefficients, in whatever way they
// are written: with a_i exp(u_i) for terms, where a constant is one with u_i = 0,
//
//   (p exp(u) + q exp(v)) / (r exp(u) + s exp(v)) = p/r sigmoid(w) + q/s sigmoid(-w),
//     w = u - v + log(r/s), and p/r tanh(w/2) where q/s = -p/r;
//   log(a exp(u) + b exp(v)) = logaddexp(u + log(a), v + log(b)).
//
// Where p/r would enlarge what has underflowed, its term is exp(u + log(p) - log(the sum below)).
// Adding a logarithm to an exponent rounds it: relative to the result, by |w| units in the last
// place where that underflows, as for softmax.
#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/ops/special.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/exponentials.h"
#include "compiler/rewrite/matcher.h"

namespace arete::rules {

namespace {

constexpr std::size_t most_terms = 4;
constexpr int deepest = 6;

// Coefficients beyond this could take a result out of the range of f32.
bool usable(double c) {
    return std::fabs(c) >= 1e-30 && std::fabs(c) <= 1e30;
}

bool same_exponent(const Term& a, const Term& b) {
    return alike(a.base, b.base) && (a.base.empty() || a.scale == b.scale);
}

bool add_term(Term t, std::vector<Term>& out) {
    if (!usable(t.coefficient)) return false;
    for (Term& o : out)
        if (same_exponent(o, t)) {
            o.coefficient += t.coefficient;
            return usable(o.coefficient);
        }
    out.push_back(std::move(t));
    return out.size() <= most_terms;
}

// exp(scale u), with constant factors of u in the scale.
Term power_of_e(Expr u, double scale, double coefficient) {
    for (int depth = 0; depth < deepest; ++depth) {
        const std::vector<Expr>& x = u.node().inputs;
        double v = 0;
        if (is_op(u, "neg")) {
            scale = -scale;
        } else if (is_op(u, "mul") && x[1].rank() == 0 && is_constant_scalar(x[1], &v)) {
            scale *= v;
        } else if (is_op(u, "div") && x[1].rank() == 0 && is_constant_scalar(x[1], &v)) {
            scale /= v;
        } else if (is_op(u, "mul") && x[0].rank() == 0 && is_constant_scalar(x[0], &v)) {
            const Expr rest = x[1];
            scale *= v;
            u = rest;
            continue;
        } else {
            break;
        }
        const Expr rest = x[0];
        u = rest;
    }
    return {coefficient, scale, u};
}

bool collect(const Expr& written, double factor, std::vector<Term>& out, int depth) {
    double v = 0;
    if (is_constant_scalar(written, &v)) return add_term({factor * v, 0, {}}, out);
    if (depth == deepest || written.node().is_leaf()) return false;
    const Expr e = with_views_inside(written);
    const std::vector<Expr>& x = e.node().inputs;
    const auto part = [&](std::size_t k, double f) { return collect(x[k], f, out, depth + 1); };
    if (is_op(e, "exp")) return add_term(power_of_e(x[0], 1, factor), out);
    if (is_op(e, "expm1"))
        return add_term(power_of_e(x[0], 1, factor), out) && add_term({-factor, 0, {}}, out);
    if (is_op(e, "neg")) return part(0, -factor);
    if (is_op(e, "add")) return part(0, factor) && part(1, factor);
    if (is_op(e, "sub")) return part(0, factor) && part(1, -factor);
    if (is_op(e, "mul") && is_constant_scalar(x[1], &v)) return part(0, factor * v);
    if (is_op(e, "mul") && is_constant_scalar(x[0], &v)) return part(1, factor * v);
    if (is_op(e, "div") && is_constant_scalar(x[1], &v)) return v != 0 && part(0, factor / v);
    if (is_op(e, "sqr") && is_op(x[0], "exp"))
        return add_term(power_of_e(x[0].node().inputs[0], 2, factor), out);
    if (is_op(e, "div") && is_constant_scalar(x[0], &v) && is_op(x[1], "exp"))
        return add_term(power_of_e(x[1].node().inputs[0], -1, factor * v), out);
    const Loc loc = e.loc();
    const auto total = [&](const Expr& sum) {
        return logsumexp(at(sum.node().inputs[0].node().inputs[0], loc), axes_of(sum),
                         attrs(sum).get<bool>("keepdims"));
    };
    if (is_op(e, "sum") && is_op(x[0], "exp")) return add_term({factor, 1, total(e)}, out);
    return false;
}

// scale * base
Expr exponent(const Match& m, const Term& t) {
    if (t.scale == 1) return t.base;
    return t.scale == -1 ? -on(m, t.base) : on(m, t.base) * number(m, t.scale);
}
Expr plus(const Match& m, const Expr& e, double c) {
    return c == 0 ? e : on(m, e) + number(m, c);
}

// log(coefficient exp(u)), of a positive coefficient.
Expr log_of_term(const Match& m, const Term& t) {
    const double c = std::log(t.coefficient);
    return t.base.empty() ? number(m, c).expr() : plus(m, exponent(m, t), c);
}

// u - v
Expr difference(const Match& m, const Term& a, const Term& b) {
    if (b.base.empty()) return exponent(m, a);
    if (a.base.empty()) return exponent(m, {1, -b.scale, b.base});
    if (alike(a.base, b.base)) return exponent(m, {1, a.scale - b.scale, a.base});
    return on(m, exponent(m, a)) - on(m, exponent(m, b));
}

bool all_positive(const std::vector<Term>& terms) {
    return std::all_of(terms.begin(), terms.end(), [](const Term& t) { return t.coefficient > 0; });
}
const Term* constant_of(const std::vector<Term>& terms) {
    for (const Term& t : terms)
        if (t.base.empty()) return &t;
    return nullptr;
}

// The lowest finite number of what m replaces.
Operand lowest(const Match& m) {
    return number(m, m.root().dtype() == DType::F32 ? -std::numeric_limits<float>::max()
                                                    : -std::numeric_limits<double>::max());
}

// The logarithm of a sum of positive terms.
Expr log_of_sum(const Match& m, const std::vector<Term>& terms) {
    Expr all;
    for (const Term& t : terms) {
        if (t.base.empty()) continue;
        const Expr l = log_of_term(m, t);
        all = all.empty() ? l : logaddexp(on(m, all), on(m, l));
    }
    const Term* constant = constant_of(terms);
    if (!constant) return all;
    return constant->coefficient == 1 ? softplus(on(m, all))
                                      : logaddexp(on(m, all), on(m, log_of_term(m, *constant)));
}

Expr times(const Match& m, const Expr& e, double factor) {
    if (factor == 1) return e;
    return factor == -1 ? -on(m, e) : on(m, e) * number(m, factor);
}

// c exp(u) / (sum of the terms)
Expr share(const Match& m, const Term& t, const std::vector<Term>& below) {
    const double size = std::log(std::fabs(t.coefficient));
    const Expr over =
        on(m, t.base.empty() ? number(m, size).expr() : plus(m, exponent(m, t), size)) -
        on(m, log_of_sum(m, below));
    return times(m, exp(on(m, over)), t.coefficient < 0 ? -1 : 1);
}

Expr quotient_of_two(const Match& m, const std::vector<Term>& above,
                     const std::vector<Term>& below) {
    const Term &r = below[0], &s = below[1];
    const Expr w = plus(m, difference(m, r, s), std::log(r.coefficient / s.coefficient));
    double p = 0, q = 0;
    Expr rest;
    for (const Term& t : above) {
        if (same_exponent(t, r)) {
            p = t.coefficient / r.coefficient;
        } else if (same_exponent(t, s)) {
            q = t.coefficient / s.coefficient;
        } else {
            const Expr e = share(m, t, below);
            rest = rest.empty() ? e : on(m, rest) + on(m, e);
        }
    }
    Expr out;
    const auto add = [&](const Expr& e) { out = out.empty() ? e : on(m, out) + on(m, e); };
    if (p != 0 && std::fabs(p) == std::fabs(q)) {
        if (!usable(p)) return {};
        // All has cancelled but NaN.
        add(p == q ? where(on(m, eq(on(m, w), on(m, w))), number(m, p), on(m, w))
                   : times(m, tanh(on(m, on(m, w) * number(m, 0.5))), p));
    } else {
        const auto add_part = [&](double factor, const Term& of, const Expr& argument) {
            if (factor == 0) return;
            const bool enlarges = std::fabs(factor) > most_enlarged;
            add(enlarges ? share(m, {factor * of.coefficient, of.scale, of.base}, below)
                         : times(m, sigmoid(on(m, argument)), factor));
        };
        add_part(p, r, w);
        add_part(q, s, -on(m, w));
    }
    if (!rest.empty()) add(rest);
    return out;
}

Expr quotient_of_sums(const Match& m) {
    std::vector<Term> above, below;
    if (!collect(m['y'], 1, below, 0) || below.size() < 2) return {};
    const bool flipped = below[0].coefficient < 0;
    if (flipped)
        for (Term& t : below) t.coefficient = -t.coefficient;
    if (!all_positive(below)) return {};
    Expr out;
    if (collect(m['x'], 1, above, 0)) {
        if (below.size() == 2) {
            out = quotient_of_two(m, above, below);
        } else {
            for (const Term& t : above) {
                const Expr e = share(m, t, below);
                out = out.empty() ? e : on(m, out) + on(m, e);
            }
        }
    } else if (const Term* constant = constant_of(below)) {
        // y times what is at most 1 / a, so that the product is in range where the quotient was.
        const double a = constant->coefficient;
        const Expr part = below.size() == 2 ? quotient_of_two(m, {{1, 0, {}}}, below)
                                            : share(m, {1, 0, {}}, below);
        if (below.size() == 2 && a > 1) {
            const Term& other = below[0].base.empty() ? below[1] : below[0];
            const Expr w = plus(m, exponent(m, other), std::log(other.coefficient / a));
            out = on(m, get(m, 'x') / number(m, a)) * on(m, sigmoid(on(m, -on(m, w))));
        } else {
            out = get(m, 'x') * on(m, part);
        }
    }
    if (out.empty()) return out;
    return whole(m, flipped ? -on(m, out) : out);
}

// log(r exp(u) + s exp(v)), where one of them may be negative.
Expr log_of_terms(const Match& m, const std::vector<Term>& terms) {
    if (terms.size() < 2) return {};
    if (all_positive(terms)) return whole(m, log_of_sum(m, terms));
    if (terms.size() > 2) return {};
    const bool first = terms[0].coefficient > 0;
    const Term &more = terms[first ? 0 : 1], &less = terms[first ? 1 : 0];
    if (more.coefficient < 0) return {};
    Expr u = difference(m, less, more);
    // Where both are -inf, so is the logarithm, as that of 0 is: not NaN, as their difference.
    if (!less.base.empty() && !more.base.empty() && !alike(less.base, more.base))
        u = on(m, exponent(m, less)) -
            on(m, maximum(on(m, exponent(m, more)), lowest(m)));
    const Expr l =
        log1mexp(on(m, plus(m, u, std::log(-less.coefficient / more.coefficient))));
    if (more.base.empty() && more.coefficient == 1) return whole(m, l);
    return whole(m, on(m, log_of_term(m, more)) + on(m, l));
}

Expr log_of_exponentials(const Match& m) {
    std::vector<Term> terms;
    return collect(m['x'], 1, terms, 0) ? log_of_terms(m, terms) : Expr();
}

Expr log1p_of_exponentials(const Match& m) {
    std::vector<Term> terms;
    if (!collect(m['x'], 1, terms, 0) || !add_term({1, 0, {}}, terms)) return {};
    return log_of_terms(m, terms);
}

// b - a sigmoid(x), where a is b or 2 b; negated: a sigmoid(x) - b
Expr sigmoid_difference(const Match& m, const Expr& product, const Expr& constant, bool negated) {
    double a = 1, b = 0;
    if (!is_op(product, "mul")) return {};
    const std::vector<Expr>& factors = product.node().inputs;
    const std::size_t k = is_constant_scalar(factors[1], &a) ? 0 : 1;
    if (k == 1 && !is_constant_scalar(factors[0], &a)) return {};
    const Expr p = with_views_inside(factors[k]);
    if (!is_op(p, "sigmoid") || !is_constant_scalar(constant, &b) || b == 0) return {};
    const Operand x = on(m, p.node().inputs[0]);
    if (a == b) return whole(m, times(m, sigmoid(on(m, -x)), negated ? -b : b));
    if (a != 2 * b) return {};
    return whole(m, times(m, tanh(on(m, x * number(m, 0.5))), negated ? b : -b));
}

// ---- exp(-exp(x))

// The exponent u + log(c) of a single term -c exp(u) of e's.
Expr double_exponent(const Match& m, const Expr& e) {
    std::vector<Term> terms;
    if (!collect(e, 1, terms, 0) || terms.size() != 1) return {};
    Term t = terms[0];
    if (t.base.empty() || t.coefficient > 0) return {};
    t.coefficient = -t.coefficient;
    return log_of_term(m, t);
}

Expr exp_of_minus_exp(const Match& m) {
    const Expr u = double_exponent(m, m['x']);
    return u.empty() ? u : whole(m, gumbel(on(m, u), 0));
}

// exp(u - exp(u)), exp(-(-u + exp(u)))
Expr exp_of_difference(const Match& m) {
    const bool minus = is_op(m['x'], "neg");
    const Expr& e = minus ? m['x'].node().inputs[0] : m['x'];
    const bool sum = is_op(e, "add");
    if (sum != minus || (!sum && !is_op(e, "sub"))) return {};
    for (const std::size_t k : {0, 1}) {
        const Expr &linear = e.node().inputs[1 - k], &rest = e.node().inputs[k];
        if (!sum && k == 0) continue;
        std::vector<Term> terms;
        if (!collect(rest, 1, terms, 0) || terms.size() != 1 || terms[0].base.empty() ||
            terms[0].coefficient != 1)
            continue;
        const Term t = power_of_e(linear, minus ? -1 : 1, 1);
        const double order = t.scale / terms[0].scale;
        if (!alike(t.base, terms[0].base) || order != std::round(order) || std::fabs(order) > 4)
            continue;
        return whole(m, gumbel(on(m, exponent(m, terms[0])), static_cast<int>(order)));
    }
    return {};
}

Expr expm1_of_minus_exp(const Match& m) {
    const Expr u = double_exponent(m, m['x']);
    return u.empty() ? u : whole(m, -on(m, gumbel_cdf(on(m, u))));
}

int order_of(const Expr& e) {
    return static_cast<int>(attrs(e).get<std::int64_t>("order"));
}
bool is_survival(const Match& m) {
    return order_of(m['g']) == 0;
}
Pattern gumbel_of(char x) {
    return named('g', "gumbel", any(x));
}

}  // namespace

Argument argument_of(const Expr& e) {
    double offset = 0;
    const bool shifted = (is_op(e, "add") || is_op(e, "sub")) && e.node().inputs[1].rank() == 0 &&
                         is_constant_scalar(e.node().inputs[1], &offset);
    const Term t = power_of_e(shifted ? e.node().inputs[0] : e, 1, 1);
    return {t.scale, t.base, shifted && is_op(e, "sub") ? -offset : offset};
}

bool same_slope(const Argument& a, const Argument& b) {
    return a.scale == b.scale && alike(a.base, b.base);
}

bool exponentials_of(const Expr& e, std::vector<Term>& out) {
    out.clear();
    return collect(e, 1, out, 0);
}

std::span<const Rule> exponential_rules() {
    static const Rule table[] = {
        {"quotient_of_exponentials",
         "quotients of a exp(u) + b exp(v), a, b > 0, by sigmoid and tanh of u - v + log(a / b)",
         op("div", any('x'), any('y')), quotient_of_sums},
        {"log_of_exponentials", "log(a exp(u) + b exp(v)) = logaddexp(u + log(a), v + log(b))",
         op("log", any('x')), log_of_exponentials},
        {"log1p_of_exponentials", "log1p(a exp(u)) = softplus(u + log(a))", op("log1p", any('x')),
         log1p_of_exponentials},
        {"scaled_sigmoid_minus",
         "2 sigmoid(x) - 1 = tanh(x / 2), a sigmoid(x) - a = -a sigmoid(-x)",
         op("sub", any('x'), any('y')),
         [](const Match& m) { return sigmoid_difference(m, m['x'], m['y'], true); }},
        {"minus_scaled_sigmoid",
         "1 - 2 sigmoid(x) = -tanh(x / 2), a - a sigmoid(x) = a sigmoid(-x)",
         op("sub", any('y'), any('x')),
         [](const Match& m) { return sigmoid_difference(m, m['x'], m['y'], false); }},

        // extreme value distributions
        {"exp_minus_exp", "exp(-exp(x)), whose slopes vanish where exp(x) overflows, too",
         op("exp", any('x')), exp_of_minus_exp},
        {"exp_of_difference", "exp(k x - exp(x)), the same", op("exp", any('x')),
         exp_of_difference},
        {"expm1_minus_exp", "exp(-exp(x)) - 1, the same", op("expm1", any('x')),
         expm1_of_minus_exp},
        {"one_minus_gumbel", "1 - exp(-exp(x)), accurate where that is small",
         op("sub", num(1), gumbel_of('x')),
         [](const Match& m) { return if_same_type(m, gumbel_cdf(get(m, 'x'))); }, is_survival},
        {"gumbel_minus_one", "exp(-exp(x)) - 1, the same", op("sub", gumbel_of('x'), num(1)),
         [](const Match& m) { return if_same_type(m, -on(m, gumbel_cdf(get(m, 'x')))); },
         is_survival},
        {"one_minus_gumbel_cdf", "1 - (1 - exp(-exp(x))) = exp(-exp(x))",
         op("sub", num(1), op("gumbel_cdf", any('x'))),
         [](const Match& m) { return if_same_type(m, gumbel(get(m, 'x'), 0)); }},
        {"log_gumbel", "log(exp(-exp(x))) = -exp(x)", op("log", gumbel_of('x')),
         [](const Match& m) {
             const Expr e = exp(get(m, 'x'));
             const int order = order_of(m['g']);
             if (order == 0) return -on(m, e);
             // The exponential is infinite long before: its limit at infinity, not inf - inf.
             const Expr x = minimum(get(m, 'x'), number(m, 1e4));
             return on(m, x) * number(m, order) - on(m, e);
         }},
        {"log_gumbel_cdf", "log(1 - exp(-exp(x))), also where that underflows or is 1",
         op("log", op("gumbel_cdf", any('x'))),
         [](const Match& m) { return log_gumbel_cdf(get(m, 'x')); }},
        {"log1p_minus_gumbel", "log1p(-exp(-exp(x))), the same",
         op("log1p", op("neg", gumbel_of('x'))),
         [](const Match& m) { return log_gumbel_cdf(get(m, 'x')); }, is_survival},
    };
    return table;
}

}  // namespace arete::rules

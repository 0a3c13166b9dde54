// Quotients and logarithms of sums of exponentials whose coefficients vary, so that nothing is
// known of their signs. All terms are divided by exp(m), where m is the largest exponent:
//
//   a exp(u) / (b exp(v) + c)^n = a exp(u - n m) / (b exp(v - m) + c exp(-m))^n,  m = max(v, 0);
//   log(b exp(v) + c) = m + log(b exp(v - m) + c exp(-m)).
//
// Neither depends on m, which is therefore constant to gradients. Sums with constant coefficients
// of one sign have better forms (stabilize_exponentials.cpp).
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/matcher.h"

namespace arete::rules {

namespace {

constexpr std::size_t most_scaled_terms = 4;
constexpr int deepest_factor = 6;

// The last exponent before exp overflows.
double largest_exponent(DType t) {
    return t == DType::F32 ? 88.7228 : 709.7827;
}
double nearly_infinite(DType t) {
    return t == DType::F32 ? 1e30 : 1e300;
}

using Exponents = std::vector<std::pair<Expr, double>>;  // each as often as the number says

// weight * exp(sum of the exponents); an empty weight is 1.
struct Term {
    bool negative = false;
    Expr weight;
    Exponents exponents;
};
using Terms = std::vector<Term>;

struct Factors {
    bool negative = false;
    std::vector<Expr> above, below;
    Exponents exponents;
};

Expr product(const Match& m, const std::vector<Expr>& factors) {
    Expr out;
    for (const Expr& f : factors) out = out.empty() ? f : on(m, out) * on(m, f);
    return out;
}

// The factors of e, with its exponentials taken out.
void take(const Match& m, const Expr& written, bool inverse, Factors& out, int depth = 0) {
    const Expr e = written.node().is_leaf() ? written : with_views_inside(written);
    const std::vector<Expr>& x = e.node().inputs;
    const double sign = inverse ? -1 : 1;
    if (is_op(e, "exp")) {
        out.exponents.emplace_back(x[0], sign);
    } else if (is_op(e, "sqr") && is_op(x[0], "exp")) {
        out.exponents.emplace_back(x[0].node().inputs[0], 2 * sign);
    } else if (is_op(e, "sum") && is_op(x[0], "exp")) {
        const Loc loc = e.loc();
        out.exponents.emplace_back(
            logsumexp(at(x[0].node().inputs[0], loc), axes_of(e), attrs(e).get<bool>("keepdims")),
            sign);
    } else if (depth < deepest_factor && (is_op(e, "mul") || is_op(e, "div"))) {
        take(m, x[0], inverse, out, depth + 1);
        take(m, x[1], inverse != is_op(e, "div"), out, depth + 1);
    } else if (depth < deepest_factor && is_op(e, "neg")) {
        out.negative = !out.negative;
        take(m, x[0], inverse, out, depth + 1);
    } else {
        double v = 0;
        if (!is_constant_scalar(written, &v) || v != 1)
            (inverse ? out.below : out.above).push_back(written);
    }
}

// False where e has too many terms.
bool collect(const Match& m, const Expr& written, bool negative, Terms& out, int depth = 0) {
    const Expr e = written.node().is_leaf() ? written : with_views_inside(written);
    if (depth < deepest_factor && (is_op(e, "add") || is_op(e, "sub")))
        return collect(m, e.node().inputs[0], negative, out, depth + 1) &&
               collect(m, e.node().inputs[1], negative != is_op(e, "sub"), out, depth + 1);
    if (depth < deepest_factor && is_op(e, "neg"))
        return collect(m, e.node().inputs[0], !negative, out, depth + 1);
    Factors f;
    take(m, written, false, f);
    Term t{negative != f.negative, {}, f.exponents};
    if (f.exponents.empty()) {
        t = {negative, written, {}};
        double v = 0;
        if (is_constant_scalar(written, &v) && v == 1) t.weight = {};
    } else {
        t.weight = product(m, f.above);
        if (!f.below.empty())
            t.weight =
                (t.weight.empty() ? number(m, 1) : on(m, t.weight)) / on(m, product(m, f.below));
    }
    out.push_back(std::move(t));
    return out.size() <= most_scaled_terms;
}

// What keeps an exponent from becoming large: that the largest has been subtracted (see `largest`),
// or any other reason.
enum class Bound { shifted, any };

bool is_bounded(const Expr& written, Bound by, bool minus = false, int depth = deepest_factor) {
    const Expr e = written.node().is_leaf() ? written : with_views_inside(written);
    if (by == Bound::any && minus && never_negative(e)) return true;
    if (e.node().is_leaf()) return by == Bound::any && is_constant_scalar(e);
    const std::vector<Expr>& x = e.node().inputs;
    double v = 0;
    if (depth > 0 && !minus && is_op(e, "maximum") && is_constant_scalar(x[1]))
        return is_bounded(x[0], by, minus, depth - 1);
    for (const char* extreme : {"maximum", "minimum", "stop_gradient"})
        if (is_op(e, extreme)) return minus || (is_op(e, "minimum") && is_constant_scalar(x[1]));
    if (depth == 0) return false;
    const auto operand = [&](std::size_t k, bool negated) {
        return is_bounded(x[k], by, minus != negated, depth - 1);
    };
    if (is_op(e, "neg")) return operand(0, true);
    if (is_op(e, "where")) return operand(1, false) && operand(2, false);
    if (is_op(e, "add") || is_op(e, "sub")) {
        if (is_constant_scalar(x[1])) return operand(0, false);
        return operand(0, false) || operand(1, is_op(e, "sub"));
    }
    return is_op(e, "mul") && is_constant_scalar(x[1], &v) && operand(0, v < 0);
}

bool is_bounded(const Exponents& exponents) {
    return std::any_of(exponents.begin(), exponents.end(),
                       [](const auto& u) { return is_bounded(u.first, Bound::any, u.second < 0); });
}

Expr total(const Match& m, const Exponents& exponents) {
    Expr sum;
    for (const auto& [u, n] : exponents) {
        const Expr scaled = std::fabs(n) == 1 ? u : on(m, u) * number(m, std::fabs(n));
        if (sum.empty())
            sum = n < 0 ? -on(m, scaled) : scaled;
        else
            sum = n < 0 ? on(m, sum) - on(m, scaled) : on(m, sum) + on(m, scaled);
    }
    return sum;
}

bool has_variable_weight(const Term& t) {
    return !t.weight.empty() && !is_constant_scalar(t.weight);
}

// Does e read what stands for an expression that is not seen yet, and may be an exponential itself?
bool reads_stand_in(const Expr& e, int depth = deepest_factor) {
    if (e.node().attrs.has("stands_for")) return true;
    return depth > 0 && std::any_of(e.node().inputs.begin(), e.node().inputs.end(),
                                    [&](const Expr& x) { return reads_stand_in(x, depth - 1); });
}

// e where the weight of the term is 0, else usual.
Expr where_weight_is_zero(const Match& m, const Term& t, const Expr& e, const Expr& usual) {
    return where(on(m, eq(on(m, t.weight), number(m, 0))), on(m, e), on(m, usual));
}

// Is e a sum with an exponential that may overflow?
bool may_overflow(const Match& m, const Expr& e, Terms& terms) {
    terms.clear();
    if (!collect(m, e, false, terms)) return false;
    const auto is_exponential = [](const Term& t) { return !t.exponents.empty(); };
    for (const Term& t : terms)
        if (!t.weight.empty() && reads_stand_in(t.weight)) return false;
    return std::any_of(terms.begin(), terms.end(), is_exponential) &&
           std::none_of(terms.begin(), terms.end(),
                        [](const Term& t) { return is_bounded(t.exponents); });
}

// The largest exponent of terms that are not 0, as a constant to gradients. Finite, so that no
// infinities meet.
Expr largest(const Match& m, const Terms& terms) {
    const double bound = 1e30;
    const Expr least = number(m, -bound).expr();
    Expr all = least;
    for (const Term& t : terms) {
        Expr u = t.exponents.empty() ? number(m, 0).expr() : total(m, t.exponents);
        if (has_variable_weight(t)) u = where_weight_is_zero(m, t, least, u);
        all = maximum(on(m, u), on(m, all));
    }
    return stop_gradient(on(m, minimum(on(m, all), number(m, bound))));
}

Expr sum_of(const Match& m, const Terms& terms, const std::function<Expr(const Term&)>& part) {
    Expr sum;
    for (const Term& t : terms) {
        const Expr e = part(t);
        if (sum.empty())
            sum = t.negative ? -on(m, e) : e;
        else
            sum = t.negative ? on(m, sum) - on(m, e) : on(m, sum) + on(m, e);
    }
    return sum;
}
Expr weighted(const Match& m, const Term& t, const Expr& e) {
    return t.weight.empty() ? e : on(m, t.weight) * on(m, e);
}

// The sum of the terms, each times exp(shift). What is multiplied by 0 does not overflow, and what
// multiplies an infinity does not become 0.
Expr scaled_sum(const Match& m, const Terms& terms, const Expr& shift) {
    const Expr limit = number(m, largest_exponent(m.root().dtype())).expr();
    return sum_of(m, terms, [&](const Term& t) {
        Expr u = t.exponents.empty() ? shift : on(m, total(m, t.exponents)) + on(m, shift);
        if (has_variable_weight(t)) {
            const Operand infinite =
                on(m, number(m, std::numeric_limits<double>::infinity()).expr());
            const Expr positive = maximum(on(m, u), on(m, -on(m, limit)));
            u = where_weight_is_zero(
                m, t, minimum(on(m, u), on(m, limit)),
                where(on(m, eq(on(m, abs(on(m, t.weight))), infinite)), on(m, positive), on(m, u)));
        }
        return weighted(m, t, exp(on(m, u)));
    });
}

// exp(u) + exp(v), which is logaddexp's
bool is_sum_of_two(const Terms& terms) {
    return terms.size() == 2 && std::all_of(terms.begin(), terms.end(), [](const Term& t) {
               return !t.negative && t.weight.empty() && !t.exponents.empty();
           });
}

// Divides the sums among the factors of e by exp(m). `shift`: the sum of all these, each as often
// as the power of e says; empty where there is none.
Expr scaled_down(const Match& m, const Expr& e, double power, Expr& shift, int depth = 0) {
    const std::vector<Expr>& x = e.node().inputs;
    double n = 0;
    const auto inside = [&](double times) {
        return scaled_down(m, x[0], power * times, shift, depth + 1);
    };
    if (depth < deepest_factor && is_op(e, "mul")) {
        const Expr a = inside(1), b = scaled_down(m, x[1], power, shift, depth + 1);
        return on(m, a) * on(m, b);
    }
    if (depth < deepest_factor && is_op(e, "sqr")) return sqr(on(m, inside(2)));
    if (depth < deepest_factor && is_op(e, "sqrt")) return sqrt(on(m, inside(0.5)));
    if (depth < deepest_factor && is_op(e, "pow") && is_constant_scalar(x[1], &n) && n > 0 &&
        std::isfinite(n))
        return pow(on(m, inside(n)), on(m, x[1]));
    Terms terms;
    if (!may_overflow(m, e, terms) || terms.size() < 2 || is_sum_of_two(terms)) return e;
    const Expr most = largest(m, terms);
    const Expr times = power == 1 ? most : on(m, most) * number(m, power);
    shift = shift.empty() ? times : on(m, shift) + on(m, times);
    return scaled_sum(m, terms, -on(m, most));
}

Expr scaled_quotient(const Match& m) {
    Expr shift;
    const Expr below = scaled_down(m, m['y'], 1, shift);
    if (shift.empty()) return {};
    Terms above;
    if (!collect(m, m['x'], false, above)) above = {{false, m['x'], {}}};
    const bool any =
        std::any_of(above.begin(), above.end(), [](const Term& t) { return !t.exponents.empty(); });
    if (!any) above = {{false, m['x'], {}}};
    double v = 0;
    if (!any && is_constant_scalar(m['x'], &v) && v == 1) above[0].weight = {};
    return whole(m, on(m, scaled_sum(m, above, -on(m, shift))) / on(m, below));
}

Expr log_of_scaled(const Match& m) {
    Terms terms;
    const bool overflows = may_overflow(m, m['x'], terms);
    if (terms.size() == 1) {
        // log(w exp(u)), also where that underflows
        const Term& t = terms[0];
        if (t.negative || t.weight.empty() || t.exponents.empty() || reads_stand_in(t.weight))
            return {};
        return whole(m, log(on(m, t.weight)) + on(m, total(m, t.exponents)));
    }
    if (!overflows) return {};
    for (const Term& t : terms)
        if (t.exponents.empty() && t.weight.empty() && !t.negative) return {};  // as log1p
    const Expr most = largest(m, terms);
    return whole(m, on(m, most) + on(m, log(on(m, scaled_sum(m, terms, -on(m, most))))));
}

// As written where nothing overflows: it is accurate near 0.
Expr log1p_of_scaled(const Match& m) {
    Terms terms;
    if (!may_overflow(m, m['x'], terms)) return {};
    const DType t = m.root().dtype();
    const Expr limit = number(m, largest_exponent(t)).expr();
    Terms moderate = terms;
    for (Term& term : moderate)
        if (!term.exponents.empty())
            term.exponents = {{minimum(on(m, total(m, term.exponents)), on(m, limit)), 1}};
    const Expr sum = sum_of(m, moderate, [&](const Term& term) {
        if (term.exponents.empty()) return term.weight.empty() ? number(m, 1).expr() : term.weight;
        return weighted(m, term, exp(on(m, term.exponents[0].first)));
    });
    terms.push_back({});
    const Expr most = largest(m, terms);
    const Expr usual = on(m, most) < on(m, limit) && on(m, sum) < number(m, nearly_infinite(t));
    const Expr large = on(m, most) + on(m, log(on(m, scaled_sum(m, terms, -on(m, most)))));
    return whole(m, where(on(m, usual), on(m, log1p(on(m, sum))), on(m, large)));
}

// Does e have a term with exp(n u), for a positive n?
bool has_exponential(const Match& m, const Expr& e, const Expr& u, double sign) {
    Terms terms;
    if (!collect(m, e, false, terms)) return false;
    for (const Term& t : terms)
        for (const auto& [v, n] : t.exponents)
            if (same(v, u) && n * sign > 0) return true;
    return false;
}

// exp(u) * exp(x - y exp(u)) = exp(u + x - y exp(u)), also where the one overflows and the other is
// 0; and exp(u) * exp(x - m).
Expr joined_exponentials(const Match& m) {
    Factors f;
    take(m, m.root(), false, f);
    for (std::size_t k = 0; k < f.exponents.size() && f.exponents.size() <= most_scaled_terms;
         ++k) {
        const auto& [to, times] = f.exponents[k];
        if (std::fabs(times) != 1) continue;
        const bool shifted = is_bounded(to, Bound::shifted, times < 0);
        Exponents joined{f.exponents[k]}, others;
        for (std::size_t i = 0; i < f.exponents.size(); ++i) {
            if (i == k) continue;
            const auto& [u, n] = f.exponents[i];
            const bool joins =
                (shifted && !is_bounded(u, Bound::any, n < 0)) || has_exponential(m, to, u, n);
            (joins ? joined : others).push_back(f.exponents[i]);
        }
        if (joined.size() < 2) continue;
        f.above.push_back(exp(on(m, total(m, joined))));
        for (const auto& u : others) f.above.push_back(exp(on(m, total(m, {u}))));
        Expr out = product(m, f.above);
        if (!f.below.empty()) out = on(m, out) / on(m, product(m, f.below));
        return whole(m, f.negative ? -on(m, out) : out);
    }
    return {};
}

// where(x < a, 0, y) * exp(u) = where(x < a, 0, y * exp(u)), where x falls with exp(u): the slope
// of exp(x) and the like is 0 there (slopes.h).
Expr joined_flat(const Match& m) {
    for (const char flat : {'x', 'y'}) {
        const Expr &choice = m[flat], &other = m[flat == 'x' ? 'y' : 'x'];
        if (!is_op(choice, "where")) continue;
        const std::vector<Expr>& c = choice.node().inputs;
        double v = 1;
        if (!is_op(c[0], "lt") || !is_constant_scalar(c[1], &v) || v != 0) continue;
        Factors f;
        take(m, other, false, f);
        for (const auto& [u, n] : f.exponents)
            if (has_exponential(m, c[0].node().inputs[0], u, n))
                return whole(m,
                             where(on(m, c[0]), number(m, 0), on(m, on(m, c[2]) * on(m, other))));
    }
    return {};
}

bool float_root(const Match& m) {
    return is_float_root(m);
}

}  // namespace

std::span<const Rule> scaled_rules() {
    static const Rule table[] = {
        {"quotient_of_scaled_exponentials",
         "x / (y exp(u) + z) = x exp(-m) / (y exp(u - m) + z exp(-m)), m = max(u, 0)",
         op("div", any('x'), any('y')), scaled_quotient, float_root},
        {"log_of_scaled_exponentials", "log(y exp(u) + z) = m + log(y exp(u - m) + z exp(-m))",
         op("log", any('x')), log_of_scaled},
        {"log1p_of_scaled_exponentials",
         "log1p(y exp(u)) = m + log(y exp(u - m) + exp(-m)), where y exp(u) overflows",
         op("log1p", any('x')), log1p_of_scaled},
        {"join_exponentials", "exp(u) * exp(x - y exp(u)) = exp(u + x - y exp(u))",
         op("mul", any('x'), any('y')), joined_exponentials, float_root},
        {"join_flat",
         "where(x < a, 0, y) * exp(u) = where(x < a, 0, y * exp(u)), for an x made with exp(u)",
         op("mul", any('x'), any('y')), joined_flat, float_root},
    };
    return table;
}

}  // namespace arete::rules

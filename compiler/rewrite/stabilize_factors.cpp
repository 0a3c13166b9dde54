// Products in which a factor that is never zero, but may underflow or overflow, meets its inverse.
//
// sigmoid(w), 1 - sigmoid(w), exp(w) and 1 + exp(w) are powers of two quantities, u = sigmoid(w)
// and v = sigmoid(-w): exp(w) = u / v, 1 + exp(w) = 1 / v. So every product of them has one form
// u^a v^b, in which whatever cancels has cancelled. Softmax, erfc and sums of exponentials cancel
// only against themselves. exp(w) joins exp(-exp(w)), beside which it is nothing, and turns
// 1 / (exp(w) - 1)^2 into 1 / (exp(w) - 1) / (1 - exp(-w)).
#include <array>
#include <cmath>
#include <cstdlib>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/special.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/exponentials.h"

namespace arete::rules {

namespace {

// An exponent as a sum: what enlarges it and what diminishes it.
struct Exponent {
    double up = 0, down = 0;
    void add(double n) { (n > 0 ? up : down) += std::fabs(n); }
    void add(const Exponent& o) { up += o.up, down += o.down; }
    // Differences of exponents that are no whole numbers are rounded.
    double total() const {
        const double n = up - down, whole = std::round(2 * n) / 2;
        return std::fabs(n - whole) < 1e-6 ? whole : n;
    }
    bool cancels() const { return up > 0 && down > 0; }
};

// Powers of functions of w = scale * base + offset, for a positive scale.
struct Sigmoids {
    Argument w;
    Exponent u, v;            // sigmoid(w), sigmoid(-w)
    int plain_exps = 0;       // of the exp(w) in u and v, how many were written as such
    bool has_others = false;  // anything but those
    // Of w and -w: exp(-exp(w)), exp(w) - 1, 1 / (exp(w) - 1).
    std::array<int, 2> gumbels{}, expm1s_above{}, expm1s_below{};
};
struct Power {
    Expr base;
    Exponent exponent;
};

struct Product {
    bool negative = false, merged = false;
    double scale = 1;
    std::vector<Expr> above, below;  // factors of which nothing is known
    std::vector<Sigmoids> sigmoids;
    std::vector<Power> powers;

    Sigmoids& of(const Argument& w) {
        for (Sigmoids& s : sigmoids)
            if (same_slope(s.w, w) && s.w.offset == w.offset) return s;
        sigmoids.emplace_back();
        sigmoids.back().w = w;
        return sigmoids.back();
    }
    Power& power(const Expr& base) {
        for (Power& p : powers)
            if (same(p.base, base)) return p;
        return powers.emplace_back(Power{base, {}});
    }
    bool cancels() const {
        if (scale > most_enlarged) return false;
        if (merged) return true;
        for (const Sigmoids& s : sigmoids)
            if (s.u.cancels() || s.v.cancels()) return true;
        for (const Power& p : powers)
            if (p.exponent.cancels()) return true;
        return false;
    }
    void times(const Product& o) {
        negative = negative != o.negative;
        merged = merged || o.merged;
        scale *= o.scale;
        above.insert(above.end(), o.above.begin(), o.above.end());
        below.insert(below.end(), o.below.begin(), o.below.end());
        for (const Sigmoids& s : o.sigmoids) {
            Sigmoids& mine = of(s.w);
            mine.u.add(s.u);
            mine.v.add(s.v);
            mine.plain_exps += s.plain_exps;
            mine.has_others = mine.has_others || s.has_others;
            for (const std::size_t k : {0, 1}) {
                mine.gumbels[k] += s.gumbels[k];
                mine.expm1s_above[k] += s.expm1s_above[k];
                mine.expm1s_below[k] += s.expm1s_below[k];
            }
        }
        for (const Power& p : o.powers) power(p.base).exponent.add(p.exponent);
    }
    // What exponentials turn into other things.
    void merge() {
        join_sums();
        join_offsets();
        for (Sigmoids& s : sigmoids)
            for (const std::size_t minus : {0, 1}) {
                // They are 0 for w = 0: one is left below.
                while (s.expm1s_above[minus] > 0 && s.expm1s_below[minus] > 1) {
                    --s.expm1s_above[minus], --s.expm1s_below[minus];
                    merged = true;
                }
                if (s.plain_exps == 0) continue;
                merged = merged || s.gumbels[minus] > 0;
                // exp(w) / (exp(w) - 1) = -1 / (exp(-w) - 1), of a square below: neither side of 0
                // is the better one.
                Exponent &u = minus ? s.v : s.u, &v = minus ? s.u : s.v;
                while (s.expm1s_below[minus] > 1 && u.total() >= 1 && v.total() <= -1) {
                    --s.expm1s_below[minus];
                    ++s.expm1s_below[1 - minus];
                    u.add(-1);
                    v.add(1);
                    negative = !negative;
                    merged = true;
                }
            }
    }

  private:
    static bool may_scale_by_exp(double shift) {
        constexpr double least = -60;
        return shift >= least && std::exp(shift) <= most_enlarged;
    }
    // exp(a) / exp(logaddexp(a, b)) = sigmoid(a - b)
    void join_sums() {
        for (std::size_t i = 0; i < sigmoids.size(); ++i) {
            const Argument sum = sigmoids[i].w;
            if (!is_op(sum.base, "logaddexp") || sum.scale != 1 || sum.offset != 0) continue;
            for (const std::size_t k : {0, 1}) {
                const Expr &a = sum.base.node().inputs[k], &b = sum.base.node().inputs[1 - k];
                Argument w = argument_of(a);
                const bool minus = w.scale < 0;
                if (minus) w.scale = -w.scale, w.offset = -w.offset;
                for (std::size_t j = 0; j < sigmoids.size(); ++j) {
                    const auto n = [&](std::size_t of, bool flip) {
                        const Sigmoids& s = sigmoids[of];
                        return std::min((flip ? s.v : s.u).total(), -(flip ? s.u : s.v).total());
                    };
                    const double shift = (minus ? 1 : -1) * (w.offset - sigmoids[j].w.offset);
                    if (!same_slope(sigmoids[j].w, w) || n(j, minus) < 1 || n(i, true) < 1 ||
                        !may_scale_by_exp(shift))
                        continue;
                    Sigmoids &exps = sigmoids[j], &all = sigmoids[i];
                    (minus ? exps.v : exps.u).add(-1), (minus ? exps.u : exps.v).add(1);
                    all.u.add(1), all.v.add(-1);
                    scale *= std::exp(shift);
                    Argument apart = argument_of(at(a, a.loc()) - at(b, a.loc()));
                    of(apart).u.add(1);
                    of(apart).has_others = true;
                    merged = true;
                }
            }
        }
    }
    // exp(w + d) beside functions of w becomes exp(w), for a constant d.
    void join_offsets() {
        for (std::size_t i = 0; i < sigmoids.size(); ++i) {
            Sigmoids& from = sigmoids[i];
            if (from.has_others || from.plain_exps == 0) continue;
            for (Sigmoids& to : sigmoids) {
                const double n = from.u.total();
                const double shift = n * (from.w.offset - to.w.offset);
                // Only where nothing of it is left, which might overflow without its offset.
                const double absorbed = n > 0 ? std::max(-to.u.total(), to.v.total())
                                              : std::max(to.u.total(), -to.v.total());
                if (&from == &to || !to.has_others || !same_slope(from.w, to.w) ||
                    absorbed < std::fabs(n) || !may_scale_by_exp(shift))
                    continue;
                scale *= std::exp(shift);
                to.u.add(from.u);
                to.v.add(from.v);
                to.plain_exps += from.plain_exps;
                sigmoids.erase(sigmoids.begin() + static_cast<std::ptrdiff_t>(i--));
                break;
            }
        }
    }
};

const Expr& input(const Expr& e, std::size_t k = 0) {
    return e.node().inputs[k];
}

bool is_one(const Expr& e) {
    double v = 0;
    return is_constant_scalar(e, &v) && v == 1;
}

// The functions of w in `out`; minus: where these are of -w.
struct Place {
    Sigmoids& s;
    bool minus;
    Exponent& u() const { return minus ? s.v : s.u; }
    Exponent& v() const { return minus ? s.u : s.v; }
};
Place place_of(Argument w, Product& out) {
    const bool minus = w.scale < 0;
    if (minus) w.scale = -w.scale, w.offset = -w.offset;
    return {out.of(w), minus};
}

// a + c exp(w) = a / sigmoid(-(w + log(c / a)))
bool take_sum(const Expr& e, double n, Product& out) {
    std::vector<Term> terms;
    if (!is_op(e, "add") || !exponentials_of(e, terms) || terms.size() != 2) return false;
    const bool first = terms[0].base.empty();
    const Term &constant = terms[first ? 0 : 1], &other = terms[first ? 1 : 0];
    const double a = constant.coefficient, c = other.coefficient;
    if (!constant.base.empty() || other.base.empty() || a <= 0 || c <= 0) return false;
    const Place at = place_of({other.scale, other.base, std::log(c / a)}, out);
    at.v().add(-n);
    at.s.has_others = true;
    out.scale *= std::pow(a, n);
    return true;
}

// Takes e to the n-th power into `out` where it is never zero; else false. Below a root (`rooted`)
// only what is positive: the root of an even power is not the odd one of a negative number.
bool take_power(const Expr& e, double n, Product& out, bool rooted = false) {
    if (is_op(e, "exp") || is_op(e, "sigmoid")) {
        const Place at = place_of(argument_of(input(e)), out);
        at.u().add(n);
        if (is_op(e, "exp")) {
            at.v().add(-n);
            ++at.s.plain_exps;
        } else {
            at.s.has_others = true;
        }
        return true;
    }
    if (is_op(e, "gumbel") && n == 1) {
        const Place at = place_of(argument_of(input(e)), out);
        const auto order = static_cast<double>(attrs(e).get<std::int64_t>("order"));
        ++at.s.gumbels[at.minus];
        at.s.has_others = true;
        if (order != 0) at.u().add(order), at.v().add(-order);
        return true;
    }
    if (is_op(e, "expm1") && !rooted && n == std::round(n)) {
        const Place at = place_of(argument_of(input(e)), out);
        (n > 0 ? at.s.expm1s_above : at.s.expm1s_below)[at.minus] += static_cast<int>(std::fabs(n));
        at.s.has_others = true;
        return true;
    }
    const bool sum_of_exp = is_op(e, "sum") && is_op(input(e), "exp");
    if (is_op(e, "softmax") || is_op(e, "erfc") || sum_of_exp) {
        out.power(e).exponent.add(n);
        return true;
    }
    double power = 0;
    if (is_op(e, "sqr")) return take_power(input(e), 2 * n, out, rooted);
    if (is_op(e, "sqrt")) return take_power(input(e), n / 2, out, true);
    if (is_op(e, "pow") && is_constant_scalar(input(e, 1), &power) && std::isfinite(power) &&
        power != 0)
        return take_power(input(e), power * n, out, rooted || power != std::round(power));
    return take_sum(e, n, out);
}

// Takes the factors of e, or of 1 / e, into `out`. Long products are left alone.
void take(const Expr& e, bool inverse, Product& out, int& budget) {
    const bool open = --budget > 0;
    if (open && is_op(e, "mul")) {
        take(input(e, 0), inverse, out, budget);
        take(input(e, 1), inverse, out, budget);
    } else if (open && is_op(e, "div")) {
        take(input(e, 0), inverse, out, budget);
        take(input(e, 1), !inverse, out, budget);
    } else if (open && is_op(e, "neg")) {
        out.negative = !out.negative;
        take(input(e), inverse, out, budget);
    } else if (Product p; take_power(e, inverse ? -1 : 1, p)) {
        out.times(p);
    } else if (!is_one(e)) {
        (inverse ? out.below : out.above).push_back(e);
    }
}

Product factors_of(const Expr& e) {
    int budget = 32;
    Product out;
    take(e, false, out, budget);
    out.merge();
    return out;
}

// Is x NaN wherever e is? Comparisons and choices do not pass it on.
bool passes_on(const Expr& e, const Expr& x, int depth = 12) {
    if (same(e, x)) return true;
    const Node& n = e.node();
    if (depth == 0 || n.is_leaf() || !is_float(e.dtype()) || !def(n).scalar || is_op(e, "where"))
        return false;
    for (const Expr& i : n.inputs)
        if (passes_on(i, x, depth - 1)) return true;
    return false;
}

class Builder {
  public:
    explicit Builder(const Match& m) : m_(m) {}

    Expr product(const Product& p) {
        std::vector<Expr> above = p.above, below = p.below;
        for (const Sigmoids& s : p.sigmoids) functions(s, above, below);
        for (const Power& f : p.powers) {
            const double n = f.exponent.total();
            power(f.base, n, n > 0 ? above : below);
            if (n == 0) gone_.push_back(f.base);
        }
        Expr e = above.empty() ? number(1) : all(above);
        if (!below.empty()) e = on(m_, e) / on(m_, all(below));
        if (p.scale != 1) e = on(m_, e) * on(m_, number(p.scale));
        return p.negative ? -on(m_, e) : e;
    }
    // e, which is made of such products, with the NaN of those factors of which nothing is left.
    Expr with_lost_nans(Expr e) {
        for (const Expr& x : gone_)
            if (!passes_on(e, x)) e = where(on(m_, eq(on(m_, x), on(m_, x))), on(m_, e), on(m_, x));
        return e;
    }

  private:
    Expr number(double v) { return scalar_constant(m_.root().dtype(), v, m_.loc()); }
    Expr argument(const Argument& w) {
        Expr e = w.scale == 1 ? w.base : on(m_, w.base) * on(m_, number(w.scale));
        return w.offset == 0 ? e : on(m_, e) + on(m_, number(w.offset));
    }
    void functions(const Sigmoids& s, std::vector<Expr>& above, std::vector<Expr>& below) {
        const Expr w = argument(s.w), minus = -on(m_, w);
        double u = s.u.total(), v = s.v.total();
        // u / v = exp(w), as often as it is there.
        double common = u > 0 && v < 0 ? std::min(u, -v) : u < 0 && v > 0 ? -std::min(-u, v) : 0;
        u -= common, v += common;
        for (const std::size_t k : {0, 1}) {
            const Expr& of = k == 0 ? w : minus;
            for (int i = 0; i < s.gumbels[k]; ++i) {
                const double order = i == 0 ? std::round(k == 0 ? common : -common) : 0;
                above.push_back(gumbel(on(m_, of), static_cast<int>(order)));
                common -= k == 0 ? order : -order;
            }
            for (int i = 0; i < s.expm1s_above[k]; ++i) above.push_back(expm1(on(m_, of)));
            for (int i = 0; i < s.expm1s_below[k]; ++i) below.push_back(expm1(on(m_, of)));
        }
        if (common == std::round(2 * common) / 2)
            power(exp(on(m_, common > 0 ? w : minus)), common, above);
        else
            above.push_back(exp(on(m_, on(m_, w) * on(m_, number(common)))));
        power(sigmoid(on(m_, w)), u, u > 0 ? above : below);
        power(sigmoid(on(m_, minus)), v, v > 0 ? above : below);
        if (s.u.total() == 0 && s.v.total() == 0 && (s.u.cancels() || s.v.cancels()))
            gone_.push_back(s.w.base);
    }
    // base^|n|, as further factors.
    void power(const Expr& base, double n, std::vector<Expr>& to) {
        n = std::fabs(n);
        constexpr double most_factors = 4;
        if (n != std::round(2 * n) / 2 || n > most_factors) {
            to.push_back(pow(on(m_, base), on(m_, number(n))));
            return;
        }
        for (; n >= 1; --n) to.push_back(base);
        if (n > 0) to.push_back(sqrt(on(m_, base)));
    }
    Expr all(const std::vector<Expr>& factors) {
        Expr e = factors[0];
        for (std::size_t k = 1; k < factors.size(); ++k) e = on(m_, e) * on(m_, factors[k]);
        return e;
    }
    const Match& m_;
    std::vector<Expr> gone_;
};

Expr cancelled(const Match& m) {
    const Product p = factors_of(m.root());
    if (!p.cancels()) return {};
    Builder build(m);
    return whole(m, build.with_lost_nans(build.product(p)));
}

// The terms of a sum, each with its sign; false where there are too many.
bool terms_of(const Expr& e, bool negative, std::vector<std::pair<Expr, bool>>& out) {
    constexpr std::size_t most = 4;
    if (is_op(e, "add") || is_op(e, "sub"))
        return terms_of(input(e, 0), negative, out) &&
               terms_of(input(e, 1), negative != is_op(e, "sub"), out);
    if (is_op(e, "neg")) return terms_of(input(e), !negative, out);
    out.emplace_back(e, negative);
    return out.size() <= most;
}

// (a / f + b) * f = a + b * f, where f is a factor that cancels.
Expr distributed(const Match& m) {
    const Product p = factors_of(m.root());
    for (std::size_t k = 0; k < p.above.size(); ++k) {
        const Expr& sum = p.above[k];
        std::vector<std::pair<Expr, bool>> terms;
        if ((!is_op(sum, "add") && !is_op(sum, "sub")) || !terms_of(sum, p.negative, terms))
            continue;
        Product others = p;
        others.negative = false;
        others.above.erase(others.above.begin() + static_cast<std::ptrdiff_t>(k));
        std::vector<Product> products;
        bool any = false, enlarges = false;
        for (const auto& [term, negative] : terms) {
            Product t = factors_of(term);
            t.times(others);
            t.merge();
            any = any || t.cancels();
            enlarges = enlarges || t.scale > most_enlarged;
            t.negative = t.negative != negative;
            products.push_back(std::move(t));
        }
        if (!any || enlarges) continue;
        Builder build(m);
        Expr e = build.product(products[0]);
        for (std::size_t i = 1; i < products.size(); ++i)
            e = on(m, e) + on(m, build.product(products[i]));
        return whole(m, build.with_lost_nans(e));
    }
    return {};
}

}  // namespace

std::span<const Rule> factor_rules() {
    static const Rule table[] = {
        {"cancel_factors", "f * g / f = g, for factors f that are never zero",
         op("mul", any('x'), any('y')), cancelled},
        {"cancel_quotients", "f * g / f = g, for factors f that are never zero",
         op("div", any('x'), any('y')), cancelled},
        {"cancel_in_sum", "(a / f + b) * f = a + b * f, for factors f that are never zero",
         op("mul", any('x'), any('y')), distributed},
    };
    return table;
}

}  // namespace arete::rules

// Products in which a factor that is never zero, but may underflow or overflow, meets its inverse.
//
// sigmoid(x), 1 - sigmoid(x), exp(x) and 1 + exp(x) are powers of two quantities, u = sigmoid(x)
// and v = sigmoid(-x): exp(x) = u / v, 1 + exp(x) = 1 / v. So every product of them has one form
// u^a v^b, in which whatever cancels has cancelled. Softmax, erfc and sums of exponentials cancel
// only against themselves.
#include <array>
#include <cstdlib>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

// Exponents are counted in halves, for square roots.
constexpr int whole_power = 2;

// An exponent as a sum: what enlarges it and what diminishes it.
struct Exponent {
    int up = 0, down = 0;
    void add(int halves) { (halves > 0 ? up : down) += std::abs(halves); }
    int total() const { return up - down; }
    bool cancels() const { return up > 0 && down > 0; }
};

struct Sigmoids {  // sigmoid(x)^u sigmoid(-x)^v
    Expr x;
    Exponent u, v;
};
struct Power {
    Expr base;
    Exponent exponent;
};

struct Product {
    bool negative = false;
    std::vector<Expr> above, below;  // factors of which nothing is known
    std::vector<Sigmoids> sigmoids;
    std::vector<Power> powers;

    Sigmoids& of(const Expr& x) {
        for (Sigmoids& s : sigmoids)
            if (same(s.x, x)) return s;
        return sigmoids.emplace_back(Sigmoids{x, {}, {}});
    }
    Power& power(const Expr& base) {
        for (Power& p : powers)
            if (same(p.base, base)) return p;
        return powers.emplace_back(Power{base, {}});
    }
    bool cancels() const {
        for (const Sigmoids& s : sigmoids)
            if (s.u.cancels() || s.v.cancels()) return true;
        for (const Power& p : powers)
            if (p.exponent.cancels()) return true;
        return false;
    }
    void times(const Product& o) {
        negative = negative != o.negative;
        above.insert(above.end(), o.above.begin(), o.above.end());
        below.insert(below.end(), o.below.begin(), o.below.end());
        for (const Sigmoids& s : o.sigmoids) {
            Sigmoids& mine = of(s.x);
            mine.u.up += s.u.up, mine.u.down += s.u.down;
            mine.v.up += s.v.up, mine.v.down += s.v.down;
        }
        for (const Power& p : o.powers) {
            Power& mine = power(p.base);
            mine.exponent.up += p.exponent.up, mine.exponent.down += p.exponent.down;
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

// exp(x) of exp(x) + 1; empty where e is no such sum.
Expr exp_beside_one(const Expr& e) {
    if (!is_op(e, "add")) return {};
    for (const std::size_t k : {0, 1})
        if (is_op(input(e, k), "exp") && is_one(input(e, 1 - k))) return input(e, k);
    return {};
}

// Takes e to a power of so many halves into `out` where it is never zero; else false.
bool take_power(const Expr& e, int halves, Product& out) {
    const Expr with_one = exp_beside_one(e);
    const bool exponential = is_op(e, "exp") || !with_one.empty();
    if (exponential || is_op(e, "sigmoid")) {
        const Expr& argument = !with_one.empty() ? input(with_one) : input(e);
        const bool minus = is_op(argument, "neg");
        Sigmoids& s = out.of(minus ? input(argument) : argument);
        Exponent &u = minus ? s.v : s.u, &v = minus ? s.u : s.v;
        if (!with_one.empty())
            v.add(-halves);
        else
            u.add(halves);
        if (is_op(e, "exp")) v.add(-halves);
        return true;
    }
    const bool sum_of_exp = is_op(e, "sum") && is_op(input(e), "exp");
    if (is_op(e, "softmax") || is_op(e, "erfc") || sum_of_exp) {
        out.power(e).exponent.add(halves);
        return true;
    }
    if (is_op(e, "sqr")) return take_power(input(e), 2 * halves, out);
    if (is_op(e, "sqrt") && halves % 2 == 0) return take_power(input(e), halves / 2, out);
    return false;
}

// Takes the factors of e, or of 1 / e, into `out`. Long products are left alone.
void take(const Expr& e, bool inverse, Product& out, int& budget) {
    const bool open = --budget > 0;
    const int halves = inverse ? -whole_power : whole_power;
    if (open && is_op(e, "mul")) {
        take(input(e, 0), inverse, out, budget);
        take(input(e, 1), inverse, out, budget);
    } else if (open && is_op(e, "div")) {
        take(input(e, 0), inverse, out, budget);
        take(input(e, 1), !inverse, out, budget);
    } else if (open && is_op(e, "neg")) {
        out.negative = !out.negative;
        take(input(e), inverse, out, budget);
    } else if (Product p; take_power(e, halves, p)) {
        out.times(p);
    } else if (!is_one(e)) {
        (inverse ? out.below : out.above).push_back(e);
    }
}

Product factors_of(const Expr& e) {
    int budget = 32;
    Product out;
    take(e, false, out, budget);
    return out;
}

class Builder {
  public:
    explicit Builder(const Match& m) : m_(m) {}

    Expr product(const Product& p) {
        std::vector<Expr> above = p.above, below = p.below;
        for (const Sigmoids& s : p.sigmoids) {
            const Expr minus = -on(m_, s.x);
            int u = s.u.total(), v = s.v.total();
            // u / v = exp(x), as often as it is there.
            const int common = u > 0 && v < 0   ? std::min(u, -v)
                               : u < 0 && v > 0 ? -std::min(-u, v)
                                                : 0;
            u -= common, v += common;
            power(exp(on(m_, common > 0 ? s.x : minus)), std::abs(common), above);
            power(sigmoid(on(m_, s.x)), u, u > 0 ? above : below);
            power(sigmoid(on(m_, minus)), v, v > 0 ? above : below);
        }
        for (const Power& f : p.powers)
            power(f.base, f.exponent.total(), f.exponent.total() > 0 ? above : below);
        Expr e = above.empty() ? scalar_constant(m_.root().dtype(), 1.0, m_.loc()) : all(above);
        if (!below.empty()) e = on(m_, e) / on(m_, all(below));
        return p.negative ? -on(m_, e) : e;
    }

  private:
    // base to the power of so many halves, or of as many less than none, as further factors.
    void power(const Expr& base, int halves, std::vector<Expr>& to) {
        halves = std::abs(halves);
        for (int k = 0; k < halves / whole_power; ++k) to.push_back(base);
        if (halves % whole_power != 0) to.push_back(sqrt(on(m_, base)));
    }
    Expr all(const std::vector<Expr>& factors) {
        Expr e = factors[0];
        for (std::size_t k = 1; k < factors.size(); ++k) e = on(m_, e) * on(m_, factors[k]);
        return e;
    }
    const Match& m_;
};

// With the shape of what it replaces: what has cancelled may have been larger.
Expr whole(const Match& m, const Expr& e) {
    return broadcast_to(on(m, e), m.root().shape());
}

Expr cancelled(const Match& m) {
    const Product p = factors_of(m.root());
    return p.cancels() ? whole(m, Builder(m).product(p)) : Expr();
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
        bool any = false;
        for (const auto& [term, negative] : terms) {
            Product t = factors_of(term);
            t.times(others);
            any = any || t.cancels();
            t.negative = t.negative != negative;
            products.push_back(std::move(t));
        }
        if (!any) continue;
        Builder build(m);
        Expr e = build.product(products[0]);
        for (std::size_t i = 1; i < products.size(); ++i)
            e = on(m, e) + on(m, build.product(products[i]));
        return whole(m, e);
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

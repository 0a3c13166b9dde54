#include "compiler/ops/slopes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

// Formulas are searched as deep as users nest them by hand.
constexpr int deepest = 8;

bool is_zero(const Expr& e) {
    double v = 1;
    return is_constant_scalar(e, &v) && v == 0;
}

// Beside e, does y have one element along each of these axes of e?
bool is_repeated(const Expr& y, const Expr& e, const Ints& axes) {
    return std::all_of(axes.begin(), axes.end(), [&](std::int64_t k) {
        const std::int64_t own = k - (e.rank() - y.rank());
        return own < 0 || y.shape()[own] == Dim(1);
    });
}

// What stands for a factor y, or f(y) of an odd f, in the place where it is found.
using Instead = Expr (*)(const OpInfo* f, const Expr& y, const Expr& x);

// An odd function, which is a multiple of its argument, whose slope at 0 is this; else 0.
double odd_slope(const OpInfo* op) {
    if (op == &sin_op.info || op == &tanh_op.info) return 1;
    return op == &erf_op.info ? 2 * std::numbers::inv_sqrtpi : 0;
}

Expr applied(const OpInfo* f, const Expr& x) {
    return apply(*find_op(f->name), {x}, {}, {});
}

// y / y, f(y) / y
Expr divided_by_itself(const OpInfo* f, const Expr& y, const Expr&) {
    if (!f) return scalar_constant(y.dtype(), 1.0);
    return where(neq(at(y, {}), 0), at(applied(f, y), {}) / at(y, {}),
                 at(scalar_constant(y.dtype(), odd_slope(f)), {}));
}

// Of y = |x|: y sign(x) and f(y) sign(x).
Expr with_sign(const OpInfo* f, const Expr&, const Expr& x) {
    return f ? applied(f, x) : x;
}

// g with one factor y, or f(y), replaced; empty where g is no multiple of y as it is written.
Expr replaced(const Expr& g, const Expr& y, const Expr& x_of_y, Instead instead, int depth) {
    if (alike(g, y)) return instead(nullptr, y, x_of_y);
    const Node& n = g.node();
    const std::vector<Expr>& x = n.inputs;
    if (depth == deepest || n.is_leaf()) return {};
    const auto part = [&](std::size_t k) { return replaced(x[k], y, x_of_y, instead, depth + 1); };
    if (odd_slope(n.op) != 0) return alike(x[0], y) ? instead(n.op, y, x_of_y) : Expr();
    if (n.op == &neg_op.info) {
        const Expr a = part(0);
        return a.empty() ? a : -at(a, {});
    }
    if (n.op == &sqr_op.info) {
        const Expr a = part(0);
        return a.empty() ? a : at(a, {}) * at(x[0], {});
    }
    if (n.op == &mul_op.info) {
        if (const Expr a = part(0); !a.empty()) return at(a, {}) * at(x[1], {});
        if (const Expr b = part(1); !b.empty()) return at(x[0], {}) * at(b, {});
        return {};
    }
    if (n.op == &div_op.info) {
        const Expr a = part(0);
        return a.empty() ? a : at(a, {}) / at(x[1], {});
    }
    if (n.op == &add_op.info || n.op == &sub_op.info) {
        const Expr a = part(0);
        const Expr b = a.empty() ? a : part(1);
        if (b.empty()) return {};
        return n.op == &add_op.info ? at(a, {}) + at(b, {}) : at(a, {}) - at(b, {});
    }
    if (n.op == &where_op.info) {
        const Expr a = is_zero(x[1]) ? x[1] : part(1);
        if (a.empty()) return {};
        const Expr b = is_zero(x[2]) ? x[2] : part(2);
        return b.empty() ? b : where(at(x[0], {}), at(a, {}), at(b, {}));
    }
    // A sum over axes along which y was repeated; without keepdims a reshape follows.
    if (n.op->name == "sum" && is_repeated(y, x[0], n.attrs.get<Ints>("axes"))) {
        const Expr a = part(0);
        return a.empty() ? a : apply(def(n), {broadcast_to(at(a, {}), x[0].shape())}, n.attrs, {});
    }
    if (n.op->name == "reshape" && x[0].node().op->name == "sum" && g.shape() == y.shape()) {
        const Expr a = part(0);
        return a.empty() ? a : apply(def(n), {a}, n.attrs, {});
    }
    double power = 0;
    if (n.op == &pow_op.info && alike(x[0], y) && is_constant_scalar(x[1], &power) && power >= 1)
        return at(instead(nullptr, y, x_of_y), {}) *
               at(pow(at(y, {}), at(scalar_constant(y.dtype(), power - 1), {})), {});
    return {};
}

bool squares(const Expr& e, int depth) {
    const Node& n = e.node();
    const std::vector<Expr>& x = n.inputs;
    double c = 0;
    if (depth == deepest || n.is_leaf()) return false;
    if (n.op == &sqr_op.info) return true;
    if (n.op == &mul_op.info || n.op == &div_op.info) {
        const bool product = n.op == &mul_op.info;
        if (product && alike(x[0], x[1])) return true;
        if (is_constant_scalar(x[1], &c) && c > 0 && squares(x[0], depth + 1)) return true;
        return product && is_constant_scalar(x[0], &c) && c > 0 && squares(x[1], depth + 1);
    }
    if (n.op == &pow_op.info) {
        if (!is_constant_scalar(x[1], &c)) return false;
        const OpInfo* base = x[0].node().op;
        const bool never_negative = base == &abs_op.info || base == &relu_op.info;
        return never_negative ? c > 1 : c >= 2 && std::fmod(c, 2.0) == 0;
    }
    if (n.op == &add_op.info) return squares(x[0], depth + 1) && squares(x[1], depth + 1);
    if (n.op == &where_op.info)
        return (is_zero(x[1]) || squares(x[1], depth + 1)) &&
               (is_zero(x[2]) || squares(x[2], depth + 1)) && !(is_zero(x[1]) && is_zero(x[2]));
    if (n.op->name == "dot") return alike(x[0], x[1]) && x[0].rank() == 1;
    if (n.op->name == "variance") return true;
    if (n.op == &cast_op.info || n.op->name == "sum" || n.op->name == "mean" ||
        n.op->has(Trait::View))
        return squares(x[0], depth + 1);
    return false;
}

// g / y, term by term of sums and branch by branch, as a quotient where it is one, and as `divide`
// has it elsewhere; `found` says whether any was.
template <class Divide>
Expr divided(const Expr& g, const Expr& y, const Divide& divide, int depth, bool& found) {
    if (const Expr q = quotient(g, y); !q.empty()) {
        found = true;
        return q;
    }
    const Node& n = g.node();
    const std::vector<Expr>& x = n.inputs;
    const auto part = [&](std::size_t k) {
        return at(is_zero(x[k]) ? x[k] : divided(x[k], y, divide, depth + 1, found), {});
    };
    if (depth < deepest) {
        if (n.op == &add_op.info) return part(0) + part(1);
        if (n.op == &sub_op.info) return part(0) - part(1);
        if (n.op == &neg_op.info) return -part(0);
        if (n.op == &where_op.info) return where(at(x[0], {}), part(1), part(2));
    }
    return divide(g);
}

// g / (2 sqrt(x)) for y = sqrt(x).
Expr slope_of_sqrt(const Expr& g, const Expr& x, const Expr& y) {
    // A norm has slope 0 at 0, as |x| has, which is the norm of one number.
    const bool norm = is_sum_of_squares(x);
    const auto divide = [&](const Expr& part) {
        const Expr slope = part / y;
        return norm ? where(neq(y, 0), slope, 0) : slope;
    };
    bool found = false;
    const Expr parts = divided(g, y, divide, 0, found);
    return found ? parts * 0.5 : divide(g * 0.5);
}

// A constant exponent that is known not to be special.
Expr slope_of_power(const PullbackArgs& a, double power) {
    const Expr &g = a.g[0], &x = a.x[0];
    if (power == 1) return g;
    if (power == 2) return g * (2 * x);
    if (power == 0.5) return slope_of_sqrt(g, x, a.y[0]);
    const Expr slope = g * (a.x[1] * pow(x, scalar_constant(x.dtype(), power - 1)));
    return power > 0 && power < 1 && is_sum_of_squares(x) ? where(neq(x, 0), slope, 0) : slope;
}

// Is e made with exponentials?
bool holds_exponential(const Expr& e, int depth) {
    const Node& n = e.node();
    if (depth == 0 || n.is_leaf() || !is_float(e.dtype())) return false;
    if (n.op == &exp_op.info || n.op == &expm1_op.info) return true;
    if (!def(n).scalar && !n.op->has(Trait::View)) return false;
    return std::any_of(n.inputs.begin(), n.inputs.end(),
                       [&](const Expr& x) { return holds_exponential(x, depth - 1); });
}

// From here on exp(-x) is 0.
double flat_from(const Expr& x) {
    return x.dtype() == DType::F32 ? 104 : 746;
}

}  // namespace

Expr quotient(const Expr& g, const Expr& y) {
    return replaced(g, y, {}, divided_by_itself, 0);
}

bool is_sum_of_squares(const Expr& e) {
    return squares(e, 0);
}

// Of f'(|x|) = q |x| the slope is q x, also at 0; that of an odd f'(|x|) is f'(x).
std::vector<Expr> pullback_abs(const PullbackArgs& a) {
    const Expr& x = a.x[0];
    if (const Expr q = replaced(a.g[0], a.y[0], x, with_sign, 0); !q.empty()) return {q};
    return {where(neq(x, 0), a.g[0] * sign(x), 0)};
}

std::vector<Expr> pullback_sqrt(const PullbackArgs& a) {
    return {slope_of_sqrt(a.g[0], a.x[0], a.y[0])};
}

// n x^(n - 1) and x^n log(x). x^0 is 1 for every x, and 0^n is 0 around every n > 0; at 0^0 both
// slopes are 0. An infinite exponent gives 0 or infinity around most x.
std::vector<Expr> pullback_pow(const PullbackArgs& a) {
    const Expr &g = a.g[0], &x = a.x[0], &n = a.x[1], &y = a.y[0];
    double power = 0;
    if (is_constant_scalar(n, &power) && std::isfinite(power)) {
        if (power == 0) return {where(neq(n, 0), g, 0), Expr()};
        return {slope_of_power(a, power), Expr()};
    }
    const double infinite = std::numeric_limits<double>::infinity();
    const Expr lower = pow(x, n - 1);
    const Expr constant_one = eq(n, 0) && !(abs(x) > 0),
               constant_zero = eq(abs(n), infinite) && eq(lower, 0);
    const Expr by_base = where(constant_one || constant_zero, 0, g * (n * lower));
    if (constant_value(n)) return {by_base, Expr()};
    const Expr zero = (eq(y, 0) && x >= 0) || (eq(x, 0) && eq(n, 0));
    return {by_base, g * (y * log(where(zero, 1, x)))};
}

Expr unless_flat_below(const Expr& g, const Expr& x) {
    return holds_exponential(x, deepest) ? where(at(x, {}) < -flat_from(x), 0, at(g, {})) : g;
}

Expr unless_flat(const Expr& g, const Expr& x) {
    if (!holds_exponential(x, deepest)) return g;
    return where(abs(at(x, {})) > flat_from(x), 0, at(g, {}));
}

Expr unless_infinite(const Expr& g, const Expr& x) {
    const double infinite = std::numeric_limits<double>::infinity();
    return where(eq(at(abs(at(x, {})), {}), infinite), 0, at(g, {}));
}

Expr unless_far(const Expr& g, const Expr& x) {
    const double far = x.dtype() == DType::F32 ? 0x1p64 : 0x1p512;
    return where(at(abs(at(x, {})), {}) >= far, 0, at(g, {}));
}

}  // namespace arete

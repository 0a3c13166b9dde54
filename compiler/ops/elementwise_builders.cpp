// Builders of the elementwise ops: literals adapt, operands are cast to one dtype.
#include "compiler/ops/elementwise.h"

#include <limits>

#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

Expr unary_float(const OpDef& op, const Operand& a) {
    Expr x = a.expr();
    return apply(op, {cast(at(x, a.loc), float_of(x.dtype()))}, {}, a.loc);
}

namespace {

Expr binary(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b, op.info.name);
    return apply(op, {x, y}, {}, a.loc);
}
Expr binary_float(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, op.info.name);
    return apply(op, {x, y}, {}, a.loc);
}
// Bools count as i32.
Expr binary_number(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b, op.info.name);
    DType t = x.dtype() == DType::Bool ? DType::I32 : x.dtype();
    return apply(op, {cast(at(x, a.loc), t), cast(at(y, a.loc), t)}, {}, a.loc);
}
Expr unary(const OpDef& op, const Operand& a) {
    return apply(op, {a.expr()}, {}, a.loc);
}
Expr binary_bool(const OpDef& op, const Operand& a, const Operand& b) {
    return apply(op, {cast(a, DType::Bool), cast(b, DType::Bool)}, {}, a.loc);
}

enum class Relation : std::uint8_t { Eq, Ne, Lt, Le, Gt, Ge };

Relation mirrored(Relation r) {
    switch (r) {
        case Relation::Lt: return Relation::Gt;
        case Relation::Le: return Relation::Ge;
        case Relation::Gt: return Relation::Lt;
        case Relation::Ge: return Relation::Le;
        case Relation::Eq:
        case Relation::Ne: break;
    }
    return r;
}

bool holds(Relation r, const Literal& a, const Literal& b) {
    if (a.is_nan() || b.is_nan()) return r == Relation::Ne;
    const int sign = Literal::compare(a, b);
    switch (r) {
        case Relation::Eq: return sign == 0;
        case Relation::Ne: return sign != 0;
        case Relation::Lt: return sign < 0;
        case Relation::Le: return sign <= 0;
        case Relation::Gt: return sign > 0;
        case Relation::Ge: break;
    }
    return sign >= 0;
}

// Operands of one dtype.
Expr related(Relation r, const Expr& x, const Expr& y, Loc loc) {
    switch (r) {
        case Relation::Eq: return apply(eq_op, {x, y}, {}, loc);
        case Relation::Ne: return apply(neq_op, {x, y}, {}, loc);
        case Relation::Lt: return apply(lt_op, {x, y}, {}, loc);
        case Relation::Le: return apply(le_op, {x, y}, {}, loc);
        case Relation::Gt: return apply(lt_op, {y, x}, {}, loc);
        case Relation::Ge: break;
    }
    return apply(le_op, {y, x}, {}, loc);
}

// False of every element, NaN too: none is below the least of its dtype.
Expr never(const Expr& x, Loc loc) {
    const DType t = x.dtype();
    const double infinity = std::numeric_limits<double>::infinity();
    const Expr least = constant(Literal(-infinity).as(t), loc.file, loc.line);
    return related(Relation::Lt, x, least, loc);
}

// Elements of x against a literal that is none of them: against its neighbours among them.
Expr related_to_gap(Relation r, const Expr& x, const Literal::Bracket& gap, Loc loc) {
    const auto to = [&](Relation s, const std::optional<Array>& bound) {
        return bound ? related(s, x, constant(*bound, loc.file, loc.line), loc) : never(x, loc);
    };
    switch (r) {
        case Relation::Lt:
        case Relation::Le: return to(Relation::Le, gap.below);
        case Relation::Gt:
        case Relation::Ge: return to(Relation::Ge, gap.above);
        case Relation::Eq: return never(x, loc);
        case Relation::Ne: break;
    }
    return apply(not_op, {never(x, loc)}, {}, loc);
}

Expr comparison(Relation r, const OpDef& op, const Operand& a, const Operand& b) {
    if (a.is_literal() && b.is_literal())
        return constant(Array(holds(r, a.literal(), b.literal())), a.loc.file, a.loc.line);
    if (!a.is_literal() && !b.is_literal()) {
        auto [x, y] = unify(a, b, op.info.name);
        return related(r, x, y, a.loc);
    }
    const Literal& literal = a.is_literal() ? a.literal() : b.literal();
    Expr x = a.is_literal() ? b.expr() : a.expr();
    if (x.dtype() == DType::Bool && literal.kind() != LiteralKind::Bool)
        x = cast(at(x, a.loc), DType::I32);
    const Literal::Bracket at_literal = literal.bracket(x.dtype());
    if (!at_literal.exact)
        return related_to_gap(a.is_literal() ? mirrored(r) : r, x, at_literal, a.loc);
    const Expr y = constant(*at_literal.below, a.loc.file, a.loc.line);
    return a.is_literal() ? related(r, y, x, a.loc) : related(r, x, y, a.loc);
}

// Both literals, as they are together.
DType common_dtype(const Operand& a, const Operand& b) {
    return promote(a.expr().dtype(), b.expr().dtype());
}

}  // namespace

std::pair<Expr, Expr> unify(const Operand& a, const Operand& b, std::string_view op) {
    if (a.is_literal() && b.is_literal()) {
        const DType t = common_dtype(a, b);
        return {a.beside(t, op), b.beside(t, op)};
    }
    Expr x = a.is_literal() ? a.beside(b.expr().dtype(), op) : a.expr();
    Expr y = b.is_literal() ? b.beside(a.expr().dtype(), op) : b.expr();
    DType t = promote(x.dtype(), y.dtype());
    return {cast(at(x, a.loc), t), cast(at(y, b.loc), t)};
}

std::pair<Expr, Expr> unify_floats(const Operand& a, const Operand& b, std::string_view op) {
    const DType t = float_of(a.is_literal() && b.is_literal() ? common_dtype(a, b)
                             : a.is_literal()                 ? b.expr().dtype()
                             : b.is_literal()                 ? a.expr().dtype()
                                                              : common_dtype(a, b));
    return {cast(at(a.beside(t, op), a.loc), t), cast(at(b.beside(t, op), a.loc), t)};
}

Expr operator+(const Operand& a, const Operand& b) {
    return binary(add_op, a, b);
}
Expr operator-(const Operand& a, const Operand& b) {
    return binary(sub_op, a, b);
}
Expr operator*(const Operand& a, const Operand& b) {
    return binary(mul_op, a, b);
}
Expr operator/(const Operand& a, const Operand& b) {
    return binary_float(div_op, a, b);
}
Expr floordiv(const Operand& a, const Operand& b) {
    return binary_number(floordiv_op, a, b);
}
Expr mod(const Operand& a, const Operand& b) {
    return binary_number(mod_op, a, b);
}
Expr operator-(const Operand& a) {
    return unary(neg_op, a);
}
Expr abs(const Operand& a) {
    return unary(abs_op, a);
}
Expr sign(const Operand& a) {
    return unary(sign_op, a);
}
Expr sqr(const Operand& a) {
    return unary(sqr_op, a);
}
Expr sqrt(const Operand& a) {
    return unary_float(sqrt_op, a);
}
Expr exp(const Operand& a) {
    return unary_float(exp_op, a);
}
Expr expm1(const Operand& a) {
    return unary_float(expm1_op, a);
}
Expr log(const Operand& a) {
    return unary_float(log_op, a);
}
Expr log1p(const Operand& a) {
    return unary_float(log1p_op, a);
}
Expr tanh(const Operand& a) {
    return unary_float(tanh_op, a);
}
Expr sin(const Operand& a) {
    return unary_float(sin_op, a);
}
Expr cos(const Operand& a) {
    return unary_float(cos_op, a);
}
Expr erf(const Operand& a) {
    return unary_float(erf_op, a);
}
Expr floor(const Operand& a) {
    return unary(floor_op, a);
}
Expr ceil(const Operand& a) {
    return unary(ceil_op, a);
}
Expr round(const Operand& a) {
    return unary(round_op, a);
}
Expr sigmoid(const Operand& a) {
    return unary_float(sigmoid_op, a);
}
Expr relu(const Operand& a) {
    return unary(relu_op, a);
}
Expr softplus(const Operand& a) {
    return unary_float(softplus_op, a);
}
Expr pow(const Operand& a, const Operand& b) {
    return binary_float(pow_op, a, b);
}
Expr maximum(const Operand& a, const Operand& b) {
    return binary(maximum_op, a, b);
}
Expr minimum(const Operand& a, const Operand& b) {
    return binary(minimum_op, a, b);
}
Expr eq(const Operand& a, const Operand& b) {
    return comparison(Relation::Eq, eq_op, a, b);
}
Expr neq(const Operand& a, const Operand& b) {
    return comparison(Relation::Ne, neq_op, a, b);
}
Expr operator<(const Operand& a, const Operand& b) {
    return comparison(Relation::Lt, lt_op, a, b);
}
Expr operator<=(const Operand& a, const Operand& b) {
    return comparison(Relation::Le, le_op, a, b);
}
Expr operator>(const Operand& a, const Operand& b) {
    return comparison(Relation::Gt, lt_op, a, b);
}
Expr operator>=(const Operand& a, const Operand& b) {
    return comparison(Relation::Ge, le_op, a, b);
}
Expr operator&&(const Operand& a, const Operand& b) {
    return binary_bool(and_op, a, b);
}
Expr operator||(const Operand& a, const Operand& b) {
    return binary_bool(or_op, a, b);
}
Expr logical_xor(const Operand& a, const Operand& b) {
    return binary_bool(xor_op, a, b);
}
Expr operator!(const Operand& a) {
    return unary(not_op, {cast(a, DType::Bool), a.loc.file, a.loc.line});
}
Expr isnan(const Operand& a) {
    Expr x = a.expr();
    return apply(neq_op, {x, x}, {}, a.loc);
}
Expr where(const Operand& condition, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b, where_op.info.name);
    return apply(where_op, {cast(condition, DType::Bool), x, y}, {}, condition.loc);
}
Expr cast(const Operand& a, DType t) {
    if (a.is_literal()) return constant(a.literal().as(t), a.loc.file, a.loc.line);
    Expr x = a.expr();
    if (x.dtype() == t) return x;
    if (const Array* c = constant_value(x)) return constant(c->astype(t), a.loc.file, a.loc.line);
    return apply(cast_op, {x}, {{"dtype", t}}, a.loc);
}
Expr stop_gradient(const Operand& a) {
    return unary(stop_gradient_op, a);
}

}  // namespace arete

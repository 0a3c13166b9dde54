// Builders of the elementwise ops: literals adapt, operands are cast to one dtype.
#include "compiler/ops/elementwise.h"
#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

Expr binary(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    return apply(op, {x, y}, {}, a.loc);
}
Expr binary_float(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    DType t = float_of(x.dtype());
    return apply(op, {cast(at(x, a.loc), t), cast(at(y, a.loc), t)}, {}, a.loc);
}
// Bools count as i32.
Expr binary_number(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    DType t = x.dtype() == DType::Bool ? DType::I32 : x.dtype();
    return apply(op, {cast(at(x, a.loc), t), cast(at(y, a.loc), t)}, {}, a.loc);
}
Expr unary(const OpDef& op, const Operand& a) {
    return apply(op, {a.expr()}, {}, a.loc);
}
Expr unary_float(const OpDef& op, const Operand& a) {
    Expr x = a.expr();
    return apply(op, {cast(at(x, a.loc), float_of(x.dtype()))}, {}, a.loc);
}
Expr binary_bool(const OpDef& op, const Operand& a, const Operand& b) {
    return apply(op, {cast(a, DType::Bool), cast(b, DType::Bool)}, {}, a.loc);
}

}  // namespace

std::pair<Expr, Expr> unify(const Operand& a, const Operand& b) {
    if (a.is_literal() && b.is_literal()) {
        Expr x = a.expr(), y = b.expr();
        DType t = promote(x.dtype(), y.dtype());
        return {a.beside(t), b.beside(t)};
    }
    Expr x = a.is_literal() ? a.beside(b.expr().dtype()) : a.expr();
    Expr y = b.is_literal() ? b.beside(a.expr().dtype()) : b.expr();
    DType t = promote(x.dtype(), y.dtype());
    return {cast(at(x, a.loc), t), cast(at(y, b.loc), t)};
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
    return binary(eq_op, a, b);
}
Expr neq(const Operand& a, const Operand& b) {
    return binary(neq_op, a, b);
}
Expr operator<(const Operand& a, const Operand& b) {
    return binary(lt_op, a, b);
}
Expr operator<=(const Operand& a, const Operand& b) {
    return binary(le_op, a, b);
}
Expr operator>(const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    return apply(lt_op, {y, x}, {}, a.loc);
}
Expr operator>=(const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    return apply(le_op, {y, x}, {}, a.loc);
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
Expr operator&&(const Expr& a, const Expr& b) {
    return at(a, a.loc()) && at(b, a.loc());
}
Expr operator||(const Expr& a, const Expr& b) {
    return at(a, a.loc()) || at(b, a.loc());
}
Expr operator!(const Expr& a) {
    return !at(a, a.loc());
}
Expr isnan(const Operand& a) {
    Expr x = a.expr();
    return apply(neq_op, {x, x}, {}, a.loc);
}
Expr where(const Operand& condition, const Operand& a, const Operand& b) {
    auto [x, y] = unify(a, b);
    return apply(where_op, {cast(condition, DType::Bool), x, y}, {}, condition.loc);
}
Expr cast(const Operand& a, DType t) {
    Expr x = a.expr();
    if (x.dtype() == t) return x;
    if (const Array* c = constant_value(x)) return constant(c->astype(t), a.loc.file, a.loc.line);
    return apply(cast_op, {x}, {{"dtype", t}}, a.loc);
}
Expr stop_gradient(const Operand& a) {
    return unary(stop_gradient_op, a);
}

}  // namespace arete

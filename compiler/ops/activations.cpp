// Activations: functions of other ops, which fusion makes one loop. softsign, whose slope cancels
// where it is derived from the quotient, is a row.
#include "compiler/ops/activations.h"

#include <array>
#include <limits>
#include <numbers>

#include "compiler/ops/bits.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/samples.h"
#include "compiler/ops/slopes.h"
#include "compiler/ops/special.h"

namespace arete {

namespace ir = loops;

namespace {

// A float, which knows the user's line.
Operand activated(const Operand& a) {
    return at(cast(a, float_of(a.expr().dtype())), a.loc);
}

// a * gate(a), of a gate that is 1 from `limit` on and 0 below -limit: there an infinite a would be
// multiplied by zero.
template <class Gate>
Expr gated(const Operand& operand, double limit, Gate gate) {
    const Operand a = activated(operand);
    const Operand product = at(a * at(gate(a), a.loc), a.loc);
    return where(at(a > limit, a.loc), a, at(where(at(a < -limit, a.loc), 0, product), a.loc));
}

}  // namespace

constinit const OpDef softsign_op{
    .info = {.name = "softsign", .traits = Trait::Increasing},
    .doc = "a / (1 + |a|)",
    .infer = infer_elementwise_float,
    .scalar =
        [](const ScalarArgs& x) {
            // The quotient of infinities would be NaN; from here on it is 1.
            const double far = x.dtype == DType::F32 ? 0x1p40 : 0x1p80;
            const loops::Value a =
                ir::select(ir::gt(x[0], far), ir::literal(x[0], far),
                           ir::select(ir::lt(x[0], -far), ir::literal(x[0], -far), x[0]));
            return a / (1.0 + ir::abs(a));
        },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_far(a.g[0] / sqr(1 + abs(a.x[0])), a.x[0])};
    },
    .samples = unary_samples<softsign, -20, 20, true, true>};

// ---- builders

Expr elu(const Operand& operand, double alpha) {
    const Operand a = activated(operand);
    return where(at(a > 0, a.loc), a, at(alpha * at(expm1(a), a.loc), a.loc));
}
Expr selu(const Operand& a) {
    return 1.0507009873554805 * at(elu(a, 1.6732632423543772), a.loc);
}
Expr celu(const Operand& operand, double alpha) {
    const Operand a = activated(operand);
    return where(at(a > 0, a.loc), a, at(alpha * at(expm1(at(a / alpha, a.loc)), a.loc), a.loc));
}
Expr leaky_relu(const Operand& operand, double slope) {
    const Operand a = activated(operand);
    return where(at(a > 0, a.loc), a, at(slope * a, a.loc));
}
Expr prelu(const Operand& operand, const Operand& slope) {
    const Operand a = activated(operand);
    return where(at(a > 0, a.loc), a, at(a * slope, a.loc));
}
Expr thresholded_relu(const Operand& operand, double theta) {
    const Operand a = activated(operand);
    return where(at(a > theta, a.loc), a, 0);
}
Expr gelu(const Operand& a, Gelu form) {
    if (form == Gelu::exact)
        return gated(
            a, 40, [](const Operand& x) { return 0.5 * erfc(-(x * (0.5 * std::numbers::sqrt2))); });
    // (1 + tanh(u)) / 2 is sigmoid(2 u).
    return gated(a, 40, [](const Operand& x) {
        return sigmoid(x * (1.5957691216057308 + 1.5957691216057308 * 0.044715 * sqr(x)));
    });
}
Expr silu(const Operand& a) {
    return gated(a, 800, [](const Operand& x) { return sigmoid(x); });
}
Expr mish(const Operand& a) {
    return gated(a, 800, [](const Operand& x) { return tanh(softplus(x)); });
}
Expr softsign(const Operand& operand) {
    const Operand a = activated(operand);
    return apply(softsign_op, {a.expr()}, {}, a.loc);
}
Expr hard_sigmoid(const Operand& operand, double alpha, double beta) {
    const Operand a = activated(operand);
    return clip(at(at(a * alpha, a.loc) + beta, a.loc), 0, 1);
}
Expr hard_swish(const Operand& a) {
    return gated(a, 3, [](const Operand& x) { return (x + 3) / 6; });
}

std::span<const OpDef* const> activation_ops() {
    static constexpr std::array rows = {&softsign_op};
    return rows;
}

}  // namespace arete

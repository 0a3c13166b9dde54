// Rows of the functions that stabilising rewrites put in the place of formulas.
#include "compiler/ops/special.h"

#include <array>
#include <numbers>

#include "compiler/loops/math.h"
#include "compiler/ops/families.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/samples.h"

namespace arete {

using loops::Value;
namespace ir = loops;

namespace {

constexpr double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi;

// Of -expm1(a) and exp(a) the one that is far from 1 goes into the logarithm: Maechler, "Accurately
// computing log(1 - exp(-|a|))" (2012).
Value log1mexp_of(const ScalarArgs& x) {
    return ir::select(ir::lt(x[0], -std::numbers::ln2), ir::log1p(-ir::exp(x[0])),
                      ir::log(-ir::expm1(x[0])));
}

Value logaddexp_of(const ScalarArgs& x) {
    Value a = x[0], b = x[1];
    Value apart = ir::max(a, b) + ir::log1p(ir::exp(-ir::abs(a - b)));
    // The difference of two equal infinities would be NaN.
    return ir::select(ir::eq(a, b), a + std::numbers::ln2, apart);
}

}  // namespace

constinit const OpDef erfc_op{.info = {.name = "erfc"},
                              .doc = "1 - erf(a), accurate where that is small",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::erfc(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                  return {-(a.g[0] * (two_over_sqrt_pi * exp(-sqr(a.x[0]))))};
                              },
                              .samples = unary_samples<erfc>};
constinit const OpDef erfcx_op{.info = {.name = "erfcx"},
                               .doc = "exp(a^2) erfc(a), which does not underflow",
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::erfcx(x[0]); },
                               .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                   return {a.g[0] * (2 * a.x[0] * a.y[0] - two_over_sqrt_pi)};
                               },
                               .samples = unary_samples<erfcx>};
constinit const OpDef log_erfc_op{.info = {.name = "log_erfc"},
                                  .doc = "log(erfc(a)), also where erfc(a) underflows",
                                  .infer = infer_elementwise_float,
                                  .scalar = [](const ScalarArgs& x) { return ir::log_erfc(x[0]); },
                                  .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                      return {-(a.g[0] * two_over_sqrt_pi / erfcx(a.x[0]))};
                                  },
                                  .samples = unary_samples<log_erfc>};
constinit const OpDef log1mexp_op{.info = {.name = "log1mexp"},
                                  .doc = "log(1 - exp(a)) of a negative a",
                                  .infer = infer_elementwise_float,
                                  .scalar = log1mexp_of,
                                  .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                      return {-(a.g[0] / expm1(-a.x[0]))};
                                  },
                                  .samples = unary_samples<log1mexp, -20, -1>};
constinit const OpDef logaddexp_op{
    .info = {.name = "logaddexp", .traits = Trait::Commutative},
    .doc = "log(exp(a) + exp(b)), without overflow",
    .arity = 2,
    .infer = infer_elementwise_float,
    .scalar = logaddexp_of,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0] * sigmoid(a.x[0] - a.x[1]), a.g[0] * sigmoid(a.x[1] - a.x[0])};
    },
    .samples = binary_samples<logaddexp>};

// ---- builders

namespace {

Expr unary_float(const OpDef& op, const Operand& a) {
    const Expr x = a.expr();
    return apply(op, {cast(at(x, a.loc), float_of(x.dtype()))}, {}, a.loc);
}

}  // namespace

Expr erfc(const Operand& a) {
    return unary_float(erfc_op, a);
}
Expr erfcx(const Operand& a) {
    return unary_float(erfcx_op, a);
}
Expr log_erfc(const Operand& a) {
    return unary_float(log_erfc_op, a);
}
Expr log1mexp(const Operand& a) {
    return unary_float(log1mexp_op, a);
}
Expr logaddexp(const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, logaddexp_op.info.name);
    return apply(logaddexp_op, {x, y}, {}, a.loc);
}

std::span<const OpDef* const> special_ops() {
    static constexpr std::array rows = {&erfc_op, &erfcx_op, &log_erfc_op, &log1mexp_op,
                                        &logaddexp_op};
    return rows;
}

}  // namespace arete

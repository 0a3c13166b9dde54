// Rows of the functions that stabilising rewrites put in the place of formulas.
#include "compiler/ops/special.h"

#include <array>
#include <limits>
#include <numbers>

#include "compiler/loops/math.h"
#include "compiler/ops/elementwise_rows.h"
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

// cosh(a) - 1 = (e^a - 1)^2 / (2 e^a) does not cancel where a is small.
Value log_cosh_of(const ScalarArgs& x) {
    Value a = ir::abs(x[0]), e = ir::expm1(ir::min(a, 1.0));
    Value small = ir::log1p(e * e / (2.0 * (e + 1.0)));
    Value large = a + (ir::log1p(ir::exp(-2.0 * a)) - std::numbers::ln2);
    return ir::select(ir::lt(a, 1.0), small, large);
}

// Below this the second term of log(softplus(a)) = a - e^a / 2 + 5 e^(2a) / 24 - ... is the last
// that counts.
double softplus_is_exp_below(DType t) {
    return t == DType::F32 ? -9 : -19;
}

Value log_softplus_of(const ScalarArgs& x) {
    const double limit = softplus_is_exp_below(x.dtype);
    Value a = ir::max(x[0], limit);
    Value usual = ir::log(ir::max(a, 0.0) + ir::log1p(ir::exp(-ir::abs(a))));
    return ir::select(ir::lt(x[0], limit), x[0] - 0.5 * ir::exp(x[0]), usual);
}

// sigmoid(a) / softplus(a), both of which underflow.
std::vector<Expr> pullback_log_softplus(const PullbackArgs& a) {
    const Expr& x = a.x[0];
    const double limit = softplus_is_exp_below(x.dtype());
    const Expr inside = maximum(x, limit);
    const Expr slope =
        where(x < limit, 1 - 0.5 * exp(minimum(x, limit)), sigmoid(inside) / softplus(inside));
    return {a.g[0] * slope};
}

// 2 a erfcx(a) - 2 / sqrt(pi), whose terms cancel for large a. There erfcx(a) is
// 1 / (sqrt(pi) (a + t)) of a continued fraction t = (1/2) / (a + 1 / (a + (3/2) / (a + ...))).
Value erfcx_slope_of(const ScalarArgs& x) {
    const Value a = x[0];
    Value t = 8.0 / a;
    for (double k = 7.5; k >= 0.5; k -= 0.5) t = k / (a + t);
    return ir::select(ir::gt(a, 5.0), t / (a + t) * -two_over_sqrt_pi,
                      2.0 * a * ir::erfcx(a) - two_over_sqrt_pi);
}

Expr erfcx_slope(const Operand& a);

// Of two equal infinities each has half.
std::vector<Expr> pullback_logaddexp(const PullbackArgs& a) {
    const double infinite = std::numeric_limits<double>::infinity();
    const Expr alike = eq(a.x[0], a.x[1]) && eq(abs(a.x[0]), infinite);
    const Expr apart = where(alike, 0, a.x[0] - a.x[1]);
    return {a.g[0] * sigmoid(apart), a.g[0] * sigmoid(-apart)};
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
                                   return {a.g[0] * erfcx_slope(a.x[0])};
                               },
                               .samples = unary_samples<erfcx>};
constinit const OpDef erfcx_slope_op{.info = {.name = "erfcx_slope"},
                                     .doc = "the derivative of erfcx, accurate where that is small",
                                     .infer = infer_elementwise_float,
                                     .scalar = erfcx_slope_of,
                                     .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                         return {a.g[0] * (2 * (erfcx(a.x[0]) + a.x[0] * a.y[0]))};
                                     },
                                     .samples = unary_samples<erfcx_slope>};
constinit const OpDef log_erfc_op{.info = {.name = "log_erfc"},
                                  .doc = "log(erfc(a)), also where erfc(a) underflows",
                                  .infer = infer_elementwise_float,
                                  .scalar = [](const ScalarArgs& x) { return ir::log_erfc(x[0]); },
                                  .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                      return {-(a.g[0] * erfc_hazard(a.x[0]))};
                                  },
                                  .samples = unary_samples<log_erfc>};
constinit const OpDef erfc_hazard_op{
    .info = {.name = "erfc_hazard"},
    .doc = "2 / sqrt(pi) exp(-a^2) / erfc(a), minus the slope of log(erfc(a))",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return two_over_sqrt_pi / ir::erfcx(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        // y (y - 2 x), whose terms cancel for large x and where erfcx(x) does not overflow.
        const Expr &x = a.x[0], &y = a.y[0], right = where(x < 0, 1, x);
        return {where(x < 0, a.g[0] * (y * (y - 2 * x)),
                      -(a.g[0] * (y * (erfcx_slope(right) / erfcx(right)))))};
    },
    .samples = unary_samples<erfc_hazard>};
constinit const OpDef log1mexp_op{.info = {.name = "log1mexp"},
                                  .doc = "log(1 - exp(a)) of a negative a",
                                  .infer = infer_elementwise_float,
                                  .scalar = log1mexp_of,
                                  .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                      return {a.g[0] * (exp(a.x[0]) / expm1(a.x[0]))};
                                  },
                                  .samples = unary_samples<log1mexp, -20, -1>};
constinit const OpDef logaddexp_op{.info = {.name = "logaddexp", .traits = Trait::Commutative},
                                   .doc = "log(exp(a) + exp(b)), without overflow",
                                   .arity = 2,
                                   .infer = infer_elementwise_float,
                                   .scalar = logaddexp_of,
                                   .pullback = pullback_logaddexp,
                                   .samples = binary_samples<logaddexp>};
constinit const OpDef log_cosh_op{
    .info = {.name = "log_cosh"},
    .doc = "log(cosh(a)), without overflow and accurate near 0",
    .infer = infer_elementwise_float,
    .scalar = log_cosh_of,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] * tanh(a.x[0])}; },
    .samples = unary_samples<log_cosh>};
constinit const OpDef log_softplus_op{.info = {.name = "log_softplus", .traits = Trait::Increasing},
                                      .doc = "log(softplus(a)), also where softplus(a) underflows",
                                      .infer = infer_elementwise_float,
                                      .scalar = log_softplus_of,
                                      .pullback = pullback_log_softplus,
                                      .samples = unary_samples<log_softplus>};

// ---- builders

namespace {

Expr erfcx_slope(const Operand& a) {
    return unary_float(erfcx_slope_op, a);
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
Expr erfc_hazard(const Operand& a) {
    return unary_float(erfc_hazard_op, a);
}
Expr log1mexp(const Operand& a) {
    return unary_float(log1mexp_op, a);
}
Expr log_cosh(const Operand& a) {
    return unary_float(log_cosh_op, a);
}
Expr log_softplus(const Operand& a) {
    return unary_float(log_softplus_op, a);
}
Expr logaddexp(const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, logaddexp_op.info.name);
    return apply(logaddexp_op, {x, y}, {}, a.loc);
}

std::span<const OpDef* const> special_ops() {
    static constexpr std::array rows = {&erfc_op,      &erfcx_op,       &erfcx_slope_op,
                                        &log_erfc_op,  &erfc_hazard_op, &log1mexp_op,
                                        &logaddexp_op, &log_cosh_op,    &log_softplus_op};
    return rows;
}

}  // namespace arete

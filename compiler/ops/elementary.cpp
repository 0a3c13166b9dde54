// One row an elementary or special function; their bodies are in compiler/loops/functions.h.
#include "compiler/ops/elementary.h"

#include <array>
#include <limits>
#include <numbers>

#include "compiler/loops/functions.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/families.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/samples.h"
#include "compiler/ops/slopes.h"

namespace arete {

using loops::Value;
namespace ir = loops;

extern const OpDef bessel_ratio_op;

namespace {

// I_n(x) / x^n, an even function whose slope is x times that of order n + 1: nothing cancels.
Expr bessel_over_power(int order, const Operand& a) {
    const Expr x = a.expr();
    return apply(bessel_ratio_op, {cast(at(x, a.loc), float_of(x.dtype()))},
                 {{"order", std::int64_t{order}}}, a.loc);
}

using Rows = std::vector<Expr>;

// Of smooth functions of floats one vector will do: the bodies are long.
template <auto Build, int Low = -20, int High = 20, std::int64_t Length = 37>
std::vector<Sample> smooth_samples() {
    return {{"vectors and a rest",
             {{{Length}, Low / 10.0, High / 10.0}},
             [](std::span<const Expr> x) { return Build(x[0]); },
             true,
             true}};
}
template <auto Build, int Low = -20, int High = 20>
std::vector<Sample> smooth_pairs() {
    const auto input = [](Sizes sizes) {
        return SampleInput{std::move(sizes), Low / 10.0, High / 10.0};
    };
    return {{"row",
             {input({4, 9}), input({9})},
             [](std::span<const Expr> x) { return Build(x[0], x[1]); },
             true,
             true}};
}

// 1 - x^2, which does not cancel, and whose slope does not, either.
Expr one_minus_sqr(const Operand& x);

// Beside the origin and infinities a point has a direction.
Expr has_direction(const Expr& length) {
    return length > 0 && length < std::numeric_limits<double>::infinity();
}

std::vector<Sample> polygamma_samples() {
    std::vector<Sample> out;
    for (const int order : {1, 2, 3})
        out.push_back({fmt::format("order {}", order),
                       {{{37}, 0.5, 6}},
                       [order](std::span<const Expr> x) { return polygamma(order, x[0]); },
                       true,
                       true});
    return out;
}

std::vector<Sample> bessel_samples() {
    std::vector<Sample> out;
    for (const int order : {0, 1, 2})
        out.push_back({fmt::format("order {}", order),
                       {{{37}, -4, 4}},
                       [order](std::span<const Expr> x) { return bessel_over_power(order, x[0]); },
                       true,
                       true});
    return out;
}

}  // namespace

constinit const OpDef exp2_op{
    .info = {.name = "exp2", .traits = Trait::Increasing | Trait::NotNegative},
    .doc = "2 to the power of a",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::exp2(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows {
        return {a.g[0] * (a.y[0] * std::numbers::ln2)};
    },
    .samples = smooth_samples<exp2>};
constinit const OpDef log2_op{.info = {.name = "log2"},
                              .doc = "logarithm to base 2",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::log2(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> Rows {
                                  return {a.g[0] * std::numbers::log2e / a.x[0]};
                              },
                              .samples = smooth_samples<log2, 2, 40>};
constinit const OpDef log10_op{.info = {.name = "log10"},
                               .doc = "logarithm to base 10",
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::log10(x[0]); },
                               .pullback = [](const PullbackArgs& a) -> Rows {
                                   return {a.g[0] * std::numbers::log10e / a.x[0]};
                               },
                               .samples = smooth_samples<log10, 2, 40>};
constinit const OpDef cbrt_op{.info = {.name = "cbrt", .traits = Trait::Increasing},
                              .doc = "cube root",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::cbrt(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> Rows {
                                  // No factor is 0 where another is infinite.
                                  return {a.g[0] * (sqr(1 / a.y[0]) * (1.0 / 3))};
                              },
                              .samples = smooth_samples<cbrt, 5, 40, 9>};
constinit const OpDef hypot_op{
    .info = {.name = "hypot", .traits = Trait::Commutative | Trait::NotNegative},
    .doc = "sqrt(a^2 + b^2), without overflow",
    .arity = 2,
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::hypot(x[0], x[1]); },
    .pullback = [](const PullbackArgs& a) -> Rows {
        const Expr& h = a.y[0];
        return {where(neq(h, 0), a.g[0] * (a.x[0] / h), 0),
                where(neq(h, 0), a.g[0] * (a.x[1] / h), 0)};
    },
    .samples = smooth_pairs<hypot>};
constinit const OpDef one_minus_sqr_op{
    .info = {.name = "one_minus_sqr"},
    .doc = "1 - a^2, accurate where that is small",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return (1.0 - x[0]) * (1.0 + x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * (-2 * a.x[0])}; },
    .samples = smooth_samples<one_minus_sqr>};
constinit const OpDef tan_op{
    .info = {.name = "tan"},
    .doc = "tangent of radians",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::tan(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * (1 + sqr(a.y[0]))}; },
    .samples = smooth_samples<tan, -14, 14>};
constinit const OpDef asin_op{.info = {.name = "asin"},
                              .doc = "inverse of sine",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::asin(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> Rows {
                                  return {a.g[0] / sqrt(one_minus_sqr(a.x[0]))};
                              },
                              .samples = smooth_samples<asin, -9, 9>};
constinit const OpDef acos_op{.info = {.name = "acos", .traits = Trait::NotNegative},
                              .doc = "inverse of cosine",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::acos(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> Rows {
                                  return {-(a.g[0] / sqrt(one_minus_sqr(a.x[0])))};
                              },
                              .samples = smooth_samples<acos, -9, 9>};
constinit const OpDef atan_op{.info = {.name = "atan", .traits = Trait::Increasing},
                              .doc = "inverse of tangent",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::atan(x[0]); },
                              .pullback = [](const PullbackArgs& a) -> Rows {
                                  return {unless_far(a.g[0] / (1 + sqr(a.x[0])), a.x[0])};
                              },
                              .samples = smooth_samples<atan>};
constinit const OpDef atan2_op{.info = {.name = "atan2"},
                               .doc = "the angle of the point (b, a)",
                               .arity = 2,
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::atan2(x[0], x[1]); },
                               .pullback = [](const PullbackArgs& a) -> Rows {
                                   const Expr &y = a.x[0], &x = a.x[1];
                                   const Expr h = hypot(y, x), somewhere = has_direction(h);
                                   return {where(somewhere, a.g[0] * (x / h / h), 0),
                                           where(somewhere, -(a.g[0] * (y / h / h)), 0)};
                               },
                               .samples = smooth_pairs<atan2, 2, 20>};
constinit const OpDef sinh_op{
    .info = {.name = "sinh", .traits = Trait::Increasing},
    .doc = "hyperbolic sine",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::sinh(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * cosh(a.x[0])}; },
    .samples = smooth_samples<sinh>};
constinit const OpDef cosh_op{
    .info = {.name = "cosh", .traits = Trait::NotNegative},
    .doc = "hyperbolic cosine",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::cosh(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * sinh(a.x[0])}; },
    .samples = smooth_samples<cosh>};
constinit const OpDef asinh_op{.info = {.name = "asinh", .traits = Trait::Increasing},
                               .doc = "inverse of sinh",
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::asinh(x[0]); },
                               .pullback = [](const PullbackArgs& a) -> Rows {
                                   return {unless_infinite(a.g[0] / hypot(a.x[0], 1), a.x[0])};
                               },
                               .samples = smooth_samples<asinh>};
constinit const OpDef acosh_op{.info = {.name = "acosh"},
                               .doc = "inverse of cosh, from 1 on",
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::acosh(x[0]); },
                               .pullback = [](const PullbackArgs& a) -> Rows {
                                   const Expr& x = a.x[0];
                                   // Roots of the factors do not overflow, that of the product has
                                   // its slopes at 1.
                                   const Expr far =
                                       unless_infinite(a.g[0] / (sqrt(x - 1) * sqrt(x + 1)), x);
                                   return {where(x < 2, a.g[0] / sqrt(-one_minus_sqr(x)), far)};
                               },
                               .samples = smooth_samples<acosh, 12, 40>};
constinit const OpDef atanh_op{
    .info = {.name = "atanh"},
    .doc = "inverse of tanh",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::atanh(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] / one_minus_sqr(a.x[0])}; },
    .samples = smooth_samples<atanh, -9, 9>};
constinit const OpDef erfinv_op{.info = {.name = "erfinv"},
                                .doc = "inverse of erf",
                                .infer = infer_elementwise_float,
                                .scalar = [](const ScalarArgs& x) { return ir::erfinv(x[0]); },
                                .pullback = [](const PullbackArgs& a) -> Rows {
                                    return {a.g[0] * (0.88622692545275801 * exp(sqr(a.y[0])))};
                                },
                                .samples = smooth_samples<erfinv, -9, 9>};
constinit const OpDef lgamma_op{
    .info = {.name = "lgamma"},
    .doc = "logarithm of the magnitude of the gamma function",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::lgamma(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * digamma(a.x[0])}; },
    .samples = smooth_samples<lgamma, 3, 90>};
constinit const OpDef digamma_op{
    .info = {.name = "digamma"},
    .doc = "the slope of lgamma",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::digamma(x[0]); },
    .pullback = [](const PullbackArgs& a) -> Rows { return {a.g[0] * polygamma(1, a.x[0])}; },
    .samples = smooth_samples<digamma, 5, 60>};
constinit const OpDef polygamma_op{
    .info = {.name = "polygamma"},
    .doc = "the derivative of attr order of digamma",
    .infer = infer_elementwise_float,
    .scalar =
        [](const ScalarArgs& x) {
            return ir::polygamma(static_cast<int>(x.attrs.get<std::int64_t>("order")), x[0]);
        },
    .pullback = [](const PullbackArgs& a) -> Rows {
        const auto order = static_cast<int>(a.node.attrs.get<std::int64_t>("order"));
        return {a.g[0] * polygamma(order + 1, a.x[0])};
    },
    .samples = polygamma_samples};
constinit const OpDef bessel_ratio_op{
    .info = {.name = "bessel_ratio"},
    .doc = "the modified Bessel function of the first kind of attr order, over a to that power",
    .infer = infer_elementwise_float,
    .scalar =
        [](const ScalarArgs& x) {
            return ir::bessel_ratio(static_cast<int>(x.attrs.get<std::int64_t>("order")), x[0]);
        },
    .pullback = [](const PullbackArgs& a) -> Rows {
        const auto order = static_cast<int>(a.node.attrs.get<std::int64_t>("order"));
        return {a.g[0] * (a.x[0] * bessel_over_power(order + 1, a.x[0]))};
    },
    .samples = bessel_samples};

// ---- builders

namespace {

Expr one_minus_sqr(const Operand& x) {
    return unary_float(one_minus_sqr_op, x);
}

Expr pair_float(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, op.info.name);
    return apply(op, {x, y}, {}, a.loc);
}

}  // namespace

Expr exp2(const Operand& a) {
    return unary_float(exp2_op, a);
}
Expr log2(const Operand& a) {
    return unary_float(log2_op, a);
}
Expr log10(const Operand& a) {
    return unary_float(log10_op, a);
}
Expr cbrt(const Operand& a) {
    return unary_float(cbrt_op, a);
}
Expr hypot(const Operand& a, const Operand& b) {
    return pair_float(hypot_op, a, b);
}
Expr tan(const Operand& a) {
    return unary_float(tan_op, a);
}
Expr asin(const Operand& a) {
    return unary_float(asin_op, a);
}
Expr acos(const Operand& a) {
    return unary_float(acos_op, a);
}
Expr atan(const Operand& a) {
    return unary_float(atan_op, a);
}
Expr atan2(const Operand& y, const Operand& x) {
    return pair_float(atan2_op, y, x);
}
Expr sinh(const Operand& a) {
    return unary_float(sinh_op, a);
}
Expr cosh(const Operand& a) {
    return unary_float(cosh_op, a);
}
Expr asinh(const Operand& a) {
    return unary_float(asinh_op, a);
}
Expr acosh(const Operand& a) {
    return unary_float(acosh_op, a);
}
Expr atanh(const Operand& a) {
    return unary_float(atanh_op, a);
}
Expr reciprocal(const Operand& a) {
    return Operand(1, a.loc.file, a.loc.line) / a;
}
Expr rsqrt(const Operand& a) {
    return reciprocal(at(sqrt(a), a.loc));
}
Expr erfinv(const Operand& a) {
    return unary_float(erfinv_op, a);
}
Expr lgamma(const Operand& a) {
    return unary_float(lgamma_op, a);
}
Expr digamma(const Operand& a) {
    return unary_float(digamma_op, a);
}
Expr polygamma(int n, const Operand& a) {
    if (n < 0) fail<GraphError>(a.loc, "polygamma: order {}", n);
    if (n == 0) return digamma(a);
    const Expr x = a.expr();
    return apply(polygamma_op, {cast(at(x, a.loc), float_of(x.dtype()))},
                 {{"order", std::int64_t{n}}}, a.loc);
}

Expr i0(const Operand& a) {
    return bessel_over_power(0, a);
}
Expr i1(const Operand& a) {
    const Operand x = at(cast(a, float_of(a.expr().dtype())), a.loc);
    return x * at(bessel_over_power(1, x), a.loc);
}

std::span<const OpDef* const> elementary_ops() {
    static constexpr std::array rows = {
        &exp2_op,    &log2_op,      &log10_op,       &cbrt_op,  &hypot_op,  &one_minus_sqr_op,
        &tan_op,     &asin_op,      &acos_op,        &atan_op,  &atan2_op,  &sinh_op,
        &cosh_op,    &asinh_op,     &acosh_op,       &atanh_op, &erfinv_op, &lgamma_op,
        &digamma_op, &polygamma_op, &bessel_ratio_op};
    return rows;
}

}  // namespace arete

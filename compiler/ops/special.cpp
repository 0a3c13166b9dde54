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

extern const OpDef erfcx_slope_op, erfc_hazard_slope_op;

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
    const Expr inside = maximum(x, limit), small = exp(minimum(x, limit));
    const Expr slope =
        where(x < limit, 1 - small * (0.5 - 5.0 / 12 * small), sigmoid(inside) / softplus(inside));
    return {a.g[0] * slope};
}

// From here on the continued fraction of erfcx is short, and its terms do not cancel as those of
// the recurrences do.
double fraction_from(DType t) {
    return t == DType::F32 ? 2 : 3;
}

// f_k = (k/2) / (a + f_(k+1)) for k up to n, of which erfcx(a) = 1 / (sqrt(pi) (a + f_1)).
std::vector<Value> fractions(Value a, int n, DType dtype) {
    const int last = n + (dtype == DType::F32 ? 13 : 28);
    std::vector<Value> f(static_cast<std::size_t>(n) + 1, a);
    // Its solution if it were the same for all k from there on.
    Value t = static_cast<double>(last) / (a + ir::sqrt(a * a + 2.0 * last));
    for (int k = last - 1; k > 0; --k) {
        t = k / 2.0 / (a + t);
        if (k <= n) f[k] = t;
    }
    return f;
}

double binomial(int n, int k) {
    double b = 1;
    for (int j = 1; j <= k; ++j) b = b * (n - k + j) / j;
    return b;
}

std::size_t at_order(int n) {
    return static_cast<std::size_t>(n);
}

// The derivatives e_n of erfcx are those before it times -2 f_n; and e_n is 2 a e_(n-1) +
// 2 (n-1) e_(n-2), whose terms cancel for large a.
Value erfcx_slope_of(const ScalarArgs& x) {
    const int order = static_cast<int>(x.attrs.get<std::int64_t>("order"));
    const Value a = x[0];
    std::vector<Value> e{ir::erfcx(a)};
    for (int n = 1; n <= order; ++n) {
        const Value lower = 2.0 * a * e[at_order(n - 1)];
        e.push_back(n == 1 ? lower - two_over_sqrt_pi : lower + 2.0 * (n - 1) * e[at_order(n - 2)]);
    }
    const std::vector<Value> f = fractions(a, order, x.dtype);
    Value large = two_over_sqrt_pi / 2 / (a + f[1]);
    for (int n = 1; n <= order; ++n) large = -2.0 * f[at_order(n)] * large;
    return ir::select(ir::gt(a, fraction_from(x.dtype)), large, e[at_order(order)]);
}

// The derivatives of h = 2 / sqrt(pi) / erfcx(a): h' = h (h - 2 a), whose terms cancel for large a.
// There h = 2 a + 2 f_1, and f_k' = -2 f_k (f_(k+1) - f_k).
Value erfc_hazard_slope_of(const ScalarArgs& x) {
    const int order = static_cast<int>(x.attrs.get<std::int64_t>("order"));
    // Below this h is 0.
    const Value a = ir::max(x[0], -40.0);
    std::vector<Value> h{two_over_sqrt_pi / ir::erfcx(a)};
    for (int n = 0; n < order; ++n) {
        Value next = h[at_order(n)] * (h[0] - 2.0 * a);
        for (int j = 0; j < n; ++j) {
            const Value other = h[at_order(n - j)];
            next = next + binomial(n, j) * h[at_order(j)] * (n - j == 1 ? other - 2.0 : other);
        }
        h.push_back(next);
    }
    const std::vector<Value> f = fractions(a, order + 1, x.dtype);
    std::vector<std::vector<Value>> slopes;  // [m][k]: of f_k, m times
    slopes.push_back(f);
    for (int m = 0; m < order; ++m) {
        std::vector<Value> next(at_order(order - m) + 1, a);
        for (int k = 1; k <= order - m; ++k) {
            Value sum = a;
            for (int j = 0; j <= m; ++j) {
                const auto& rest = slopes[at_order(m - j)];
                const Value term = -2.0 * binomial(m, j) * slopes[at_order(j)][at_order(k)] *
                                   (rest[at_order(k + 1)] - rest[at_order(k)]);
                sum = j == 0 ? term : sum + term;
            }
            next[at_order(k)] = sum;
        }
        slopes.push_back(next);
    }
    const Value large = 2.0 * slopes[at_order(order)][1];
    return ir::select(ir::gt(a, fraction_from(x.dtype)), order == 1 ? large + 2.0 : large,
                      h[at_order(order)]);
}

// The derivative of one of this order; a slope's own is that of the next.
Expr derivative(const OpDef& slope, const Expr& x, std::int64_t order) {
    return apply(slope, {x}, {{"order", order}}, {});
}
template <const OpDef& Slope>
std::vector<Expr> pullback_slope(const PullbackArgs& a) {
    return {a.g[0] * derivative(Slope, a.x[0], a.node.attrs.get<std::int64_t>("order") + 1)};
}
template <const OpDef& Slope>
std::vector<Sample> slope_samples() {
    std::vector<Sample> out;
    for (const std::int64_t order : {1, 2, 3})
        out.push_back({fmt::format("order {}", order),
                       {{{41}, -2, 6}},
                       [order](std::span<const Expr> x) { return derivative(Slope, x[0], order); },
                       true,
                       true});
    return out;
}

Value gumbel_of(const ScalarArgs& x) {
    const double order = static_cast<double>(x.attrs.get<std::int64_t>("order"));
    const Value a = x[0], e = ir::exp(a);
    const Value exponent = order == 0 ? -e : (order == 1 ? a : order * a) - e;
    // The difference of two infinities would be NaN.
    return ir::select(ir::gt(a, 1000.0), ir::literal(a, 0), ir::exp(exponent));
}

// Below this t = exp(a) is so small that log((1 - e^-t) / t) = -t / 2.
double gumbel_is_exp_below(DType t) {
    return t == DType::F32 ? -9 : -19;
}

Value log_gumbel_cdf_of(const ScalarArgs& x) {
    const double limit = gumbel_is_exp_below(x.dtype);
    const Value t = ir::exp(ir::max(x[0], limit));
    const Value usual =
        ir::select(ir::lt(t, std::numbers::ln2), ir::log(-ir::expm1(-t)), ir::log1p(-ir::exp(-t)));
    return ir::select(ir::lt(x[0], limit), x[0] - 0.5 * ir::exp(x[0]), usual);
}

// t / (e^t - 1), of t = exp(x).
std::vector<Expr> pullback_log_gumbel_cdf(const PullbackArgs& a) {
    const Expr& x = a.x[0];
    const double limit = gumbel_is_exp_below(x.dtype());
    const Expr inside = maximum(x, limit), small = exp(minimum(x, limit));
    const Expr slope = where(x < limit, 1 - small * (0.5 - 1.0 / 12 * small),
                             gumbel(inside, 1) / gumbel_cdf(inside));
    return {a.g[0] * slope};
}

std::vector<Sample> gumbel_samples() {
    std::vector<Sample> out;
    for (const int order : {0, 1, 2})
        out.push_back({fmt::format("order {}", order),
                       {{{41}, -6, 3}},
                       [order](std::span<const Expr> x) { return gumbel(x[0], order); },
                       true,
                       true});
    return out;
}

// Of two equal infinities each has half.
std::vector<Expr> pullback_logaddexp(const PullbackArgs& a) {
    const double infinite = std::numeric_limits<double>::infinity();
    const Expr alike = eq(a.x[0], a.x[1]) && eq(abs(a.x[0]), infinite);
    const Expr apart = where(alike, 0, a.x[0] - a.x[1]);
    return {a.g[0] * sigmoid(apart), a.g[0] * sigmoid(-apart)};
}

}  // namespace

constinit const OpDef erfc_op{
    .info = {.name = "erfc", .traits = Trait::Saturates | Trait::NotNegative},
    .doc = "1 - erf(a), accurate where that is small",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::erfc(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {-(a.g[0] * (two_over_sqrt_pi * bell(a.x[0])))};
    },
    .samples = unary_samples<erfc>};
constinit const OpDef erfcx_op{.info = {.name = "erfcx", .traits = Trait::NotNegative},
                               .doc = "exp(a^2) erfc(a), which does not underflow",
                               .infer = infer_elementwise_float,
                               .scalar = [](const ScalarArgs& x) { return ir::erfcx(x[0]); },
                               .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                   return {a.g[0] * derivative(erfcx_slope_op, a.x[0], 1)};
                               },
                               .samples = unary_samples<erfcx>};
constinit const OpDef erfcx_slope_op{
    .info = {.name = "erfcx_slope"},
    .doc = "the derivative of attr order of erfcx, accurate where that is small",
    .infer = infer_elementwise_float,
    .scalar = erfcx_slope_of,
    .pullback = pullback_slope<erfcx_slope_op>,
    .samples = slope_samples<erfcx_slope_op>};
constinit const OpDef log_erfc_op{.info = {.name = "log_erfc"},
                                  .doc = "log(erfc(a)), also where erfc(a) underflows",
                                  .infer = infer_elementwise_float,
                                  .scalar = [](const ScalarArgs& x) { return ir::log_erfc(x[0]); },
                                  .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                      return {-(a.g[0] * erfc_hazard(a.x[0]))};
                                  },
                                  .samples = unary_samples<log_erfc>};
constinit const OpDef erfc_hazard_op{
    .info = {.name = "erfc_hazard", .traits = Trait::NotNegative},
    .doc = "2 / sqrt(pi) exp(-a^2) / erfc(a), minus the slope of log(erfc(a))",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return two_over_sqrt_pi / ir::erfcx(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0] * derivative(erfc_hazard_slope_op, a.x[0], 1)};
    },
    .samples = unary_samples<erfc_hazard>};
constinit const OpDef erfc_hazard_slope_op{.info = {.name = "erfc_hazard_slope"},
                                           .doc = "the derivative of attr order of erfc_hazard",
                                           .infer = infer_elementwise_float,
                                           .scalar = erfc_hazard_slope_of,
                                           .pullback = pullback_slope<erfc_hazard_slope_op>,
                                           .samples = slope_samples<erfc_hazard_slope_op>};
// exp(-sqr(a)) has the same value, but slopes that are 0 times infinity where a is infinite.
constinit const OpDef bell_op{.info = {.name = "bell", .traits = Trait::NotNegative},
                              .doc = "exp(-a^2), the slope of erf but for a factor",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::exp(-(x[0] * x[0])); },
                              .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                  const Expr& x = a.x[0];
                                  const Expr slope = a.g[0] * (a.y[0] * (-2 * x));
                                  return {where(abs(x) > 40, 0, slope)};
                              },
                              .samples = unary_samples<bell>};
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

constinit const OpDef gumbel_op{
    .info = {.name = "gumbel", .traits = Trait::Saturates | Trait::NotNegative},
    .doc = "exp(k a - exp(a)), attr order k, whose slopes vanish where exp(a) overflows",
    .infer = infer_elementwise_float,
    .scalar = gumbel_of,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        const int order = static_cast<int>(a.node.attrs.get<std::int64_t>("order"));
        const Expr next = gumbel(a.x[0], order + 1);
        if (order == 0) return {-(a.g[0] * next)};
        return {a.g[0] * ((order == 1 ? a.y[0] : order * a.y[0]) - next)};
    },
    .samples = gumbel_samples};
constinit const OpDef gumbel_cdf_op{
    .info = {.name = "gumbel_cdf",
             .traits = Trait::Increasing | Trait::Saturates | Trait::NotNegative},
    .doc = "1 - exp(-exp(a)), accurate where that is small",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return -ir::expm1(-ir::exp(x[0])); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0] * gumbel(a.x[0], 1)};
    },
    .samples = unary_samples<gumbel_cdf, -60, 30>};
constinit const OpDef log_gumbel_cdf_op{
    .info = {.name = "log_gumbel_cdf", .traits = Trait::Increasing},
    .doc = "log(1 - exp(-exp(a))), also where that underflows or is 1",
    .infer = infer_elementwise_float,
    .scalar = log_gumbel_cdf_of,
    .pullback = pullback_log_gumbel_cdf,
    .samples = unary_samples<log_gumbel_cdf, -60, 30>};

// ---- builders

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
Expr bell(const Operand& a) {
    return unary_float(bell_op, a);
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
Expr gumbel(const Operand& a, int order) {
    const Expr x = a.expr();
    return apply(gumbel_op, {cast(at(x, a.loc), float_of(x.dtype()))},
                 {{"order", std::int64_t{order}}}, a.loc);
}
Expr gumbel_cdf(const Operand& a) {
    return unary_float(gumbel_cdf_op, a);
}
Expr log_gumbel_cdf(const Operand& a) {
    return unary_float(log_gumbel_cdf_op, a);
}
Expr logaddexp(const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, logaddexp_op.info.name);
    return apply(logaddexp_op, {x, y}, {}, a.loc);
}

std::span<const OpDef* const> special_ops() {
    static constexpr std::array rows = {&erfc_op,       &erfcx_op,         &erfcx_slope_op,
                                        &log_erfc_op,   &erfc_hazard_op,   &erfc_hazard_slope_op,
                                        &bell_op,       &log1mexp_op,      &logaddexp_op,
                                        &log_cosh_op,   &log_softplus_op,  &gumbel_op,
                                        &gumbel_cdf_op, &log_gumbel_cdf_op};
    return rows;
}

}  // namespace arete

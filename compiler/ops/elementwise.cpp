// One row an op: type rule, scalar body, gradient, and the domain that tests draw from.
#include "compiler/ops/elementwise.h"

#include <array>

#include "compiler/loops/math.h"
#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/families.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/samples.h"
#include "compiler/ops/slopes.h"
#include "compiler/ops/special.h"

namespace arete {

using loops::Value;
namespace ir = loops;

namespace {

// The element as a bool: anything that is not zero.
Value truth(Value v) {
    return ir::cast(v, DType::Bool);
}

// The builders cast; and a number has no logical value of its own dtype.
std::vector<TensorType> infer_logical(const InferArgs& a) {
    for (std::size_t i = 0; i < a.inputs.size(); ++i)
        if (a.type(i).dtype != DType::Bool) a.error("needs bool: " + a.describe(i));
    return infer_elementwise_bool(a);
}

std::vector<TensorType> infer_where(const InferArgs& a) {
    if (a.type(0).dtype != DType::Bool) a.error("the condition must be bool: " + a.describe(0));
    if (a.type(1).dtype != a.type(2).dtype)
        a.error(fmt::format("dtypes differ: {}, {}", a.describe(1), a.describe(2)));
    std::optional<Shape> s = broadcast_shapes(a.type(0).shape, a.type(1).shape);
    if (s) s = broadcast_shapes(*s, a.type(2).shape);
    if (!s)
        a.error(fmt::format("shapes cannot be broadcast together: {}, {}, {}", a.describe(0),
                            a.describe(1), a.describe(2)));
    return {{a.type(1).dtype, *s}};
}

std::vector<TensorType> infer_cast(const InferArgs& a) {
    return {{a.attrs.get<DType>("dtype"), a.type(0).shape}};
}

// As a choice, which passes NaN on and is one instruction of most processors; a maximum, which
// orders zeros too, is several.
loops::Value relu_value(const ScalarArgs& x) {
    const loops::Value zero = ir::literal(x[0], 0);
    return ir::select(ir::lt(x[0], zero), zero, x[0]);
}

// g * x. By a factor that is 0 or 1, as dropout's, g is chosen or not: conditions are easily
// joined.
Expr times(const Expr& g, const Expr& x) {
    const Node& n = x.node();
    if (n.op != &cast_op.info || n.inputs[0].dtype() != DType::Bool) return g * x;
    return where(n.inputs[0], g, 0);
}

}  // namespace

// ---- arithmetic

constinit const OpDef add_op{
    .info = {.name = "add", .traits = Trait::Commutative | Trait::Plain, .symbol = "+"},
    .doc = "a + b",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return x[0] + x[1]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0], a.g[0]};
    },
    .samples = binary_samples < operator+> };
constinit const OpDef sub_op{
    .info = {.name = "sub", .traits = Trait::Plain, .symbol = "-"},
    .doc = "a - b",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return x[0] - x[1]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0], -a.g[0]};
    },
    .samples = binary_samples<static_cast<Expr (*)(const Operand&, const Operand&)>(operator-)>};
constinit const OpDef mul_op{
    .info = {.name = "mul", .traits = Trait::Commutative | Trait::Plain, .symbol = "*"},
    .doc = "a * b",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return x[0] * x[1]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {times(a.g[0], a.x[1]), times(a.g[0], a.x[0])};
    },
    .samples = binary_samples < operator*> };
constinit const OpDef div_op{.info = {.name = "div", .traits = Trait::Plain, .symbol = "/"},
                             .doc = "a / b of floats",
                             .arity = 2,
                             .infer = infer_elementwise_float,
                             .scalar = [](const ScalarArgs& x) { return x[0] / x[1]; },
                             .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                 return {a.g[0] / a.x[1], -(a.g[0] * a.y[0] / a.x[1])};
                             },
                             .samples = binary_samples<operator/, 5, 20>};
constinit const OpDef floordiv_op{
    .info = {.name = "floordiv"},
    .doc = "floor(a / b); of integers 0 where b is 0",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar =
        [](const ScalarArgs& x) {
            return is_float(x.dtype) ? ir::floor_quotient(x[0], x[1]) : x[0] / x[1];
        },
    .pullback = no_gradient,
    .samples = binary_samples<static_cast<Expr (*)(const Operand&, const Operand&)>(floordiv), 5,
                              60, false>};
constinit const OpDef mod_op{.info = {.name = "mod"},
                             .doc = "what floordiv leaves, with the sign of b",
                             .arity = 2,
                             .infer = infer_elementwise,
                             .scalar =
                                 [](const ScalarArgs& x) {
                                     return is_float(x.dtype) ? ir::floor_remainder(x[0], x[1])
                                                              : ir::rem(x[0], x[1]);
                                 },
                             .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                 return {a.g[0], -(a.g[0] * floordiv(a.x[0], a.x[1]))};
                             },
                             .samples = binary_samples<mod, 5, 60, false>};
constinit const OpDef neg_op{
    .info = {.name = "neg", .traits = Trait::Plain, .symbol = "-"},
    .doc = "minus a",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return x.dtype == DType::Bool ? x[0] : -x[0]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {-a.g[0]}; },
    .samples = unary_samples<static_cast<Expr (*)(const Operand&)>(operator-)>};
constinit const OpDef abs_op{.info = {.name = "abs", .traits = Trait::Plain | Trait::NotNegative},
                             .doc = "|a|; slope 0 at 0",
                             .infer = infer_elementwise,
                             .scalar = [](const ScalarArgs& x) { return ir::abs(x[0]); },
                             .pullback = pullback_abs,
                             .samples = unary_samples<abs>};
constinit const OpDef sign_op{
    .info = {.name = "sign"},
    .doc = "-1, 0 or 1; NaN for NaN",
    .infer = infer_elementwise,
    .scalar =
        [](const ScalarArgs& x) {
            if (x.dtype == DType::Bool || x.dtype == DType::U8)
                return ir::cast(truth(x[0]), x.dtype);
            Value one = ir::literal(x[0], 1), minus = ir::literal(x[0], -1);
            return ir::select(ir::gt(x[0], 0.0), one, ir::select(ir::lt(x[0], 0.0), minus, x[0]));
        },
    .pullback = no_gradient,
    .samples = unary_samples<sign, -20, 20, false>};
constinit const OpDef sqr_op{
    .info = {.name = "sqr", .traits = Trait::Plain | Trait::NotNegative},
    .doc = "a * a",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return x[0] * x[0]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] * (2 * a.x[0])}; },
    .samples = unary_samples<sqr>};
constinit const OpDef sqrt_op{.info = {.name = "sqrt", .traits = Trait::NotNegative},
                              .doc = "square root",
                              .infer = infer_elementwise_float,
                              .scalar = [](const ScalarArgs& x) { return ir::sqrt(x[0]); },
                              .pullback = pullback_sqrt,
                              .samples = unary_samples<sqrt, 2, 40>};

// ---- transcendental

constinit const OpDef exp_op{
    .info = {.name = "exp", .traits = Trait::Increasing | Trait::Saturates | Trait::NotNegative},
    .doc = "e to the power of a",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::exp(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat_below(a.g[0] * a.y[0], a.x[0])};
    },
    .samples = unary_samples<exp>};
constinit const OpDef expm1_op{
    .info = {.name = "expm1", .traits = Trait::Increasing | Trait::Saturates},
    .doc = "e^a - 1, accurate near 0",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::expm1(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat_below(a.g[0] * exp(a.x[0]), a.x[0])};
    },
    .samples = unary_samples<expm1>};
constinit const OpDef log_op{
    .info = {.name = "log"},
    .doc = "natural logarithm",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::log(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] / a.x[0]}; },
    .samples = unary_samples<log, 2, 40>};
constinit const OpDef log1p_op{
    .info = {.name = "log1p"},
    .doc = "log(1 + a), accurate near 0",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::log1p(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] / (1 + a.x[0])}; },
    .samples = unary_samples<log1p, -8, 40>};
constinit const OpDef tanh_op{
    .info = {.name = "tanh", .traits = Trait::Increasing | Trait::Saturates},
    .doc = "hyperbolic tangent",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::tanh(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat(a.g[0] * (1 - sqr(a.y[0])), a.x[0])};
    },
    .samples = unary_samples<tanh>};
constinit const OpDef sin_op{
    .info = {.name = "sin"},
    .doc = "sine of radians",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::sin(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] * cos(a.x[0])}; },
    .samples = unary_samples<sin>};
constinit const OpDef cos_op{.info = {.name = "cos"},
                             .doc = "cosine of radians",
                             .infer = infer_elementwise_float,
                             .scalar = [](const ScalarArgs& x) { return ir::cos(x[0]); },
                             .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                 return {-(a.g[0] * sin(a.x[0]))};
                             },
                             .samples = unary_samples<cos>};
constinit const OpDef erf_op{
    .info = {.name = "erf", .traits = Trait::Increasing | Trait::Saturates},
    .doc = "error function",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::erf(x[0]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat(a.g[0] * (1.1283791670955126 * bell(a.x[0])), a.x[0])};
    },
    .samples = unary_samples<erf>};
constinit const OpDef pow_op{.info = {.name = "pow"},
                             .doc = "a^b of floats",
                             .arity = 2,
                             .infer = infer_elementwise_float,
                             .scalar = [](const ScalarArgs& x) { return ir::pow(x[0], x[1]); },
                             .pullback = pullback_pow,
                             .samples = binary_samples<pow, 5, 20>};
constinit const OpDef sigmoid_op{
    .info = {.name = "sigmoid",
             .traits = Trait::Increasing | Trait::Saturates | Trait::NotNegative},
    .doc = "1 / (1 + exp(-a)), without overflow",
    .infer = infer_elementwise_float,
    .scalar =
        [](const ScalarArgs& x) {
            // exp of the non-positive side only: e / (1 + e) or 1 / (1 + e).
            Value e = ir::exp(-ir::abs(x[0]));
            Value s = 1.0 + e;
            Value q = ir::select(ir::lt(x[0], 0.0), e, ir::literal(e, 1)) / s;
            // Less what the sum lost: without that the error of f32 is above 2 ulp.
            return q - q * (e - (s - 1.0));
        },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat(a.g[0] * (a.y[0] * (1 - a.y[0])), a.x[0])};
    },
    .samples = unary_samples<sigmoid>};
constinit const OpDef softplus_op{
    .info = {.name = "softplus",
             .traits = Trait::Increasing | Trait::Saturates | Trait::NotNegative},
    .doc = "log(1 + exp(a)), without overflow",
    .infer = infer_elementwise_float,
    .scalar =
        [](const ScalarArgs& x) { return ir::max(x[0], 0.0) + ir::log1p(ir::exp(-ir::abs(x[0]))); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {unless_flat_below(a.g[0] * sigmoid(a.x[0]), a.x[0])};
    },
    .samples = unary_samples<softplus>};

// ---- rounding and extremes

constinit const OpDef floor_op{
    .info = {.name = "floor", .traits = Trait::Rounds},
    .doc = "largest integer not above a",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return is_float(x.dtype) ? ir::floor(x[0]) : x[0]; },
    .pullback = no_gradient,
    .samples = unary_samples<floor, -40, 40, false>};
constinit const OpDef ceil_op{
    .info = {.name = "ceil", .traits = Trait::Rounds},
    .doc = "smallest integer not below a",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return is_float(x.dtype) ? ir::ceil(x[0]) : x[0]; },
    .pullback = no_gradient,
    .samples = unary_samples<ceil, -40, 40, false>};
constinit const OpDef round_op{
    .info = {.name = "round", .traits = Trait::Rounds},
    .doc = "nearest integer, ties to even",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return is_float(x.dtype) ? ir::round(x[0]) : x[0]; },
    .pullback = no_gradient,
    .samples = unary_samples<round, -40, 40, false>};
constinit const OpDef relu_op{.info = {.name = "relu", .traits = Trait::NotNegative},
                              .doc = "maximum(a, 0) with slope 0 at 0",
                              .infer = infer_elementwise,
                              .scalar = relu_value,
                              .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                  // Through the result, so that the argument need not be kept.
                                  return {where(a.y[0] > 0, a.g[0], 0)};
                              },
                              .samples = unary_samples<relu>};
constinit const OpDef maximum_op{
    .info = {.name = "maximum", .traits = Trait::Commutative | Trait::Plain},
    .doc = "the larger; NaN where either is NaN",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return ir::max(x[0], x[1]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        // maximum(z, 0) is relu, whose slope at 0 is 0; elsewhere a
        // tie goes to the first.
        double zero = 1;
        bool relu_like = is_constant_scalar(a.x[1], &zero) && zero == 0;
        Expr first = relu_like ? a.x[0] > a.x[1] : a.x[0] >= a.x[1];
        return {where(first, a.g[0], 0), where(first, 0, a.g[0])};
    },
    .samples = binary_samples<maximum>};
constinit const OpDef minimum_op{
    .info = {.name = "minimum", .traits = Trait::Commutative | Trait::Plain},
    .doc = "the smaller; NaN where either is NaN",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return ir::min(x[0], x[1]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        Expr first = a.x[0] <= a.x[1];
        return {where(first, a.g[0], 0), where(first, 0, a.g[0])};
    },
    .samples = binary_samples<minimum>};

// ---- comparisons and logic

constinit const OpDef eq_op{
    .info = {.name = "eq", .traits = Trait::Commutative | Trait::Plain, .symbol = "=="},
    .doc = "a == b",
    .arity = 2,
    .infer = infer_elementwise_bool,
    .scalar = [](const ScalarArgs& x) { return ir::eq(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = binary_samples<eq, -20, 20, false>};
constinit const OpDef neq_op{
    .info = {.name = "neq", .traits = Trait::Commutative | Trait::Plain, .symbol = "!="},
    .doc = "a != b",
    .arity = 2,
    .infer = infer_elementwise_bool,
    .scalar = [](const ScalarArgs& x) { return ir::ne(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = binary_samples<neq, -20, 20, false>};
constinit const OpDef lt_op{.info = {.name = "lt", .traits = Trait::Plain, .symbol = "<"},
                            .doc = "a < b",
                            .arity = 2,
                            .infer = infer_elementwise_bool,
                            .scalar = [](const ScalarArgs& x) { return ir::lt(x[0], x[1]); },
                            .pullback = no_gradient,
                            .samples = binary_samples < operator<, -20, 20, false> };
constinit const OpDef le_op{.info = {.name = "le", .traits = Trait::Plain, .symbol = "<="},
                            .doc = "a <= b",
                            .arity = 2,
                            .infer = infer_elementwise_bool,
                            .scalar = [](const ScalarArgs& x) { return ir::le(x[0], x[1]); },
                            .pullback = no_gradient,
                            .samples = binary_samples<operator<=, -20, 20, false>};
constinit const OpDef and_op{
    .info = {.name = "and", .traits = Trait::Commutative | Trait::Plain, .symbol = "&&"},
    .doc = "a and b, of bool",
    .arity = 2,
    .infer = infer_logical,
    .scalar = [](const ScalarArgs& x) { return x[0] & x[1]; },
    .pullback = no_gradient,
    .samples = binary_samples<static_cast<Expr (*)(const Operand&, const Operand&)>(operator&&),
                              -20, 20, false>};
constinit const OpDef or_op{
    .info = {.name = "or", .traits = Trait::Commutative | Trait::Plain, .symbol = "||"},
    .doc = "a or b, of bool",
    .arity = 2,
    .infer = infer_logical,
    .scalar = [](const ScalarArgs& x) { return x[0] | x[1]; },
    .pullback = no_gradient,
    .samples = binary_samples<static_cast<Expr (*)(const Operand&, const Operand&)>(operator||),
                              -20, 20, false>};
constinit const OpDef xor_op{.info = {.name = "xor", .traits = Trait::Commutative | Trait::Plain},
                             .doc = "exactly one of a and b, of bool",
                             .arity = 2,
                             .infer = infer_logical,
                             .scalar = [](const ScalarArgs& x) { return x[0] ^ x[1]; },
                             .pullback = no_gradient,
                             .samples = binary_samples<logical_xor, -20, 20, false>};
constinit const OpDef not_op{
    .info = {.name = "not", .traits = Trait::Plain, .symbol = "!"},
    .doc = "not a, of bool",
    .infer = infer_logical,
    .scalar = [](const ScalarArgs& x) { return !x[0]; },
    .pullback = no_gradient,
    .samples = unary_samples<static_cast<Expr (*)(const Operand&)>(operator!), -20, 20, false>};
constinit const OpDef where_op{
    .info = {.name = "where", .traits = Trait::Plain},
    .doc = "condition ? a : b",
    .arity = 3,
    .infer = infer_where,
    .scalar = [](const ScalarArgs& x) { return ir::select(x[0], x[1], x[2]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {Expr(), where(a.x[0], a.g[0], 0), where(a.x[0], 0, a.g[0])};
    },
    .samples = where_samples};

// ---- conversion

constinit const OpDef cast_op{
    .info = {.name = "cast", .traits = Trait::Plain},
    .doc = "conversion to attr dtype; float to integer truncates and saturates",
    .infer = infer_cast,
    .scalar = [](const ScalarArgs& x) { return ir::cast(x[0], x.dtype); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        // Integers carry no gradient.
        if (!is_float(a.x[0].dtype()) || !is_float(a.y[0].dtype())) return {Expr()};
        return {cast(a.g[0], a.x[0].dtype())};
    },
    .samples = cast_samples};
constinit const OpDef stop_gradient_op{.info = {.name = "stop_gradient", .traits = Trait::Plain},
                                       .doc = "a, a constant to gradients",
                                       .infer = infer_elementwise,
                                       .scalar = [](const ScalarArgs& x) { return x[0]; },
                                       .pullback = no_gradient,
                                       .samples = unary_samples<stop_gradient, -20, 20, false>};

std::span<const OpDef* const> elementwise_ops() {
    static constexpr std::array rows = {
        &add_op,      &sub_op,   &mul_op,  &div_op,          &floordiv_op, &mod_op,     &neg_op,
        &abs_op,      &sign_op,  &sqr_op,  &sqrt_op,         &exp_op,      &expm1_op,   &log_op,
        &log1p_op,    &tanh_op,  &sin_op,  &cos_op,          &erf_op,      &pow_op,     &sigmoid_op,
        &softplus_op, &floor_op, &ceil_op, &round_op,        &relu_op,     &maximum_op, &minimum_op,
        &eq_op,       &neq_op,   &lt_op,   &le_op,           &and_op,      &or_op,      &xor_op,
        &not_op,      &where_op, &cast_op, &stop_gradient_op};
    return rows;
}

}  // namespace arete

// Rows of exact elementwise ops; their bodies are in compiler/loops/functions.h.
#include "compiler/ops/bits.h"

#include <array>
#include <limits>

#include "compiler/loops/functions.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/samples.h"

namespace arete {

using loops::Value;
namespace ir = loops;

namespace {

std::vector<TensorType> infer_bits(const InferArgs& a) {
    for (std::size_t i = 0; i < a.inputs.size(); ++i)
        if (is_float(a.type(i).dtype)) a.error("needs integers: " + a.describe(i));
    return infer_elementwise(a);
}
std::vector<TensorType> infer_shift(const InferArgs& a) {
    if (a.type(0).dtype == DType::Bool) a.error("needs integers: " + a.describe(0));
    return infer_bits(a);
}
std::vector<TensorType> infer_sign_bit(const InferArgs& a) {
    if (!is_float(a.type(0).dtype)) a.error("needs a float: " + a.describe(0));
    return infer_elementwise_bool(a);
}

// 1, or -1 where the signs of a and b are not the same.
Expr relative_sign(const Expr& a, const Expr& b) {
    return where(logical_xor(signbit(a), signbit(b)), at(scalar_constant(a.dtype(), -1.0), {}),
                 at(scalar_constant(a.dtype(), 1.0), {}));
}

// Integers of each dtype, small and with all bits; `high` is the largest of the second operand.
std::vector<Sample> integer_samples(int operands, double high,
                                    Expr (*build)(std::span<const Expr>)) {
    std::vector<Sample> out;
    for (const DType t : {DType::U8, DType::I32, DType::I64}) {
        std::vector<SampleInput> inputs{{{33}, -300, 300, true}};
        if (operands > 1) inputs.push_back({{33}, -3, high, true});
        out.push_back({fmt::format("{}", name(t)), inputs,
                       [t, build](std::span<const Expr> x) {
                           std::vector<Expr> of;
                           for (const Expr& e : x) of.push_back(cast(e, t));
                           return build(of);
                       },
                       false, true});
    }
    return out;
}
template <auto Build>
std::vector<Sample> bit_samples() {
    return integer_samples(2, 300, [](std::span<const Expr> x) { return Build(x[0], x[1]); });
}
template <auto Build>
std::vector<Sample> shift_samples() {
    return integer_samples(2, 70, [](std::span<const Expr> x) { return Build(x[0], x[1]); });
}
std::vector<Sample> bitwise_not_samples() {
    return integer_samples(1, 0, [](std::span<const Expr> x) { return bitwise_not(x[0]); });
}

}  // namespace

constinit const OpDef trunc_op{
    .info = {.name = "trunc", .traits = Trait::Rounds},
    .doc = "the integer next to a towards zero",
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return is_float(x.dtype) ? ir::trunc(x[0]) : x[0]; },
    .pullback = no_gradient,
    .samples = unary_samples<trunc, -40, 40, false>};
constinit const OpDef trunc_div_op{
    .info = {.name = "trunc_div"},
    .doc = "a / b towards zero; of integers 0 where b is 0",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return ir::trunc_quotient(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = binary_samples<trunc_div, -60, 60, false>};
constinit const OpDef fmod_op{
    .info = {.name = "fmod"},
    .doc = "what trunc_div leaves, with the sign of a",
    .arity = 2,
    .infer = infer_elementwise,
    .scalar = [](const ScalarArgs& x) { return ir::trunc_remainder(x[0], x[1]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0], -(a.g[0] * trunc_div(a.x[0], a.x[1]))};
    },
    .samples = binary_samples<fmod, 5, 60, false>};
constinit const OpDef signbit_op{.info = {.name = "signbit"},
                                 .doc = "is a negative, or -0? False of NaN",
                                 .infer = infer_sign_bit,
                                 .scalar = [](const ScalarArgs& x) { return ir::signbit(x[0]); },
                                 .pullback = no_gradient,
                                 .samples = unary_samples<signbit, -20, 20, false, true>};
constinit const OpDef copysign_op{
    .info = {.name = "copysign"},
    .doc = "|a| with the sign of b",
    .arity = 2,
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::copysign(x[0], x[1]); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        // Like that of |a|, 0 at 0.
        return {where(neq(a.x[0], 0), a.g[0] * relative_sign(a.x[0], a.x[1]), 0), Expr()};
    },
    .samples = binary_samples<copysign, -20, 20, true, true>};
constinit const OpDef nextafter_op{
    .info = {.name = "nextafter"},
    .doc = "the next number after a in the direction of b",
    .arity = 2,
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return ir::nextafter(x[0], x[1]); },
    .samples = binary_samples<nextafter, -20, 20, false, true>};
constinit const OpDef bitwise_and_op{.info = {.name = "bitwise_and", .traits = Trait::Commutative},
                                     .doc = "bits that a and b have",
                                     .arity = 2,
                                     .infer = infer_bits,
                                     .scalar = [](const ScalarArgs& x) { return x[0] & x[1]; },
                                     .pullback = no_gradient,
                                     .samples = bit_samples<bitwise_and>};
constinit const OpDef bitwise_or_op{.info = {.name = "bitwise_or", .traits = Trait::Commutative},
                                    .doc = "bits that a or b has",
                                    .arity = 2,
                                    .infer = infer_bits,
                                    .scalar = [](const ScalarArgs& x) { return x[0] | x[1]; },
                                    .pullback = no_gradient,
                                    .samples = bit_samples<bitwise_or>};
constinit const OpDef bitwise_xor_op{.info = {.name = "bitwise_xor", .traits = Trait::Commutative},
                                     .doc = "bits that one of a and b has",
                                     .arity = 2,
                                     .infer = infer_bits,
                                     .scalar = [](const ScalarArgs& x) { return x[0] ^ x[1]; },
                                     .pullback = no_gradient,
                                     .samples = bit_samples<bitwise_xor>};
constinit const OpDef bitwise_not_op{.info = {.name = "bitwise_not"},
                                     .doc = "bits that a has not",
                                     .infer = infer_bits,
                                     .scalar = [](const ScalarArgs& x) { return !x[0]; },
                                     .pullback = no_gradient,
                                     .samples = bitwise_not_samples};
constinit const OpDef left_shift_op{
    .info = {.name = "left_shift"},
    .doc = "bits of a moved up by b places",
    .arity = 2,
    .infer = infer_shift,
    .scalar = [](const ScalarArgs& x) { return ir::shift_left(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = shift_samples<left_shift>};
constinit const OpDef right_shift_op{
    .info = {.name = "right_shift"},
    .doc = "bits of a moved down by b places, beside copies of its sign",
    .arity = 2,
    .infer = infer_shift,
    .scalar = [](const ScalarArgs& x) { return ir::shift_right(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = shift_samples<right_shift>};
constinit const OpDef gcd_op{
    .info = {.name = "gcd", .traits = Trait::Commutative},
    .doc = "greatest common divisor of integers",
    .arity = 2,
    .infer = infer_shift,
    .scalar = [](const ScalarArgs& x) { return ir::greatest_divisor(x[0], x[1]); },
    .pullback = no_gradient,
    .samples = bit_samples<gcd>};

// ---- builders

namespace {

Expr exact_pair(const OpDef& op, const Operand& a, const Operand& b, bool bools_count = false) {
    auto [x, y] = unify(a, b, op.info.name);
    const DType t = bools_count && x.dtype() == DType::Bool ? DType::I32 : x.dtype();
    return apply(op, {cast(at(x, a.loc), t), cast(at(y, a.loc), t)}, {}, a.loc);
}
Expr exact_floats(const OpDef& op, const Operand& a, const Operand& b) {
    auto [x, y] = unify_floats(a, b, op.info.name);
    return apply(op, {x, y}, {}, a.loc);
}

constexpr double unbounded = std::numeric_limits<double>::infinity();

}  // namespace

Expr trunc(const Operand& a) {
    return apply(trunc_op, {a.expr()}, {}, a.loc);
}
Expr trunc_div(const Operand& a, const Operand& b) {
    return exact_pair(trunc_div_op, a, b, true);
}
Expr fmod(const Operand& a, const Operand& b) {
    return exact_pair(fmod_op, a, b, true);
}
Expr clip(const Operand& a, const Operand& low, const Operand& high) {
    return minimum(at(maximum(a, low), a.loc), high);
}
Expr isinf(const Operand& a) {
    return eq(at(abs(a), a.loc), unbounded);
}
Expr isfinite(const Operand& a) {
    return at(abs(a), a.loc) < unbounded;
}
Expr signbit(const Operand& a) {
    const Expr x = a.expr();
    if (!is_float(x.dtype())) return at(x, a.loc) < 0;
    return apply(signbit_op, {x}, {}, a.loc);
}
Expr copysign(const Operand& a, const Operand& b) {
    return exact_floats(copysign_op, a, b);
}
Expr nextafter(const Operand& a, const Operand& b) {
    return exact_floats(nextafter_op, a, b);
}
Expr bitwise_and(const Operand& a, const Operand& b) {
    return exact_pair(bitwise_and_op, a, b);
}
Expr bitwise_or(const Operand& a, const Operand& b) {
    return exact_pair(bitwise_or_op, a, b);
}
Expr bitwise_xor(const Operand& a, const Operand& b) {
    return exact_pair(bitwise_xor_op, a, b);
}
Expr bitwise_not(const Operand& a) {
    return apply(bitwise_not_op, {a.expr()}, {}, a.loc);
}
Expr gcd(const Operand& a, const Operand& b) {
    return exact_pair(gcd_op, a, b, true);
}
Expr lcm(const Operand& a, const Operand& b) {
    const Expr divisor = gcd(a, b);
    // 0 / 0 is 0.
    const Expr part = trunc_div(a, at(divisor, a.loc));
    return abs(at(at(part, a.loc) * b, a.loc));
}
Expr left_shift(const Operand& a, const Operand& b) {
    return exact_pair(left_shift_op, a, b, true);
}
Expr right_shift(const Operand& a, const Operand& b) {
    return exact_pair(right_shift_op, a, b, true);
}

std::span<const OpDef* const> bits_ops() {
    static constexpr std::array rows = {
        &trunc_op,      &trunc_div_op,   &fmod_op,       &signbit_op,     &copysign_op,
        &nextafter_op,  &bitwise_and_op, &bitwise_or_op, &bitwise_xor_op, &bitwise_not_op,
        &left_shift_op, &right_shift_op, &gcd_op};
    return rows;
}

}  // namespace arete

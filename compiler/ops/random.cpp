// Rows of random draws: inputs key and counter, attrs shape, dtype and stream.
#include "compiler/ops/random.h"

#include <array>
#include <cmath>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

namespace {

std::vector<TensorType> infer_draw(const InferArgs& a) {
    for (std::size_t i : {0, 1})
        if (a.type(i) != TensorType{DType::I64, {}})
            a.error("key and counter must be i64 scalars: " + a.describe(i));
    return {{a.attrs.get<DType>("dtype"), a.attrs.get<Shape>("shape")}};
}

// The words of element `out`, each an i64 in [0, 2^32). See philox.h, of which this is the copy in
// 64-bit arithmetic: a product of two words is exact in the 64 bits of an i64.
std::array<Value, 4> random_words(Lowering& l, std::span<const Index> out) {
    auto word = [&](std::int64_t v) { return l.code.constant(DType::I64, v); };
    const Value mask = word(0xffffffff);
    auto low = [&](Value v) { return v & mask; };
    auto high = [&](Value v) { return ir::shr(v, 32); };
    const Value key = l.load(0, {}), counter = l.load(1, {});
    const Value element = l.code.index(ir::linear(out, l.shape()));
    Value k0 = low(key);
    Value k1 = high(key) ^ word(l.node.attrs.get<std::int64_t>("stream") & 0xffffffff);
    std::array<Value, 4> c{low(element), high(element), low(counter), high(counter)};
    for (int round = 0; round < 10; ++round) {
        const Value a = word(0xD2511F53) * c[0], b = word(0xCD9E8D57) * c[2];
        c = {high(b) ^ c[1] ^ k0, low(b), high(a) ^ c[3] ^ k1, low(a)};
        k0 = low(k0 + word(0x9E3779B9));
        k1 = low(k1 + word(0xBB67AE85));
    }
    return c;
}

// A fraction in [0, 1) with as many bits as the dtype holds, plus `offset` in its last place.
Value fraction(DType t, Value a, Value b, std::int64_t offset) {
    auto plus = [&](Value v) { return v + v.code->constant(DType::I64, offset); };
    if (t == DType::F32) return ir::cast(plus(ir::shr(a, 8)), t) * std::ldexp(1.0, -24);
    Value bits = ir::shl(ir::shr(a, 5), 26) | ir::shr(b, 6);
    return ir::cast(plus(bits), t) * std::ldexp(1.0, -53);
}

Value scaled(Value v, double by, double plus) {
    if (by != 1) v = v * by;
    return plus != 0 ? v + plus : v;
}

Value lower_uniform(Lowering& l, std::span<const Index> out) {
    const double low = l.node.attrs.get<double>("low"), high = l.node.attrs.get<double>("high");
    auto w = random_words(l, out);
    return scaled(fraction(l.node.types[0].dtype, w[0], w[1], 0), high - low, low);
}

Value lower_normal(Lowering& l, std::span<const Index> out) {
    const DType t = l.node.types[0].dtype;
    auto w = random_words(l, out);
    // The first fraction is in (0, 1]: its logarithm is finite.
    Value u = fraction(t, w[0], w[1], 1);
    Value v = t == DType::F32 ? fraction(t, w[1], w[1], 0) : fraction(t, w[2], w[3], 0);
    Value z = ir::sqrt(ir::log(u) * -2.0) * ir::cos(v * 6.283185307179586);
    return scaled(z, l.node.attrs.get<double>("deviation"), l.node.attrs.get<double>("mean"));
}

Value lower_bernoulli(Lowering& l, std::span<const Index> out) {
    auto w = random_words(l, out);
    const double p = l.node.attrs.get<double>("p");
    const auto below = static_cast<std::int64_t>(std::ldexp(p, 32));
    return ir::cast(ir::lt(w[0], l.code.constant(DType::I64, below)), l.node.types[0].dtype);
}

using Draw = Expr (*)(const RandomSource&, const Shape&, DType);

template <Draw Build>
std::vector<Sample> draw_samples() {
    auto sample = [](Shape shape, DType t) {
        return Sample{fmt::format("{}{}", name(t), to_string(shape)),
                      {{{}, 0, 1000000, true}, {{}, 0, 1000, true}},
                      [=](std::span<const Expr> x) {
                          return Build({x[0], x[1], 7}, shape, t);
                      },
                      false};
    };
    return {sample({4, 9}, DType::F32), sample({33}, DType::F64), sample({}, DType::F32)};
}

Expr uniform_sample(const RandomSource& s, const Shape& shape, DType t) {
    return random_uniform(shape, s, -1, 2, t);
}
Expr normal_sample(const RandomSource& s, const Shape& shape, DType t) {
    return random_normal(shape, s, 1, 0.5, t);
}
Expr bernoulli_sample(const RandomSource& s, const Shape& shape, DType t) {
    return random_bernoulli(shape, s, 0.3, t);
}

}  // namespace

constinit const OpDef random_uniform_op{.info = {.name = "random_uniform", .traits = Trait::Random},
                                        .doc = "uniform between attrs low and high",
                                        .arity = 2,
                                        .infer = infer_draw,
                                        .lower = lower_uniform,
                                        .pullback = no_gradient,
                                        .samples = draw_samples<uniform_sample>};
constinit const OpDef random_normal_op{.info = {.name = "random_normal", .traits = Trait::Random},
                                       .doc = "normal with attrs mean and deviation",
                                       .arity = 2,
                                       .infer = infer_draw,
                                       .lower = lower_normal,
                                       .pullback = no_gradient,
                                       .samples = draw_samples<normal_sample>};
constinit const OpDef random_bernoulli_op{
    .info = {.name = "random_bernoulli", .traits = Trait::Random},
    .doc = "1 with probability attr p, otherwise 0",
    .arity = 2,
    .infer = infer_draw,
    .lower = lower_bernoulli,
    .pullback = no_gradient,
    .samples = draw_samples<bernoulli_sample>};

// ---- builders

namespace {

Expr draw(const OpDef& op, const ShapeArg& shape, const RandomSource& source, DType dtype,
          std::string_view first, double a, std::string_view second, double b) {
    const Loc loc = source.key.loc;
    Attrs attrs{{"shape", shape.shape}, {"dtype", dtype}, {"stream", source.stream}, {first, a}};
    if (!second.empty()) attrs = attrs.with(second, b);
    return apply(op, {cast(source.key, DType::I64), cast(source.counter, DType::I64)},
                 std::move(attrs), loc);
}

void require_float(const OpDef& op, const RandomSource& source, DType t) {
    if (!is_float(t)) fail<GraphError>(source.key.loc, "{}: {} is no float", op.info.name, name(t));
}

}  // namespace

Expr random_uniform(const ShapeArg& shape, const RandomSource& source, double low, double high,
                    DType dtype) {
    require_float(random_uniform_op, source, dtype);
    return draw(random_uniform_op, shape, source, dtype, "low", low, "high", high);
}
Expr random_normal(const ShapeArg& shape, const RandomSource& source, double mean, double deviation,
                   DType dtype) {
    require_float(random_normal_op, source, dtype);
    return draw(random_normal_op, shape, source, dtype, "mean", mean, "deviation", deviation);
}
Expr random_bernoulli(const ShapeArg& shape, const RandomSource& source, double p, DType dtype) {
    if (!(p >= 0 && p <= 1))
        fail<GraphError>(source.key.loc, "random_bernoulli: {} is no probability", p);
    return draw(random_bernoulli_op, shape, source, dtype, "p", p, {}, 0);
}

std::span<const OpDef* const> random_ops() {
    static constexpr std::array rows = {&random_uniform_op, &random_normal_op,
                                        &random_bernoulli_op};
    return rows;
}

}  // namespace arete

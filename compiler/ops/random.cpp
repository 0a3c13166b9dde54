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

// Elements are numbered row-major, and a block of four words serves `share` = 4 / Words of them:
// those at a distance of `run` from each other. So `run` neighbours take the same word, each of a
// block of its own, and nothing of what a machine computes for several neighbours at once is
// thrown away. The numbering is part of what a draw means: it is the same everywhere. Elements run
// * share * q + run * p + r, for p < share, have the words of block run * q + r, beginning with
// word Words * p.
constexpr std::int64_t run = 16;
constexpr std::int64_t most_streams = std::int64_t{1} << 24;

// The words of element `out`, each an i64 in [0, 2^32). See philox.h, of which this is the copy in
// 64-bit arithmetic: a product of two words is exact in the 64 bits of an i64.
template <std::size_t Words>
std::array<Value, Words> random_words(Lowering& l, std::span<const Index> out) {
    constexpr std::int64_t share = 4 / Words;
    const Index place = ir::linear(out, l.shape());
    const Index block = l.floordiv(place, run * share) * run + l.mod(place, run);
    auto word = [&](std::int64_t v) { return l.code.constant(DType::I64, v); };
    const Value mask = word(0xffffffff);
    auto low = [&](Value v) { return v & mask; };
    auto high = [&](Value v) { return ir::shr(v, 32); };
    const Value key = l.load(0, {}), counter = l.load(1, {});
    const Value element = l.code.index(block);
    Value k0 = low(key);
    Value k1 = high(key) ^ word(l.node.attrs.get<std::int64_t>("stream"));
    // The upper half of the key again, where no block's number reaches: the other copy may be that
    // of another key, changed by a stream.
    const Value upper = low(ir::shl(high(key), 8));
    std::array<Value, 4> c{low(element), high(element) ^ upper, low(counter), high(counter)};
    for (int round = 0; round < 10; ++round) {
        const Value a = word(0xD2511F53) * c[0], b = word(0xCD9E8D57) * c[2];
        c = {high(b) ^ c[1] ^ k0, low(b), high(a) ^ c[3] ^ k1, low(a)};
        k0 = low(k0 + word(0x9E3779B9));
        k1 = low(k1 + word(0xBB67AE85));
    }
    std::array<Value, Words> words;
    const Value part = l.code.index(l.mod(l.floordiv(place, run), share));
    for (std::size_t w = 0; w < Words; ++w) {
        words[w] = c[w];
        for (std::int64_t p = 1; p < share; ++p)
            words[w] = ir::select(ir::eq(part, static_cast<double>(p)),
                                  c[static_cast<std::size_t>(p) * Words + w], words[w]);
    }
    return words;
}

// A fraction in [0, 1) with as many bits as the dtype holds, plus `offset` in its last place.
Value fraction(std::array<Value, 1> w, std::int64_t offset = 0) {
    Value bits = ir::shr(w[0], 8) + w[0].code->constant(DType::I64, offset);
    return ir::cast(bits, DType::F32) * std::ldexp(1.0, -24);
}
Value fraction(std::array<Value, 2> w, std::int64_t offset = 0) {
    Value bits = (ir::shl(ir::shr(w[0], 5), 26) | ir::shr(w[1], 6)) +
                 w[0].code->constant(DType::I64, offset);
    return ir::cast(bits, DType::F64) * std::ldexp(1.0, -53);
}

Value scaled(Value v, double by, double plus) {
    if (by != 1) v = v * by;
    return plus != 0 ? v + plus : v;
}

Value lower_uniform(Lowering& l, std::span<const Index> out) {
    const double low = l.node.attrs.get<double>("low"), high = l.node.attrs.get<double>("high");
    const bool narrow = l.node.types[0].dtype == DType::F32;
    Value v = narrow ? fraction(random_words<1>(l, out)) : fraction(random_words<2>(l, out));
    return scaled(v, high - low, low);
}

Value lower_normal(Lowering& l, std::span<const Index> out) {
    // The first fraction is in (0, 1]: its logarithm is finite.
    Value u, v;
    if (l.node.types[0].dtype == DType::F32) {
        const auto w = random_words<2>(l, out);
        u = fraction(std::array{w[0]}, 1);
        v = fraction(std::array{w[1]});
    } else {
        const auto w = random_words<4>(l, out);
        u = fraction(std::array{w[0], w[1]}, 1);
        v = fraction(std::array{w[2], w[3]});
    }
    Value z = ir::sqrt(ir::log(u) * -2.0) * ir::cos(v * 6.283185307179586);
    return scaled(z, l.node.attrs.get<double>("deviation"), l.node.attrs.get<double>("mean"));
}

Value lower_bernoulli(Lowering& l, std::span<const Index> out) {
    const Value w = random_words<1>(l, out)[0];
    const double p = l.node.attrs.get<double>("p");
    const auto below = static_cast<std::int64_t>(std::ldexp(p, 32));
    return ir::cast(ir::lt(w, l.code.constant(DType::I64, below)), l.node.types[0].dtype);
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
    return {sample({4, 9}, DType::F32), sample({33}, DType::F64), sample({}, DType::F32),
            sample({3, 150}, DType::F32), sample({130}, DType::F64)};
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
    if (source.stream < 0 || source.stream >= most_streams)
        fail<GraphError>(loc, "{}: stream {} is not below {}", op.info.name, source.stream,
                         most_streams);
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
    // A byte is enough for 0 or 1 where it has to be stored.
    const Expr drawn = draw(random_bernoulli_op, shape, source, DType::Bool, "p", p, {}, 0);
    return cast(at(drawn, source.key.loc), dtype);
}

std::span<const OpDef* const> random_ops() {
    static constexpr std::array rows = {&random_uniform_op, &random_normal_op,
                                        &random_bernoulli_op};
    return rows;
}

}  // namespace arete

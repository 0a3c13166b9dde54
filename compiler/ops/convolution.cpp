// Rows of convolution and max-pooling. The gradient with respect to the image is a convolution of
// the padded gradient, so only the one with respect to the filters is an op of its own.
#include "compiler/ops/convolution.h"

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Reduction;
using loops::Value;
namespace ir = loops;

extern const OpDef conv2d_op, conv2d_grad_weights_op, pad2d_op, pool2d_op, pool2d_argmax_op,
    unpool2d_op, pool2d_pick_op;

namespace {

// ---- convolution

bool flips(const Attrs& attrs) {
    return attrs.get<bool>("filter_flip");
}

void require_images(const InferArgs& a) {
    for (std::size_t i : {0, 1})
        if (a.type(i).rank() != 4) a.error("needs rank 4: " + a.describe(i));
    if (!is_float(a.type(0).dtype) || a.type(0).dtype != a.type(1).dtype)
        a.error(fmt::format("needs floats of one dtype: {}, {}", a.describe(0), a.describe(1)));
    for (std::size_t k : {2, 3}) {
        const Dim &image = a.type(0).shape[k], &filter = a.type(1).shape[k];
        if (image.is_const() && filter.is_const() && image.value() < filter.value())
            a.error(fmt::format("the image is smaller than the filter: {}, {}", a.describe(0),
                                a.describe(1)));
    }
}

std::vector<TensorType> infer_conv2d(const InferArgs& a) {
    require_images(a);
    const Shape &x = a.type(0).shape, &w = a.type(1).shape;
    if (differ(x[1], w[1]))
        a.error(fmt::format("numbers of channels differ: {}, {}", a.describe(0), a.describe(1)));
    return {{a.type(0).dtype, {x[0], w[0], x[2] - w[2] + Dim(1), x[3] - w[3] + Dim(1)}}};
}

Value lower_conv2d(Lowering& l, std::span<const Index> out) {
    const Sizes w = l.shape(1);
    const Index ci = l.reduce_axis("ci", w[1]), ky = l.reduce_axis("ky", w[2]),
                kx = l.reduce_axis("kx", w[3]);
    const bool flip = flips(l.node.attrs);
    const Index wy = flip ? Index(w[2] - 1) - ky : ky, wx = flip ? Index(w[3] - 1) - kx : kx;
    return l.reduce(Reduction::Sum, l.load(0, {out[0], ci, out[2] + ky, out[3] + kx}) *
                                        l.load(1, {out[1], ci, wy, wx}));
}

// Gradient with respect to the image: each of its pixels was met by every tap of the filter.
Expr image_gradient(const Expr& g, const Expr& w, bool flip) {
    return apply(
        conv2d_op,
        {apply(pad2d_op, {g}, {{"pad", Shape{w.shape()[2] - Dim(1), w.shape()[3] - Dim(1)}}}, {}),
         dimshuffle(w, {1, 0, 2, 3})},
        {{"filter_flip", !flip}}, {});
}

std::vector<Expr> pullback_conv2d(const PullbackArgs& a) {
    return {image_gradient(a.g[0], a.x[1], flips(a.node.attrs)),
            apply(conv2d_grad_weights_op, {a.x[0], a.g[0]}, a.node.attrs, {})};
}

std::vector<TensorType> infer_conv2d_grad_weights(const InferArgs& a) {
    require_images(a);
    const Shape &x = a.type(0).shape, &g = a.type(1).shape;
    if (differ(x[0], g[0]))
        a.error(fmt::format("numbers of images differ: {}, {}", a.describe(0), a.describe(1)));
    return {{a.type(0).dtype, {g[1], x[1], x[2] - g[2] + Dim(1), x[3] - g[3] + Dim(1)}}};
}

Value lower_conv2d_grad_weights(Lowering& l, std::span<const Index> out) {
    const Sizes w = l.shape(), g = l.shape(1);
    const Index n = l.reduce_axis("n", g[0]), y = l.reduce_axis("y", g[2]),
                x = l.reduce_axis("x", g[3]);
    const bool flip = flips(l.node.attrs);
    const Index ky = flip ? Index(w[2] - 1) - out[2] : out[2];
    const Index kx = flip ? Index(w[3] - 1) - out[3] : out[3];
    return l.reduce(Reduction::Sum,
                    l.load(0, {n, out[1], y + ky, x + kx}) * l.load(1, {n, out[0], y, x}));
}

// y = grad_weights(x, g) is linear in both: with G of y's shape, x's gradient is the one of a
// convolution with the filters G, and g's is that convolution itself.
std::vector<Expr> pullback_conv2d_grad_weights(const PullbackArgs& a) {
    return {image_gradient(a.x[1], a.g[0], flips(a.node.attrs)),
            apply(conv2d_op, {a.x[0], a.g[0]}, a.node.attrs, {})};
}

std::vector<TensorType> infer_pad2d(const InferArgs& a) {
    const Shape& pad = a.attrs.get<Shape>("pad");
    TensorType t = a.type(0);
    if (t.rank() < 2) a.error("needs at least two axes: " + a.describe(0));
    for (std::size_t k : {0, 1}) {
        Dim& d = t.shape[t.shape.size() - 2 + k];
        d = d + pad[k] * Dim(2);
    }
    return {t};
}

Value lower_pad2d(Lowering& l, std::span<const Index> out) {
    const Sizes pad = concrete(l.node.attrs.get<Shape>("pad")), sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    std::vector<Index> index(out.begin(), out.end());
    Guard guard(l.code);
    for (std::size_t k : {0, 1}) {
        const std::size_t axis = sizes.size() - 2 + k;
        index[axis] = guard.inside(out[axis] - pad[k], sizes[axis]);
    }
    return guard.load(l, 0, index);
}

std::vector<Expr> pullback_pad2d(const PullbackArgs& a) {
    const Shape &pad = a.node.attrs.get<Shape>("pad"), &sizes = a.x[0].shape();
    Shape starts(sizes.size(), Dim(0));
    for (std::size_t k : {0, 1}) starts[sizes.size() - 2 + k] = pad[k];
    return {slice_window(a.g[0], starts, Ints(sizes.size(), 1), sizes, {})};
}

// ---- pooling; attr pool: height and width of a window

const Ints& pool_of(const Attrs& attrs) {
    return attrs.get<Ints>("pool");
}

Shape pooled(const InferArgs& a, const Shape& in) {
    const Ints& pool = pool_of(a.attrs);
    if (in.size() < 2) a.error("needs at least two axes: " + to_string(in));
    if (pool.size() != 2 || pool[0] < 1 || pool[1] < 1)
        a.error("the pool's sizes must be positive");
    Shape out = in;
    for (std::size_t k : {0, 1}) {
        Dim& d = out[in.size() - 2 + k];
        d = floordiv(d, Dim(pool[k]));
    }
    return out;
}

std::vector<TensorType> infer_pool2d(const InferArgs& a) {
    return {{a.type(0).dtype, pooled(a, a.type(0).shape)}};
}
std::vector<TensorType> infer_pool2d_argmax(const InferArgs& a) {
    return {{DType::I32, pooled(a, a.type(0).shape)}};
}

// The input's indices at position (y, x) of the window that gives element `out`.
std::vector<Index> in_window(const Ints& pool, std::span<const Index> out, const Index& y,
                             const Index& x) {
    std::vector<Index> index(out.begin(), out.end());
    const std::size_t row = out.size() - 2, column = out.size() - 1;
    index[row] = out[row] * pool[0] + y;
    index[column] = out[column] * pool[1] + x;
    return index;
}

template <Reduction R>
Value lower_pool2d(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Value v = l.reduce(R, l.load(0, in_window(pool, out, y, x)));
    return R == Reduction::ArgMax ? ir::cast(v, DType::I32) : v;
}

void require_window(const InferArgs& a, const Shape& big, std::size_t small) {
    const Shape shape = pooled(a, big);
    bool ok =
        a.type(0).dtype == DType::I32 && a.type(small).rank() == static_cast<int>(shape.size());
    for (std::size_t k = 0; ok && k < shape.size(); ++k)
        ok = !differ(shape[k], a.type(small).shape[k]);
    if (!ok)
        a.error(
            fmt::format("not positions in windows of {}: {}", to_string(big), a.describe(small)));
}

std::vector<TensorType> infer_unpool2d(const InferArgs& a) {
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    require_window(a, sizes, 0);
    require_window(a, sizes, 1);
    return {{a.type(1).dtype, sizes}};
}

Value lower_unpool2d(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    std::vector<Index> window(out.begin(), out.end());
    Index place;
    Guard guard(l.code);  // rows and columns beyond the last whole window have none
    for (std::size_t k : {0, 1}) {
        const std::size_t axis = sizes.size() - 2 + k;
        window[axis] = guard.inside(l.floordiv(out[axis], pool[k]), sizes[axis]);
        place = place * pool[k] + l.mod(out[axis], pool[k]);
    }
    // By a select, not the guard: the condition is data, and all of g is there to be read.
    Value v = guard.load(l, 1, window);
    Value here = ir::eq(guard.load(l, 0, window), ir::cast(l.code.index(place), DType::I32));
    return ir::select(here, v, ir::literal(v, 0));
}

std::vector<TensorType> infer_pool2d_pick(const InferArgs& a) {
    require_window(a, a.type(1).shape, 0);
    return {{a.type(1).dtype, a.type(0).shape}};
}

// As a sum over the window: the position is data, and a window is small.
Value lower_pool2d_pick(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Value v = l.load(1, in_window(pool, out, y, x));
    Value here = ir::eq(l.load(0, out), ir::cast(l.code.index(y * pool[1] + x), DType::I32));
    return l.reduce(Reduction::Sum, ir::select(here, v, ir::literal(v, 0)));
}

// ---- samples

using Inputs = std::span<const Expr>;

Sample floats(Sample s) {
    s.floats_only = true;
    return s;
}

std::vector<Sample> conv2d_samples() {
    return {floats({"flipped",
                    {{{2, 3, 7, 6}}, {{4, 3, 3, 2}}},
                    [](Inputs x) { return conv2d(x[0], x[1]); }}),
            floats({"correlation",
                    {{{1, 1, 5, 9}}, {{2, 1, 2, 5}}},
                    [](Inputs x) { return conv2d(x[0], x[1], {.filter_flip = false}); }}),
            floats({"whole image", {{{3, 2, 4, 4}}, {{5, 2, 4, 4}}}, [](Inputs x) {
                        return conv2d(x[0], x[1]);
                    }})};
}

std::vector<Sample> conv2d_grad_weights_samples() {
    auto build = [](bool flip) {
        return [flip](Inputs x) {
            return apply(conv2d_grad_weights_op, {x[0], x[1]}, {{"filter_flip", flip}}, {});
        };
    };
    return {floats({"flipped", {{{2, 3, 6, 5}}, {{2, 4, 4, 4}}}, build(true)}),
            floats({"correlation", {{{1, 2, 4, 5}}, {{1, 3, 2, 5}}}, build(false)})};
}

std::vector<Sample> pad2d_samples() {
    return {{"images", {{{2, 3, 3, 5}}}, [](Inputs x) { return pad2d(x[0], 2, 1); }},
            {"matrix, columns", {{{3, 4}}}, [](Inputs x) { return pad2d(x[0], 0, 3); }}};
}

template <auto& Op>
std::vector<Sample> pool_samples() {
    auto build = [](std::int64_t h, std::int64_t w) {
        return [=](Inputs x) { return apply(Op, {x[0]}, {{"pool", Ints{h, w}}}, {}); };
    };
    const bool smooth = &Op == &pool2d_op;
    return {{"whole windows", {{{2, 3, 4, 6}}}, build(2, 2), smooth},
            {"a rest", {{{2, 1, 7, 5}}}, build(2, 3), smooth},
            {"matrix", {{{5, 9}}}, build(5, 1), smooth}};
}

std::vector<Sample> unpool2d_samples() {
    return {{"a rest", {{{2, 1, 3, 2}, 0, 3, true}, {{2, 1, 3, 2}}}, [](Inputs x) {
                 return apply(unpool2d_op, {cast(x[0], DType::I32), x[1]},
                              {{"pool", Ints{2, 2}}, {"sizes", Shape{2, 1, 7, 5}}}, {});
             }}};
}

std::vector<Sample> pool2d_pick_samples() {
    return {{"a rest", {{{2, 1, 3, 2}, 0, 3, true}, {{2, 1, 7, 5}}}, [](Inputs x) {
                 return apply(pool2d_pick_op, {cast(x[0], DType::I32), x[1]},
                              {{"pool", Ints{2, 2}}}, {});
             }}};
}

}  // namespace

constinit const OpDef conv2d_op{.info = {.name = "conv2d", .traits = Trait::Reduces},
                                .doc = "valid convolution of images and filters, stride 1",
                                .arity = 2,
                                .infer = infer_conv2d,
                                .lower = lower_conv2d,
                                .pullback = pullback_conv2d,
                                .samples = conv2d_samples};
constinit const OpDef conv2d_grad_weights_op{
    .info = {.name = "conv2d_grad_weights", .traits = Trait::Reduces},
    .doc = "gradient of conv2d with respect to its filters, from images and the gradient",
    .arity = 2,
    .infer = infer_conv2d_grad_weights,
    .lower = lower_conv2d_grad_weights,
    .pullback = pullback_conv2d_grad_weights,
    .samples = conv2d_grad_weights_samples};
constinit const OpDef pad2d_op{.info = {.name = "pad2d", .traits = Trait::Cheap},
                               .doc = "attr pad rows and columns of zeros around the last two axes",
                               .infer = infer_pad2d,
                               .lower = lower_pad2d,
                               .pullback = pullback_pad2d,
                               .samples = pad2d_samples};
constinit const OpDef pool2d_op{
    .info = {.name = "pool2d", .traits = Trait::Reduces},
    .doc = "largest element of each window of attr pool in the last two axes",
    .infer = infer_pool2d,
    .lower = lower_pool2d<Reduction::Max>,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        Expr places = apply(pool2d_argmax_op, {a.x[0]}, a.node.attrs, {});
        return {
            apply(unpool2d_op, {places, a.g[0]}, a.node.attrs.with("sizes", a.x[0].shape()), {})};
    },
    .samples = pool_samples<pool2d_op>};
constinit const OpDef pool2d_argmax_op{
    .info = {.name = "pool2d_argmax", .traits = Trait::Reduces},
    .doc = "position, row-major in its window, of the element that pool2d takes",
    .infer = infer_pool2d_argmax,
    .lower = lower_pool2d<Reduction::ArgMax>,
    .pullback = no_gradient,
    .samples = pool_samples<pool2d_argmax_op>};
constinit const OpDef unpool2d_op{
    .info = {.name = "unpool2d", .traits = Trait::Cheap},
    .doc = "each element at its position in its window, zero elsewhere",
    .arity = 2,
    .infer = infer_unpool2d,
    .lower = lower_unpool2d,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {Expr(),
                apply(pool2d_pick_op, {a.x[0], a.g[0]}, {{"pool", pool_of(a.node.attrs)}}, {})};
    },
    .samples = unpool2d_samples};
constinit const OpDef pool2d_pick_op{
    .info = {.name = "pool2d_pick", .traits = Trait::Reduces},
    .doc = "the element of each window at the position given",
    .arity = 2,
    .infer = infer_pool2d_pick,
    .lower = lower_pool2d_pick,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {Expr(), apply(unpool2d_op, {a.x[0], a.g[0]},
                              a.node.attrs.with("sizes", a.x[1].shape()), {})};
    },
    .samples = pool2d_pick_samples};

// ---- builders

Expr conv2d(const Operand& x, const Operand& w, const Conv2dOptions& options) {
    auto [image, filter] = unify(x, w);
    const DType t = float_of(image.dtype());
    return apply(conv2d_op, {cast(at(image, x.loc), t), cast(at(filter, x.loc), t)},
                 {{"filter_flip", options.filter_flip}}, x.loc);
}

Expr pad2d(const Operand& x, std::int64_t rows, std::int64_t columns) {
    if (rows < 0 || columns < 0)
        fail<GraphError>(x.loc, "pad2d: negative pad {}, {}", rows, columns);
    return apply(pad2d_op, {x.expr()}, {{"pad", Shape{rows, columns}}}, x.loc);
}

Expr pool2d(const Operand& x, std::array<std::int64_t, 2> pool) {
    return apply(pool2d_op, {x.expr()}, {{"pool", Ints{pool[0], pool[1]}}}, x.loc);
}

std::span<const OpDef* const> convolution_ops() {
    static constexpr std::array rows = {&conv2d_op,     &conv2d_grad_weights_op, &pad2d_op,
                                        &pool2d_op,     &pool2d_argmax_op,       &unpool2d_op,
                                        &pool2d_pick_op};
    return rows;
}

}  // namespace arete

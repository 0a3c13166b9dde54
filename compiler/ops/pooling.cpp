// Rows of pooling. Windows lie wholly inside of what they are given: padding, and windows that
// leave the image, are made by pad2d before. Max-pooling knows where it found the maximum: what it
// sends back goes there, window by window where windows are disjoint, otherwise pixel by pixel.
#include "compiler/ops/pooling.h"

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Reduction;
using loops::Value;
namespace ir = loops;

extern const OpDef pool2d_op, pool2d_argmax_op, unpool2d_op, unpool2d_overlap_op, pool2d_pick_op,
    pool2d_sum_op, pool2d_spread_op, pool2d_spread_overlap_op, pad2d_op;

namespace {

// Attr stride, where it is not pool: the distance of windows.
const Ints& stride_of(const Attrs& attrs) {
    return attrs.get<Ints>(attrs.has("stride") ? "stride" : "pool");
}

// Windows as attributes, without those of how the result is used.
Attrs windows(const Ints& pool, const Ints& stride) {
    Attrs out{{"pool", pool}};
    return pool == stride ? out : out.with("stride", stride);
}
Attrs windows(const Attrs& attrs) {
    return windows(pool_of(attrs), stride_of(attrs));
}

Shape pooled(const InferArgs& a, const Shape& in) {
    const Ints &pool = pool_of(a.attrs), &stride = stride_of(a.attrs);
    if (in.size() < 2) a.error("needs at least two axes: " + to_string(in));
    if (pool.size() != 2 || pool[0] < 1 || pool[1] < 1)
        a.error("the pool's sizes must be positive");
    Shape out = in;
    for (std::size_t k : {0, 1}) {
        Dim& d = out[in.size() - 2 + k];
        d = pool[k] == stride[k] ? floordiv(d, Dim(pool[k]))
                                 : floordiv(d - Dim(pool[k]), Dim(stride[k])) + Dim(1);
        d = not_negative(d);
    }
    return out;
}

std::vector<TensorType> infer_pool2d(const InferArgs& a) {
    return {{a.type(0).dtype, pooled(a, a.type(0).shape)}};
}
// Of positions in a window: bytes, which move four times faster, where they can count it.
DType position_type(const Ints& pool) {
    return pool[0] * pool[1] <= 256 ? DType::U8 : DType::I32;
}
std::vector<TensorType> infer_pool2d_argmax(const InferArgs& a) {
    const Shape shape = pooled(a, a.type(0).shape);
    return {{position_type(pool_of(a.attrs)), shape}};
}
std::vector<TensorType> infer_pool2d_sum(const InferArgs& a) {
    if (a.type(0).dtype == DType::Bool) a.error("needs numbers: " + a.describe(0));
    return infer_pool2d(a);
}

// The input's indices at position (y, x) of the window that gives element `out`.
std::vector<Index> in_window(const Attrs& attrs, std::span<const Index> out, const Index& y,
                             const Index& x) {
    const Ints& stride = stride_of(attrs);
    std::vector<Index> index(out.begin(), out.end());
    const std::size_t row = out.size() - 2, column = out.size() - 1;
    index[row] = out[row] * stride[0] + y;
    index[column] = out[column] * stride[1] + x;
    return index;
}

// Attr padded: rows above and columns left of the image, of the lowest value. Where the whole
// window has that value its first element may be one of these; the first that is not, by its
// position.
Value first_in_image(Lowering& l, std::span<const Index> out) {
    const Ints &pool = pool_of(l.node.attrs), &stride = stride_of(l.node.attrs),
               &padded = l.node.attrs.get<Ints>("padded");
    const auto skipped = [&](std::size_t k) {
        const Index before = Index(padded[k]) - out[out.size() - 2 + k] * stride[k];
        return ir::max(l.code.index(before), 0.0);
    };
    return skipped(0) * static_cast<double>(pool[1]) + skipped(1);
}

template <Reduction R>
Value lower_pool2d(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Value v = l.reduce(R, l.load(0, in_window(l.node.attrs, out, y, x)));
    if (R != Reduction::ArgMax) return v;
    if (l.node.attrs.has("padded")) v = ir::select(ir::eq(v, 0.0), first_in_image(l, out), v);
    return ir::cast(v, l.node.types[0].dtype);
}

// Whether a position is this place of the window, row by row.
Value is_at(Value position, Lowering& l, const Index& place) {
    return ir::eq(position, ir::cast(l.code.index(place), position.dtype()));
}

void require_windows(const InferArgs& a, const Shape& big, std::size_t small) {
    const Shape shape = pooled(a, big);
    bool ok = a.type(small).rank() == static_cast<int>(shape.size());
    for (std::size_t k = 0; ok && k < shape.size(); ++k)
        ok = !differ(shape[k], a.type(small).shape[k]);
    if (!ok) a.error(fmt::format("not windows of {}: {}", to_string(big), a.describe(small)));
}

void require_positions(const InferArgs& a, const Shape& big) {
    if (a.type(0).dtype != DType::I32 && a.type(0).dtype != DType::U8)
        a.error("positions are u8 or i32: " + a.describe(0));
    require_windows(a, big, 0);
}

std::vector<TensorType> infer_unpool2d(const InferArgs& a) {
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    require_positions(a, sizes);
    require_windows(a, sizes, 1);
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
    Value here = is_at(guard.load(l, 0, window), l, place);
    return ir::select(here, v, ir::literal(v, 0));
}

// The window in which the pixel `out` is at position (y, x), and the conditions that there is one.
std::vector<Index> window_of(Lowering& l, std::span<const Index> out, const Sizes& sizes,
                             const Index& y, const Index& x, Guard& guard) {
    const Ints& stride = stride_of(l.node.attrs);
    std::vector<Index> window(out.begin(), out.end());
    for (std::size_t k : {0, 1}) {
        const std::size_t axis = sizes.size() - 2 + k;
        const Index moved = out[axis] - (k ? x : y);
        if (stride[k] > 1) guard.require(ir::eq(l.code.index(l.mod(moved, stride[k])), 0.0));
        window[axis] = guard.inside(l.floordiv(moved, stride[k]), sizes[axis]);
    }
    return window;
}

Value lower_unpool2d_overlap(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Guard guard(l.code);
    const std::vector<Index> window = window_of(l, out, sizes, y, x, guard);
    Value v = guard.load(l, 1, window);
    Value here = is_at(guard.load(l, 0, window), l, y * pool[1] + x);
    return l.reduce(Reduction::Sum, ir::select(here, v, ir::literal(v, 0)));
}

std::vector<TensorType> infer_pool2d_pick(const InferArgs& a) {
    require_positions(a, a.type(1).shape);
    return {{a.type(1).dtype, a.type(0).shape}};
}

// As a sum over the window: the position is data, and a window is small.
Value lower_pool2d_pick(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Value v = l.load(1, in_window(l.node.attrs, out, y, x));
    Value here = is_at(l.load(0, out), l, y * pool[1] + x);
    return l.reduce(Reduction::Sum, ir::select(here, v, ir::literal(v, 0)));
}

std::vector<TensorType> infer_pool2d_spread(const InferArgs& a) {
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    require_windows(a, sizes, 0);
    return {{a.type(0).dtype, sizes}};
}

Value lower_pool2d_spread(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    std::vector<Index> window(out.begin(), out.end());
    Guard guard(l.code);
    for (std::size_t k : {0, 1}) {
        const std::size_t axis = sizes.size() - 2 + k;
        window[axis] = guard.inside(l.floordiv(out[axis], pool[k]), sizes[axis]);
    }
    return guard.load(l, 0, window);
}

Value lower_pool2d_spread_overlap(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    const Index y = l.reduce_axis("py", pool[0]), x = l.reduce_axis("px", pool[1]);
    Guard guard(l.code);
    const std::vector<Index> window = window_of(l, out, sizes, y, x, guard);
    return l.reduce(Reduction::Sum, guard.load(l, 0, window));
}

// Elements at their positions in windows of a tensor of the given shape.
Expr unpooled(const Expr& places, const Expr& g, const Attrs& windows, const Shape& shape) {
    const OpDef& op = windows.has("stride") ? unpool2d_overlap_op : unpool2d_op;
    return apply(op, {places, g}, windows.with("sizes", shape), {});
}

// Elements of windows added to each element that the windows have.
Expr spread(const Expr& g, const Attrs& windows, const Shape& shape) {
    const OpDef& op = windows.has("stride") ? pool2d_spread_overlap_op : pool2d_spread_op;
    return apply(op, {g}, windows.with("sizes", shape), {});
}

std::vector<Expr> pullback_pool2d_spread(const PullbackArgs& a) {
    return {apply(pool2d_sum_op, {a.g[0]}, windows(a.node.attrs), {})};
}

std::vector<Expr> pullback_unpool2d(const PullbackArgs& a) {
    return {Expr(), apply(pool2d_pick_op, {a.x[0], a.g[0]}, windows(a.node.attrs), {})};
}

// ---- samples

using Inputs = std::span<const Expr>;

template <auto& Op>
std::vector<Sample> pool_samples() {
    auto build = [](std::int64_t h, std::int64_t w, Ints stride = {}) {
        return [=](Inputs x) {
            const Ints pool{h, w};
            return apply(Op, {x[0]}, windows(pool, stride.empty() ? pool : stride), {});
        };
    };
    const bool smooth = &Op != &pool2d_argmax_op;
    return {{"whole windows", {{{2, 3, 4, 6}}}, build(2, 2), smooth},
            {"a rest", {{{2, 1, 7, 5}}}, build(2, 3), smooth},
            {"overlap", {{{1, 2, 8, 21}}}, build(3, 4, {1, 2}), smooth},
            {"gaps", {{{3, 10, 11}}}, build(2, 1, {4, 3}), smooth},
            {"matrix", {{{5, 9}}}, build(5, 1), smooth}};
}

// Positions of windows, and what is there.
SampleInput positions(Sizes sizes, double last) {
    return {std::move(sizes), 0, last, true};
}

std::vector<Sample> unpool2d_samples() {
    return {{"a rest", {positions({2, 1, 3, 2}, 3), {{2, 1, 3, 2}}}, [](Inputs x) {
                 return apply(unpool2d_op, {cast(x[0], DType::I32), x[1]},
                              {{"pool", Ints{2, 2}}, {"sizes", Shape{2, 1, 7, 5}}}, {});
             }}};
}

std::vector<Sample> unpool2d_overlap_samples() {
    auto build = [](Ints pool, Ints stride, Shape sizes) {
        return [=](Inputs x) {
            return apply(unpool2d_overlap_op, {cast(x[0], DType::I32), x[1]},
                         windows(pool, stride).with("sizes", sizes), {});
        };
    };
    return {{"overlap", {positions({2, 3, 4}, 8), {{2, 3, 4}}}, build({3, 3}, {2, 1}, {2, 8, 6})},
            {"gaps", {positions({2, 3}, 1), {{2, 3}}}, build({1, 2}, {3, 3}, {4, 9})}};
}

std::vector<Sample> pool2d_pick_samples() {
    auto build = [](Ints pool, Ints stride) {
        return [=](Inputs x) {
            return apply(pool2d_pick_op, {cast(x[0], DType::I32), x[1]}, windows(pool, stride), {});
        };
    };
    return {{"a rest", {positions({2, 1, 3, 2}, 3), {{2, 1, 7, 5}}}, build({2, 2}, {2, 2})},
            {"overlap", {positions({2, 3, 4}, 8), {{2, 8, 6}}}, build({3, 3}, {2, 1})}};
}

std::vector<Sample> pool2d_spread_samples() {
    auto build = [](Ints pool, Ints stride, Shape sizes) {
        return [=](Inputs x) { return spread(x[0], windows(pool, stride), sizes); };
    };
    return {{"a rest", {{{2, 3, 2}}}, build({2, 2}, {2, 2}, {2, 7, 5})},
            {"overlap", {{{2, 3, 4}}}, build({3, 3}, {2, 1}, {2, 8, 6})}};
}

}  // namespace

constinit const OpDef pool2d_op{
    .info = {.name = "pool2d", .traits = Trait::Reduces},
    .doc = "largest element of each window of attr pool in the last two axes",
    .infer = infer_pool2d,
    .lower = lower_pool2d<Reduction::Max>,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        Expr places = apply(pool2d_argmax_op, {a.x[0]}, a.node.attrs, {});
        return {unpooled(places, a.g[0], a.node.attrs, a.x[0].shape())};
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
    .info = {.name = "unpool2d"},
    .doc = "each element at its position in its window, zero elsewhere",
    .arity = 2,
    .infer = infer_unpool2d,
    .lower = lower_unpool2d,
    .pullback = pullback_unpool2d,
    .samples = unpool2d_samples};
constinit const OpDef unpool2d_overlap_op{
    .info = {.name = "unpool2d_overlap", .traits = Trait::Reduces},
    .doc = "unpool2d of windows that overlap or have gaps: what meets in one place is added up",
    .arity = 2,
    .infer = infer_unpool2d,
    .lower = lower_unpool2d_overlap,
    .pullback = pullback_unpool2d,
    .samples = unpool2d_overlap_samples};
constinit const OpDef pool2d_pick_op{
    .info = {.name = "pool2d_pick", .traits = Trait::Reduces},
    .doc = "the element of each window at the position given",
    .arity = 2,
    .infer = infer_pool2d_pick,
    .lower = lower_pool2d_pick,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {Expr(), unpooled(a.x[0], a.g[0], a.node.attrs, a.x[1].shape())};
    },
    .samples = pool2d_pick_samples};
constinit const OpDef pool2d_sum_op{.info = {.name = "pool2d_sum", .traits = Trait::Reduces},
                                    .doc = "sum of each window of attr pool in the last two axes",
                                    .infer = infer_pool2d_sum,
                                    .lower = lower_pool2d<Reduction::Sum>,
                                    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                        return {spread(a.g[0], a.node.attrs, a.x[0].shape())};
                                    },
                                    .samples = pool_samples<pool2d_sum_op>};
constinit const OpDef pool2d_spread_op{.info = {.name = "pool2d_spread"},
                                       .doc = "for each element, what the window that it is in has",
                                       .infer = infer_pool2d_spread,
                                       .lower = lower_pool2d_spread,
                                       .pullback = pullback_pool2d_spread,
                                       .samples = pool2d_spread_samples};
constinit const OpDef pool2d_spread_overlap_op{
    .info = {.name = "pool2d_spread_overlap", .traits = Trait::Reduces},
    .doc = "pool2d_spread of windows that overlap or have gaps: the sum of those it is in",
    .infer = infer_pool2d_spread,
    .lower = lower_pool2d_spread_overlap,
    .pullback = pullback_pool2d_spread,
    .samples = pool2d_spread_samples};

// ---- the builder

namespace {

// x with `pad` rows or columns around it, of a value that does not change what windows give.
Expr bordered(const Expr& x, const Shape& pad, bool lowest, Loc loc) {
    if (pad == Shape(4, Dim(0))) return x;
    Attrs attrs{{"pad", pad}};
    if (lowest) attrs = attrs.with("lowest", true);
    return apply(pad2d_op, {x}, attrs, loc);
}

}  // namespace

Expr pool2d(const Operand& operand, std::array<std::int64_t, 2> ws, const Pool2dOptions& o) {
    const Loc loc = operand.loc;
    Expr x = operand.expr();
    const bool average = o.mode == PoolMode::average_inc_pad || o.mode == PoolMode::average_exc_pad;
    if (x.rank() < 2)
        fail<GraphError>(loc, "pool2d: needs at least two axes: {}", to_string(x.shape()));
    if (ws[0] < 1 || ws[1] < 1) fail<GraphError>(loc, "pool2d: the pool's sizes must be positive");
    if (o.mode != PoolMode::max && x.dtype() == DType::Bool)
        fail<GraphError>(loc, "pool2d: needs numbers: {}", describe(x));
    Ints stride(2);
    Shape inside, outside;  // rows and columns around the image: counted by inc_pad, and not
    for (std::size_t k : {0, 1}) {
        if (o.stride[k] < 0)
            fail<GraphError>(loc, "pool2d: negative stride {}, {}", o.stride[0], o.stride[1]);
        if (o.pad[k] < 0 || o.pad[k] >= ws[k])
            fail<GraphError>(loc,
                             "pool2d: pad must be less than the window: pad {}, {} of windows of "
                             "{}, {}",
                             o.pad[0], o.pad[1], ws[0], ws[1]);
        if (o.pad[k] && !o.ignore_border)
            fail<GraphError>(loc, "pool2d: pad {}, {} needs ignore_border", o.pad[0], o.pad[1]);
        stride[k] = o.stride[k] ? o.stride[k] : ws[k];
        // A window that reaches beyond the whole image is as large as that.
        const Dim& pixels = x.shape()[x.shape().size() - 2 + k];
        if (!o.ignore_border && pixels.is_const() && pixels.value() < ws[k]) {
            ws[k] = std::max<std::int64_t>(pixels.value(), 1);
            stride[k] = std::min(stride[k], ws[k]);
        }
        inside.insert(inside.end(), {o.pad[k], o.pad[k]});
        // Windows that begin inside of the image; or, where they overlap, up to the first one that
        // reaches its end.
        Dim beyond = o.ignore_border ? 0 : std::min(stride[k], ws[k]) - 1;
        // One whole window, of an image that turns out to be smaller; none of no image.
        if (!o.ignore_border && !pixels.is_const())
            beyond = beyond + not_negative(Dim(ws[k]) - pixels - beyond) *
                                  (pixels - not_negative(pixels - Dim(1)));
        outside.insert(outside.end(), {Dim(0), beyond});
    }
    Shape around;
    for (std::size_t i = 0; i < 4; ++i) around.push_back(inside[i] + outside[i]);
    const Attrs attrs = windows({ws[0], ws[1]}, stride);
    if (average) x = cast(at(x, loc), float_of(x.dtype()));
    if (o.mode == PoolMode::max) {
        const bool padded = o.pad[0] || o.pad[1];
        return apply(pool2d_op, {bordered(x, around, true, loc)},
                     padded ? attrs.with("padded", Ints{o.pad[0], o.pad[1]}) : attrs, loc);
    }
    const Expr total = apply(pool2d_sum_op, {bordered(x, around, false, loc)}, attrs, loc);
    if (!average) return total;
    const bool count_padding = o.mode == PoolMode::average_inc_pad;
    const Shape uncounted = count_padding ? outside : around;
    if (uncounted == Shape(4, Dim(0)))
        return at(total, loc) /
               at(scalar_constant(x.dtype(), static_cast<double>(ws[0] * ws[1]), loc), loc);
    // How many elements each window has: the sum over windows of ones.
    Shape counted{x.shape()[x.shape().size() - 2], x.shape().back()};
    if (count_padding)
        for (std::size_t k : {0, 1}) counted[k] = counted[k] + inside[2 * k] + inside[2 * k + 1];
    const Expr one = scalar_constant(x.dtype(), 1.0, loc);
    const Expr ones = bordered(broadcast_to(at(one, loc), counted), uncounted, false, loc);
    return at(total, loc) / at(apply(pool2d_sum_op, {ones}, attrs, loc), loc);
}

std::span<const OpDef* const> pooling_ops() {
    static constexpr std::array rows = {
        &pool2d_op,      &pool2d_argmax_op, &unpool2d_op,      &unpool2d_overlap_op,
        &pool2d_pick_op, &pool2d_sum_op,    &pool2d_spread_op, &pool2d_spread_overlap_op};
    return rows;
}

}  // namespace arete

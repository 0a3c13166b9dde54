#include "compiler/targets/cpu/ops/unpooled.h"

#include <array>

#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/pooling.h"
#include "compiler/ops/sliding.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef channels_last_op, turned_op, filter_rows_op, unpooled_grad_weights_op,
    unpooled_patches_op;

namespace {

std::vector<TensorType> infer_channels_last(const InferArgs& a) {
    TensorType t = a.type(0);
    if (t.rank() != 4) a.error("needs rank 4: " + a.describe(0));
    t.shape = {t.shape[0], t.shape[2], t.shape[3], t.shape[1]};
    return {t};
}

Value lower_channels_last(Lowering& l, std::span<const Index> out) {
    const std::array<Index, 4> at = {out[0], out[3], out[1], out[2]};
    return l.load(0, at);
}

std::vector<TensorType> infer_turned(const InferArgs& a) {
    if (a.type(0).rank() != 4) a.error("needs rank 4: " + a.describe(0));
    return {a.type(0)};
}

Value lower_turned(Lowering& l, std::span<const Index> out) {
    const Sizes sizes = l.shape(0);
    const std::array<Index, 4> at = {out[0], Index(sizes[1] - 1) - out[1],
                                     Index(sizes[2] - 1) - out[2], out[3]};
    return l.load(0, at);
}

// Attr pad: zeros on each side of rows, and of columns. A row is one axis, with more zeros at the
// end, so that each begins at a multiple of 16 elements: a cache line of floats. The first rows of
// all filters come first: what is read together lies together, and shares no sets of a cache.
std::vector<TensorType> infer_filter_rows(const InferArgs& a) {
    TensorType t = a.type(0);
    if (t.rank() != 4) a.error("needs rank 4: " + a.describe(0));
    constexpr std::int64_t line = 16;
    const Ints& pad = a.attrs.get<Ints>("pad");
    const Dim row = (t.shape[2] + Dim(2 * pad[1])) * t.shape[3];
    t.shape = {t.shape[1] + Dim(2 * pad[0]), t.shape[0],
               floordiv(row + Dim(line - 1), Dim(line)) * Dim(line)};
    return {t};
}

Value lower_filter_rows(Lowering& l, std::span<const Index> out) {
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    const Ints& pad = l.node.attrs.get<Ints>("pad");
    Guard guard(l.code);
    const Index y = guard.inside(out[0] - pad[0], sizes[1]),
                in_row = guard.inside(out[2] - pad[1] * sizes[3], sizes[2] * sizes[3]);
    const std::array<Index, 4> at = {out[1], y, l.floordiv(in_row, sizes[3]),
                                     l.mod(in_row, sizes[3])};
    return guard.load(l, 0, at);
}

// Places and gradients of the same windows; positions are counted row by row.
void require_windows(const InferArgs& a) {
    if (a.type(0).dtype != a.type(2).dtype)
        a.error(fmt::format("dtypes differ: {}, {}", a.describe(0), a.describe(2)));
    if (a.type(1).dtype != DType::I32 && a.type(1).dtype != DType::U8)
        a.error("positions are u8 or i32: " + a.describe(1));
    if (a.type(1).shape.size() != 4 || a.type(2).shape.size() != 4 ||
        a.type(1).shape != a.type(2).shape)
        a.error(fmt::format("not the same windows: {}, {}", a.describe(1), a.describe(2)));
}

// Row and column in its window of the element that input 1 has there.
struct Place {
    Index row, column;
    Place(Lowering& l, std::span<const Index> window) {
        const Ints& pool = pool_of(l.node.attrs);
        const std::int64_t wide = pool[1];
        // It is less than the window's size; the remainder says so to those who read the address.
        const Index i =
            mod(to_index(ir::cast(l.load(1, window), DType::I64)), pool[0] * wide, l.code.extents);
        row = floordiv(i, wide, l.code.extents);
        column = mod(i, wide, l.code.extents);
    }
};

// Inputs x[n,h,w,ci], backwards where the filter is, places[n,co,ph,pw], g of the same shape; attr
// sizes: of the filter.
std::vector<TensorType> infer_grad_weights(const InferArgs& a) {
    if (a.type(0).rank() != 4) a.error("needs rank 4: " + a.describe(0));
    require_windows(a);
    const Shape &x = a.type(0).shape, &g = a.type(2).shape, &sizes = a.attrs.get<Shape>("sizes");
    const Ints& pool = pool_of(a.attrs);
    bool fits = !differ(x[0], g[0]);
    for (std::size_t k : {0, 1})
        fits = fits && !differ(floordiv(x[1 + k] - sizes[k] + Dim(1), Dim(pool[k])), g[2 + k]);
    if (!fits)
        a.error(fmt::format("not the windows of filters of {} on these images: {}, {}",
                            to_string(sizes), a.describe(0), a.describe(2)));
    return {{a.type(0).dtype, {g[1], x[3], sizes[0], sizes[1]}}};
}

// out[co,ci,ky,kx] = sum over windows of g[n,co,py,px] times the pixel that the tap met there.
Value lower_grad_weights(Lowering& l, std::span<const Index> out) {
    const Sizes g = l.shape(2), w = l.shape();
    const Ints& pool = pool_of(l.node.attrs);
    const Sliding s = Sliding::of(l.node.attrs);
    const Index n = l.reduce_axis("n", g[0]), py = l.reduce_axis("py", g[2]),
                px = l.reduce_axis("px", g[3]);
    const std::array<Index, 4> window = {n, out[0], py, px};
    const Place place(l, window);
    // Where filters are read backwards, x is stored backwards: runs along a filter's row go on.
    const auto along = [&](const Index& start, std::size_t k) {
        return s.flip ? out[2 + k] - start + (l.shape(0)[1 + k] - w[2 + k]) : start + out[2 + k];
    };
    const std::array<Index, 4> pixel = {n, along(py * pool[0] + place.row, 0),
                                        along(px * pool[1] + place.column, 1), out[1]};
    return l.reduce(ir::Reduction::Sum, l.load(0, pixel) * l.load(2, window));
}

// Inputs w[ky,co,row] as filter_rows makes it with pool - 1 zeros on each side, places[n,co,ph,pw],
// g of the same shape; attr sizes: columns of a patch, and ci.
std::vector<TensorType> infer_patches(const InferArgs& a) {
    if (a.type(0).rank() != 3) a.error("needs rank 3: " + a.describe(0));
    require_windows(a);
    const Shape &w = a.type(0).shape, &g = a.type(2).shape, &sizes = a.attrs.get<Shape>("sizes");
    if (differ(w[1], g[1]))
        a.error(fmt::format("numbers of filters differ: {}, {}", a.describe(0), a.describe(2)));
    const Dim rows = w[0] - Dim(pool_of(a.attrs)[0] - 1);
    return {{a.type(0).dtype, {g[0], g[2], g[3], rows, sizes[0], sizes[1]}}};
}

// out[n,py,px,r,c,ci] = sum over co of g[n,co,py,px] w[co,r - row,c - column,ci]. Where filters are
// read backwards, so is the patch, and the signs of row and column are the other ones.
Value lower_patches(Lowering& l, std::span<const Index> out) {
    const Ints& pool = pool_of(l.node.attrs);
    const bool flip = l.node.attrs.get<bool>("filter_flip");
    const std::int64_t channels = l.node.types[0].shape[5].value();
    const Index co = l.reduce_axis("co", l.shape(0)[1]);
    const std::array<Index, 4> window = {out[0], co, out[1], out[2]};
    const Place place(l, window);
    const auto tap = [&](const Index& pixel, const Index& at, std::size_t k) {
        return flip ? pixel + at : pixel - at + (pool[k] - 1);
    };
    const std::array<Index, 3> filter = {tap(out[3], place.row, 0), co,
                                         tap(out[4], place.column, 1) * channels + out[5]};
    return l.reduce(ir::Reduction::Sum, l.load(0, filter) * l.load(2, window));
}

Expr channels_last(const Operand& x) {
    return apply(channels_last_op, {x.expr()}, {}, x.loc);
}

// ---- samples

using Inputs = std::span<const Expr>;

Expr places(const Expr& e) {
    return cast(e, DType::I32);
}

std::vector<Sample> channels_last_samples() {
    auto build = [](Inputs x) { return channels_last(x[0]); };
    return {{"small", {{{2, 5, 3, 4}}}, build, false},
            {"many channels", {{{2, 36, 6, 5}}}, build, false}};
}

std::vector<Sample> turned_samples() {
    return {{"small",
             {{{2, 3, 4, 20}}},
             [](Inputs x) { return apply(turned_op, {x[0]}, {}, {}); },
             false}};
}

std::vector<Sample> filter_rows_samples() {
    auto build = [](Ints pad) {
        return [=](Inputs x) { return apply(filter_rows_op, {x[0]}, {{"pad", pad}}, {}); };
    };
    return {{"padded", {{{3, 4, 2, 20}}}, build({1, 2}), false},
            {"columns alone", {{{2, 3, 3, 7}}}, build({0, 1}), false}};
}

std::vector<Sample> grad_weights_samples() {
    auto build = [](Ints pool, bool flip, Shape filter) {
        return [=](Inputs x) {
            return unpooled_grad_weights(x[0], places(x[1]), x[2], pool, {.flip = flip}, filter);
        };
    };
    return {{"flipped",
             {{{2, 20, 8, 7}}, {{2, 3, 3, 2}, 0, 3, true}, {{2, 3, 3, 2}}},
             build({2, 2}, true, {3, 3}),
             false,
             true},
            {"correlation, a rest",
             {{{3, 2, 9, 11}}, {{3, 4, 2, 5}, 0, 5, true}, {{3, 4, 2, 5}}},
             build({3, 2}, false, {2, 2}),
             false,
             true}};
}

std::vector<Sample> patches_samples() {
    auto build = [](Ints pool, bool flip, Shape image) {
        return [=](Inputs x) {
            return unpooled_grad_input(x[0], places(x[1]), x[2], pool, {.flip = flip}, image);
        };
    };
    return {{"flipped",
             {{{4, 20, 3, 3}}, {{2, 4, 3, 2}, 0, 3, true}, {{2, 4, 3, 2}}},
             build({2, 2}, true, {8, 7}),
             false,
             true},
            {"correlation, a rest",
             {{{5, 3, 2, 2}}, {{3, 5, 2, 5}, 0, 5, true}, {{3, 5, 2, 5}}},
             build({3, 2}, false, {9, 11}),
             false,
             true}};
}

}  // namespace

constinit const OpDef channels_last_op{.info = {.name = "channels_last", .traits = Trait::Stored},
                                       .doc = "images [n,c,h,w] as [n,h,w,c]",
                                       .infer = infer_channels_last,
                                       .lower = lower_channels_last,
                                       .samples = channels_last_samples};
constinit const OpDef turned_op{.info = {.name = "turned", .traits = Trait::Stored},
                                .doc = "images [n,h,w,c] with rows and columns backwards",
                                .infer = infer_turned,
                                .lower = lower_turned,
                                .samples = turned_samples};
constinit const OpDef filter_rows_op{
    .info = {.name = "filter_rows", .traits = Trait::Stored},
    .doc =
        "filters [co,kh,kw,ci] as [kh,co,row] with zeros on each side, rows at whole cache lines",
    .infer = infer_filter_rows,
    .lower = lower_filter_rows,
    .samples = filter_rows_samples};
constinit const OpDef unpooled_grad_weights_op{
    .info = {.name = "unpooled_grad_weights", .traits = Trait::Reduces},
    .doc = "gradient of the filters where the maximum of each window alone has a gradient",
    .arity = 3,
    .infer = infer_grad_weights,
    .lower = lower_grad_weights,
    .samples = grad_weights_samples};
constinit const OpDef unpooled_patches_op{
    .info = {.name = "unpooled_patches", .traits = Trait::Reduces},
    .doc = "what each window of a pooling sends back through the filters to the pixels around it",
    .arity = 3,
    .infer = infer_patches,
    .lower = lower_patches,
    .samples = patches_samples};

Expr unpooled_grad_weights(const Operand& x, const Operand& places, const Operand& g,
                           const Ints& pool, const Sliding& s, const Shape& filter) {
    Expr pixels = channels_last(x);
    if (s.flip) pixels = apply(turned_op, {pixels}, {}, x.loc);
    return apply(unpooled_grad_weights_op, {pixels, places.expr(), g.expr()},
                 s.attrs().with("pool", pool).with("sizes", filter), x.loc);
}

Expr unpooled_grad_input(const Operand& w, const Operand& places, const Operand& g,
                         const Ints& pool, const Sliding& s, const Shape& image) {
    const Shape& filter = w.expr().shape();
    const Expr rows =
        apply(filter_rows_op, {channels_last(w)}, {{"pad", Ints{pool[0] - 1, pool[1] - 1}}}, w.loc);
    const Shape patch = {filter[3] + Dim(pool[1] - 1), filter[1]};
    const Expr patches = apply(unpooled_patches_op, {rows, places.expr(), g.expr()},
                               s.attrs().with("pool", pool).with("sizes", patch), w.loc);
    // Patches are the columns of a filter that steps from window to window.
    Expr e = add_taps(at(patches, w.loc), {3, 1, s.flip, pool[0], 1}, image[0]);
    e = add_taps(at(e, w.loc), {4, 3, s.flip, pool[1], 1}, image[1]);
    // [n,qy,ry,qx,rx,ci] to [n,y,x,ci], off with what is beyond the image, and back to [n,ci,y,x].
    const Shape& cut = e.shape();
    const Shape whole = {cut[0], cut[1] * cut[2], cut[3] * cut[4], cut[5]},
                sizes = {cut[0], image[0], image[1], cut[5]};
    e = reshape(at(e, w.loc), whole);
    if (whole != sizes) e = slice_window(e, Shape(4, Dim(0)), Ints(4, 1), sizes, w.loc);
    return dimshuffle(at(e, w.loc), {0, 3, 1, 2});
}

std::span<const OpDef* const> unpooled_ops() {
    static constexpr std::array rows = {&channels_last_op, &turned_op, &filter_rows_op,
                                        &unpooled_grad_weights_op, &unpooled_patches_op};
    return rows;
}

}  // namespace arete

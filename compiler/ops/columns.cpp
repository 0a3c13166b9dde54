#include "compiler/ops/columns.h"

#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/sliding.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef conv2d_columns_op, columns_to_image_op, columns_to_phases_op;

namespace {

std::vector<TensorType> infer_columns(const InferArgs& a) {
    const Shape &w = a.type(0).shape, &g = a.type(1).shape;
    const std::size_t r = w.size();
    if ((r != 4 && r != 5) || g.size() != r || a.type(0).dtype != a.type(1).dtype ||
        differ(w[r - 4], g[r - 3]) || (r == 5 && differ(w[0], g[1])))
        a.error(fmt::format("needs w[co,ci,kh,kw] and g[n,co,h,w], or both with groups: {}, {}",
                            a.describe(0), a.describe(1)));
    Shape out = {g[0]};
    if (r == 5) out.push_back(w[0]);
    out.insert(out.end(), {w[r - 3], w[r - 2], w[r - 1], g[r - 2], g[r - 1]});
    return {{a.type(0).dtype, out}};
}

// out[n,ci,ky,kx,y,x] = sum over co of w[co,ci,ky,kx] g[n,co,y,x], of each group.
Value lower_columns(Lowering& l, std::span<const Index> out) {
    const Sizes w = l.shape(0);
    const Index co = l.reduce_axis("co", w[w.size() - 4]);
    std::vector<Index> filter, gradient = {out[0]};
    if (w.size() == 5) {
        filter.push_back(out[1]);
        gradient.push_back(out[1]);
    }
    const std::size_t ci = w.size() - 3;
    filter.insert(filter.end(), {co, out[ci], out[ci + 1], out[ci + 2]});
    gradient.insert(gradient.end(), {co, out[ci + 3], out[ci + 4]});
    return l.reduce(ir::Reduction::Sum, l.load(0, filter) * l.load(1, gradient));
}

std::vector<TensorType> infer_image(const InferArgs& a) {
    const Shape& c = a.type(0).shape;
    const Shape& image = a.attrs.get<Shape>("sizes");
    const std::size_t r = c.size();
    if (r != 6 && r != 7) a.error("needs columns of rank 6, or 7 with groups: " + a.describe(0));
    const Sliding s = Sliding::of(a.attrs);
    for (std::size_t k : {0, 1})
        if (differ(c[r - 2 + k], s.places(image[k], c[r - 4 + k], k)))
            a.error(
                fmt::format("not the columns of images {}: {}", to_string(image), a.describe(0)));
    Shape out(c.begin(), c.end() - 4);
    out.insert(out.end(), image.begin(), image.end());
    return {{a.type(0).dtype, out}};
}

// out[n,ci,i,j] = sum over ky, kx of columns[n,ci,ky,kx,y,x] of those places (y, x) at which the
// tap (ky, kx) met the pixel (i, j).
Value lower_image(Lowering& l, std::span<const Index> out) {
    const Sizes c = l.shape(0);
    const Sliding s = Sliding::of(l.node.attrs);
    if (count(c) == 0) return zero(l);
    std::vector<Index> at(out.begin(), out.end() - 2);
    std::vector<Index> places;
    Guard guard(l.code);
    for (std::size_t k : {0, 1}) {
        const std::int64_t taps = c[c.size() - 4 + k];
        const Index tap = l.reduce_axis(k ? "kx" : "ky", taps);
        const Index moved = out[out.size() - 2 + k] - tap * s.dilation[k];
        if (s.step[k] > 1) guard.require(ir::eq(l.code.index(l.mod(moved, s.step[k])), 0.0));
        places.push_back(guard.inside(l.floordiv(moved, s.step[k]), last_two(c, k)));
        at.push_back(s.stored(tap, taps));
    }
    at.insert(at.end(), places.begin(), places.end());
    return l.reduce(ir::Reduction::Sum, guard.load(l, 0, at));
}

// Images cut by phase: pixel i = q * step + r of an axis is at [q, r], and a last q may be beyond
// the image's end.
std::vector<TensorType> infer_phases(const InferArgs& a) {
    TensorType t = infer_image(a)[0];
    const Sliding s = Sliding::of(a.attrs);
    if (s.dilation != Ints{1, 1}) a.error("needs filters that are not dilated");
    const Dim h = last_two(t.shape, 0), w = last_two(t.shape, 1);
    t.shape.resize(t.shape.size() - 2);
    for (std::size_t k : {0, 1}) {
        const Dim step(s.step[k]), &pixels = k ? w : h;
        t.shape.insert(t.shape.end(), {floordiv(pixels + step - Dim(1), step), step});
    }
    return {t};
}

// The taps that meet pixels of phase r are r, r + step, r + 2 step, ...; the j-th of them does so
// at the place q - j. So every address is a sum, and no tap is tried in vain but for the last.
Value lower_phases(Lowering& l, std::span<const Index> out) {
    const Sizes c = l.shape(0);
    const Sliding s = Sliding::of(l.node.attrs);
    if (count(c) == 0) return zero(l);
    std::vector<Index> at(out.begin(), out.end() - 4);
    std::vector<Index> places;
    Guard guard(l.code);
    for (std::size_t k : {0, 1}) {
        const std::int64_t taps = c[c.size() - 4 + k];
        const Index &q = out[out.size() - 4 + 2 * k], &r = out[out.size() - 3 + 2 * k];
        const Index j = l.reduce_axis(k ? "jx" : "jy", (taps + s.step[k] - 1) / s.step[k]);
        at.push_back(s.stored(guard.inside(r + j * s.step[k], taps), taps));
        places.push_back(guard.inside(q - j, last_two(c, k)));
    }
    at.insert(at.end(), places.begin(), places.end());
    return l.reduce(ir::Reduction::Sum, guard.load(l, 0, at));
}

std::vector<Sample> columns_samples() {
    auto build = [](std::span<const Expr> x) {
        return apply(conv2d_columns_op, {x[0], x[1]}, {}, {});
    };
    return {{"small", {{{3, 2, 2, 3}}, {{2, 3, 4, 5}}}, build, false, true},
            {"groups", {{{2, 3, 2, 2, 3}}, {{2, 2, 3, 4, 5}}}, build, false, true}};
}

std::vector<Sample> image_samples() {
    auto build = [](Sliding s, Shape image) {
        return [=](std::span<const Expr> x) {
            return conv2d_grad_input_by_columns(x[0], x[1], s, image);
        };
    };
    return {{"flipped", {{{3, 2, 3, 2}}, {{2, 3, 5, 9}}}, build({}, {7, 10}), false, true},
            {"correlation",
             {{{4, 3, 5, 5}}, {{2, 4, 8, 8}}},
             build({.flip = false}, {12, 12}),
             false,
             true},
            {"steps and dilation",
             {{{4, 3, 3, 2}}, {{2, 4, 3, 5}}},
             build({.step = {3, 2}, .dilation = {1, 3}}, {10, 13}),
             false,
             true},
            {"steps",
             {{{4, 3, 5, 2}}, {{2, 4, 3, 5}}},
             build({.flip = false, .step = {2, 3}}, {10, 15}),
             false,
             true},
            {"a step along columns",
             {{{4, 3, 2, 3}}, {{2, 4, 3, 15}}},
             build({.step = {1, 2}}, {4, 31}),
             false,
             true},
            {"groups", {{{2, 2, 3, 3, 3}}, {{2, 2, 2, 4, 9}}}, build({}, {6, 11}), false, true}};
}

}  // namespace

constinit const OpDef conv2d_columns_op{
    .info = {.name = "conv2d_columns", .traits = Trait::Reduces},
    .doc = "products of weights and gradients, by place in the filter",
    .arity = 2,
    .infer = infer_columns,
    .lower = lower_columns,
    .samples = columns_samples};
constinit const OpDef columns_to_image_op{
    .info = {.name = "columns_to_image", .traits = Trait::Reduces},
    .doc = "columns added up where they overlap in images with attr sizes",
    .infer = infer_image,
    .lower = lower_image,
    .samples = image_samples};

constinit const OpDef columns_to_phases_op{
    .info = {.name = "columns_to_phases", .traits = Trait::Reduces},
    .doc = "columns_to_image of a filter that steps, with the pixels cut by phase",
    .infer = infer_phases,
    .lower = lower_phases,
    .samples = image_samples};

Expr conv2d_grad_input_by_columns(const Operand& w, const Operand& g, const Sliding& sliding,
                                  const Shape& image) {
    const Expr columns = apply(conv2d_columns_op, {w.expr(), g.expr()}, {}, w.loc);
    const Attrs attrs = sliding.attrs().with("sizes", image);
    if (!sliding.steps() || sliding.dilation != Ints{1, 1})
        return apply(columns_to_image_op, {columns}, attrs, w.loc);
    const Expr phases = apply(columns_to_phases_op, {columns}, attrs, w.loc);
    // [..., qy, ry, qx, rx] to [..., y, x], and off with what is beyond the image.
    Shape whole = phases.shape();
    const Dim h = whole[whole.size() - 4] * whole[whole.size() - 3],
              wide = last_two(whole, 0) * last_two(whole, 1);
    whole.resize(whole.size() - 4);
    Shape sizes = whole;
    whole.insert(whole.end(), {h, wide});
    sizes.insert(sizes.end(), image.begin(), image.end());
    const Expr pixels = reshape(at(phases, w.loc), whole);
    if (whole == sizes) return pixels;
    return slice_window(pixels, Shape(sizes.size(), Dim(0)), Ints(sizes.size(), 1), sizes, w.loc);
}

std::span<const OpDef* const> columns_ops() {
    static constexpr std::array rows = {&conv2d_columns_op, &columns_to_image_op,
                                        &columns_to_phases_op};
    return rows;
}

}  // namespace arete

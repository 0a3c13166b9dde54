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

extern const OpDef conv2d_columns_op, add_taps_op, add_taps_by_phase_op;

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

std::vector<TensorType> infer_pixels(const InferArgs& a) {
    const Shape& c = a.type(0).shape;
    const Dim& pixels = a.attrs.get<Dim>("pixels");
    const Taps t = Taps::of(a.attrs);
    if (t.taps == t.places || std::max(t.taps, t.places) >= c.size())
        a.error("no axes of taps and of places: " + a.describe(0));
    const Dim span = (c[t.taps] - Dim(1)) * Dim(t.dilation) + Dim(1);
    if (differ(c[t.places], floordiv(pixels - span, Dim(t.step)) + Dim(1)))
        a.error(fmt::format("not the taps that met {} pixels: {}", pixels.str(), a.describe(0)));
    Shape out = c;
    out[t.places] = pixels;
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(t.taps));
    return {{a.type(0).dtype, out}};
}

// Where in the columns an element of the result finds this tap at this place.
std::vector<Index> columns_at(const Taps& t, std::vector<Index> out, const Index& tap,
                              const Index& place) {
    out[t.pixels()] = place;
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(t.taps), tap);
    return out;
}

// out[.., pixel, ..] = sum over taps of columns[.., tap, .., place, ..], of the place at which the
// tap met the pixel.
Value lower_pixels(Lowering& l, std::span<const Index> out) {
    const Sizes c = l.shape(0);
    const Taps t = Taps::of(l.node.attrs);
    if (count(c) == 0) return zero(l);
    Guard guard(l.code);
    const Index tap = l.reduce_axis("tap", c[t.taps]);
    const Index moved = out[t.pixels()] - tap * t.dilation;
    if (t.step > 1) guard.require(ir::eq(l.code.index(l.mod(moved, t.step)), 0.0));
    const Index place = guard.inside(l.floordiv(moved, t.step), c[t.places]);
    return l.reduce(
        ir::Reduction::Sum,
        guard.load(l, 0, columns_at(t, {out.begin(), out.end()}, t.stored(tap, c[t.taps]), place)));
}

// Pixels cut by phase: pixel i = q * step + r is at [q, r], and a last q may be beyond the end.
std::vector<TensorType> infer_phases(const InferArgs& a) {
    TensorType type = infer_pixels(a)[0];
    const Taps t = Taps::of(a.attrs);
    if (t.dilation != 1) a.error("needs filters that are not dilated");
    Dim& pixels = type.shape[t.pixels()];
    pixels = floordiv(pixels + Dim(t.step - 1), Dim(t.step));
    type.shape.insert(type.shape.begin() + static_cast<std::ptrdiff_t>(t.pixels()) + 1,
                      Dim(t.step));
    return {type};
}

// The taps that meet pixels of phase r are r, r + step, r + 2 step, ...; the j-th of them does so
// at the place q - j. So every address is a sum, and no tap is tried in vain but for the last.
Value lower_phases(Lowering& l, std::span<const Index> out) {
    const Sizes c = l.shape(0);
    const Taps t = Taps::of(l.node.attrs);
    if (count(c) == 0) return zero(l);
    Guard guard(l.code);
    std::vector<Index> at(out.begin(), out.end());
    const Index q = at[t.pixels()], r = at[t.pixels() + 1];
    at.erase(at.begin() + static_cast<std::ptrdiff_t>(t.pixels()) + 1);
    const std::int64_t taps = c[t.taps];
    const Index j = l.reduce_axis("j", (taps + t.step - 1) / t.step);
    const Index tap = guard.inside(r + j * t.step, taps);
    const Index place = guard.inside(q - j, c[t.places]);
    return l.reduce(ir::Reduction::Sum,
                    guard.load(l, 0, columns_at(t, std::move(at), t.stored(tap, taps), place)));
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
constinit const OpDef add_taps_op{
    .info = {.name = "add_taps", .traits = Trait::Reduces},
    .doc = "columns added up along axis taps where they meet the same of attr pixels",
    .infer = infer_pixels,
    .lower = lower_pixels,
    .samples = image_samples};

constinit const OpDef add_taps_by_phase_op{
    .info = {.name = "add_taps_by_phase", .traits = Trait::Reduces},
    .doc = "add_taps of a filter that steps, with the pixels cut by phase",
    .infer = infer_phases,
    .lower = lower_phases,
    .samples = image_samples};

Taps Taps::of(const Attrs& a) {
    return {static_cast<std::size_t>(a.get<std::int64_t>("taps")),
            static_cast<std::size_t>(a.get<std::int64_t>("places")), a.get<bool>("flip"),
            a.get<std::int64_t>("step"), a.get<std::int64_t>("dilation")};
}

Attrs Taps::attrs(const Dim& count) const {
    return {{"taps", static_cast<std::int64_t>(taps)},
            {"places", static_cast<std::int64_t>(places)},
            {"pixels", count},
            {"step", step},
            {"dilation", dilation},
            {"flip", flip}};
}

Expr add_taps(const Operand& columns, const Taps& taps, const Dim& pixels) {
    return apply(add_taps_by_phase_op, {columns.expr()}, taps.attrs(pixels), columns.loc);
}

// Rows first: taken together, the two sums would have as many terms as the filter has taps.
Expr conv2d_grad_input_by_columns(const Operand& w, const Operand& g, const Sliding& s,
                                  const Shape& image) {
    const bool by_phase = s.steps() && s.dilation == Ints{1, 1};
    Expr e = apply(conv2d_columns_op, {w.expr(), g.expr()}, {}, w.loc);
    const std::size_t taps = static_cast<std::size_t>(e.rank()) - 4;
    for (std::size_t k : {0, 1}) {
        const std::size_t places = static_cast<std::size_t>(e.rank()) - (k ? 1 : 2);
        const Taps t{taps, places, s.flip, s.step[k], s.dilation[k]};
        e = by_phase ? add_taps(at(e, w.loc), t, image[k])
                     : apply(add_taps_op, {e}, t.attrs(image[k]), w.loc);
    }
    if (!by_phase) return e;
    // [..., qy, ry, qx, rx] to [..., y, x], and off with what is beyond the image.
    Shape whole = e.shape();
    const Dim h = whole[whole.size() - 4] * whole[whole.size() - 3],
              wide = last_two(whole, 0) * last_two(whole, 1);
    whole.resize(whole.size() - 4);
    Shape sizes = whole;
    whole.insert(whole.end(), {h, wide});
    sizes.insert(sizes.end(), image.begin(), image.end());
    const Expr pixels = reshape(at(e, w.loc), whole);
    if (whole == sizes) return pixels;
    return slice_window(pixels, Shape(sizes.size(), Dim(0)), Ints(sizes.size(), 1), sizes, w.loc);
}

std::span<const OpDef* const> columns_ops() {
    static constexpr std::array rows = {&conv2d_columns_op, &add_taps_op, &add_taps_by_phase_op};
    return rows;
}

}  // namespace arete

// Gradient with respect to the images of a convolution that steps. The taps that meet pixels of one
// phase, those with i mod step alike, are every step-th one: what they add up is a convolution of
// the gradient by itself, with a filter of these taps. Its results, interleaved, are the images,
// and there is no arithmetic on the zeros that a step would put between the gradient's elements.
#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/sliding.h"

namespace arete {

extern const OpDef conv2d_op;

namespace {

// The shape of the padded images, attr pad being of those whose last two sizes are attr sizes.
Shape whole_image(const Shape& like, const Attrs& attrs) {
    const Shape& sizes = attrs.get<Shape>("sizes");
    Shape out(like.begin(), like.end() - 2);
    out.insert(out.end(), sizes.begin(), sizes.end());
    return attrs.has("pad") ? padded_shape(out, attrs.get<Shape>("pad")) : out;
}

std::vector<TensorType> infer_grad_input(const InferArgs& a) {
    require_images(a);
    const Sliding s = Sliding::of(a.attrs);
    const Shape &w = a.type(0).shape, &g = a.type(1).shape, image = whole_image(g, a.attrs);
    const std::size_t r = w.size();
    bool fits = !differ(w[r - 4], g[r - 3]) && (r == 4 || !differ(w[0], g[1]));
    for (std::size_t k : {0, 1})
        fits = fits && !differ(s.places(last_two(image, k), last_two(w, k), k), last_two(g, k));
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    if (!fits)
        a.error(fmt::format("not the gradient of a convolution of images {}: {}, {}",
                            to_string(sizes), a.describe(0), a.describe(1)));
    Shape out = {g[0]};
    if (r == 5) out.push_back(g[1]);
    out.insert(out.end(), {channels(w), sizes[0], sizes[1]});
    return {{a.type(0).dtype, out}};
}

// One axis of the images: how pixel q * step + r, for every q, comes to be.
struct Phase {
    std::int64_t taps;         // how many meet such pixels
    std::int64_t first, step;  // where the filter stores these: first, first + step, ...
    std::int64_t start;        // the place that the last of them has at q = 0
};

Phase phase_of(const Sliding& s, std::size_t k, std::int64_t taps, std::int64_t pad,
               std::int64_t r) {
    const std::int64_t step = s.step[k], tap = (r + pad) % step;
    Phase p{tap < taps ? (taps - tap + step - 1) / step : 0, tap, step, 0};
    if (s.flip && p.taps > 0) p.first = (taps - 1 - tap) % step;
    p.start = (r + pad) / step - (p.taps - 1);
    return p;
}

Expr window(const Expr& x, std::array<std::int64_t, 2> starts, std::array<std::int64_t, 2> steps,
            std::array<std::int64_t, 2> sizes, Loc loc) {
    const std::size_t r = x.shape().size();
    Shape from(r, Dim(0)), out = x.shape();
    Ints by(r, 1);
    for (std::size_t k : {0, 1}) {
        from[r - 2 + k] = Dim(starts[k]);
        by[r - 2 + k] = steps[k];
        out[r - 2 + k] = Dim(sizes[k]);
    }
    if (out == x.shape() && by == Ints(r, 1)) return x;
    return slice_window(x, from, by, out, loc);
}

// Sizes are numbers here.
Expr by_phases(const Expr& w, const Expr& g, const Sliding& s, const Sizes& image, const Sizes& pad,
               Loc loc) {
    const Sizes filter = concrete(w.shape()), places = concrete(g.shape());
    std::array<std::vector<Phase>, 2> phases;
    std::array<std::int64_t, 2> rows{};  // of pixels of one phase
    Sizes edge(4);
    for (std::size_t k : {0, 1}) {
        rows[k] = (image[k] + s.step[k] - 1) / s.step[k];
        for (std::int64_t r = 0; r < s.step[k]; ++r) {
            const Phase p = phase_of(s, k, last_two(filter, k), pad[2 * k], r);
            phases[k].push_back(p);
            if (p.taps == 0) continue;
            edge[2 * k] = std::max(edge[2 * k], -p.start);
            edge[2 * k + 1] =
                std::max(edge[2 * k + 1], p.start + rows[k] + p.taps - 1 - last_two(places, k));
        }
    }
    const Expr around = padded(g, Shape(edge.begin(), edge.end()), loc);
    const Sliding inner{.flip = !s.flip};
    Shape none = g.shape();
    none[none.size() - 3] = channels(w.shape());
    for (std::size_t k : {0, 1}) none[none.size() - 2 + k] = Dim(rows[k]);
    const auto convolved = [&](const Phase& y, const Phase& x) -> Expr {
        if (y.taps == 0 || x.taps == 0)
            return broadcast_to(at(scalar_constant(w.dtype(), 0.0, loc), loc), none);
        const Expr taps = window(w, {y.first, x.first}, {y.step, x.step}, {y.taps, x.taps}, loc);
        const Expr met = window(around, {y.start + edge[0], x.start + edge[2]}, {1, 1},
                                {rows[0] + y.taps - 1, rows[1] + x.taps - 1}, loc);
        return apply(conv2d_op, {met, swap_channels(taps, loc)}, inner.attrs(), loc);
    };
    // [.., qy, ry, qx, rx] to [.., y, x], and off with what is beyond the image.
    std::vector<Operand> by_row;
    for (const Phase& y : phases[0]) {
        std::vector<Operand> by_column;
        for (const Phase& x : phases[1]) by_column.push_back(at(convolved(y, x), loc));
        by_row.push_back(at(stack(by_column, g.rank()), loc));
    }
    Shape whole = none;
    for (std::size_t k : {0, 1}) whole[whole.size() - 2 + k] = Dim(rows[k] * s.step[k]);
    const Expr pixels = reshape(at(stack(by_row, g.rank() - 1), loc), whole);
    return window(pixels, {0, 0}, {1, 1}, {image[0], image[1]}, loc);
}

std::vector<Expr> expand_grad_input(const Node& n) {
    const Sliding s = Sliding::of(n.attrs);
    const Expr &w = n.inputs[0], &g = n.inputs[1];
    const Sizes sizes = concrete(n.attrs.get<Shape>("sizes"));
    const Sizes pad = n.attrs.has("pad") ? concrete(n.attrs.get<Shape>("pad")) : Sizes(4);
    if (s.dilation == Ints{1, 1} && count(concrete(g.shape())) > 0 && sizes[0] * sizes[1] > 0)
        return {by_phases(w, g, s, sizes, pad, n.loc())};
    const Shape image = whole_image(g.shape(), n.attrs);
    const Expr whole = conv2d_grad_input_by_columns(at(w, n.loc()), at(g, n.loc()), s,
                                                    {last_two(image, 0), last_two(image, 1)});
    return {window(whole, {pad[0], pad[2]}, {1, 1}, {sizes[0], sizes[1]}, n.loc())};
}

// Linear in both: with G of the images' shape, and zeros around it.
std::vector<Expr> pullback_grad_input(const PullbackArgs& a) {
    const Sliding s = Sliding::of(a.node.attrs);
    const Expr G =
        a.node.attrs.has("pad") ? padded(a.g[0], a.node.attrs.get<Shape>("pad"), {}) : a.g[0];
    return {filter_gradient(G, a.x[1], s, a.x[0].shape()),
            apply(conv2d_op, {G, a.x[0]}, s.attrs(), {})};
}

std::vector<Sample> grad_input_samples() {
    const auto sample = [](const char* name, std::vector<Sizes> shapes, Sliding s, Shape image,
                           Shape pad) {
        Sample out{name, {}, [=](std::span<const Expr> x) {
                       Shape whole = x[1].shape();
                       whole[whole.size() - 2] = image[0];
                       whole[whole.size() - 1] = image[1];
                       return conv2d_grad_input(x[0], x[1], s, whole, pad);
                   }};
        for (Sizes& sizes : shapes) out.inputs.push_back({std::move(sizes)});
        out.floats_only = true;
        return out;
    };
    const Shape none(4, Dim(0));
    return {sample("steps", {{3, 2, 3, 2}, {2, 3, 3, 3}}, {.step = {2, 3}}, {8, 8}, none),
            sample("a step larger than the filter, dilation, groups",
                   {{2, 3, 1, 1, 2}, {1, 2, 3, 3, 3}},
                   {.flip = false, .step = {3, 2}, .dilation = {1, 2}}, {9, 8}, none),
            sample("a step larger than the filter, groups", {{2, 3, 1, 1, 2}, {1, 2, 3, 3, 3}},
                   {.step = {3, 4}}, {9, 11}, none),
            sample("inside of padding", {{4, 3, 3, 3}, {2, 4, 4, 5}},
                   {.flip = false, .step = {2, 2}}, {7, 8}, {1, 1, 1, 2}),
            sample("padding wider than the filter", {{2, 3, 2, 2}, {1, 2, 5, 4}}, {.step = {2, 3}},
                   {3, 5}, {3, 4, 5, 3}),
            sample("padding that is not reached, a step along columns",
                   {{2, 2, 2, 3}, {1, 2, 4, 3}}, {.step = {1, 3}}, {4, 7}, {0, 1, 2, 2})};
}

}  // namespace

constinit const OpDef conv2d_grad_input_op{
    .info = {.name = "conv2d_grad_input"},
    .doc = "gradient of a conv2d that steps with respect to images of attr sizes, with attr pad",
    .arity = 2,
    .infer = infer_grad_input,
    .expand = expand_grad_input,
    .pullback = pullback_grad_input,
    .samples = grad_input_samples};

Expr conv2d_grad_input(const Expr& w, const Expr& g, const Sliding& s, const Shape& image,
                       const Shape& pad) {
    Attrs attrs = s.attrs().with("sizes", Shape{last_two(image, 0), last_two(image, 1)});
    if (pad != Shape(4, Dim(0))) attrs = attrs.with("pad", pad);
    return apply(conv2d_grad_input_op, {w, g}, attrs, {});
}

}  // namespace arete

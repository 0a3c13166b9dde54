// Rows of convolution. Padding becomes an op of its own before the graph is fused, so that the sums
// have no conditions; until then it is part of the convolution, whose gradient then leaves it out.
// The gradient with respect to the images is a convolution of the padded gradient where the filter
// moves by 1; elsewhere, and with respect to the filters, it is an op of its own.
#include "compiler/ops/convolution.h"

#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/sliding.h"

namespace arete {

using loops::Index;
using loops::Reduction;
using loops::Value;
namespace ir = loops;

extern const OpDef conv2d_op, conv2d_padded_op, conv2d_grad_weights_op, pad2d_op;

Sliding Sliding::of(const Attrs& attrs) {
    Sliding s{.flip = attrs.get<bool>("filter_flip")};
    if (attrs.has("subsample")) s.step = attrs.get<Ints>("subsample");
    if (attrs.has("filter_dilation")) s.dilation = attrs.get<Ints>("filter_dilation");
    return s;
}

Attrs Sliding::attrs() const {
    Attrs out{{"filter_flip", flip}};
    if (steps()) out = out.with("subsample", step);
    if (dilation != Ints{1, 1}) out = out.with("filter_dilation", dilation);
    return out;
}

Dim Sliding::span(const Dim& taps, std::size_t k) const {
    return (taps - Dim(1)) * Dim(dilation[k]) + Dim(1);
}

Dim Sliding::places(const Dim& image, const Dim& taps, std::size_t k) const {
    return floordiv(image - span(taps, k), Dim(step[k])) + Dim(1);
}

Ints swapped_order(int rank) {
    return rank == 5 ? Ints{0, 2, 1, 3, 4} : Ints{1, 0, 2, 3};
}

Expr swap_channels(const Expr& w, Loc loc) {
    const Ints order = swapped_order(w.rank());
    std::vector<DimItem> items;
    for (std::int64_t k : order) items.emplace_back(static_cast<int>(k));
    return dimshuffle(at(w, loc), items);
}

const Dim& channels(const Shape& s) {
    return s[s.size() - 3];
}

void require_images(const InferArgs& a) {
    const int rank = a.type(0).rank() == 5 ? 5 : 4;
    for (std::size_t i : {0, 1})
        if (a.type(i).rank() != rank) a.error("needs rank 4: " + a.describe(i));
    if (!is_float(a.type(0).dtype) || a.type(0).dtype != a.type(1).dtype)
        a.error(fmt::format("needs floats of one dtype: {}, {}", a.describe(0), a.describe(1)));
}

Shape padded_shape(Shape shape, const Shape& pad) {
    for (std::size_t k : {0, 1}) {
        Dim& d = shape[shape.size() - 2 + k];
        d = d + pad[2 * k] + pad[2 * k + 1];
    }
    return shape;
}

Expr padded(const Expr& x, const Shape& pad, Loc loc) {
    return pad == Shape(4, Dim(0)) ? x : apply(pad2d_op, {x}, {{"pad", pad}}, loc);
}

// Gradient with respect to filters of the given shape. Where the filter steps, several sizes of
// filters give one number of places, so that the size is an attribute.
Expr filter_gradient(const Expr& x, const Expr& g, const Sliding& s, const Shape& filter) {
    Attrs attrs = s.attrs();
    if (s.steps()) attrs = attrs.with("sizes", Shape{last_two(filter, 0), last_two(filter, 1)});
    return apply(conv2d_grad_weights_op, {x, g}, attrs, {});
}

namespace {

// Neither operand is a filter that leaves the image: sizes of the result would not be positive. The
// gradient of images without rows or columns has none (attr empty).
void require_inside(const InferArgs& a, const Shape& image, const Shape& filter, const Sliding& s) {
    const std::int64_t missing = a.attrs.has("empty") ? 1 : 0;
    for (std::size_t k : {0, 1}) {
        const Dim &pixels = last_two(image, k), span = s.span(last_two(filter, k), k);
        if (!pixels.is_const() || !span.is_const() || pixels.value() + missing >= span.value())
            continue;
        // As the user wrote it; otherwise in numbers, since groups are an axis of their own here.
        if (a.op.info.name == "conv2d" && image.size() == 4 && span == last_two(filter, k))
            a.error(fmt::format("the image is smaller than the filter: {}, {}", a.describe(0),
                                a.describe(1)));
        fail<GraphError>(a.loc,
                         "conv2d: the image is smaller than the filter: the filter spans {} "
                         "{}, the padded image has {}: {}x{} pixels, filters of {}x{}",
                         span.value(), k ? "columns" : "rows", pixels.value(),
                         last_two(image, 0).str(), last_two(image, 1).str(),
                         last_two(filter, 0).str(), last_two(filter, 1).str());
    }
}

std::vector<TensorType> infer_conv2d(const InferArgs& a) {
    require_images(a);
    const Sliding s = Sliding::of(a.attrs);
    const Shape& w = a.type(1).shape;
    const Shape x = a.attrs.has("pad") ? padded_shape(a.type(0).shape, a.attrs.get<Shape>("pad"))
                                       : a.type(0).shape;
    require_inside(a, x, w, s);
    if (differ(channels(x), channels(w)))
        a.error(fmt::format("numbers of channels differ: {}, {}", a.describe(0), a.describe(1)));
    Shape out = x;
    if (out.size() == 5) {
        if (differ(x[1], w[0]))
            a.error(fmt::format("numbers of groups differ: {}, {}", a.describe(0), a.describe(1)));
        out[1] = w[0];
    }
    out[out.size() - 3] = w[w.size() - 4];
    for (std::size_t k : {0, 1})
        out[out.size() - 2 + k] = s.places(last_two(x, k), last_two(w, k), k);
    return {{a.type(0).dtype, out}};
}

// Indices of an image or gradient, and of a filter: `at` gives image and group.
std::vector<Index> image_at(const Index& image, const Index* group, const Index& channel,
                            const Index& y, const Index& x) {
    if (group) return {image, *group, channel, y, x};
    return {image, channel, y, x};
}

Value lower_conv2d(Lowering& l, std::span<const Index> out) {
    const Sizes w = l.shape(1);
    const Sliding s = Sliding::of(l.node.attrs);
    const std::size_t r = w.size();
    const Index ci = l.reduce_axis("ci", w[r - 3]), ky = l.reduce_axis("ky", w[r - 2]),
                kx = l.reduce_axis("kx", w[r - 1]);
    const Index* group = r == 5 ? &out[1] : nullptr;
    // A filter has its group first and its number next.
    std::vector<Index> filter = {out[r - 3], ci, s.stored(ky, w[r - 2]), s.stored(kx, w[r - 1])};
    if (group) filter.insert(filter.begin(), *group);
    return l.reduce(Reduction::Sum,
                    l.load(0, image_at(out[0], group, ci, s.pixel(out[r - 2], ky, 0),
                                       s.pixel(out[r - 1], kx, 1))) *
                        l.load(1, filter));
}

// Gradient with respect to images of the given shape: each of their pixels was met by every tap of
// the filter that a place of the filter brings there.
Expr image_gradient(const Expr& g, const Expr& w, Sliding s, const Shape& image) {
    if (s.steps()) return conv2d_grad_input(w, g, s, image, Shape(4, Dim(0)));
    Shape pad;
    for (std::size_t k : {0, 1}) {
        const Dim edge = s.span(last_two(w.shape(), k), k) - Dim(1);
        pad.insert(pad.end(), {edge, edge});
    }
    s.flip = !s.flip;
    return apply(conv2d_op, {apply(pad2d_op, {g}, {{"pad", pad}}, {}), swap_channels(w)}, s.attrs(),
                 {});
}

// A convolution of images with `pad` around them; negative padding takes away.
Expr convolution(const Expr& x, const Expr& w, const Sliding& s, const Shape& pad, Loc loc = {}) {
    if (pad == Shape(4, Dim(0))) return apply(conv2d_op, {x, w}, s.attrs(), loc);
    return apply(conv2d_padded_op, {x, w}, s.attrs().with("pad", pad), loc);
}

// Sizes are numbers here. Where the padding is negative, as it is in the gradient of a convolution
// whose padding is wider than the filter reaches, pixels are left out.
std::vector<Expr> expand_conv2d_padded(const Node& n) {
    Expr x = n.inputs[0];
    if (n.attrs.has("empty") && size_of(n.types[0].shape) == Dim(0))
        return {broadcast_to(at(scalar_constant(n.types[0].dtype, 0.0, n.loc()), n.loc()),
                             n.types[0].shape)};
    Shape pad = n.attrs.get<Shape>("pad"), starts(x.shape().size(), Dim(0)), inside = x.shape();
    for (std::size_t i = 0; i < 4; ++i) {
        if (pad[i].value() >= 0) continue;
        const std::size_t axis = starts.size() - 2 + i / 2;
        if (i % 2 == 0) starts[axis] = Dim(0) - pad[i];
        inside[axis] = inside[axis] + pad[i];
        pad[i] = 0;
    }
    if (inside != x.shape()) x = slice_window(x, starts, Ints(starts.size(), 1), inside, n.loc());
    return {apply(conv2d_op, {padded(x, pad, n.loc()), n.inputs[1]}, Sliding::of(n.attrs).attrs(),
                  n.loc())};
}

// Of the images' gradient only what is inside of the padding is computed.
std::vector<Expr> pullback_conv2d_padded(const PullbackArgs& a) {
    Sliding s = Sliding::of(a.node.attrs);
    const Shape& pad = a.node.attrs.get<Shape>("pad");
    const Expr &x = a.x[0], &w = a.x[1], &g = a.g[0];
    const Expr filters = filter_gradient(padded(x, pad, {}), g, s, w.shape());
    if (s.steps()) {
        return {conv2d_grad_input(w, g, s, x.shape(), pad), filters};
    }
    Shape rest;
    for (std::size_t i = 0; i < 4; ++i)
        rest.push_back(s.span(last_two(w.shape(), i / 2), i / 2) - Dim(1) - pad[i]);
    s.flip = !s.flip;
    const Expr turned = swap_channels(w);
    const bool pixels = last_two(x.shape(), 0).is_const() && last_two(x.shape(), 1).is_const() &&
                        last_two(x.shape(), 0).value() > 0 && last_two(x.shape(), 1).value() > 0;
    if (pixels) return {convolution(g, turned, s, rest), filters};
    return {
        apply(conv2d_padded_op, {g, turned}, s.attrs().with("pad", rest).with("empty", true), {}),
        filters};
}

std::vector<Expr> pullback_conv2d(const PullbackArgs& a) {
    const Sliding s = Sliding::of(a.node.attrs);
    return {image_gradient(a.g[0], a.x[1], s, a.x[0].shape()),
            filter_gradient(a.x[0], a.g[0], s, a.x[1].shape())};
}

std::vector<TensorType> infer_conv2d_grad_weights(const InferArgs& a) {
    require_images(a);
    const Sliding s = Sliding::of(a.attrs);
    const Shape &x = a.type(0).shape, &g = a.type(1).shape;
    if (differ(x[0], g[0]))
        a.error(fmt::format("numbers of images differ: {}, {}", a.describe(0), a.describe(1)));
    Shape out = {channels(g), channels(x)};
    if (x.size() == 5) {
        if (differ(x[1], g[1]))
            a.error(fmt::format("numbers of groups differ: {}, {}", a.describe(0), a.describe(1)));
        out.insert(out.begin(), x[1]);
    }
    for (std::size_t k : {0, 1}) {
        const Dim &pixels = last_two(x, k), &places = last_two(g, k);
        const bool given = a.attrs.has("sizes");
        const Dim taps = given ? a.attrs.get<Shape>("sizes")[k]
                               : floordiv(pixels - places, Dim(s.dilation[k])) + Dim(1);
        if ((taps.is_const() && taps.value() < 0) ||
            (given && differ(s.places(pixels, taps, k), places)))
            a.error(fmt::format("not the gradient of a convolution of these images: {}, {}",
                                a.describe(0), a.describe(1)));
        out.push_back(taps);
    }
    return {{a.type(0).dtype, out}};
}

Value lower_conv2d_grad_weights(Lowering& l, std::span<const Index> out) {
    const Sizes w = l.shape(), g = l.shape(1);
    const Sliding s = Sliding::of(l.node.attrs);
    const std::size_t r = w.size();
    const Index n = l.reduce_axis("n", g[0]), y = l.reduce_axis("y", g[r - 2]),
                x = l.reduce_axis("x", g[r - 1]);
    const Index ky = s.stored(out[r - 2], w[r - 2]), kx = s.stored(out[r - 1], w[r - 1]);
    const Index* group = r == 5 ? &out[0] : nullptr;
    return l.reduce(Reduction::Sum, l.load(0, image_at(n, group, out[r - 3], s.pixel(y, ky, 0),
                                                       s.pixel(x, kx, 1))) *
                                        l.load(1, image_at(n, group, out[r - 4], y, x)));
}

// y = grad_weights(x, g) is linear in both: with G of y's shape, x's gradient is the one of a
// convolution with the filters G, and g's is that convolution itself.
std::vector<Expr> pullback_conv2d_grad_weights(const PullbackArgs& a) {
    const Sliding s = Sliding::of(a.node.attrs);
    return {image_gradient(a.x[1], a.g[0], s, a.x[0].shape()),
            apply(conv2d_op, {a.x[0], a.g[0]}, s.attrs(), {})};
}

// ---- samples

using Inputs = std::span<const Expr>;

Sample floats(Sample s) {
    s.floats_only = true;
    return s;
}

std::vector<Sample> conv2d_samples() {
    auto build = [](Conv2dOptions options) {
        return [options](Inputs x) { return conv2d(x[0], x[1], options); };
    };
    return {
        floats({"flipped", {{{2, 3, 7, 6}}, {{4, 3, 3, 2}}}, build({})}),
        floats({"correlation", {{{1, 1, 5, 9}}, {{2, 1, 2, 5}}}, build({.filter_flip = false})}),
        floats({"whole image", {{{3, 2, 4, 4}}, {{5, 2, 4, 4}}}, build({})}),
        floats({"half, one filter", {{{1, 2, 5, 6}}, {{1, 2, 3, 3}}}, build({Border::half})}),
        floats({"steps and padding",
                {{{2, 2, 7, 9}}, {{3, 2, 3, 2}}},
                build({.border_mode = {{1, 2}, {0, 3}}, .subsample = {2, 3}})}),
        floats({"dilation, full",
                {{{1, 2, 5, 6}}, {{2, 2, 2, 3}}},
                build({.border_mode = Border::full, .filter_dilation = {3, 2}})}),
        floats({"groups",
                {{{2, 4, 5, 6}}, {{6, 2, 3, 2}}},
                build({.border_mode = 1, .num_groups = 2})}),
        floats({"each channel by itself, steps",
                {{{1, 3, 6, 19}}, {{3, 1, 3, 3}}},
                build({.border_mode = {1, 0},
                       .subsample = {2, 1},
                       .filter_flip = false,
                       .num_groups = 3})})};
}

std::vector<Sample> conv2d_grad_weights_samples() {
    auto build = [](Sliding s) {
        return [s](Inputs x) { return apply(conv2d_grad_weights_op, {x[0], x[1]}, s.attrs(), {}); };
    };
    auto sized = [](Sliding s, Shape sizes) {
        return [=](Inputs x) {
            return apply(conv2d_grad_weights_op, {x[0], x[1]}, s.attrs().with("sizes", sizes), {});
        };
    };
    return {floats({"flipped", {{{2, 3, 6, 5}}, {{2, 4, 4, 4}}}, build({})}),
            floats({"correlation", {{{1, 2, 4, 5}}, {{1, 3, 2, 5}}}, build({.flip = false})}),
            floats({"dilation", {{{1, 2, 8, 9}}, {{1, 2, 4, 6}}}, build({.dilation = {2, 3}})}),
            floats({"steps", {{{2, 2, 8, 7}}, {{2, 3, 3, 3}}}, sized({.step = {2, 3}}, {3, 1})}),
            floats({"groups, steps",
                    {{{2, 2, 1, 8, 6}}, {{2, 2, 3, 3, 2}}},
                    sized({.flip = false, .step = {2, 3}}, {4, 2})})};
}

}  // namespace

constinit const OpDef conv2d_op{
    .info = {.name = "conv2d", .traits = Trait::Reduces | Trait::Bilinear},
    .doc = "valid convolution of images and filters, which may step, be dilated, have groups",
    .arity = 2,
    .infer = infer_conv2d,
    .lower = lower_conv2d,
    .pullback = pullback_conv2d,
    .samples = conv2d_samples};
constinit const OpDef conv2d_padded_op{
    .info = {.name = "conv2d_padded"},
    .doc = "conv2d of images with attr pad, rows and columns of zeros, around them",
    .arity = 2,
    .infer = infer_conv2d,
    .expand = expand_conv2d_padded,
    .pullback = pullback_conv2d_padded,
    .samples = conv2d_samples};
constinit const OpDef conv2d_grad_weights_op{
    .info = {.name = "conv2d_grad_weights", .traits = Trait::Reduces | Trait::Bilinear},
    .doc = "gradient of conv2d with respect to its filters, from images and the gradient",
    .arity = 2,
    .infer = infer_conv2d_grad_weights,
    .lower = lower_conv2d_grad_weights,
    .pullback = pullback_conv2d_grad_weights,
    .samples = conv2d_grad_weights_samples};
// ---- builders

namespace {

// conv2d's arguments: what can be wrong with them is said in the user's terms, not in those of the
// ops that the call is made of.
struct Call {
    const Expr &x, &w;
    const Conv2dOptions& o;
    Loc loc;

    template <class... T>
    [[noreturn]] void error(fmt::format_string<T...> format, T&&... args) const {
        fail<GraphError>(loc, "conv2d: {}: {}, {}", fmt::format(format, std::forward<T>(args)...),
                         describe(x, "argument 1"), describe(w, "argument 2"));
    }

    void check_options() const {
        for (const Expr* e : {&x, &w})
            if (e->rank() != 4)
                fail<GraphError>(loc, "conv2d: needs rank 4: {}",
                                 describe(*e, e == &x ? "argument 1" : "argument 2"));
        for (std::size_t k : {0, 1}) {
            if (o.subsample[k] < 1 || o.filter_dilation[k] < 1)
                fail<GraphError>(loc, "conv2d: {} must be positive, it is {}, {}",
                                 o.subsample[k] < 1 ? "subsample" : "filter_dilation",
                                 o.subsample[k] < 1 ? o.subsample[0] : o.filter_dilation[0],
                                 o.subsample[k] < 1 ? o.subsample[1] : o.filter_dilation[1]);
            const Sides& s = k ? o.border_mode.columns : o.border_mode.rows;
            if (s.before < 0 || s.after < 0)
                fail<GraphError>(loc, "conv2d: negative border {}, {} of {}", s.before, s.after,
                                 k ? "columns" : "rows");
        }
        if (o.num_groups < 1)
            fail<GraphError>(loc, "conv2d: num_groups must be positive, it is {}", o.num_groups);
    }

    void check_channels() const {
        const Dim &c = x.shape()[1], &ci = w.shape()[1], &co = w.shape()[0], groups(o.num_groups);
        if (c.is_const() && c.value() % o.num_groups)
            error("{} channels cannot be divided into {} groups", c.value(), o.num_groups);
        if (co.is_const() && co.value() % o.num_groups)
            error("{} filters cannot be divided into {} groups", co.value(), o.num_groups);
        if (differ(c, ci * groups)) {
            if (o.num_groups == 1) error("numbers of channels differ");
            error("filters of {} groups of {} channels have {} each", o.num_groups,
                  c.value() / o.num_groups, ci.value());
        }
    }

    // Rows above and below, columns left and right.
    Shape pad(const Sliding& s) const {
        Shape out;
        for (std::size_t k : {0, 1}) {
            const Dim span = s.span(w.shape()[2 + k], k);
            Dim both;
            switch (o.border_mode.border) {
                case Border::valid: break;
                case Border::full: both = span - Dim(1); break;
                case Border::half: both = floordiv(span, Dim(2)); break;
            }
            const Sides& given = k ? o.border_mode.columns : o.border_mode.rows;
            out.insert(out.end(), {both + Dim(given.before), both + Dim(given.after)});
        }
        return out;
    }

    void check_sizes(const Sliding& s, const Shape& pad) const {
        for (std::size_t k : {0, 1}) {
            const Dim &image = x.shape()[2 + k], edge = pad[2 * k] + pad[2 * k + 1],
                      span = s.span(w.shape()[2 + k], k);
            if (!differ(image + edge, span) || image.value() + edge.value() >= span.value())
                continue;
            std::string_view what = k ? "columns" : "rows";
            if (edge == Dim(0) && span == w.shape()[2 + k])
                error("the image is smaller than the filter");
            error("the filter spans {} {}, the padded image has {}", span.value(), what,
                  image.value() + edge.value());
        }
    }
};

// The channels' axis cut into groups.
Expr split(const Expr& e, std::size_t axis, std::int64_t groups, Loc loc) {
    Shape shape = e.shape();
    shape[axis] = floordiv(shape[axis], Dim(groups));
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), Dim(groups));
    return reshape(at(e, loc), shape);
}

}  // namespace

Expr conv2d(const Operand& x, const Operand& w, const Conv2dOptions& o) {
    const Loc loc = x.loc;
    auto [image, filter] = unify(x, w);
    const Call call{image, filter, o, loc};
    call.check_options();
    call.check_channels();
    const Sliding s{.flip = o.filter_flip,
                    .step = {o.subsample[0], o.subsample[1]},
                    .dilation = {o.filter_dilation[0], o.filter_dilation[1]}};
    const Shape pad = call.pad(s);
    call.check_sizes(s, pad);
    const DType t = float_of(image.dtype());
    Expr a = cast(at(image, loc), t), b = cast(at(filter, loc), t);
    const std::int64_t groups = o.num_groups;
    if (groups == 1) return convolution(a, b, s, pad, loc);
    a = split(a, 1, groups, loc);
    b = split(b, 0, groups, loc);
    const Expr y = convolution(a, b, s, pad, loc);
    Shape shape = y.shape();
    shape[2] = filter.shape()[0];
    shape.erase(shape.begin() + 1);
    return reshape(at(y, loc), shape);
}

std::span<const OpDef* const> convolution_ops() {
    static constexpr std::array rows = {&conv2d_op, &conv2d_padded_op, &conv2d_grad_weights_op,
                                        &conv2d_grad_input_op};
    return rows;
}

}  // namespace arete

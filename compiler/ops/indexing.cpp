// Slices: rows with constant and with run-time starts, and NumPy's index made of them.
#include "compiler/ops/indexing.h"

#include <algorithm>
#include <array>

#include "compiler/core/integers.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/index_parts.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef slice_op, slice_grad_op, dynamic_slice_op, dynamic_slice_grad_op, reshape_op;

namespace {

// Does a window of these (known) numbers stay inside the axis?
bool inside(std::int64_t start, std::int64_t step, std::int64_t length, std::int64_t size) {
    if (length == 0) return true;
    const std::int64_t last = saturating_sum(start, saturating_product(length - 1, step));
    return std::min(start, last) >= 0 && std::max(start, last) < size;
}

std::vector<TensorType> infer_slice(const InferArgs& a) {
    const Shape &starts = a.attrs.get<Shape>("starts"), &sizes = a.attrs.get<Shape>("sizes");
    const Ints& steps = a.attrs.get<Ints>("steps");
    const Shape& in = a.type(0).shape;
    if (sizes.size() != in.size()) a.error("one size an axis: " + a.describe(0));
    for (std::size_t k = 0; k < in.size(); ++k) {
        if (!starts[k].is_const() || !sizes[k].is_const() || !in[k].is_const()) continue;
        if (sizes[k].value() < 0 ||
            !inside(starts[k].value(), steps[k], sizes[k].value(), in[k].value()))
            a.error(fmt::format("{} elements from {} in steps of {} leave axis {}: {}",
                                sizes[k].str(), starts[k].str(), steps[k], k, a.describe(0)));
    }
    return {{a.type(0).dtype, sizes}};
}

std::vector<TensorType> infer_dynamic_slice(const InferArgs& a) {
    const Shape &sizes = a.attrs.get<Shape>("sizes"), &in = a.type(0).shape;
    const Ints& steps = a.attrs.get<Ints>("steps");
    if (sizes.size() != in.size() || a.inputs.size() != in.size() + 1)
        a.error("one start and one size an axis: " + a.describe(0));
    // Somewhere on the axis such a slice must fit: where it begins is known only at run time.
    for (std::size_t k = 0; k < in.size(); ++k)
        if (sizes[k].is_const() && in[k].is_const() &&
            (sizes[k].value() < 0 ||
             !inside(0, std::abs(steps[k]), sizes[k].value(), in[k].value())))
            a.error(fmt::format("{} elements in steps of {} leave axis {}: {}", sizes[k].str(),
                                steps[k], k, a.describe(0)));
    // Starts that are computed have been checked; numbers may stand beside a size that was not
    // known when they were written.
    for (std::size_t k = 0; k < in.size(); ++k) {
        const Array* start = constant_value(a.inputs[k + 1]);
        if (!start || start->rank() != 0 || !sizes[k].is_const() || !in[k].is_const()) continue;
        if (!inside(start->as_int(), steps[k], sizes[k].value(), in[k].value()))
            a.error(fmt::format("{} elements from {} in steps of {} leave axis {}: {}",
                                sizes[k].str(), start->as_int(), steps[k], k, a.describe(0)));
    }
    return {{a.type(0).dtype, sizes}};
}

std::vector<TensorType> infer_slice_grad(const InferArgs& a) {
    return {{a.type(0).dtype, a.attrs.get<Shape>("sizes")}};
}

// Starts along each axis: constants, or the values of the inputs after the first.
std::vector<Index> starts_of(Lowering& l) {
    std::vector<Index> starts;
    if (l.node.attrs.has("starts"))
        for (std::int64_t s : concrete(l.node.attrs.get<Shape>("starts"))) starts.push_back(s);
    else
        for (std::size_t i = 1; i < l.node.inputs.size(); ++i)
            starts.push_back(to_index(l.load(static_cast<int>(i), {})));
    return starts;
}

Value lower_slice(Lowering& l, std::span<const Index> out) {
    const Ints& steps = l.node.attrs.get<Ints>("steps");
    std::vector<Index> index = starts_of(l);
    for (std::size_t k = 0; k < out.size(); ++k) index[k] = index[k] + out[k] * steps[k];
    return l.load(0, index);
}

Value lower_slice_grad(Lowering& l, std::span<const Index> out) {
    const Sizes sizes = l.shape(0);
    if (count(sizes) == 0) return zero(l);
    const Ints& steps = l.node.attrs.get<Ints>("steps");
    const std::vector<Index> starts = starts_of(l);
    std::vector<Index> index;
    Guard guard(l.code);
    for (std::size_t k = 0; k < out.size(); ++k) {
        const std::int64_t step = std::abs(steps[k]);
        const Index away = (out[k] - starts[k]) * (steps[k] < 0 ? -1 : 1);
        if (step > 1) guard.require(ir::eq(l.code.index(l.mod(away, step)), 0.0));
        index.push_back(guard.inside(l.floordiv(away, step), sizes[k]));
    }
    return guard.load(l, 0, index);
}

// The gradient of a slice: the same window of zeros of x's shape.
std::vector<Expr> pullback_slice(const PullbackArgs& a) {
    return {apply(slice_grad_op, {a.g[0]}, a.node.attrs.with("sizes", a.x[0].shape()), {})};
}
std::vector<Expr> pullback_slice_grad(const PullbackArgs& a) {
    return {apply(slice_op, {a.g[0]}, a.node.attrs.with("sizes", a.x[0].shape()), {})};
}

std::vector<Expr> pull_dynamic(const OpDef& op, const PullbackArgs& a) {
    std::vector<Expr> inputs(a.x.begin(), a.x.end());
    inputs[0] = a.g[0];
    std::vector<Expr> out(a.x.size());
    out[0] = apply(op, std::move(inputs), a.node.attrs.with("sizes", a.x[0].shape()), {});
    return out;
}

std::vector<Sample> slice_samples() {
    using X = std::span<const Expr>;
    return {
        {"rows", {{{7, 5}}}, [](X x) { return x[0](slice(2, 5)); }},
        {"steps", {{{3, 9}}}, [](X x) { return x[0](all, slice(1, none, 3)); }},
        {"reversed", {{{3, 9}}}, [](X x) { return x[0](slice(none, none, -1), slice(-2, 1, -2)); }},
        {"element", {{{3, 5}}}, [](X x) { return x[0](-1, 2); }},
        {"column", {{{3, 5}}}, [](X x) { return x[0](all, 4, newaxis); }}};
}

std::vector<Sample> slice_grad_samples() {
    using X = std::span<const Expr>;
    auto build = [](Shape starts, Ints steps, Shape sizes) {
        return [=](X x) {
            return apply(slice_grad_op, {x[0]},
                         {{"starts", starts}, {"steps", steps}, {"sizes", sizes}}, {});
        };
    };
    return {{"rows", {{{3, 5}}}, build({2, 0}, {1, 1}, {7, 5})},
            {"steps", {{{3}}}, build({8}, {-3}, {9})},
            {"both", {{{2, 3}}}, build({1, 0}, {2, 4}, {6, 10})}};
}

std::vector<Sample> dynamic_slice_samples() {
    using X = std::span<const Expr>;
    return {{"mini-batch",
             {{{12, 5}}, {{}, 0, 3, true}},
             [](X x) { return x[0](slice(x[1] * 3, (x[1] + 1) * 3)); }},
            {"row", {{{6, 5}}, {{}, -6, 5, true}}, [](X x) { return x[0](x[1]); }},
            {"steps", {{{2, 11}}, {{}, 0, 2, true}}, [](X x) {
                 return x[0](all, slice(x[1], x[1] + 9, 4));
             }}};
}

std::vector<Sample> dynamic_slice_grad_samples() {
    using X = std::span<const Expr>;
    return {{"rows",
             {{{3, 5}}, {{}, 0, 6, true}},
             [](X x) {
                 Expr column = scalar_constant(DType::I64, std::int64_t{0});
                 return apply(dynamic_slice_grad_op, {x[0], x[1], column},
                              {{"steps", Ints{1, 1}}, {"sizes", Shape{9, 5}}}, {});
             }},
            {"backwards", {{{3}}, {{}, 4, 9, true}}, [](X x) {
                 return apply(dynamic_slice_grad_op, {x[0], x[1]},
                              {{"steps", Ints{-2}}, {"sizes", Shape{10}}}, {});
             }}};
}

}  // namespace

constinit const OpDef slice_op{.info = {.name = "slice", .traits = Trait::View},
                               .doc = "attr sizes elements from attr starts in attr steps",
                               .infer = infer_slice,
                               .lower = lower_slice,
                               .pullback = pullback_slice,
                               .samples = slice_samples};
constinit const OpDef slice_grad_op{.info = {.name = "slice_grad"},
                                    .doc = "g in the window of a slice, zero around it",
                                    .infer = infer_slice_grad,
                                    .lower = lower_slice_grad,
                                    .pullback = pullback_slice_grad,
                                    .samples = slice_grad_samples,
                                    .placing = {&slice_op.info, 0}};
constinit const OpDef dynamic_slice_op{
    .info = {.name = "dynamic_slice", .traits = Trait::View},
    .doc = "slice whose starts are the inputs after the first, one an axis",
    .arity = -1,
    .infer = infer_dynamic_slice,
    .lower = lower_slice,
    .pullback = [](const PullbackArgs& a) { return pull_dynamic(dynamic_slice_grad_op, a); },
    .samples = dynamic_slice_samples};
constinit const OpDef dynamic_slice_grad_op{
    .info = {.name = "dynamic_slice_grad"},
    .doc = "g in the window of a dynamic_slice, zero around it",
    .arity = -1,
    .infer = infer_slice_grad,
    .lower = lower_slice_grad,
    .pullback = [](const PullbackArgs& a) { return pull_dynamic(dynamic_slice_op, a); },
    .samples = dynamic_slice_grad_samples,
    .placing = {&dynamic_slice_op.info, 0}};

// ---- builders

SliceArg::SliceArg(const Expr& e, const char* file, int line)
    : kind(e.rank() == 0 ? Kind::Position : Kind::Array), slice{none, none, 1, {file, line}} {
    if (is_float(e.dtype()) || e.dtype() == DType::Bool)
        fail<GraphError>(slice.loc, "index: an index must be an integer: {}",
                         describe(e, "this one"));
    if (kind == Kind::Position)
        slice.start = e;
    else
        array = e;
}

Expr slice_window(const Expr& x, const Shape& starts, const Ints& steps, const Shape& sizes,
                  Loc loc) {
    return apply(slice_op, {x}, {{"starts", starts}, {"steps", steps}, {"sizes", sizes}}, loc);
}

Expr slice_window_grad(const Expr& g, const Shape& starts, const Ints& steps, const Shape& sizes,
                       Loc loc) {
    return apply(slice_grad_op, {g}, {{"starts", starts}, {"steps", steps}, {"sizes", sizes}}, loc);
}

namespace {

// Constant scalars are as good as literals.
Bound literal_bound(const Bound& b) {
    const Array* c = b.expr.empty() ? nullptr : constant_value(b.expr);
    return c && c->rank() == 0 && !is_float(c->dtype()) ? Bound(c->as_int()) : b;
}

Window position_window(const Bound& position, const Dim& size, std::size_t axis, Loc loc) {
    Window w;
    w.length = 1;
    if (!position.value) {
        w.run_time = checked_index(position.expr, size, loc);
        return w;
    }
    const std::int64_t p = *position.value;
    if (size.is_const() && (p < -size.value() || p >= size.value()))
        fail<GraphError>(loc, "index: {} is out of range for axis {} of size {}", p, axis,
                         size.str());
    w.start = p < 0 ? size + Dim(p) : Dim(p);
    return w;
}

// Python's rule for constant bounds beside a known size.
Window clipped_window(const Slice& s, std::int64_t size) {
    const std::int64_t low = s.step > 0 ? 0 : -1, high = s.step > 0 ? size : size - 1;
    auto clip = [&](const Bound& b, std::int64_t otherwise) {
        if (!b.value) return otherwise;
        return std::clamp(*b.value < 0 ? *b.value + size : *b.value, low, high);
    };
    const std::int64_t start = clip(s.start, s.step > 0 ? low : high);
    const std::int64_t stop = clip(s.stop, s.step > 0 ? high : low);
    const std::int64_t step = std::abs(s.step), span = s.step > 0 ? stop - start : start - stop;
    Window w;
    w.step = s.step;
    w.length = span <= 0 ? 0 : ceil_div(span, step);
    w.start = w.length == Dim(0) ? 0 : start;
    return w;
}

Window slice_window_of(Slice s, const Dim& size, Loc loc) {
    if (s.step == 0) fail<GraphError>(loc, "index: a slice with step 0");
    // A larger step leaves every axis, too.
    s.step = std::clamp(s.step, -largest_tensor, largest_tensor);
    for (const Bound* b : {&s.start, &s.stop})
        if (!b->expr.empty() &&
            (b->expr.rank() != 0 || is_float(b->expr.dtype()) || b->expr.dtype() == DType::Bool))
            fail<GraphError>(loc, "index: a bound of a slice must be an integer scalar: {}",
                             describe(b->expr, "this one"));
    s.start = literal_bound(s.start), s.stop = literal_bound(s.stop);
    const bool computed = !s.start.expr.empty() || !s.stop.expr.empty();
    if (size.is_const() && !computed) return clipped_window(s, size.value());
    auto bound = [&](const Bound& b, const Dim& otherwise) {
        if (!b.expr.empty()) return as_dim_or_opaque(b.expr);
        if (!b.value) return otherwise;
        return *b.value < 0 ? size + Dim(*b.value) : Dim(*b.value);
    };
    const Dim start = bound(s.start, s.step > 0 ? Dim(0) : size - Dim(1));
    const Dim stop = bound(s.stop, s.step > 0 ? size : Dim(-1));
    Window w;
    w.step = s.step;
    const Dim step(std::abs(s.step)), span = s.step > 0 ? stop - start : start - stop;
    w.length = floordiv(span + step - Dim(1), step);
    if (w.length.is_const() && w.length.value() < 0) w.length = 0;
    if (has_opaque(w.length))
        fail<GraphError>(loc,
                         "index: the length of a slice must be known: it is {}, where ? stands "
                         "for values that are no sizes",
                         w.length.str());
    if (!s.start.expr.empty() && !only_sizes(start))
        w.run_time = checked_range(s.start.expr, size, w.length, w.step, loc);
    else
        w.start = start;
    return w;
}

}  // namespace

Expr apply_windows(const Expr& x, const std::vector<Window>& windows, Loc loc) {
    Shape starts, sizes;
    Ints steps;
    bool whole = true, run_time = false;
    for (std::size_t k = 0; k < windows.size(); ++k) {
        const Window& w = windows[k];
        starts.push_back(w.start);
        sizes.push_back(w.length);
        steps.push_back(w.step);
        run_time = run_time || !w.run_time.empty();
        whole = whole && w.start == Dim(0) && w.step == 1 && w.length == x.shape()[k];
    }
    if (whole && !run_time) return x;
    if (!run_time) return slice_window(x, starts, steps, sizes, loc);
    // Starts that are known, but not constant, are cut off first.
    bool constant_starts = true;
    for (const Window& w : windows) constant_starts = constant_starts && w.start.is_const();
    if (!constant_starts) {
        std::vector<Window> known = windows, rest = windows;
        for (std::size_t k = 0; k < windows.size(); ++k) {
            Window all_of_it;
            const bool fixed = windows[k].run_time.empty();
            all_of_it.length = fixed ? windows[k].length : x.shape()[k];
            (fixed ? rest : known)[k] = all_of_it;
        }
        return apply_windows(apply_windows(x, known, loc), rest, loc);
    }
    std::vector<Expr> inputs{x};
    for (const Window& w : windows)
        inputs.push_back(w.run_time.empty() ? dim_expr(w.start, loc) : w.run_time);
    return apply(dynamic_slice_op, std::move(inputs), {{"steps", steps}, {"sizes", sizes}}, loc);
}

namespace {

// Index arrays on `axes` of x (ascending).
Expr pick(const Expr& x, const std::vector<int>& axes, const std::vector<Expr>& arrays, Loc loc) {
    if (axes.size() == 1) return take(at(x, loc), at(arrays[0], loc), axes[0]);
    std::vector<int> order = axes;
    for (int k = 0; k < x.rank(); ++k)
        if (std::find(axes.begin(), axes.end(), k) == axes.end()) order.push_back(k);
    Expr picked = advanced_index(at(transpose(at(x, loc), order), loc), arrays);
    const int first = axes.front(), count = static_cast<int>(axes.size());
    if (first == 0 || axes.back() - first + 1 != count) return picked;
    // The arrays' axes go back to where the first index stood.
    const int rank = picked.rank() - (x.rank() - count);
    std::vector<int> back;
    for (int k = 0; k < first; ++k) back.push_back(rank + k);
    for (int k = 0; k < rank; ++k) back.push_back(k);
    for (int k = rank + first; k < picked.rank(); ++k) back.push_back(k);
    return transpose(at(picked, loc), back);
}

// The line of a call `x(...)`.
Loc line_of(const Expr& x, std::initializer_list<SliceArg> items) {
    for (const SliceArg& i : items)
        if (i.slice.loc) return i.slice.loc;
    return x.loc();
}

}  // namespace

IndexParts index_parts(const Expr& x, std::span<const SliceArg> items, Loc loc) {
    const auto given = std::count_if(items.begin(), items.end(), [](const SliceArg& i) {
        return i.kind != SliceArg::Kind::NewAxis;
    });
    if (given > x.rank()) fail<GraphError>(loc, "index: {} indices, but {}", given, describe(x));
    IndexParts out;
    for (const SliceArg& i : items) {
        if (i.kind == SliceArg::Kind::NewAxis) {
            out.shape.push_back(1);
            continue;
        }
        const std::size_t k = out.windows.size();
        const Dim& size = x.shape()[k];
        Window w;
        w.length = size;
        if (i.kind == SliceArg::Kind::Position)
            w = position_window(literal_bound(i.slice.start), size, k, loc);
        else if (i.kind == SliceArg::Kind::Slice)
            w = slice_window_of(i.slice, size, loc);
        out.windows.push_back(w);
        out.place.push_back(-1);
        if (i.kind == SliceArg::Kind::Position) continue;
        out.place.back() = static_cast<int>(out.shape.size());
        if (i.kind == SliceArg::Kind::Array) {
            out.axes.push_back(static_cast<int>(out.shape.size()));
            out.arrays.push_back(i.array);
        }
        out.shape.push_back(w.length);
    }
    while (out.windows.size() < x.shape().size()) {
        Window w;
        w.length = x.shape()[out.windows.size()];
        out.place.push_back(static_cast<int>(out.shape.size()));
        out.shape.push_back(w.length);
        out.windows.push_back(w);
    }
    return out;
}

Expr Expr::index(std::initializer_list<SliceArg> items) const {
    const Loc loc = line_of(*this, items);
    const IndexParts parts = index_parts(*this, items, loc);
    Expr e = reshape(at(apply_windows(*this, parts.windows, loc), loc), parts.shape);
    if (!parts.arrays.empty()) e = pick(e, parts.axes, parts.arrays, loc);
    // For set_subtensor(x(...), v), which must find what x is: a node that nobody else has yet.
    Node node = e.node();
    if (same(e, *this)) node = apply(reshape_op, {e}, {{"shape", e.shape()}}, loc).node();
    node.indexed =
        std::make_shared<const Indexed>(Indexed{*this, {items.begin(), items.end()}, loc});
    return Expr(std::make_shared<const Node>(std::move(node)));
}

std::span<const OpDef* const> indexing_ops() {
    static constexpr std::array rows = {&slice_op, &slice_grad_op, &dynamic_slice_op,
                                        &dynamic_slice_grad_op};
    return rows;
}

}  // namespace arete

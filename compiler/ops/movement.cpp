// One row an op of movement: no arithmetic, only other indices.
#include "compiler/ops/movement.h"

#include <algorithm>
#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef sum_to_op, specify_shape_op, reshape_op;

namespace {

std::vector<TensorType> infer_reshape(const InferArgs& a) {
    const Shape& shape = a.attrs.get<Shape>("shape");
    if (differ(size_of(shape), size_of(a.type(0).shape)))
        a.error(fmt::format("{} has not the number of elements of {}", a.describe(0),
                            to_string(shape)));
    return {{a.type(0).dtype, shape}};
}

Value lower_reshape(Lowering& l, std::span<const Index> out) {
    return l.load_linear(0, ir::linear(out, l.shape()));
}

std::vector<TensorType> infer_dimshuffle(const InferArgs& a) {
    const Ints& order = a.attrs.get<Ints>("order");
    const Shape& in = a.type(0).shape;
    std::vector<int> used(in.size());
    Shape shape;
    for (std::int64_t k : order) {
        if (k < -1 || k >= a.type(0).rank())
            a.error("each item is an axis or 'x': " + a.describe(0));
        if (k >= 0 && used[k]++) a.error(fmt::format("axis {} appears twice", k));
        shape.push_back(k < 0 ? Dim(1) : in[k]);
    }
    for (std::size_t k = 0; k < in.size(); ++k)
        if (!used[k] && differ(in[k], 1))
            a.error(fmt::format("axis {} is left out but has not size 1: {}", k, a.describe(0)));
    return {{a.type(0).dtype, shape}};
}

Value lower_dimshuffle(Lowering& l, std::span<const Index> out) {
    const Ints& order = l.node.attrs.get<Ints>("order");
    std::vector<Index> index(l.node.inputs[0].shape().size());
    for (std::size_t k = 0; k < order.size(); ++k)
        if (order[k] >= 0) index[order[k]] = out[k];
    return l.load(0, index);
}

std::vector<TensorType> infer_broadcast_to(const InferArgs& a) {
    const Shape &shape = a.attrs.get<Shape>("shape"), &in = a.type(0).shape;
    bool ok = in.size() <= shape.size();
    for (std::size_t k = 0; ok && k < in.size(); ++k)
        ok = in[k] == Dim(1) || !differ(in[k], shape[shape.size() - in.size() + k]);
    if (!ok) a.error(fmt::format("{} cannot be repeated to {}", a.describe(0), to_string(shape)));
    return {{a.type(0).dtype, shape}};
}

Value lower_broadcast_to(Lowering& l, std::span<const Index> out) {
    return l.load(0, broadcast_index(out, l.shape(0)));
}

std::vector<TensorType> infer_concatenate(const InferArgs& a) {
    const auto axis = static_cast<std::size_t>(a.attrs.get<std::int64_t>("axis"));
    TensorType out = a.type(0);
    for (std::size_t i = 1; i < a.inputs.size(); ++i) {
        const TensorType& t = a.type(i);
        bool ok = t.dtype == out.dtype && t.rank() == out.rank();
        for (std::size_t k = 0; ok && k < out.shape.size(); ++k)
            ok = k == axis || !differ(t.shape[k], out.shape[k]);
        if (!ok)
            a.error(fmt::format("sizes differ on an axis other than {}: {}, {}", axis,
                                a.describe(0), a.describe(i)));
        out.shape[axis] = out.shape[axis] + t.shape[axis];
    }
    return {out};
}

Value lower_concatenate(Lowering& l, std::span<const Index> out) {
    const auto axis = static_cast<std::size_t>(l.node.attrs.get<std::int64_t>("axis"));
    std::vector<Index> index(out.begin(), out.end());
    Value result;
    std::int64_t start = 0;
    for (std::size_t i = 0; i < l.node.inputs.size(); ++i) {
        const std::int64_t n = l.shape(static_cast<int>(i))[axis];
        if (n == 0) continue;
        Guard guard(l.code);
        index[axis] = guard.inside(out[axis] - start, n);
        Value v = guard.load(l, static_cast<int>(i), index);
        Value here = ir::ge(l.code.index(out[axis]), static_cast<double>(start));
        result = result ? ir::select(here, v, result) : v;
        start += n;
    }
    return result ? result : zero(l);
}

std::vector<Expr> pullback_concatenate(const PullbackArgs& a) {
    const std::int64_t axis = a.node.attrs.get<std::int64_t>("axis");
    std::vector<Expr> out;
    Dim start = 0;
    for (const Expr& x : a.x) {
        Shape starts(static_cast<std::size_t>(x.rank()), Dim(0));
        starts[axis] = start;
        start = start + x.shape()[axis];
        out.push_back(slice_window(a.g[0], starts, Ints(static_cast<std::size_t>(x.rank()), 1),
                                   x.shape(), {}));
    }
    return out;
}

// ---- ops whose meaning follows from sizes; see Trait::Late

// The gradient of an operand that may have been broadcast: each axis is summed where the operand's
// has size 1, repeated where g's has, and stays otherwise.
std::vector<TensorType> infer_sum_to(const InferArgs& a) {
    const Shape &to = a.attrs.get<Shape>("shape"), &in = a.type(0).shape;
    for (std::size_t k = 0; k < std::min(to.size(), in.size()); ++k) {
        const Dim &have = in[in.size() - 1 - k], &want = to[to.size() - 1 - k];
        if (differ(have, want) && !(have == Dim(1)) && !(want == Dim(1)))
            a.error(fmt::format("sizes do not fit together: {}, {}", a.describe(0), to_string(to)));
    }
    return {{a.type(0).dtype, to}};
}

std::vector<Expr> expand_sum_to(const Node& n) {
    return {sum_to(n.inputs[0], n.types[0], n.loc())};
}

std::vector<TensorType> infer_specify_shape(const InferArgs& a) {
    const Shape &shape = a.attrs.get<Shape>("shape"), &in = a.type(0).shape;
    if (!std::equal(in.begin(), in.end(), shape.begin(), shape.end(),
                    [](const Dim& x, const Dim& y) { return !differ(x, y); }))
        fail<GraphError>(a.loc, "{}: sizes must be {}: {}", a.attrs.get<std::string>("what"),
                         to_string(shape), a.describe(0));
    return {{a.type(0).dtype, shape}};
}

std::vector<Sample> sum_to_samples() {
    auto to = [](Shape shape) {
        return [=](std::span<const Expr> x) {
            return apply(sum_to_op, {x[0]}, {{"shape", shape}}, {});
        };
    };
    return {{"one row", {{{4, 5}}}, to({1, 5})},
            {"leading axes", {{{2, 3, 5}}}, to({3, 1})},
            {"repeated", {{{3, 1}}}, to({2, 1, 7})},
            {"the same", {{{3, 5}}}, to({3, 5})}};
}

std::vector<Sample> specify_shape_samples() {
    return {{"the same", {{{3, 5}}}, [](std::span<const Expr> x) {
                 return apply(specify_shape_op, {x[0]},
                              {{"shape", Shape{3, 5}}, {"what", std::string("sample")}}, {});
             }}};
}

std::vector<TensorType> infer_shape(const InferArgs&) {
    return {{DType::I64, {}}};
}

Value lower_shape(Lowering& l, std::span<const Index>) {
    const auto axis = static_cast<std::size_t>(l.node.attrs.get<std::int64_t>("axis"));
    return l.code.constant(DType::I64, l.shape(0)[axis]);
}

std::vector<Sample> reshape_samples() {
    return {{"merge and split",
             {{{4, 6, 5}}},
             [](std::span<const Expr> x) { return reshape(x[0], {8, -1}); }},
            {"odd", {{{3, 7}}}, [](std::span<const Expr> x) { return reshape(x[0], {7, 3}); }},
            {"flatten", {{{2, 3, 5}}}, [](std::span<const Expr> x) { return flatten(x[0], 2); }},
            {"to scalar", {{{1, 1}}}, [](std::span<const Expr> x) { return reshape(x[0], {}); }},
            {"units", {{{3, 1, 5}}}, [](std::span<const Expr> x) {
                 return expand_dims(squeeze(x[0], {1}), 0);
             }}};
}

std::vector<Sample> dimshuffle_samples() {
    return {
        {"bias", {{{7}}}, [](std::span<const Expr> x) { return dimshuffle(x[0], {'x', 0, 'x'}); }},
        {"transpose", {{{5, 9}}}, [](std::span<const Expr> x) { return x[0].T(); }},
        {"rank 3",
         {{{2, 3, 5}}},
         [](std::span<const Expr> x) { return transpose(x[0], {1, -1, 0}); }},
        {"drop", {{{3, 1, 4}}}, [](std::span<const Expr> x) { return dimshuffle(x[0], {2, 0}); }}};
}

std::vector<Sample> broadcast_to_samples() {
    return {{"row", {{{5}}}, [](std::span<const Expr> x) { return broadcast_to(x[0], {3, 5}); }},
            {"column",
             {{{4, 1}}},
             [](std::span<const Expr> x) { return broadcast_to(x[0], {2, 4, 7}); }},
            {"scalar", {{{}}}, [](std::span<const Expr> x) { return broadcast_to(x[0], {33}); }}};
}

std::vector<Sample> concatenate_samples() {
    return {
        {"rows",
         {{{2, 5}}, {{3, 5}}, {{1, 5}}},
         [](std::span<const Expr> x) { return concatenate({x[0], x[1], x[2]}); }},
        {"last axis",
         {{{3, 4}}, {{3, 9}}},
         [](std::span<const Expr> x) { return concatenate({x[0], x[1]}, -1); }},
        {"stack", {{{5}}, {{5}}}, [](std::span<const Expr> x) { return stack({x[0], x[1]}, 1); }}};
}

std::vector<Sample> shape_samples() {
    return {{"size",
             {{{3, 5}}},
             [](std::span<const Expr> x) {
                 return apply(*find_op("shape"), {x[0]}, {{"axis", std::int64_t{1}}}, {});
             },
             false}};
}

}  // namespace

constinit const OpDef reshape_op{.info = {.name = "reshape", .traits = Trait::View | Trait::Alias},
                                 .doc = "the same elements in row-major order under attr shape",
                                 .infer = infer_reshape,
                                 .lower = lower_reshape,
                                 .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                     return {reshape(a.g[0], a.x[0].shape())};
                                 },
                                 .samples = reshape_samples};
constinit const OpDef dimshuffle_op{
    .info = {.name = "dimshuffle", .traits = Trait::View},
    .doc = "axes reordered by attr order; -1 makes a new axis of size 1",
    .infer = infer_dimshuffle,
    .lower = lower_dimshuffle,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        const Ints& order = a.node.attrs.get<Ints>("order");
        Ints inverse(a.x[0].shape().size(), -1);
        for (std::size_t k = 0; k < order.size(); ++k)
            if (order[k] >= 0) inverse[order[k]] = static_cast<std::int64_t>(k);
        return {apply(def(a.node), {a.g[0]}, {{"order", inverse}}, {})};
    },
    .samples = dimshuffle_samples};
constinit const OpDef broadcast_to_op{
    .info = {.name = "broadcast_to", .traits = Trait::View},
    .doc = "x repeated to attr shape",
    .infer = infer_broadcast_to,
    .lower = lower_broadcast_to,
    // The reverse walk sums what was repeated.
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0]}; },
    .samples = broadcast_to_samples};
constinit const OpDef concatenate_op{.info = {.name = "concatenate", .traits = Trait::Joins},
                                     .doc = "inputs one after another along attr axis",
                                     .arity = -1,
                                     .infer = infer_concatenate,
                                     .lower = lower_concatenate,
                                     .pullback = pullback_concatenate,
                                     .samples = concatenate_samples};
constinit const OpDef shape_op{.info = {.name = "shape"},
                               .doc = "the size of attr axis",
                               .infer = infer_shape,
                               .lower = lower_shape,
                               .pullback = no_gradient,
                               .samples = shape_samples};

constinit const OpDef sum_to_op{
    .info = {.name = "sum_to", .traits = Trait::Late},
    .doc = "x summed, or repeated, to attr shape: the gradient of what was broadcast from there",
    .infer = infer_sum_to,
    .expand = expand_sum_to,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {sum_to(a.g[0], a.x[0].type(), {})};
    },
    .samples = sum_to_samples};
constinit const OpDef specify_shape_op{
    .info = {.name = "specify_shape", .traits = Trait::Late},
    .doc = "x, which must have attr shape",
    .infer = infer_specify_shape,
    .expand = [](const Node& n) { return std::vector<Expr>{n.inputs[0]}; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0]}; },
    .samples = specify_shape_samples};

// ---- builders

Expr reshape(const Operand& x, const ShapeArg& arg) {
    Expr e = x.expr();
    Shape shape = arg.shape;
    auto unknown = [](const Dim& d) { return d == Dim(-1); };
    const auto holes = std::count_if(shape.begin(), shape.end(), unknown);
    if (holes > 1) fail<GraphError>(x.loc, "reshape: more than one -1 in {}", to_string(shape));
    if (holes == 1) {
        Dim rest = 1, all = size_of(e.shape());
        for (const Dim& d : shape)
            if (!unknown(d)) rest = rest * d;
        const bool divides = rest == Dim(0)                      ? false
                             : all.is_const() && rest.is_const() ? all.value() % rest.value() == 0
                                                                 : true;
        if (!divides)
            fail<GraphError>(x.loc, "reshape: {} does not divide into {}", describe(e),
                             to_string(shape));
        *std::find_if(shape.begin(), shape.end(), unknown) = floordiv(all, rest);
    }
    if (shape == e.shape()) return e;
    return apply(reshape_op, {e}, {{"shape", shape}}, x.loc);
}

Expr flatten(const Operand& x, int outdim) {
    Expr e = x.expr();
    if (outdim < 1) fail<GraphError>(x.loc, "flatten: outdim {}", outdim);
    const auto keep = std::min(static_cast<std::size_t>(outdim - 1), e.shape().size());
    Shape shape(e.shape().begin(), e.shape().begin() + static_cast<std::ptrdiff_t>(keep));
    shape.push_back(
        size_of(Shape(e.shape().begin() + static_cast<std::ptrdiff_t>(keep), e.shape().end())));
    if (static_cast<int>(shape.size()) > e.rank() && e.rank() > 0) return e;
    return reshape(at(e, x.loc), shape);
}

namespace {

Expr shuffle(const Operand& x, Ints order) {
    Expr e = x.expr();
    bool identity = static_cast<int>(order.size()) == e.rank();
    for (std::size_t k = 0; k < order.size(); ++k)
        identity = identity && order[k] == static_cast<std::int64_t>(k);
    return identity ? e : apply(dimshuffle_op, {e}, {{"order", std::move(order)}}, x.loc);
}

}  // namespace

Expr dimshuffle(const Operand& x, const std::vector<DimItem>& items) {
    Ints order;
    for (const DimItem& i : items) order.push_back(i.axis);
    return shuffle(x, std::move(order));
}

Expr dimshuffle(const Operand& x, std::initializer_list<DimItem> items) {
    return dimshuffle(x, std::vector<DimItem>(items));
}

Expr transpose(const Operand& x, const std::vector<int>& axes) {
    const int rank = x.expr().rank();
    if (!axes.empty() && static_cast<int>(axes.size()) != rank)
        fail<GraphError>(x.loc, "transpose: {} axes for a tensor of rank {}", axes.size(), rank);
    Ints order;
    for (int k = 0; k < rank; ++k)
        order.push_back(axes.empty() ? rank - 1 - k
                                     : normalize_axis(axes[k], rank, "transpose", x.loc));
    return shuffle(x, std::move(order));
}

Expr Expr::T(const char* file, int line) const {
    return transpose(Operand(*this, file, line));
}

Expr expand_dims(const Operand& x, int axis) {
    Expr e = x.expr();
    Shape shape = e.shape();
    shape.insert(shape.begin() + normalize_axis(axis, e.rank() + 1, "expand_dims", x.loc), Dim(1));
    return reshape(at(e, x.loc), shape);
}

Expr squeeze(const Operand& x, const std::vector<int>& axes) {
    Expr e = x.expr();
    std::vector<bool> drop(e.shape().size());
    for (std::size_t k = 0; k < drop.size(); ++k) drop[k] = axes.empty() && e.shape()[k] == Dim(1);
    for (int axis : axes) {
        const auto k = static_cast<std::size_t>(normalize_axis(axis, e.rank(), "squeeze", x.loc));
        if (differ(e.shape()[k], 1))
            fail<GraphError>(x.loc, "squeeze: axis {} has not size 1: {}", axis, describe(e));
        drop[k] = true;
    }
    Shape shape;
    Ints order;
    bool unknown = false;
    for (std::size_t k = 0; k < drop.size(); ++k) {
        unknown = unknown || (drop[k] && !e.shape()[k].is_const());
        if (drop[k]) continue;
        shape.push_back(e.shape()[k]);
        order.push_back(static_cast<std::int64_t>(k));
    }
    // A reshape asks for the number of elements only, which an axis of size 0 keeps whatever is
    // dropped; a dimshuffle for the size of what it drops.
    return unknown ? shuffle(at(e, x.loc), order) : reshape(at(e, x.loc), shape);
}

Expr broadcast_to(const Operand& x, const ShapeArg& arg) {
    Expr e = x.expr();
    if (e.shape() == arg.shape) return e;
    return apply(broadcast_to_op, {e}, {{"shape", arg.shape}}, x.loc);
}

namespace {

// Cast to one dtype; literals take that of the tensors, where there are any.
std::vector<Expr> unify_all(const std::vector<Operand>& parts, std::string_view op) {
    const bool tensors =
        std::any_of(parts.begin(), parts.end(), [](const Operand& p) { return !p.is_literal(); });
    std::optional<DType> beside, common;
    const auto join = [](std::optional<DType>& all, DType t) { all = all ? promote(*all, t) : t; };
    for (const Operand& p : parts)
        if (!tensors || !p.is_literal()) join(beside, p.expr().dtype());
    std::vector<Expr> out;
    for (const Operand& p : parts) {
        out.push_back(p.beside(*beside, op));
        join(common, out.back().dtype());
    }
    // A literal may have widened it; those before are made anew.
    for (std::size_t k = 0; k < parts.size(); ++k) {
        const bool anew = parts[k].is_literal() && out[k].dtype() != *common;
        out[k] = cast(at(anew ? parts[k].beside(*common, op) : out[k], parts[k].loc), *common);
    }
    return out;
}

}  // namespace

Expr concatenate(const std::vector<Operand>& parts, int axis) {
    if (parts.empty()) fail<GraphError>({}, "concatenate: no tensors");
    const Loc loc = parts[0].loc;
    const int rank = parts[0].expr().rank();
    std::vector<Expr> inputs = unify_all(parts, "concatenate");
    const std::int64_t along = normalize_axis(axis, rank, "concatenate", loc);
    return apply(concatenate_op, std::move(inputs), {{"axis", along}}, loc);
}

Expr stack(const std::vector<Operand>& parts, int axis) {
    const std::vector<Expr> alike = unify_all(parts, "stack");
    std::vector<Operand> grown;
    for (std::size_t k = 0; k < parts.size(); ++k)
        grown.push_back(at(expand_dims(at(alike[k], parts[k].loc), axis), parts[k].loc));
    return concatenate(grown, axis);
}

Expr Expr::shape(int axis, const char* file, int line) const {
    const Loc loc{file, line};
    const std::int64_t k = normalize_axis(axis, rank(), "shape", loc);
    const Dim& d = shape()[k];
    return d.is_const() ? dim_expr(d, loc) : apply(shape_op, {*this}, {{"axis", k}}, loc);
}

Expr size(const Operand& x) {
    Ints axes;
    for (int k = 0; k < x.expr().rank(); ++k) axes.push_back(k);
    return size(x, axes);
}

Expr size(const Operand& x, const Ints& axes) {
    const Expr e = x.expr();
    Dim known = 1;
    Expr product;
    for (std::int64_t k : axes) {
        const Dim& d = e.shape()[normalize_axis(k, e.rank(), "size", x.loc)];
        if (d.is_const()) {
            known = known * d;
            continue;
        }
        Expr n = e.shape(static_cast<int>(k), x.loc.file, x.loc.line);
        product = product.empty() ? n : at(product, x.loc) * at(n, x.loc);
    }
    if (!product.empty() && known == Dim(1)) return product;
    Expr constant = dim_expr(known, x.loc);
    return product.empty() ? constant : at(product, x.loc) * at(constant, x.loc);
}

Expr zeros_like(const Operand& x) {
    return full(x.expr().shape(), {0, x.loc.file, x.loc.line}, x.expr().dtype());
}
Expr ones_like(const Operand& x) {
    return full(x.expr().shape(), {1, x.loc.file, x.loc.line}, x.expr().dtype());
}
Expr full(const ShapeArg& shape, const Operand& value, DType dtype) {
    // A literal goes straight to the dtype: through f32 a double would lose digits.
    return broadcast_to(at(cast(at(value.beside(dtype), value.loc), dtype), value.loc), shape);
}

Expr specify_shape(const Operand& x, const ShapeArg& arg, std::string_view what) {
    const Expr e = x.expr();
    if (e.shape() == arg.shape) return e;
    const std::string why(what.empty() ? "specify_shape" : what);
    return apply(specify_shape_op, {e}, {{"shape", arg.shape}, {"what", why}}, x.loc);
}

Expr sum_to(const Expr& g, const TensorType& type, Loc loc, Fit fit) {
    Expr e = cast(at(g, loc), type.dtype);
    if (e.shape() == type.shape) return e;
    const int extra = std::max(0, e.rank() - type.rank());
    const auto missing = static_cast<std::size_t>(std::max(0, type.rank() - e.rank()));
    Ints axes;
    for (int k = 0; k < extra; ++k) axes.push_back(k);
    Shape kept;
    for (std::size_t k = missing; k < type.shape.size(); ++k) {
        const std::size_t axis = static_cast<std::size_t>(extra) + k - missing;
        kept.push_back(e.shape()[axis]);
        if (!(type.shape[k] == Dim(1)) || kept.back() == Dim(1)) continue;
        if (fit == Fit::equal && !kept.back().is_const()) continue;
        axes.push_back(static_cast<std::int64_t>(axis));
        kept.back() = 1;
    }
    // A sum of integers is one of i64.
    if (!axes.empty()) e = cast(at(sum(at(e, loc), axes), loc), type.dtype);
    if (e.shape() != kept) e = reshape(at(e, loc), kept);
    // What is left are axes along which the gradient is constant, and sizes not known to be equal.
    bool repeat = missing > 0, unknown = false;
    for (std::size_t k = 0; k < kept.size(); ++k) {
        const Dim& want = type.shape[missing + k];
        if (kept[k] == want) continue;
        (kept[k] == Dim(1) ? repeat : unknown) = true;
        if (!(kept[k] == Dim(1))) kept[k] = want;
    }
    if (unknown && fit == Fit::broadcast)
        return apply(sum_to_op, {e}, {{"shape", type.shape}}, loc);
    if (unknown) e = specify_shape(at(e, loc), kept, "gradient");
    return repeat ? broadcast_to(at(e, loc), type.shape) : e;
}

std::span<const OpDef* const> movement_ops() {
    static constexpr std::array rows = {&reshape_op,      &dimshuffle_op, &broadcast_to_op,
                                        &concatenate_op,  &shape_op,      &sum_to_op,
                                        &specify_shape_op};
    return rows;
}

}  // namespace arete

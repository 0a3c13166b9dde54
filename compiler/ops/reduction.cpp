// One row a reduction; attrs: axes (sorted, not negative) and keepdims.
#include "compiler/ops/reduction.h"

#include <algorithm>
#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/product.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Reduction;
using loops::Value;

namespace {

Shape reduced_shape(const Shape& in, const Ints& axes, bool keepdims) {
    Shape out;
    for (std::size_t k = 0; k < in.size(); ++k) {
        if (!contains(axes, k))
            out.push_back(in[k]);
        else if (keepdims)
            out.push_back(1);
    }
    return out;
}

std::vector<TensorType> infer_reduced(const InferArgs& a, DType t) {
    const Ints& axes = a.attrs.get<Ints>("axes");
    for (std::int64_t k : axes)
        if (k < 0 || k >= a.type(0).rank())
            a.error(fmt::format("no axis {}: {}", k, a.describe(0)));
    return {{t, reduced_shape(a.type(0).shape, axes, a.attrs.get<bool>("keepdims"))}};
}
std::vector<TensorType> infer_reduction(const InferArgs& a) {
    return infer_reduced(a, a.type(0).dtype);
}
// No element is the largest of none. (Of bools it is: `any` and `all` are these reductions.)
void require_elements(const InferArgs& a) {
    if (a.type(0).dtype == DType::Bool) return;
    for (std::int64_t k : a.attrs.get<Ints>("axes"))
        if (k >= 0 && k < a.type(0).rank() && a.type(0).shape[k] == Dim(0))
            a.error(fmt::format("no elements along axis {}: {}", k, a.describe(0)));
}
std::vector<TensorType> infer_extreme(const InferArgs& a) {
    require_elements(a);
    return infer_reduction(a);
}
std::vector<TensorType> infer_arg(const InferArgs& a) {
    require_elements(a);
    return infer_reduced(a, DType::I64);
}

// Sums of floats alone have means.
std::vector<TensorType> infer_mean(const InferArgs& a) {
    if (!is_float(a.type(0).dtype)) a.error("needs a float: " + a.describe(0));
    return infer_reduction(a);
}

// The axes of the operand where an element of the result is reduced from: new reduction axes, and
// those of the result. Of the operand with these axes as axes of size 1: 0, and those of the
// result.
struct Walked {
    std::vector<Index> all, kept;
};
Walked walk(Lowering& l, std::span<const Index> out) {
    const Ints& axes = l.node.attrs.get<Ints>("axes");
    const bool keepdims = l.node.attrs.get<bool>("keepdims");
    const Sizes sizes = l.shape(0);
    Walked walked;
    std::size_t from = 0;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
        const bool reduced = contains(axes, k);
        walked.all.push_back(reduced ? l.reduce_axis(fmt::format("r{}", k), sizes[k]) : out[from]);
        walked.kept.push_back(reduced ? Index(0) : out[from]);
        from += !reduced || keepdims;
    }
    return walked;
}

template <Reduction R>
Value lower_reduction(Lowering& l, std::span<const Index> out) {
    return l.reduce(R, l.load(0, walk(l, out).all));
}

// The mean is a number of its type and so a little off. What it is off by is the mean distance from
// it, whose square the mean squared distance is too large by.
Value lower_variance(Lowering& l, std::span<const Index> out) {
    const Walked at = walk(l, out);
    const Value distance = l.load(0, at.all) - l.load(1, at.kept);
    const Value off = l.reduce(Reduction::Mean, distance);
    return l.reduce(Reduction::Mean, distance * distance) - off * off;
}

std::vector<TensorType> infer_variance(const InferArgs& a) {
    const Shape kept = reduced_shape(a.type(0).shape, a.attrs.get<Ints>("axes"), true);
    bool alike = a.type(0).dtype == a.type(1).dtype && a.type(1).shape.size() == kept.size();
    for (std::size_t k = 0; alike && k < kept.size(); ++k)
        alike = !differ(kept[k], a.type(1).shape[k]);
    if (!alike) a.error(fmt::format("no mean: {} of {}", a.describe(1), a.describe(0)));
    return infer_mean(a);
}

// e, a result of this node or its gradient, with the reduced axes as axes of size 1.
Expr kept(const PullbackArgs& a, const Expr& e) {
    return reshape(e, reduced_shape(a.x[0].shape(), a.node.attrs.get<Ints>("axes"), true));
}

std::vector<Expr> pullback_sum(const PullbackArgs& a) {
    return {broadcast_to(kept(a, a.g[0]), a.x[0].shape())};
}

// How many elements a mean is of.
Dim averaged(const Shape& in, const Ints& axes) {
    Dim n = 1;
    for (std::int64_t k : axes) n = n * in[k];
    return n;
}

// g, the gradient of a mean or of a variance, for each element.
Expr shared_gradient(const PullbackArgs& a, double factor) {
    const Expr& x = a.x[0];
    const Ints& axes = a.node.attrs.get<Ints>("axes");
    const Dim n = averaged(x.shape(), axes);
    return kept(a, n.is_const() ? a.g[0] * (factor / static_cast<double>(n.value()))
                                : a.g[0] * factor / cast(size(x, axes), x.dtype()));
}

std::vector<Expr> pullback_mean(const PullbackArgs& a) {
    return {broadcast_to(shared_gradient(a, 1), a.x[0].shape())};
}

// A variance does not depend on what distances are from, but for rounding.
std::vector<Expr> pullback_variance(const PullbackArgs& a) {
    return {shared_gradient(a, 2) * (a.x[0] - a.x[1]), Expr()};
}

// Each element's slope is the product of the others.
std::vector<Expr> pullback_prod(const PullbackArgs& a) {
    const Expr& x = a.x[0];
    std::vector<int> order, back(x.shape().size());
    Shape lines, moved;
    Dim together = 1;
    for (const bool last : {false, true})
        for (std::size_t k = 0; k < x.shape().size(); ++k) {
            if (contains(a.node.attrs.get<Ints>("axes"), k) != last) continue;
            back[k] = static_cast<int>(order.size());
            order.push_back(static_cast<int>(k));
            moved.push_back(x.shape()[k]);
            if (last)
                together = together * x.shape()[k];
            else
                lines.push_back(x.shape()[k]);
        }
    lines.push_back(together);
    const Expr others = prod_others(reshape(transpose(x, order), lines));
    return {kept(a, a.g[0]) * transpose(reshape(others, moved), back)};
}

// A NaN is the largest and the smallest where there is one.
std::vector<Expr> pullback_extreme(const PullbackArgs& a) {
    const Expr& x = a.x[0];
    return {where(eq(x, kept(a, a.y[0])) || isnan(x), kept(a, a.g[0]), 0)};
}

template <Expr (*Build)(const Operand&, const Axes&, bool), int Low = -20, int High = 20,
          bool Smooth = true>
std::vector<Sample> reduction_samples() {
    auto input = [](Sizes sizes) { return SampleInput{std::move(sizes), Low / 10.0, High / 10.0}; };
    using X = std::span<const Expr>;
    return {{"all", {input({3, 5})}, [](X x) { return Build(x[0], {}, false); }, Smooth},
            {"rows", {input({4, 9})}, [](X x) { return Build(x[0], 0, false); }, Smooth},
            {"columns", {input({4, 17})}, [](X x) { return Build(x[0], -1, true); }, Smooth},
            {"vector", {input({37})}, [](X x) { return Build(x[0], {}, true); }, Smooth},
            {"two axes",
             {input({3, 4, 5})},
             [](X x) {
                 return Build(x[0], {0, 2}, false);
             },
             Smooth},
            {"one element", {input({1, 7})}, [](X x) { return Build(x[0], 0, false); }, Smooth}};
}

std::vector<Sample> mean_samples() {
    std::vector<Sample> out = reduction_samples<mean>();
    for (Sample& s : out) s.floats_only = true;
    return out;
}

std::vector<Sample> variance_samples() {
    std::vector<Sample> out = reduction_samples<var>();
    for (Sample& s : out) s.floats_only = true;
    return out;
}

template <Expr (*Build)(const Operand&, const Axes&, bool)>
std::vector<Sample> arg_samples() {
    using X = std::span<const Expr>;
    return {{"flattened", {{{3, 5}}}, [](X x) { return Build(x[0], {}, false); }, false},
            {"rows", {{{4, 9}}}, [](X x) { return Build(x[0], 0, false); }, false},
            {"columns", {{{5, 17}}}, [](X x) { return Build(x[0], -1, true); }, false},
            {"one element", {{{1, 7}}}, [](X x) { return Build(x[0], 0, false); }, false}};
}

}  // namespace

constinit const OpDef sum_op{.info = {.name = "sum", .traits = Trait::Reduces | Trait::Fold},
                             .doc = "sum over attr axes",
                             .infer = infer_reduction,
                             .lower = lower_reduction<Reduction::Sum>,
                             .pullback = pullback_sum,
                             .samples = reduction_samples<sum>};
constinit const OpDef mean_op{.info = {.name = "mean", .traits = Trait::Reduces | Trait::Fold},
                              .doc = "sum over attr axes, divided by the number of elements",
                              .infer = infer_mean,
                              .lower = lower_reduction<Reduction::Mean>,
                              .pullback = pullback_mean,
                              .samples = mean_samples};
constinit const OpDef variance_op{
    .info = {.name = "variance", .traits = Trait::Reduces},
    .doc = "mean squared distance from the mean over attr axes; the second operand is the mean",
    .arity = 2,
    .infer = infer_variance,
    .lower = lower_variance,
    .pullback = pullback_variance,
    .samples = variance_samples};
constinit const OpDef prod_op{.info = {.name = "prod", .traits = Trait::Reduces | Trait::Fold},
                              .doc = "product over attr axes",
                              .infer = infer_reduction,
                              .lower = lower_reduction<Reduction::Prod>,
                              .pullback = pullback_prod,
                              .samples = reduction_samples<prod, 5, 15>};
constinit const OpDef max_op{.info = {.name = "max", .traits = Trait::Reduces | Trait::Fold},
                             .doc = "largest element over attr axes; NaN where there is one",
                             .infer = infer_extreme,
                             .lower = lower_reduction<Reduction::Max>,
                             .pullback = pullback_extreme,
                             .samples = reduction_samples<max>};
constinit const OpDef min_op{.info = {.name = "min", .traits = Trait::Reduces | Trait::Fold},
                             .doc = "smallest element over attr axes; NaN where there is one",
                             .infer = infer_extreme,
                             .lower = lower_reduction<Reduction::Min>,
                             .pullback = pullback_extreme,
                             .samples = reduction_samples<min>};
constinit const OpDef argmax_op{.info = {.name = "argmax", .traits = Trait::Reduces},
                                .doc = "position of the first largest element over attr axes",
                                .infer = infer_arg,
                                .lower = lower_reduction<Reduction::ArgMax>,
                                .pullback = no_gradient,
                                .samples = arg_samples<argmax>};
constinit const OpDef argmin_op{.info = {.name = "argmin", .traits = Trait::Reduces},
                                .doc = "position of the first smallest element over attr axes",
                                .infer = infer_arg,
                                .lower = lower_reduction<Reduction::ArgMin>,
                                .pullback = no_gradient,
                                .samples = arg_samples<argmin>};

// ---- builders

namespace {

Ints normalize(const Axes& axes, const Expr& x, std::string_view op, Loc loc) {
    Ints out;
    if (axes.every)
        for (int k = 0; k < x.rank(); ++k) out.push_back(k);
    for (std::int64_t k : axes.list) out.push_back(normalize_axis(k, x.rank(), op, loc));
    std::sort(out.begin(), out.end());
    if (std::adjacent_find(out.begin(), out.end()) != out.end())
        fail<GraphError>(loc, "{}: an axis is given twice", op);
    return out;
}

Expr reduce(const OpDef& op, const Operand& operand, const Axes& axes, bool keepdims, DType t) {
    Expr x = operand.expr();
    Ints list = normalize(axes, x, op.info.name, operand.loc);
    x = cast(at(x, operand.loc), t);
    if (list.empty()) return x;
    return apply(op, {x}, {{"axes", list}, {"keepdims", keepdims}}, operand.loc);
}

DType sum_dtype(const Operand& x) {
    DType t = x.expr().dtype();
    return is_float(t) ? t : DType::I64;
}

void require_elements(const OpDef& op, const Operand& operand, const Axes& axes) {
    const Expr x = operand.expr();
    for (std::int64_t k : normalize(axes, x, op.info.name, operand.loc))
        if (x.shape()[k] == Dim(0))
            fail<GraphError>(operand.loc, "{}: no elements along axis {}: {}", op.info.name, k,
                             describe(x));
}

Expr extreme(const OpDef& op, const Operand& x, const Axes& axes, bool keepdims) {
    require_elements(op, x, axes);
    return reduce(op, x, axes, keepdims, x.expr().dtype());
}

Expr arg_extreme(const OpDef& op, const Operand& x, const Axes& axes, bool keepdims) {
    if (axes.list.size() > 1)
        fail<GraphError>(x.loc, "{}: one axis or none, not {}", op.info.name, axes.list.size());
    if (x.expr().rank() == 0) return full(Shape{}, {0, x.loc.file, x.loc.line}, DType::I64);
    return extreme(op, x, axes, keepdims);
}

}  // namespace

Expr sum(const Operand& x, const Axes& axes, bool keepdims) {
    return reduce(sum_op, x, axes, keepdims, sum_dtype(x));
}
Expr prod(const Operand& x, const Axes& axes, bool keepdims) {
    return reduce(prod_op, x, axes, keepdims, sum_dtype(x));
}
Expr mean(const Operand& operand, const Axes& axes, bool keepdims) {
    const Loc loc = operand.loc;
    Expr x = cast(operand, float_of(operand.expr().dtype()));
    const Ints list = normalize(axes, x, "mean", loc);
    return reduce(mean_op, at(x, loc), list, keepdims, x.dtype());
}
Expr var(const Operand& operand, const Axes& axes, bool keepdims) {
    const Loc loc = operand.loc;
    const Expr x = cast(operand, float_of(operand.expr().dtype()));
    const Ints list = normalize(axes, x, "var", loc);
    if (list.empty()) return at(x, loc) - at(x, loc);
    return apply(variance_op, {x, mean(at(x, loc), list, true)},
                 {{"axes", list}, {"keepdims", keepdims}}, loc);
}
Expr max(const Operand& x, const Axes& axes, bool keepdims) {
    return extreme(max_op, x, axes, keepdims);
}
Expr min(const Operand& x, const Axes& axes, bool keepdims) {
    return extreme(min_op, x, axes, keepdims);
}
Expr argmax(const Operand& x, const Axes& axes, bool keepdims) {
    return arg_extreme(argmax_op, x, axes, keepdims);
}
Expr argmin(const Operand& x, const Axes& axes, bool keepdims) {
    return arg_extreme(argmin_op, x, axes, keepdims);
}
// Over no elements the identities of max and min on bool are the right answers.
Expr any(const Operand& x, const Axes& axes, bool keepdims) {
    return reduce(max_op, at(cast(x, DType::Bool), x.loc), axes, keepdims, DType::Bool);
}
Expr All::operator()(const Operand& x, const Axes& axes, bool keepdims) const {
    return reduce(min_op, at(cast(x, DType::Bool), x.loc), axes, keepdims, DType::Bool);
}

std::span<const OpDef* const> reduction_ops() {
    static constexpr std::array rows = {&sum_op, &mean_op, &variance_op, &prod_op,
                                        &max_op, &min_op,  &argmax_op,   &argmin_op};
    return rows;
}

}  // namespace arete

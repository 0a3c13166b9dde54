// Rows that a function of the host computes, since no loop nest does: orders of elements. All else
// reads at these.
#include "compiler/ops/sorting.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/index_parts.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rearrange.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/sort_host.h"
#include "compiler/ops/subtensor.h"

namespace arete {

extern const OpDef argsort_op, nonzero_op, unique_op, searchsorted_op, advanced_index_op;

namespace {

std::size_t sorted_axis(const Attrs& attrs) {
    return static_cast<std::size_t>(attrs.get<std::int64_t>("axis"));
}

std::vector<TensorType> infer_argsort(const InferArgs& a) {
    Shape shape = a.type(0).shape;
    const std::size_t axis = sorted_axis(a.attrs);
    if (axis >= shape.size()) a.error("needs an axis: " + a.describe(0));
    if (a.attrs.has("count")) {
        const Dim count(a.attrs.get<std::int64_t>("count"));
        if (count.value() < 0 || (shape[axis].is_const() && shape[axis].value() < count.value()))
            a.error(fmt::format("{} elements of axis {}: {}", count.str(), axis, a.describe(0)));
        shape[axis] = count;
    }
    return {{DType::I64, shape}};
}

void argsort_host(const Node& node, std::span<const Array> inputs, std::span<Array> outputs) {
    order::positions(inputs[0], sorted_axis(node.attrs), node.attrs.get<bool>("descending"),
                     outputs[0]);
}

std::vector<TensorType> infer_nonzero(const InferArgs& a) {
    if (a.type(0).rank() != 1) a.error("a vector: " + a.describe(0));
    return {{DType::I64, {a.attrs.get<Dim>("size")}}, {DType::I64, {}}};
}

void nonzero_host(const Node&, std::span<const Array> inputs, std::span<Array> outputs) {
    *static_cast<std::int64_t*>(outputs[1].raw()) = order::not_zero(inputs[0], outputs[0]);
}

std::vector<TensorType> infer_unique(const InferArgs& a) {
    if (a.type(0).rank() != 1) a.error("a vector: " + a.describe(0));
    const TensorType places{DType::I64, {a.attrs.get<Dim>("size")}};
    return {places, places, {DType::I64, a.type(0).shape}, {DType::I64, {}}};
}

void unique_host(const Node&, std::span<const Array> inputs, std::span<Array> outputs) {
    *static_cast<std::int64_t*>(outputs[3].raw()) =
        order::distinct(inputs[0], outputs[0], outputs[1], outputs[2]);
}

std::vector<TensorType> infer_searchsorted(const InferArgs& a) {
    if (a.type(0).rank() != 1 || a.type(0).dtype != a.type(1).dtype)
        a.error(
            fmt::format("a vector, and values of its dtype: {}, {}", a.describe(0), a.describe(1)));
    return {{DType::I64, a.type(1).shape}};
}

// A binary search, all values at once: the position grows by halves of the vector as long as what
// is before it is smaller.
std::vector<Expr> expand_searchsorted(const Node& node) {
    const Expr &sorted = node.inputs[0], &values = node.inputs[1];
    const Loc loc = node.loc();
    const bool right = node.attrs.get<bool>("right");
    const std::int64_t n = sorted.shape()[0].value();
    const auto operand = [&](const Expr& e) { return at(e, loc); };
    Expr position =
        broadcast_to(operand(scalar_constant(DType::I64, std::int64_t{0}, loc)), values.shape());
    if (n == 0) return {position};
    const bool floats = is_float(values.dtype());
    const auto smaller = [&](const Expr& a, const Expr& b) {
        const Expr less = operand(a) < operand(b);
        return floats ? operand(less) || operand(isnan(operand(b)) && !isnan(operand(a))) : less;
    };
    std::int64_t step = 1;
    while (step * 2 <= n) step *= 2;
    for (; step > 0; step /= 2) {
        const Expr next = operand(position) + step;
        const Expr last = minimum(operand(next), n) - 1;
        const Expr element = apply(advanced_index_op, {sorted, last}, {}, loc);
        const Expr before = right ? !operand(smaller(values, element)) : smaller(element, values);
        position = where(operand(next) <= n && operand(before), operand(next), operand(position));
    }
    return {position};
}

// ---- samples: values are drawn with few ties, so that gradients of what reads at them are smooth

using Sampled = std::span<const Expr>;

std::vector<Sample> argsort_samples() {
    return {{"rows", {{{3, 7}}}, [](Sampled x) { return argsort(x[0]); }, false},
            {"columns", {{{5, 3}}}, [](Sampled x) { return argsort(x[0], 0, true); }, false},
            {"values", {{{2, 5, 3}}}, [](Sampled x) { return sort(x[0], 1); }},
            {"largest", {{{4, 20}}}, [](Sampled x) { return topk(x[0], 2).values; }},
            {"median", {{{4, 6}}}, [](Sampled x) { return median(x[0], 1); }}};
}

std::vector<Sample> nonzero_samples() {
    return {
        {"places", {{{3, 4}}}, [](Sampled x) { return nonzero(x[0] > 0, 8).indices[1]; }, false},
        {"rows", {{{7, 2}}, {{7}, 0, 1, true}}, [](Sampled x) {
             return boolean_mask(x[0], x[1] > 0, 4).values;
         }}};
}

std::vector<Sample> unique_samples() {
    return {
        {"inverse", {{{9}, 0, 3, true}}, [](Sampled x) { return unique(x[0], 4).inverse; }, false},
        {"values", {{{3, 3}}}, [](Sampled x) { return unique(x[0], 9).values; }}};
}

std::vector<Sample> searchsorted_samples() {
    const auto among = [](bool right) {
        return [right](Sampled x) {
            return searchsorted(cast(arange(-3, 4), x[0].dtype()), x[0], right);
        };
    };
    return {{"left", {{{4, 3}}}, among(false), false},
            {"right", {{{11}, -4, 4, true}}, among(true), false}};
}

}  // namespace

constinit const OpDef argsort_op{
    .info = {.name = "argsort", .traits = Trait::Step},
    .doc = "positions of the elements along attr axis in order; attr count: of the first of them",
    .infer = infer_argsort,
    .host = argsort_host,
    .pullback = no_gradient,
    .samples = argsort_samples};
constinit const OpDef nonzero_op{
    .info = {.name = "nonzero", .traits = Trait::Step},
    .doc = "the first attr size positions of what is not 0 in a vector, and how many there are",
    .infer = infer_nonzero,
    .host = nonzero_host,
    .pullback = no_gradient,
    .samples = nonzero_samples};
constinit const OpDef unique_op{
    .info = {.name = "unique", .traits = Trait::Step},
    .doc = "first positions and counts of a vector's distinct elements, by element which, how many",
    .infer = infer_unique,
    .host = unique_host,
    .pullback = no_gradient,
    .samples = unique_samples};
constinit const OpDef searchsorted_op{
    .info = {.name = "searchsorted"},
    .doc = "how many elements of an ascending vector are before each value",
    .arity = 2,
    .infer = infer_searchsorted,
    .expand = expand_searchsorted,
    .pullback = no_gradient,
    .samples = searchsorted_samples};

// ---- builders

namespace {

// x at positions along an axis that are in range.
Expr at_positions(const Expr& x, const Expr& positions, std::size_t axis, Loc loc) {
    const std::size_t rank = x.shape().size();
    std::vector<Expr> inputs{x};
    for (std::size_t k = 0; k < rank; ++k) {
        Shape shape(rank - k, 1);
        shape[0] = x.shape()[k];
        inputs.push_back(k == axis ? positions
                                   : reshape(at(count_up(x.shape()[k], loc), loc), shape));
    }
    return apply(advanced_index_op, std::move(inputs), {}, loc);
}

Expr order_of(const Expr& x, std::int64_t axis, bool descending, std::optional<std::int64_t> count,
              Loc loc) {
    Attrs attrs{{"axis", axis}, {"descending", descending}};
    if (count) attrs = attrs.with("count", *count);
    return apply(argsort_op, {x}, attrs, loc);
}

Expr require_axes(const Operand& x, std::string_view op) {
    const Expr e = x.expr();
    if (e.rank() == 0) fail<GraphError>(x.loc, "{}: needs an axis: {}", op, describe(e));
    return e;
}

Expr flat(const Expr& e, Loc loc) {
    return reshape(at(e, loc), Shape{size_of(e.shape())});
}

}  // namespace

Expr argsort(const Operand& x, int axis, bool descending) {
    const Expr e = require_axes(x, "argsort");
    return order_of(e, normalize_axis(axis, e.rank(), "argsort", x.loc), descending, {}, x.loc);
}

Expr sort(const Operand& x, int axis, bool descending) {
    const Expr e = require_axes(x, "sort");
    const std::int64_t k = normalize_axis(axis, e.rank(), "sort", x.loc);
    return at_positions(e, order_of(e, k, descending, {}, x.loc), static_cast<std::size_t>(k),
                        x.loc);
}

TopK topk(const Operand& x, std::int64_t k, int axis, bool largest) {
    const Expr e = require_axes(x, "topk");
    const std::int64_t along = normalize_axis(axis, e.rank(), "topk", x.loc);
    const Dim& n = e.shape()[static_cast<std::size_t>(along)];
    if (k < 0 || (n.is_const() && k > n.value()))
        fail<GraphError>(x.loc, "topk: {} elements of axis {}: {}", k, along, describe(e));
    const Expr positions = order_of(e, along, largest, k, x.loc);
    return {at_positions(e, positions, static_cast<std::size_t>(along), x.loc), positions};
}

Expr searchsorted(const Operand& sorted, const Operand& values, bool right) {
    const auto [a, v] = unify(sorted, values, "searchsorted");
    if (a.rank() != 1)
        fail<GraphError>(sorted.loc, "searchsorted: needs a vector: {}", describe(a));
    return apply(searchsorted_op, {a, v}, {{"right", right}}, sorted.loc);
}

Expr bincount(const Operand& x, const SizeArg& length, const std::optional<Operand>& weights) {
    const Expr e = x.expr();
    const Loc loc = x.loc;
    if (is_float(e.dtype()) || e.dtype() == DType::Bool)
        fail<GraphError>(loc, "bincount: needs integers: {}", describe(e));
    // Negative numbers are no positions from the end.
    const Expr index = flat(cast(at(e, loc), DType::I64), loc);
    const Expr beyond = scalar_constant(DType::I64, std::numeric_limits<std::int64_t>::min(), loc);
    const Expr places = where(at(at(index, loc) < 0, loc), at(beyond, loc), at(index, loc));
    Expr w = scalar_constant(DType::I64, std::int64_t{1}, loc);
    if (weights) {
        w = weights->expr();
        const auto both = broadcast_shapes(w.shape(), e.shape());
        if (!both || both->size() != e.shape().size())
            fail<GraphError>(loc, "bincount: weights for each integer: {}, {}",
                             describe(w, "the weights"), describe(e));
        w = flat(broadcast_to(at(w, loc), e.shape()), loc);
        if (w.dtype() == DType::Bool || w.dtype() == DType::U8) w = cast(at(w, loc), DType::I64);
    }
    const Expr none = broadcast_to(
        at(cast(at(scalar_constant(DType::I64, std::int64_t{0}, loc), loc), w.dtype()), loc),
        Shape{length.dim});
    return inc_subtensor(none, {SliceArg(places, loc.file, loc.line)}, at(w, loc));
}

Expr histogram(const Operand& x, const Operand& edges) {
    const Loc loc = x.loc;
    const auto [values, ends] = unify(at(flat(x.expr(), loc), loc), edges, "histogram");
    if (ends.rank() != 1 || (ends.shape()[0].is_const() && ends.shape()[0].value() < 2))
        fail<GraphError>(loc, "histogram: needs a vector of two edges at least: {}",
                         describe(ends, "the edges"));
    const Dim bins = ends.shape()[0] - Dim(1);
    const Operand v = at(values, loc);
    const Expr after = searchsorted(at(ends, loc), v, true);
    // The last edge is in the last bin; what is in none is counted behind all.
    const Expr last = ends(SliceArg(-1, loc.file, loc.line));
    const Expr count = ends.shape(0, loc.file, loc.line);
    const Expr bin = where(at(eq(v, at(last, loc)), loc), at(at(count, loc) - 2, loc),
                           at(at(after, loc) - 1, loc));
    const Expr inside =
        at(at(bin, loc) >= 0, loc) && at(at(bin, loc) < at(at(count, loc) - 1, loc), loc);
    const Expr counts = bincount(where(at(inside, loc), at(bin, loc), at(at(count, loc) - 1, loc)),
                                 SizeArg(bins + Dim(1)));
    return slice_window(counts, {0}, {1}, {bins}, loc);
}

Expr histogram(const Operand& x, std::int64_t bins, double low, double high) {
    if (bins < 1 || !(low < high) || !std::isfinite(low) || !std::isfinite(high))
        fail<GraphError>(x.loc, "histogram: {} bins from {} to {}", bins, low, high);
    std::vector<double> edges;
    const double width = (high - low) / static_cast<double>(bins);
    for (std::int64_t k = 0; k < bins; ++k) edges.push_back(low + width * static_cast<double>(k));
    edges.push_back(high);
    return histogram(at(cast(x, DType::F64), x.loc), Array(edges));
}

Expr quantile(const Operand& operand, const Operand& q, std::optional<int> axis, bool keepdims) {
    const Loc loc = operand.loc;
    Expr x = operand.expr();
    if (!is_float(x.dtype())) x = cast(at(x, loc), DType::F32);
    const auto rank = static_cast<std::size_t>(x.rank());
    std::size_t along = 0;
    Shape kept(rank, 1);
    if (axis) {
        along = static_cast<std::size_t>(normalize_axis(*axis, x.rank(), "quantile", loc));
        kept = x.shape();
        kept[along] = 1;
    } else {
        x = flat(x, loc);
    }
    const Dim& size = x.shape()[along];
    if (size.is_const() && size.value() == 0)
        fail<GraphError>(loc, "quantile: of no elements: {}", describe(operand.expr()));
    const Expr share = q.beside(x.dtype(), "quantile");
    if (share.rank() != 0)
        fail<GraphError>(loc, "quantile: needs one number: {}", describe(share, "q"));
    double known = 0;
    if (is_constant_scalar(share, &known) && !(known >= 0 && known <= 1))
        fail<GraphError>(loc, "quantile: q is {}", known);
    const Expr sorted = sort(at(x, loc), static_cast<int>(along));
    const Expr last = at(x.shape(static_cast<int>(along), loc.file, loc.line), loc) - 1;
    const Expr place =
        at(cast(at(share, loc), DType::F64), loc) * at(cast(at(last, loc), DType::F64), loc);
    const Expr low = floor(at(place, loc));
    const auto element = [&](const Expr& position) {
        return take(at(sorted, loc), at(position, loc), static_cast<int>(along));
    };
    const Expr first = cast(at(low, loc), DType::I64);
    const Expr a = element(first), b = element(minimum(at(at(first, loc) + 1, loc), at(last, loc)));
    const Expr t = cast(at(at(place, loc) - at(low, loc), loc), x.dtype());
    // Of two infinities, or beside one, no difference is taken that is not asked for.
    const Expr between = at(a, loc) + at(at(at(b, loc) - at(a, loc), loc) * at(t, loc), loc);
    const Expr exact = at(at(t, loc) > 0, loc) && at(neq(at(a, loc), at(b, loc)), loc);
    const Expr result = where(at(exact, loc), at(between, loc), at(a, loc));
    const Expr largest = element(last);
    const Expr out = where(at(isnan(at(largest, loc)), loc), at(largest, loc), at(result, loc));
    return keepdims ? reshape(at(out, loc), kept) : out;
}

Expr median(const Operand& x, std::optional<int> axis, bool keepdims) {
    return quantile(x, 0.5, axis, keepdims);
}

Expr take_along_axis(const Operand& x, const Operand& indices, int axis) {
    const Expr e = require_axes(x, "take_along_axis"), i = indices.expr();
    const auto along =
        static_cast<std::size_t>(normalize_axis(axis, e.rank(), "take_along_axis", x.loc));
    bool fits = i.rank() == e.rank();
    for (std::size_t k = 0; fits && k < e.shape().size(); ++k)
        fits = k == along || !differ(e.shape()[k], i.shape()[k]) || i.shape()[k] == Dim(1) ||
               e.shape()[k] == Dim(1);
    if (!fits)
        fail<GraphError>(x.loc, "take_along_axis: shapes do not fit: {}, {}", describe(e),
                         describe(i, "the indices"));
    const Expr checked = checked_index(i, e.shape()[along], x.loc);
    // An axis of size 1 is repeated as the indices have it.
    Shape whole = i.shape();
    for (std::size_t k = 0; k < whole.size(); ++k)
        if (k != along) whole[k] = i.shape()[k] == Dim(1) ? e.shape()[k] : i.shape()[k];
    Shape wide = whole;
    wide[along] = e.shape()[along];
    return at_positions(broadcast_to(at(e, x.loc), wide), checked, along, x.loc);
}

Expr gather_nd(const Operand& x, const Operand& indices) {
    return advanced_index(x, indices_of_last_axis(x.expr(), indices.expr(), "gather_nd", x.loc));
}

NonZero nonzero(const Operand& x, const SizeArg& size) {
    const Expr e = require_axes(x, "nonzero");
    const std::vector<Expr> found =
        apply_all(nonzero_op, {flat(e, x.loc)}, {{"size", size.dim}}, x.loc);
    NonZero out;
    out.count = found[1];
    // Row-major positions taken apart.
    Expr rest = found[0];
    for (int k = e.rank() - 1; k > 0; --k) {
        const Operand n = at(e.shape(k, x.loc.file, x.loc.line), x.loc);
        out.indices.push_back(mod(at(rest, x.loc), n));
        rest = floordiv(at(rest, x.loc), n);
    }
    out.indices.push_back(rest);
    std::reverse(out.indices.begin(), out.indices.end());
    return out;
}

Selected boolean_mask(const Operand& x, const Operand& mask, const SizeArg& size) {
    const Loc loc = x.loc;
    const Expr e = x.expr(), m = require_axes(mask, "boolean_mask");
    bool fits = m.rank() <= e.rank() && m.dtype() == DType::Bool;
    for (std::size_t k = 0; fits && k < m.shape().size(); ++k)
        fits = !differ(m.shape()[k], e.shape()[k]);
    if (!fits)
        fail<GraphError>(loc, "boolean_mask: needs a bool of the shape of the first axes: {}, {}",
                         describe(e), describe(m, "the mask"));
    const std::vector<Expr> found =
        apply_all(nonzero_op, {flat(m, loc)}, {{"size", size.dim}}, loc);
    Shape rows{size_of(m.shape())}, ones{size.dim};
    for (std::size_t k = m.shape().size(); k < e.shape().size(); ++k) {
        rows.push_back(e.shape()[k]);
        ones.push_back(1);
    }
    const Expr picked = take(at(reshape(at(e, loc), rows), loc), at(found[0], loc));
    const Expr there = at(count_up(size.dim, loc), loc) < at(found[1], loc);
    return {where(at(reshape(at(there, loc), ones), loc), at(picked, loc), 0), found[1]};
}

Unique unique(const Operand& x, const SizeArg& size) {
    const Loc loc = x.loc;
    const Expr e = flat(x.expr(), loc);
    const std::vector<Expr> found = apply_all(unique_op, {e}, {{"size", size.dim}}, loc);
    return {take(at(e, loc), at(found[0], loc)), found[1],
            reshape(at(found[2], loc), x.expr().shape()), found[3]};
}

std::span<const OpDef* const> sorting_ops() {
    static constexpr std::array rows = {&argsort_op, &nonzero_op, &unique_op, &searchsorted_op};
    return rows;
}

}  // namespace arete

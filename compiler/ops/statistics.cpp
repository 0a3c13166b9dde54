#include "compiler/ops/statistics.h"

#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/scan.h"

namespace arete {

namespace {

constexpr double endless = std::numeric_limits<double>::infinity();

Operand as_float(const Operand& x) {
    return at(cast(x, float_of(x.expr().dtype())), x.loc);
}

// x with `instead` for NaN.
Operand without_nan(const Operand& x, double instead) {
    const Expr e = x.expr();
    if (!is_float(e.dtype())) return x;
    return at(where(at(isnan(x), x.loc), at(scalar_constant(e.dtype(), instead, x.loc), x.loc), x),
              x.loc);
}

// An extreme of those that are no NaN: where there are only such, NaN.
template <Expr (*Extreme)(const Operand&, const Axes&, bool)>
Expr known_extreme(const Operand& x, double least, const Axes& axes, bool keepdims) {
    const Expr e = x.expr();
    if (!is_float(e.dtype())) return Extreme(x, axes, keepdims);
    const Operand found = at(Extreme(without_nan(x, least), axes, keepdims), x.loc);
    const Operand none = at(all(at(isnan(x), x.loc), axes, keepdims), x.loc);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return where(none, at(scalar_constant(e.dtype(), nan, x.loc), x.loc), found);
}

// A loop over the rows of x along `axis`: each result is `step` of that before and a row.
template <class Step>
Expr running(const Operand& x, int axis, std::string_view op, const Expr& first, Step step) {
    const Loc loc = x.loc;
    const Expr e = x.expr();
    const auto k = static_cast<std::size_t>(normalize_axis(axis, e.rank(), op, loc));
    std::vector<int> order{static_cast<int>(k)}, back(e.shape().size());
    for (std::size_t j = 0; j < e.shape().size(); ++j)
        if (j != k) order.push_back(static_cast<int>(j));
    for (std::size_t j = 0; j < order.size(); ++j) back[order[j]] = static_cast<int>(j);
    const Expr rows = transpose(x, order);
    Shape initial = rows.shape(), starts(rows.shape().size(), Dim(0));
    initial[0] = 1;
    starts[0] = 1;

    ScanBuilder loop(rows.shape()[0], loc);
    const Expr row = loop.sequence(rows);
    const Expr before = loop.state(broadcast_to(at(first, loc), initial))[0];
    loop.next(0, step(at(before, loc), at(row, loc)));
    const Expr results = loop.build()[0];
    // Without the first, which no element has made.
    const Expr own = slice_window(results, starts, Ints(starts.size(), 1), rows.shape(), loc);
    return transpose(at(own, loc), back);
}

Operand summed_dtype(const Operand& x) {
    const DType t = x.expr().dtype();
    return at(cast(x, is_float(t) ? t : DType::I64), x.loc);
}

Expr least_of(DType t, double infinity, Loc loc) {
    return constant(Literal(infinity).as(t), loc.file, loc.line);
}

}  // namespace

Expr stddev(const Operand& x, const Axes& axes, bool keepdims) {
    return sqrt(at(var(x, axes, keepdims), x.loc));
}

Expr norm(const Operand& operand, double order, const Axes& axes, bool keepdims) {
    if (std::isnan(order)) fail<GraphError>(operand.loc, "norm: order NaN");
    const Operand x = as_float(operand);
    const Loc loc = x.loc;
    if (order == 0) return cast(at(count_nonzero(x, axes, keepdims), loc), x.expr().dtype());
    if (order == 2) return sqrt(at(sum(at(sqr(x), loc), axes, keepdims), loc));
    const Operand size = at(abs(x), loc);
    if (order == endless) return max(size, axes, keepdims);
    if (order == -endless) return min(size, axes, keepdims);
    if (order == 1) return sum(size, axes, keepdims);
    return pow(at(sum(at(pow(size, order), loc), axes, keepdims), loc), 1 / order);
}

Expr count_nonzero(const Operand& x, const Axes& axes, bool keepdims) {
    return sum(at(cast(x, DType::Bool), x.loc), axes, keepdims);
}

Expr ptp(const Operand& x, const Axes& axes, bool keepdims) {
    const Expr largest = max(x, axes, keepdims);
    return at(largest, x.loc) - at(min(x, axes, keepdims), x.loc);
}

Expr nansum(const Operand& x, const Axes& axes, bool keepdims) {
    return sum(without_nan(x, 0), axes, keepdims);
}
Expr nanprod(const Operand& x, const Axes& axes, bool keepdims) {
    return prod(without_nan(x, 1), axes, keepdims);
}
Expr nanmean(const Operand& operand, const Axes& axes, bool keepdims) {
    const Operand x = as_float(operand);
    const Operand known = at(!at(isnan(x), x.loc), x.loc);
    const Operand total = at(nansum(x, axes, keepdims), x.loc);
    return total / at(cast(at(sum(known, axes, keepdims), x.loc), x.expr().dtype()), x.loc);
}
Expr nanmax(const Operand& x, const Axes& axes, bool keepdims) {
    return known_extreme<max>(x, -endless, axes, keepdims);
}
Expr nanmin(const Operand& x, const Axes& axes, bool keepdims) {
    return known_extreme<min>(x, endless, axes, keepdims);
}

Expr cumsum(const Operand& operand, int axis) {
    const Operand x = summed_dtype(operand);
    return running(x, axis, "cumsum", scalar_constant(x.expr().dtype(), std::int64_t{0}, x.loc),
                   [](const Operand& a, const Operand& b) { return a + b; });
}
Expr cumprod(const Operand& operand, int axis) {
    const Operand x = summed_dtype(operand);
    return running(x, axis, "cumprod", scalar_constant(x.expr().dtype(), std::int64_t{1}, x.loc),
                   [](const Operand& a, const Operand& b) { return a * b; });
}
Expr cummax(const Operand& x, int axis) {
    return running(x, axis, "cummax", least_of(x.expr().dtype(), -endless, x.loc),
                   [](const Operand& a, const Operand& b) { return maximum(a, b); });
}
Expr cummin(const Operand& x, int axis) {
    return running(x, axis, "cummin", least_of(x.expr().dtype(), endless, x.loc),
                   [](const Operand& a, const Operand& b) { return minimum(a, b); });
}

}  // namespace arete

#include "compiler/ops/rearrange.h"

#include <algorithm>
#include <numeric>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/gather.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

std::size_t axis_in(int axis, const Expr& x, std::string_view op, Loc loc) {
    return static_cast<std::size_t>(normalize_axis(axis, x.rank(), op, loc));
}

// Elements [start, start + size) of one axis, by `step`.
Expr window(const Expr& x, std::size_t axis, const Dim& start, const Dim& size, Loc loc,
            std::int64_t step = 1) {
    Shape starts(x.shape().size(), Dim(0)), sizes = x.shape();
    Ints steps(x.shape().size(), 1);
    starts[axis] = start;
    sizes[axis] = size;
    steps[axis] = step;
    return slice_window(x, starts, steps, sizes, loc);
}

// 0, 1, ... along `axis` of `rank`, to be broadcast.
Operand counted(const Dim& size, int axis, int rank, Loc loc) {
    Shape shape(static_cast<std::size_t>(rank), Dim(1));
    shape[axis] = size;
    return at(reshape(at(count_up(size, loc), loc), shape), loc);
}

// Is this element of the last two axes, of h and w elements, at or below the diagonal k?
Operand at_or_below(const Dim& h, const Dim& w, std::int64_t k, Loc loc) {
    const Operand row = counted(h, 0, 2, loc), column = counted(w, 1, 2, loc);
    return at(column <= at(row + k, loc), loc);
}

void require_matrix(const Expr& x, std::string_view op, Loc loc) {
    if (x.rank() < 2) fail<GraphError>(loc, "{}: needs two axes: {}", op, describe(x));
}

// x along one axis, which gets `before` and `after` elements more, from the place that `source`
// says for each place in it, counted from its own first element.
template <class Source>
Expr mirrored(const Expr& x, std::size_t axis, std::int64_t before, std::int64_t after, Loc loc,
              Source source) {
    const Dim n = x.shape()[axis];
    const Operand size = at(x.shape(static_cast<int>(axis), loc.file, loc.line), loc);
    const Operand place = at(at(count_up(n + Dim(before + after), loc), loc) - before, loc);
    return take(at(x, loc), at(source(place, size), loc), static_cast<int>(axis));
}

Expr padded(const Expr& x, std::size_t axis, std::int64_t before, std::int64_t after, PadMode mode,
            const Operand& value, Loc loc) {
    const auto o = [loc](const Expr& e) { return at(e, loc); };
    switch (mode) {
        case PadMode::constant: {
            std::vector<Operand> parts;
            const auto side = [&](std::int64_t width) {
                if (width == 0) return;
                Shape shape = x.shape();
                shape[axis] = width;
                parts.push_back(o(full(shape, value, x.dtype())));
            };
            side(before);
            parts.push_back(o(x));
            side(after);
            return concatenate(parts, static_cast<int>(axis));
        }
        case PadMode::edge:
            return mirrored(x, axis, before, after, loc, [&](const Operand& k, const Operand& n) {
                return minimum(o(maximum(k, 0)), o(n - 1));
            });
        case PadMode::wrap:
            return mirrored(x, axis, before, after, loc,
                            [&](const Operand& k, const Operand& n) { return mod(k, n); });
        // To the end and back again, the ends once, or twice.
        case PadMode::reflect:
            return mirrored(x, axis, before, after, loc, [&](const Operand& k, const Operand& n) {
                const Operand period = o(o(n - 1) * 2), m = o(mod(k, period));
                return minimum(m, o(period - m));
            });
        case PadMode::symmetric: break;
    }
    return mirrored(x, axis, before, after, loc, [&](const Operand& k, const Operand& n) {
        const Operand period = o(n * 2), m = o(mod(k, period));
        return minimum(m, o(o(period - 1) - m));
    });
}

}  // namespace

std::vector<Expr> split(const Operand& x, int parts, int axis) {
    const Expr e = x.expr();
    const std::size_t k = axis_in(axis, e, "split", x.loc);
    const Dim& n = e.shape()[k];
    if (parts < 1) fail<GraphError>(x.loc, "split: {} parts", parts);
    if (n.is_const() && n.value() % parts != 0)
        fail<GraphError>(x.loc, "split: axis {} does not divide into {} parts: {}", k, parts,
                         describe(e));
    return split(x, ShapeArg(Shape(static_cast<std::size_t>(parts), floordiv(n, Dim(parts)))),
                 axis);
}

std::vector<Expr> split(const Operand& x, const ShapeArg& sizes, int axis) {
    const Expr e = x.expr();
    const std::size_t k = axis_in(axis, e, "split", x.loc);
    Dim total = 0;
    for (const Dim& d : sizes.shape) total = total + d;
    if (differ(total, e.shape()[k]))
        fail<GraphError>(x.loc, "split: sizes {} do not add up to that of axis {}: {}",
                         to_string(sizes.shape), k, describe(e));
    // Where they are not known to, the axis is promised to have their sum.
    Shape promised = e.shape();
    promised[k] = total;
    const Expr whole = specify_shape(x, promised, "split");
    std::vector<Expr> out;
    Dim start = 0;
    for (const Dim& d : sizes.shape) {
        out.push_back(window(whole, k, start, d, x.loc));
        start = start + d;
    }
    return out;
}

Expr tile(const Operand& x, const std::vector<std::int64_t>& reps) {
    Expr e = x.expr();
    for (std::int64_t r : reps)
        if (r < 0) fail<GraphError>(x.loc, "tile: {} repetitions", r);
    const std::size_t rank = std::max(reps.size(), e.shape().size());
    Shape each(rank - e.shape().size(), Dim(1));
    each.insert(each.end(), e.shape().begin(), e.shape().end());
    Shape apart, repeated, joined;
    for (std::size_t k = 0; k < rank; ++k) {
        const std::size_t missing = rank - reps.size();
        const Dim r = k < missing ? Dim(1) : Dim(reps[k - missing]);
        apart.insert(apart.end(), {Dim(1), each[k]});
        repeated.insert(repeated.end(), {r, each[k]});
        joined.push_back(r * each[k]);
    }
    e = broadcast_to(at(reshape(x, apart), x.loc), repeated);
    return reshape(at(e, x.loc), joined);
}

Expr repeat(const Operand& operand, std::int64_t repeats, std::optional<int> axis) {
    const Loc loc = operand.loc;
    if (repeats < 0) fail<GraphError>(loc, "repeat: {} repetitions", repeats);
    const Operand x = axis ? operand : at(flatten(operand), loc);
    const Expr e = x.expr();
    const std::size_t k = axis_in(axis.value_or(0), e, "repeat", loc);
    Shape apart = e.shape(), joined = e.shape();
    apart.insert(apart.begin() + static_cast<std::ptrdiff_t>(k) + 1, Dim(1));
    Shape repeated = apart;
    repeated[k + 1] = repeats;
    joined[k] = joined[k] * Dim(repeats);
    return reshape(at(broadcast_to(at(reshape(x, apart), loc), repeated), loc), joined);
}

Expr flip(const Operand& x, const std::vector<int>& axes) {
    const Expr e = x.expr();
    std::vector<std::size_t> which;
    if (axes.empty())
        for (std::size_t k = 0; k < e.shape().size(); ++k) which.push_back(k);
    for (int axis : axes) which.push_back(axis_in(axis, e, "flip", x.loc));
    Shape starts(e.shape().size(), Dim(0));
    Ints steps(e.shape().size(), 1);
    for (std::size_t k : which) {
        if (steps[k] < 0) fail<GraphError>(x.loc, "flip: an axis is given twice");
        if (e.shape()[k] == Dim(0)) continue;
        starts[k] = e.shape()[k] - Dim(1);
        steps[k] = -1;
    }
    return slice_window(e, starts, steps, e.shape(), x.loc);
}

Expr roll(const Operand& x, std::int64_t shift, std::optional<int> axis) {
    const Loc loc = x.loc;
    if (!axis) {
        const Expr rolled = roll(at(flatten(x), loc), shift, 0);
        return reshape(at(rolled, loc), x.expr().shape());
    }
    const Expr e = x.expr();
    const std::size_t k = axis_in(*axis, e, "roll", loc);
    const Dim& n = e.shape()[k];
    if (!n.is_const()) {
        const Operand size = at(e.shape(static_cast<int>(k), loc.file, loc.line), loc);
        const Operand place = at(at(count_up(n, loc), loc) - shift, loc);
        return take(x, at(mod(place, size), loc), static_cast<int>(k));
    }
    if (n.value() == 0) return e;
    const std::int64_t by = (shift % n.value() + n.value()) % n.value();
    if (by == 0) return e;
    return concatenate(
        {at(window(e, k, n - Dim(by), by, loc), loc), at(window(e, k, 0, n - Dim(by), loc), loc)},
        static_cast<int>(k));
}

Expr roll(const Operand& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& axes) {
    if (shifts.size() != axes.size())
        fail<GraphError>(x.loc, "roll: {} shifts along {} axes", shifts.size(), axes.size());
    Expr e = x.expr();
    for (std::size_t k = 0; k < axes.size(); ++k) e = roll(at(e, x.loc), shifts[k], axes[k]);
    return e;
}

Expr pad(const Operand& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& widths,
         PadMode mode, const Operand& value) {
    Expr e = x.expr();
    if (static_cast<int>(widths.size()) != e.rank())
        fail<GraphError>(x.loc, "pad: {} widths for the axes of {}", widths.size(), describe(e));
    for (std::size_t k = 0; k < widths.size(); ++k) {
        const auto [before, after] = widths[k];
        if (before < 0 || after < 0)
            fail<GraphError>(x.loc, "pad: widths {} and {} of axis {}", before, after, k);
        if (before + after == 0) continue;
        if (mode != PadMode::constant && e.shape()[k] == Dim(0))
            fail<GraphError>(x.loc, "pad: no elements along axis {}: {}", k, describe(e));
        e = padded(e, k, before, after, mode, value, x.loc);
    }
    return e;
}

Expr diag(const Operand& x, std::int64_t k) {
    const Loc loc = x.loc;
    const Expr e = x.expr();
    if (e.rank() == 0) fail<GraphError>(loc, "diag: needs an axis: {}", describe(e));
    if (e.rank() > 1) return diagonal(x, k);
    // Rows above the diagonal, or columns beside it, have no element of x.
    const std::int64_t beside = std::abs(k);
    const Dim n = e.shape()[0], m = n + Dim(beside);
    const Expr longer = pad(x, {{0, beside}});
    const Operand element = at(expand_dims(at(longer, loc), k < 0 ? 0 : 1), loc);
    const Operand row = counted(m, 0, 2, loc), column = counted(m, 1, 2, loc);
    return where(at(eq(column, at(row + k, loc)), loc), element, 0);
}

Expr diagonal(const Operand& x, std::int64_t offset, int axis1, int axis2) {
    const Loc loc = x.loc;
    Expr e = x.expr();
    require_matrix(e, "diagonal", loc);
    const std::size_t i = axis_in(axis1, e, "diagonal", loc),
                      j = axis_in(axis2, e, "diagonal", loc);
    if (i == j) fail<GraphError>(loc, "diagonal: an axis is given twice");
    if (!e.shape()[i].is_const() || !e.shape()[j].is_const())
        fail<GraphError>(loc, "diagonal: sizes of axes {} and {} must be known: {}", i, j,
                         describe(e));
    const std::int64_t h = e.shape()[i].value(), w = e.shape()[j].value();
    e = moveaxis(x, {static_cast<int>(i), static_cast<int>(j)}, {-2, -1});
    Shape shape(e.shape().begin(), e.shape().end() - 2);
    shape.push_back(h * w);
    const std::int64_t length =
        std::max<std::int64_t>(0, offset < 0 ? std::min(h + offset, w) : std::min(h, w - offset));
    const std::int64_t first = length == 0 ? 0 : offset < 0 ? -offset * w : offset;
    e = reshape(at(e, loc), shape);
    return window(e, shape.size() - 1, first, length, loc, w + 1);
}

Expr trace(const Operand& x, std::int64_t offset, int axis1, int axis2) {
    return sum(at(diagonal(x, offset, axis1, axis2), x.loc), -1);
}

Expr tril(const Operand& x, std::int64_t k) {
    const Expr e = x.expr();
    require_matrix(e, "tril", x.loc);
    const Dim &h = e.shape()[e.shape().size() - 2], &w = e.shape().back();
    return where(at_or_below(h, w, k, x.loc), x, 0);
}

Expr triu(const Operand& x, std::int64_t k) {
    const Expr e = x.expr();
    require_matrix(e, "triu", x.loc);
    const Dim &h = e.shape()[e.shape().size() - 2], &w = e.shape().back();
    return where(at_or_below(h, w, k - 1, x.loc), 0, x);
}

Expr swapaxes(const Operand& x, int axis1, int axis2) {
    const Expr e = x.expr();
    std::vector<int> order(e.shape().size());
    std::iota(order.begin(), order.end(), 0);
    std::swap(order[axis_in(axis1, e, "swapaxes", x.loc)],
              order[axis_in(axis2, e, "swapaxes", x.loc)]);
    return transpose(x, order);
}

Expr moveaxis(const Operand& x, const std::vector<int>& source,
              const std::vector<int>& destination) {
    const Expr e = x.expr();
    if (source.size() != destination.size())
        fail<GraphError>(x.loc, "moveaxis: {} axes to {} places", source.size(),
                         destination.size());
    std::vector<int> order(e.shape().size(), -1);
    std::vector<bool> moved(e.shape().size());
    for (std::size_t k = 0; k < source.size(); ++k) {
        const std::size_t from = axis_in(source[k], e, "moveaxis", x.loc),
                          to = axis_in(destination[k], e, "moveaxis", x.loc);
        if (moved[from] || order[to] >= 0)
            fail<GraphError>(x.loc, "moveaxis: an axis is given twice");
        moved[from] = true;
        order[to] = static_cast<int>(from);
    }
    std::size_t next = 0;
    for (int& axis : order) {
        if (axis >= 0) continue;
        while (moved[next]) ++next;
        axis = static_cast<int>(next++);
    }
    return e.rank() == 0 ? e : transpose(x, order);
}

std::vector<Expr> meshgrid(const std::vector<Operand>& vectors, Grid indexing) {
    std::vector<std::size_t> axes(vectors.size());
    std::iota(axes.begin(), axes.end(), std::size_t{0});
    if (indexing == Grid::xy && vectors.size() > 1) std::swap(axes[0], axes[1]);
    Shape shape(vectors.size(), Dim(1));
    for (std::size_t k = 0; k < vectors.size(); ++k) {
        const Expr e = vectors[k].expr();
        if (e.rank() != 1)
            fail<GraphError>(vectors[k].loc, "meshgrid: needs vectors: {}", describe(e));
        shape[axes[k]] = e.shape()[0];
    }
    std::vector<Expr> out;
    for (std::size_t k = 0; k < vectors.size(); ++k) {
        Shape own(vectors.size(), Dim(1));
        own[axes[k]] = shape[axes[k]];
        const Loc loc = vectors[k].loc;
        out.push_back(broadcast_to(at(reshape(vectors[k], own), loc), shape));
    }
    return out;
}

Expr one_hot(const Operand& labels, const SizeArg& classes, DType dtype) {
    const Expr e = labels.expr();
    const Loc loc = labels.loc;
    if (is_float(e.dtype())) fail<GraphError>(loc, "one_hot: needs integers: {}", describe(e));
    const Operand label = at(expand_dims(at(cast(labels, DType::I64), loc), -1), loc);
    return cast(at(eq(label, at(count_up(classes.dim, loc), loc)), loc), dtype);
}

Expr zeros(const ShapeArg& shape, DType dtype) {
    return full(shape, 0, dtype);
}
Expr ones(const ShapeArg& shape, DType dtype) {
    return full(shape, 1, dtype);
}

Expr eye(const SizeArg& n, std::optional<SizeArg> m, std::int64_t k, DType dtype) {
    const Operand row = counted(n.dim, 0, 2, {}), column = counted(m.value_or(n).dim, 1, 2, {});
    return cast(eq(column, row + k), dtype);
}

Expr linspace(const Operand& start, const Operand& stop, std::int64_t num, bool endpoint) {
    const Loc loc = start.loc;
    if (num < 0) fail<GraphError>(loc, "linspace: {} numbers", num);
    auto [a, b] = unify_floats(start, stop, "linspace");
    if (a.rank() != 0 || b.rank() != 0)
        fail<GraphError>(loc, "linspace: needs scalars: {}, {}", describe(a), describe(b));
    const std::int64_t steps = endpoint ? num - 1 : num;
    const Operand k = at(cast(at(count_up(num, loc), loc), a.dtype()), loc), low = at(a, loc),
                  high = at(b, loc);
    if (steps <= 0) return at(k * 0, loc) + low;
    // As NumPy: from the start on by steps; the last is stop exactly.
    const Operand step = at(at(high - low, loc) / steps, loc);
    const Operand usual = at(at(k * step, loc) + low, loc);
    return endpoint ? where(at(eq(k, steps), loc), high, usual) : usual.expr();
}

}  // namespace arete

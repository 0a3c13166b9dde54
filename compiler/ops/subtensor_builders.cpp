// What users call to write part of a copy: from an index, as they write it, to the places of every
// element that it names.
#include <algorithm>
#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/index_parts.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/subtensor.h"

namespace arete {

extern const OpDef set_subtensor_op, inc_subtensor_op, mul_subtensor_op, max_subtensor_op,
    min_subtensor_op, inc_subtensor_scaled_op;

namespace {

const OpDef& row_of(Scatter how) {
    constexpr std::array rows = {&set_subtensor_op, &inc_subtensor_op, &mul_subtensor_op,
                                 &max_subtensor_op, &min_subtensor_op};
    return *rows[static_cast<std::size_t>(how)];
}

// e along axis k of `rank` axes.
Expr on_axis(const Expr& e, std::size_t k, std::size_t rank, Loc loc) {
    Shape shape(rank - k, 1);
    shape[0] = e.shape()[0];
    return reshape(at(e, loc), shape);
}

// An index array with `behind` axes of size 1 added.
Expr in_front(const Expr& e, std::size_t behind, Loc loc) {
    Shape shape = e.shape();
    shape.resize(shape.size() + behind, 1);
    return reshape(at(e, loc), shape);
}

Shape shape_of_block(std::span<const Expr> arrays, Loc loc) {
    Shape shape;
    for (const Expr& e : arrays) {
        const auto both = broadcast_shapes(shape, e.shape());
        if (!both)
            fail<GraphError>(loc, "index: index arrays cannot be broadcast together: {}, {}",
                             to_string(shape), to_string(e.shape()));
        shape = *both;
    }
    return shape;
}

// Values that will be broadcast to `shape` must be numbers of x's kind.
Expr values_for(const Expr& x, const Operand& v, std::string_view op) {
    const Expr e = v.is_literal() ? v.beside(x.dtype(), op) : v.expr();
    if (e.dtype() == x.dtype()) return e;
    const auto kind = [](DType t) { return is_float(t) ? 2 : t == DType::Bool ? 0 : 1; };
    if (kind(e.dtype()) > kind(x.dtype()))
        fail<GraphError>(v.loc, "{}: {} for {}", op, describe(e, "the value"), describe(x));
    return cast(at(e, v.loc), x.dtype());
}

void require_numbers(Scatter how, const Expr& x, Loc loc) {
    if (how != Scatter::set && x.dtype() == DType::Bool)
        fail<GraphError>(loc, "{}: needs numbers: {}", row_of(how).info.name, describe(x));
}

Expr broadcast_values(const Expr& v, const Shape& shape, std::string_view op, Loc loc) {
    const auto both = broadcast_shapes(v.shape(), shape);
    bool fits = both && both->size() == shape.size();
    for (std::size_t d = 0; fits && d < shape.size(); ++d) fits = !differ((*both)[d], shape[d]);
    if (!fits)
        fail<GraphError>(loc, "{}: {} cannot be broadcast to {}", op, describe(v, "the value"),
                         to_string(shape));
    return broadcast_to(at(v, loc), shape);
}

Expr update(Scatter how, const Expr& x, std::span<const SliceArg> items, const Operand& v,
            Loc loc) {
    require_numbers(how, x, v.loc);
    const std::string_view op = row_of(how).info.name;
    const IndexParts parts = index_parts(x, items, loc);
    PartPlaces places;
    places.block = 0;
    const Shape block = shape_of_block(parts.arrays, loc);
    const std::size_t m = block.size();
    // Axes of what is read: where the block is in it, and behind the block the others.
    std::vector<int> behind(parts.shape.size(), -1);
    int others = 0;
    for (std::size_t d = 0; d < parts.shape.size(); ++d)
        if (!std::count(parts.axes.begin(), parts.axes.end(), static_cast<int>(d)))
            behind[d] = others++;
    const auto rest = static_cast<std::size_t>(others);
    std::size_t array = 0;
    for (std::size_t k = 0; k < parts.windows.size(); ++k) {
        const Dim& size = x.shape()[k];
        const int place = parts.place[k];
        if (place >= 0 && behind[static_cast<std::size_t>(place)] < 0) {
            const Expr checked = checked_index(parts.arrays[array++], size, loc);
            places.index.push_back(in_front(checked, rest, loc));
            places.arrays.push_back(static_cast<std::int64_t>(k));
            continue;
        }
        const Expr there = apply_windows(count_up(size, loc), {parts.windows[k]}, loc);
        if (place < 0)
            places.index.push_back(reshape(at(there, loc), Shape{}));
        else
            places.index.push_back(
                on_axis(there, static_cast<std::size_t>(behind[static_cast<std::size_t>(place)]),
                        rest, loc));
    }
    // The values as what is read, then with the block first.
    Shape read;
    const bool neighbours = !parts.axes.empty() && parts.axes.back() - parts.axes.front() + 1 ==
                                                       static_cast<int>(parts.axes.size());
    const std::size_t first = neighbours ? static_cast<std::size_t>(parts.axes.front()) : 0;
    Shape left;
    for (std::size_t d = 0; d < parts.shape.size(); ++d)
        if (behind[d] >= 0) left.push_back(parts.shape[d]);
    read = left;
    read.insert(read.begin() + static_cast<std::ptrdiff_t>(first), block.begin(), block.end());
    Expr values = broadcast_values(values_for(x, v, op), read, op, v.loc);
    if (m > 0 && first > 0) {
        std::vector<int> order;
        for (std::size_t d = 0; d < m; ++d) order.push_back(static_cast<int>(first + d));
        for (std::size_t d = 0; d < read.size(); ++d)
            if (d < first || d >= first + m) order.push_back(static_cast<int>(d));
        values = transpose(at(values, loc), order);
    }
    places.block = static_cast<std::int64_t>(m);
    places.shape = block;
    places.shape.insert(places.shape.end(), left.begin(), left.end());
    return update_at(how, x, places, values, loc);
}

Expr update_part(Scatter how, const Expr& part, const Operand& v) {
    const Indexed* of = part.empty() ? nullptr : part.node().indexed.get();
    if (!of)
        fail<GraphError>(v.loc, "{}: needs the result of an index x(...), not {}",
                         row_of(how).info.name, describe(part, "this"));
    return update(how, of->x, of->items, v, v.loc);
}

Loc line_of_items(std::initializer_list<SliceArg> items, Loc otherwise) {
    for (const SliceArg& i : items)
        if (i.slice.loc) return i.slice.loc;
    return otherwise;
}

}  // namespace

Expr update_at(Scatter how, const Expr& x, const PartPlaces& places, const Expr& values, Loc loc) {
    std::vector<Expr> inputs{x};
    inputs.insert(inputs.end(), places.index.begin(), places.index.end());
    inputs.push_back(values);
    return apply(row_of(how), std::move(inputs),
                 {{"arrays", places.arrays}, {"block", places.block}}, loc);
}

Expr add_scaled_at(const Expr& x, const PartPlaces& places, const Expr& values, const Expr& scale,
                   Loc loc) {
    std::vector<Expr> inputs{x};
    inputs.insert(inputs.end(), places.index.begin(), places.index.end());
    inputs.push_back(values);
    inputs.push_back(scale);
    return apply(inc_subtensor_scaled_op, std::move(inputs),
                 {{"arrays", places.arrays}, {"block", places.block}}, loc);
}

PartPlaces places_of_take(const Shape& x, const Expr& index, std::int64_t axis, Loc loc) {
    PartPlaces out;
    const std::size_t rest = x.size() - 1;
    for (std::size_t k = 0, d = 0; k < x.size(); ++k)
        out.index.push_back(k == static_cast<std::size_t>(axis)
                                ? in_front(index, rest, loc)
                                : on_axis(count_up(x[k], loc), d++, rest, loc));
    out.shape = index.shape();
    for (std::size_t k = 0; k < x.size(); ++k)
        if (k != static_cast<std::size_t>(axis)) out.shape.push_back(x[k]);
    out.block = index.rank();
    out.arrays = {axis};
    return out;
}

PartPlaces places_of_arrays(const Shape& x, std::span<const Expr> index, Loc loc) {
    PartPlaces out;
    const std::size_t rest = x.size() - index.size();
    out.shape = shape_of_block(index, loc);
    out.block = static_cast<std::int64_t>(out.shape.size());
    for (std::size_t k = 0; k < x.size(); ++k) {
        if (k < index.size()) {
            out.index.push_back(in_front(index[k], rest, loc));
            out.arrays.push_back(static_cast<std::int64_t>(k));
        } else {
            out.index.push_back(on_axis(count_up(x[k], loc), k - index.size(), rest, loc));
            out.shape.push_back(x[k]);
        }
    }
    return out;
}

std::vector<Expr> indices_of_last_axis(const Expr& x, const Expr& indices, std::string_view op,
                                       Loc loc) {
    const Shape& shape = indices.shape();
    if (shape.empty() || !shape.back().is_const() || shape.back().value() < 1 ||
        shape.back().value() > x.rank())
        fail<GraphError>(loc,
                         "{}: the last axis of the indices must be as long as there are indices, "
                         "at most the rank: {}, {}",
                         op, describe(x), describe(indices, "the indices"));
    std::vector<Expr> out;
    for (std::int64_t k = 0; k < shape.back().value(); ++k) {
        Shape starts(shape.size(), 0), sizes = shape;
        starts.back() = k;
        sizes.back() = 1;
        const Expr one = slice_window(indices, starts, Ints(shape.size(), 1), sizes, loc);
        sizes.pop_back();
        out.push_back(reshape(at(one, loc), sizes));
    }
    return out;
}

// ---- users' functions

Expr update_subtensor(Scatter how, const Expr& x, std::initializer_list<SliceArg> items,
                      const Operand& v) {
    return update(how, x, items, v, line_of_items(items, v.loc));
}
Expr set_subtensor(const Expr& x, std::initializer_list<SliceArg> items, const Operand& v) {
    return update_subtensor(Scatter::set, x, items, v);
}
Expr inc_subtensor(const Expr& x, std::initializer_list<SliceArg> items, const Operand& v) {
    return update_subtensor(Scatter::add, x, items, v);
}
Expr update_subtensor(Scatter how, const Expr& part, const Operand& v) {
    return update_part(how, part, v);
}
Expr set_subtensor(const Expr& part, const Operand& v) {
    return update_part(Scatter::set, part, v);
}
Expr inc_subtensor(const Expr& part, const Operand& v) {
    return update_part(Scatter::add, part, v);
}

Expr scatter_elements(const Operand& x, const Operand& indices, const Operand& updates, int axis,
                      Scatter how) {
    const Expr e = x.expr(), i = indices.expr();
    require_numbers(how, e, x.loc);
    const Expr v = values_for(e, updates, "scatter_elements");
    if (e.rank() != i.rank() || e.rank() != v.rank() || e.rank() == 0)
        fail<GraphError>(x.loc, "scatter_elements: ranks differ: {}, {}, {}", describe(e, "x"),
                         describe(i, "the indices"), describe(v, "the updates"));
    const auto along_axis =
        static_cast<std::size_t>(normalize_axis(axis, e.rank(), "scatter_elements", x.loc));
    const auto rank = static_cast<std::size_t>(e.rank());
    for (std::size_t k = 0; k < rank; ++k) {
        const Dim &n = i.shape()[k], &size = e.shape()[k];
        const bool outside =
            k != along_axis && n.is_const() && size.is_const() && n.value() > size.value();
        if (differ(n, v.shape()[k]) || outside)
            fail<GraphError>(x.loc, "scatter_elements: {} and {} for {}",
                             describe(i, "the indices"), describe(v, "the updates"),
                             describe(e, "x"));
    }
    PartPlaces places;
    for (std::size_t k = 0; k < rank; ++k) {
        places.index.push_back(
            k == along_axis
                ? checked_index(i, e.shape()[k], x.loc)
                : on_axis(checked_index(count_up(i.shape()[k], x.loc), e.shape()[k], x.loc), k,
                          rank, x.loc));
        places.arrays.push_back(static_cast<std::int64_t>(k));
    }
    places.shape = i.shape();
    places.block = e.rank();
    return update_at(how, e, places, broadcast_to(at(v, x.loc), i.shape()), x.loc);
}

Expr scatter_nd(const Operand& x, const Operand& indices, const Operand& updates, Scatter how) {
    const Expr e = x.expr(), i = indices.expr();
    require_numbers(how, e, x.loc);
    const Expr v = values_for(e, updates, "scatter_nd");
    std::vector<Expr> index = indices_of_last_axis(e, i, "scatter_nd", x.loc);
    for (std::size_t k = 0; k < index.size(); ++k)
        index[k] = checked_index(index[k], e.shape()[k], x.loc);
    const PartPlaces places = places_of_arrays(e.shape(), index, x.loc);
    return update_at(how, e, places, broadcast_values(v, places.shape, "scatter_nd", x.loc), x.loc);
}

}  // namespace arete

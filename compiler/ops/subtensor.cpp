// Rows that write part of a copy. Users' are composites, which know their gradients; what they
// stand for is `scatter`, of which all of them are made.
#include "compiler/ops/subtensor.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "compiler/ops/elementary.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/index_parts.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rearrange.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;

extern const OpDef scatter_op, set_subtensor_op, inc_subtensor_op, mul_subtensor_op,
    max_subtensor_op, min_subtensor_op, inc_subtensor_scaled_op, advanced_index_op;

namespace {

// ---- scatter: inputs [x,] one index an axis, values

Scatter how_of(const Attrs& attrs) {
    return static_cast<Scatter>(attrs.get<std::int64_t>("how"));
}

constexpr std::optional<loops::Reduction> combination(Scatter how) {
    switch (how) {
        case Scatter::set: return std::nullopt;
        case Scatter::add: return loops::Reduction::Sum;
        case Scatter::mul: return loops::Reduction::Prod;
        case Scatter::max: return loops::Reduction::Max;
        case Scatter::min: return loops::Reduction::Min;
    }
    return std::nullopt;
}

// The indices of inputs first, first + 1, ..., last - 1 must be integers that broadcast to `shape`.
void require_places(const InferArgs& a, std::size_t first, std::size_t last, const Shape& shape) {
    for (std::size_t k = first; k < last; ++k) {
        require_index(a, k);
        const auto both = broadcast_shapes(a.type(k).shape, shape);
        bool fits = both && both->size() == shape.size();
        for (std::size_t d = 0; fits && d < shape.size(); ++d) fits = !differ((*both)[d], shape[d]);
        if (!fits)
            a.error(fmt::format("{} places for values {}", to_string(a.type(k).shape),
                                to_string(shape)));
    }
}

std::vector<TensorType> infer_scatter(const InferArgs& a) {
    const std::int64_t onto = a.attrs.get<std::int64_t>("onto");
    const TensorType& v = a.type(a.inputs.size() - 1);
    const std::size_t first = onto >= 0 ? 1 : 0;
    const TensorType out =
        onto >= 0 ? a.type(0)
                  : TensorType{a.attrs.get<DType>("dtype"), a.attrs.get<Shape>("sizes")};
    if (a.inputs.size() != first + out.shape.size() + 1)
        a.error(fmt::format("{} inputs for {}", a.inputs.size(), out.str()));
    require_places(a, first, a.inputs.size() - 1, v.shape);
    return {out};
}

Value lower_scatter(Lowering& l, std::span<const Index> at_v) {
    const Attrs& attrs = l.node.attrs;
    Scattering to;
    to.onto = static_cast<int>(attrs.get<std::int64_t>("onto"));
    to.distinct = attrs.get<bool>("distinct");
    const int first = to.onto >= 0 ? 1 : 0, last = static_cast<int>(l.node.inputs.size()) - 1;
    for (int k = first; k < last; ++k)
        to.index.push_back(to_index(l.load(k, broadcast_index(at_v, l.shape(k)))));
    Value v = l.load(last, at_v);
    if (v.dtype() != l.node.types[0].dtype) v = cast(v, l.node.types[0].dtype);
    to.combine = combination(how_of(attrs));
    if (to.combine && to.distinct && to.onto >= 0) {
        // Each element is met once: read where it was, so that iterations are like any other's.
        v = loops::combine(*to.combine, l.load(to.onto, to.index), v);
        to.combine.reset();
    }
    l.scatter_to(std::move(to));
    return v;
}

Expr scatter(Scatter how, const std::vector<Expr>& inputs, Attrs attrs, Loc loc) {
    return apply(scatter_op, inputs, attrs.with("how", static_cast<std::int64_t>(how)), loc);
}

// x and what is written to it; no two values have one place where `distinct`.
Expr scatter_onto(Scatter how, const Expr& x, std::span<const Expr> index, const Expr& v,
                  bool distinct, Loc loc) {
    std::vector<Expr> inputs{x};
    inputs.insert(inputs.end(), index.begin(), index.end());
    inputs.push_back(v);
    return scatter(how, inputs, {{"onto", std::int64_t{0}}, {"distinct", distinct}}, loc);
}

// A fresh tensor: zeros, or anything where nothing is written.
Expr scatter_fresh(Scatter how, const TensorType& type, std::int64_t onto, std::vector<Expr> index,
                   const Expr& v, Loc loc) {
    index.push_back(v);
    return scatter(
        how, index,
        {{"onto", onto}, {"distinct", false}, {"dtype", type.dtype}, {"sizes", type.shape}}, loc);
}

// ---- composites: inputs x, one index an axis, values

std::span<const Expr> indices_of(std::span<const Expr> x) {
    return x.subspan(1, static_cast<std::size_t>(x[0].rank()));
}

std::vector<TensorType> infer_update(const InferArgs& a) {
    const TensorType& x = a.type(0);
    const std::size_t last = x.shape.size() + 1;
    ARETE_CHECK(a.inputs.size() == last + 1 || a.inputs.size() == last + 2, "{} of {} inputs",
                a.op.info.name, a.inputs.size());
    const TensorType& v = a.type(last);
    if (v.dtype != x.dtype)
        a.error(fmt::format("one dtype: {}, {}", a.describe(0), a.describe(last)));
    require_places(a, 1, last, v.shape);
    if (a.inputs.size() == last + 2 &&
        (a.type(last + 1).rank() != 0 || !is_float(x.dtype) || a.type(last + 1).dtype != x.dtype))
        a.error("a scale is a scalar: " + a.describe(last + 1));
    return {x};
}

bool is_distinct(const Attrs& attrs) {
    return attrs.get<Ints>("arrays").empty();
}

// What is at the places of e.
Expr read_at(const Expr& e, std::span<const Expr> index, const Shape& shape, Loc loc) {
    std::vector<Expr> inputs{e};
    inputs.insert(inputs.end(), index.begin(), index.end());
    return broadcast_to(at(apply(advanced_index_op, std::move(inputs), {}, loc), loc), shape);
}

// The first `block` axes of what is broadcast to shape, as one.
Expr block_rows(const Expr& index, const Shape& shape, std::size_t block, Loc loc) {
    Shape own = index.shape(),
          first(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(block));
    // Behind the block an index array has axes of size 1 only.
    const std::size_t behind = std::min(own.size(), shape.size() - block);
    own.resize(own.size() - behind);
    Expr e = broadcast_to(at(reshape(at(index, loc), own), loc), first);
    return reshape(at(e, loc), Shape{size_of(first)});
}

// Places that index arrays name, numbered: equal ones have equal numbers. One for each row of
// the block; `size` becomes how many numbers there are.
Expr keys(std::span<const Expr> x, std::span<const Expr> index, const Attrs& attrs,
          const Shape& shape, Dim& size, Loc loc) {
    const auto block = static_cast<std::size_t>(attrs.get<std::int64_t>("block"));
    Expr key;
    size = 1;
    for (std::int64_t axis : attrs.get<Ints>("arrays")) {
        const Dim& n = x[0].shape()[static_cast<std::size_t>(axis)];
        Expr one = block_rows(index[static_cast<std::size_t>(axis)], shape, block, loc);
        // The size as an expression: it may be a symbol still.
        if (!key.empty())
            one = at(at(key, loc) * at(count_up(n, loc).shape(0), loc), loc) + at(one, loc);
        key = one;
        size = size * n;
    }
    return key;
}

// For each row, the last row of the same place.
Expr last_rows(std::span<const Expr> x, std::span<const Expr> index, const Attrs& attrs,
               const Shape& shape, Loc loc) {
    Dim size;
    const Expr key = keys(x, index, attrs, shape, size, loc);
    // Where nothing is looked up the table may hold anything: it costs its memory only.
    const Expr table = scatter_fresh(Scatter::set, {DType::I32, {size}}, Scattering::nothing, {key},
                                     count_up(key.shape()[0], loc), loc);
    return cast(at(apply(advanced_index_op, {table, key}, {}, loc), loc), DType::I64);
}

// `shape` with its block as one axis.
Shape with_rows(const Shape& shape, std::size_t block) {
    const auto end = shape.begin() + static_cast<std::ptrdiff_t>(block);
    Shape out{size_of(Shape(shape.begin(), end))};
    out.insert(out.end(), end, shape.end());
    return out;
}

// Sums of floats are of doubles. Where many places are left alone, equal rows are added up in an
// array of as many rows as there are values, and rows written that are found in it: nothing is as
// large as x.
std::vector<Expr> expand_inc(const Node& node) {
    const Expr& x = node.inputs[0];
    const Loc loc = node.loc();
    const auto rank = static_cast<std::size_t>(x.rank());
    const std::span<const Expr> index = indices_of(node.inputs);
    const Expr& v = node.inputs[rank + 1];
    const Expr scale = node.inputs.size() > rank + 2 ? node.inputs[rank + 2] : Expr();
    const auto scaled = [&](const Expr& e) {
        return scale.empty() ? e : at(scale, loc) * at(e, loc);
    };
    if (is_distinct(node.attrs) || x.dtype() != DType::F32) {
        // One term each, or integers and doubles, which are as good one by one.
        if (is_distinct(node.attrs) || scale.empty())
            return {scatter_onto(Scatter::add, x, index, scaled(v), is_distinct(node.attrs), loc)};
    }
    const auto block = static_cast<std::size_t>(node.attrs.get<std::int64_t>("block"));
    const Shape rows = with_rows(v.shape(), block);
    std::int64_t places = 1;
    for (std::int64_t axis : node.attrs.get<Ints>("arrays"))
        places *= x.shape()[static_cast<std::size_t>(axis)].value();
    const auto narrow = [&](const Expr& e) { return cast(at(e, loc), x.dtype()); };
    if (places < 2 * rows[0].value()) {
        const Expr sums = scatter_fresh(Scatter::add, {DType::F64, x.shape()}, Scattering::zeros,
                                        {index.begin(), index.end()}, v, loc);
        if (!scale.empty()) return {at(x, loc) + at(scaled(narrow(sums)), loc)};
        return {narrow(at(cast(at(x, loc), DType::F64), loc) + at(sums, loc))};
    }
    const Expr owner = last_rows(node.inputs, index, node.attrs, v.shape(), loc);
    // Rows by number, and all that is behind them.
    std::vector<Expr> places_in_sums;
    Shape ones(rows.size(), 1);
    ones[0] = rows[0];
    places_in_sums.push_back(reshape(at(owner, loc), ones));
    for (std::size_t k = 1; k < rows.size(); ++k) {
        Shape along(rows.size(), 1);
        along[k] = rows[k];
        places_in_sums.push_back(reshape(at(count_up(rows[k], loc), loc), along));
    }
    const Expr sums = scatter_fresh(Scatter::add, {DType::F64, rows}, Scattering::zeros,
                                    places_in_sums, reshape(at(v, loc), rows), loc);
    const Expr sum_of_place = apply(advanced_index_op, {sums, owner}, {}, loc);
    const Expr sum = reshape(at(sum_of_place, loc), v.shape());
    const Expr old = read_at(x, index, v.shape(), loc);
    const Expr now = scale.empty() ? narrow(at(cast(at(old, loc), DType::F64), loc) + at(sum, loc))
                                   : at(old, loc) + at(scaled(narrow(sum)), loc);
    return {scatter_onto(Scatter::set, x, index, now, false, loc)};
}

template <Scatter How>
std::vector<Expr> expand_update(const Node& node) {
    if constexpr (How == Scatter::add) return expand_inc(node);
    return {scatter_onto(How, node.inputs[0], indices_of(node.inputs), node.inputs.back(),
                         is_distinct(node.attrs), node.loc())};
}

// ---- gradients

struct Update {
    explicit Update(const PullbackArgs& args)
        : a(args),
          index(indices_of(args.x)),
          v(args.x[static_cast<std::size_t>(args.x[0].rank()) + 1]) {}

    Expr at_places(const Expr& e) const { return read_at(e, index, v.shape(), a.node.loc()); }
    // The same op, or another one, at the same places.
    Expr written(const OpDef& op, const Expr& x, const Expr& values) const {
        std::vector<Expr> inputs{x};
        inputs.insert(inputs.end(), index.begin(), index.end());
        inputs.push_back(values);
        return apply(op, std::move(inputs), a.node.attrs, a.node.loc());
    }
    std::vector<Expr> result(const Expr& of_x, const Expr& of_v) const {
        std::vector<Expr> out(a.x.size());
        out[0] = of_x;
        out[index.size() + 1] = of_v;
        return out;
    }
    // Numbers of the rows of the block, with axes of size 1 behind.
    Expr row_numbers(const Expr& rows) const {
        const auto block = static_cast<std::size_t>(a.node.attrs.get<std::int64_t>("block"));
        Shape shape(v.shape().begin(), v.shape().begin() + static_cast<std::ptrdiff_t>(block));
        shape.resize(v.shape().size(), 1);
        return reshape(rows, shape);
    }
    Expr all_rows() const {
        const auto block = static_cast<std::ptrdiff_t>(a.node.attrs.get<std::int64_t>("block"));
        return count_up(size_of(Shape(v.shape().begin(), v.shape().begin() + block)), {});
    }

    const PullbackArgs& a;
    std::span<const Expr> index;
    const Expr& v;
};

// Of values with one place only the last one has stayed.
std::vector<Expr> pullback_set(const PullbackArgs& a) {
    const Update u(a);
    Expr of_v = u.at_places(a.g[0]);
    if (!is_distinct(a.node.attrs)) {
        const Expr last = last_rows(a.x, u.index, a.node.attrs, u.v.shape(), a.node.loc());
        of_v = where(u.row_numbers(eq(last, u.all_rows())), of_v, 0);
    }
    return u.result(u.written(set_subtensor_op, a.g[0], zeros_like(u.v)), of_v);
}

std::vector<Expr> pullback_inc(const PullbackArgs& a) {
    const Update u(a);
    const Expr g = u.at_places(a.g[0]);
    if (a.x.size() == u.index.size() + 2) return u.result(a.g[0], g);
    std::vector<Expr> out = u.result(a.g[0], g * a.x.back());
    out.back() = sum(g * u.v);
    return out;
}

std::vector<Expr> pullback_mul(const PullbackArgs& a) {
    const Update u(a);
    if (!is_distinct(a.node.attrs))
        fail<GraphError>(
            a.node.loc(),
            "{}: products of values that an index array may bring to one place have no "
            "gradient here",
            a.node.op->name);
    const Expr of_x = u.written(mul_subtensor_op, a.g[0], u.v);
    return u.result(of_x, u.at_places(a.g[0]) * u.at_places(a.x[0]));
}

// The element that was there has it where it is the extreme, otherwise the first value that is.
std::vector<Expr> pullback_scattered_extreme(const PullbackArgs& a) {
    const Update u(a);
    const Expr &x = a.x[0], &y = a.y[0];
    const Expr stays = eq(x, y) || isnan(x);
    const Expr y_here = u.at_places(y);
    Expr taken = (eq(u.v, y_here) || isnan(u.v)) && !u.at_places(stays);
    if (!is_distinct(a.node.attrs)) {
        const Expr rows = u.all_rows();
        const Expr number = u.row_numbers(rows);
        const Expr none = rows.shape(0);
        const Expr first = u.written(min_subtensor_op, broadcast_to(none, x.shape()),
                                     broadcast_to(where(taken, number, none), u.v.shape()));
        taken = taken && eq(u.at_places(first), number);
    }
    return u.result(where(stays, a.g[0], 0), where(taken, u.at_places(a.g[0]), 0));
}

// ---- samples

using X = std::span<const Expr>;

template <Scatter How>
std::vector<Sample> update_samples() {
    std::vector<Sample> all_of_them{
        {"rows with a step",
         {{{7, 5}}, {{2, 5}}},
         [](X x) { return update_subtensor(How, x[0], {slice(-2, 1, -3)}, x[1]); }},
        {"a column",
         {{{4, 3}}, {{4}}},
         [](X x) { return update_subtensor(How, x[0](all, -2), x[1]); }},
        {"broadcast",
         {{{4, 6}}, {{2}}},
         [](X x) { return update_subtensor(How, x[0](slice(1, 3), slice(none, none, 3)), x[1]); }},
        {"at run time",
         {{{9, 2}}, {{3, 2}}, {{}, 0, 2, true}},
         [](X x) { return update_subtensor(How, x[0](slice(x[2] * 3, (x[2] + 1) * 3)), x[1]); }},
        {"repeated rows",
         {{{5, 3}}, {{7, 3}}, {{7}, -5, 4, true}},
         [](X x) { return update_subtensor(How, x[0](x[2]), x[1]); }},
        {"few rows of many",
         {{{40, 3}}, {{2, 3, 3}}, {{2, 3}, 0, 3, true}},
         [](X x) { return update_subtensor(How, x[0](x[2]), x[1]); }},
        {"mixed",
         {{{4, 6, 5}}, {{4, 3, 2}}, {{4, 1}, 0, 3, true}, {{3}, -5, 4, true}},
         [](X x) { return update_subtensor(How, x[0](x[2], slice(5, 1, -2), x[3]), x[1]); }},
        {"elements",
         {{{4, 5}}, {{3, 4}}, {{3, 4}, -4, 3, true}},
         [](X x) { return scatter_elements(x[0], x[2], x[1], 0, How); }},
        {"places", {{{4, 3, 2}}, {{5, 2}}, {{5, 2}, -3, 2, true}}, [](X x) {
             return scatter_nd(x[0], x[2], x[1], How);
         }}};
    // What index arrays bring to one place has no gradient as a factor.
    if (How == Scatter::mul) all_of_them.resize(4);
    return all_of_them;
}

std::vector<Sample> scaled_samples() {
    const auto build = [](X x) {
        const PartPlaces places = places_of_take(x[0].shape(), checked_index(x[2], 30, {}), 0, {});
        return add_scaled_at(x[0], places, x[1], x[3], {});
    };
    return {{"rows", {{{30, 2}}, {{6, 2}}, {{6}, 0, 4, true}, {{}}}, build, true, true},
            {"most rows", {{{30, 2}}, {{40, 2}}, {{40}, 0, 29, true}, {{}}}, build, true, true}};
}

std::vector<Sample> scatter_samples() {
    const auto fresh = [](Scatter how, DType t) {
        return [=](X x) {
            return scatter_fresh(how, {t, {5, 3}}, Scattering::zeros,
                                 {expand_dims(checked_index(x[1], 5, {}), 1), arange(3)}, x[0], {});
        };
    };
    const auto all_written = [](X x) {
        return scatter_fresh(Scatter::set, {x[0].dtype(), {4}}, Scattering::nothing,
                             {arange(3, -1, -1)}, x[0], {});
    };
    return {
        {"sums", {{{7, 3}}, {{7}, 0, 4, true}}, fresh(Scatter::add, DType::F64), false, true},
        {"last ones", {{{7, 3}}, {{7}, 0, 4, true}}, fresh(Scatter::set, DType::F32), false, true},
        {"all", {{{4}}}, all_written, false}};
}

}  // namespace

constinit const OpDef scatter_op{
    .info = {.name = "scatter", .traits = Trait::Scatters},
    .doc = "values (the last input) at index arrays, over attr onto: an input, zeros or anything",
    .arity = -1,
    .infer = infer_scatter,
    .lower = lower_scatter,
    .samples = scatter_samples};
constinit const OpDef set_subtensor_op{.info = {.name = "set_subtensor"},
                                       .doc = "x with values (the last input) at index arrays",
                                       .arity = -1,
                                       .infer = infer_update,
                                       .expand = expand_update<Scatter::set>,
                                       .pullback = pullback_set,
                                       .samples = update_samples<Scatter::set>};
constinit const OpDef inc_subtensor_op{.info = {.name = "inc_subtensor"},
                                       .doc = "x plus values (the last input) at index arrays",
                                       .arity = -1,
                                       .infer = infer_update,
                                       .expand = expand_update<Scatter::add>,
                                       .pullback = pullback_inc,
                                       .samples = update_samples<Scatter::add>};
constinit const OpDef inc_subtensor_scaled_op{
    .info = {.name = "inc_subtensor_scaled"},
    .doc = "x plus a scale (the last input) times values added up at index arrays",
    .arity = -1,
    .infer = infer_update,
    .expand = expand_update<Scatter::add>,
    .pullback = pullback_inc,
    .samples = scaled_samples};
constinit const OpDef mul_subtensor_op{.info = {.name = "mul_subtensor"},
                                       .doc = "x times values (the last input) at index arrays",
                                       .arity = -1,
                                       .infer = infer_update,
                                       .expand = expand_update<Scatter::mul>,
                                       .pullback = pullback_mul,
                                       .samples = update_samples<Scatter::mul>};
constinit const OpDef max_subtensor_op{
    .info = {.name = "max_subtensor"},
    .doc = "the largest of x and values (the last input) at index arrays",
    .arity = -1,
    .infer = infer_update,
    .expand = expand_update<Scatter::max>,
    .pullback = pullback_scattered_extreme,
    .samples = update_samples<Scatter::max>};
constinit const OpDef min_subtensor_op{
    .info = {.name = "min_subtensor"},
    .doc = "the smallest of x and values (the last input) at index arrays",
    .arity = -1,
    .infer = infer_update,
    .expand = expand_update<Scatter::min>,
    .pullback = pullback_scattered_extreme,
    .samples = update_samples<Scatter::min>};

bool undefined_elsewhere(const Expr& e) {
    const Node& n = e.node();
    return n.op == &scatter_op.info && n.attrs.get<std::int64_t>("onto") == Scattering::nothing;
}

std::span<const OpDef* const> subtensor_ops() {
    static constexpr std::array rows = {
        &scatter_op,       &set_subtensor_op, &inc_subtensor_op,       &mul_subtensor_op,
        &max_subtensor_op, &min_subtensor_op, &inc_subtensor_scaled_op};
    return rows;
}

}  // namespace arete

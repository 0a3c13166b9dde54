// Rows that read or scatter at computed places. Index operands have been through check_index, so
// they are in range.
#include "compiler/ops/gather.h"

#include <algorithm>
#include <array>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef take_op, take_grad_op, take_scatter_op, advanced_index_op,
    advanced_index_grad_op, advanced_index_scatter_op, one_hot_rows_op;

namespace {

// ---- take

std::size_t axis_of(const Attrs& attrs) {
    return static_cast<std::size_t>(attrs.get<std::int64_t>("axis"));
}

Shape take_shape(const Shape& x, const Shape& index, std::size_t axis) {
    Shape shape(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(axis));
    shape.insert(shape.end(), index.begin(), index.end());
    shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end());
    return shape;
}

std::vector<TensorType> infer_take(const InferArgs& a) {
    require_index(a, 1);
    return {{a.type(0).dtype, take_shape(a.type(0).shape, a.type(1).shape, axis_of(a.attrs))}};
}

std::vector<TensorType> infer_take_grad(const InferArgs& a) {
    require_index(a, 0);
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    if (take_shape(sizes, a.type(0).shape, axis_of(a.attrs)).size() != a.type(1).shape.size())
        a.error(fmt::format("ranks differ: {}, {}", a.describe(0), a.describe(1)));
    return {{a.type(1).dtype, sizes}};
}

// The place in x of element `out` of take(x, index), with `index` as input i.
std::vector<Index> take_place(Lowering& l, int i, std::span<const Index> out) {
    const std::size_t axis = axis_of(l.node.attrs), rank = l.shape(i).size();
    std::vector<Index> place(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(axis));
    place.push_back(to_index(l.load(i, out.subspan(axis, rank))));
    for (std::size_t k = axis + rank; k < out.size(); ++k) place.push_back(out[k]);
    return place;
}

Value lower_take(Lowering& l, std::span<const Index> out) {
    return l.load(0, take_place(l, 1, out));
}

// Gradients are scatters, of which the sums of floats are of doubles where an element may get so
// many terms that rounding them would show.
Expr scattered(const OpDef& scatter, const Node& node, std::size_t index_rank) {
    constexpr std::int64_t few = 256;
    const Expr& g = node.inputs.back();
    std::int64_t terms = 1;
    const std::size_t from = node.op == &take_grad_op.info ? axis_of(node.attrs) : 0;
    for (std::size_t k = from; k < from + index_rank; ++k) terms *= g.shape()[k].value();
    const bool wide = g.dtype() == DType::F32 && terms > few;
    const Expr sums = apply(scatter, node.inputs, node.attrs.with("wide", wide), node.loc());
    return wide ? cast(at(sums, node.loc()), DType::F32) : sums;
}

DType type_of_scatter(const InferArgs& a) {
    return a.attrs.get<bool>("wide") ? DType::F64 : a.type(a.inputs.size() - 1).dtype;
}

Value scattered_term(Lowering& l, std::span<const Index> at_g) {
    const Value g = l.load(static_cast<int>(l.node.inputs.size()) - 1, at_g);
    return g.dtype() == l.node.types[0].dtype ? g : cast(g, l.node.types[0].dtype);
}

std::vector<TensorType> infer_take_scatter(const InferArgs& a) {
    return {{type_of_scatter(a), infer_take_grad(a)[0].shape}};
}

Value lower_take_scatter(Lowering& l, std::span<const Index> at_g) {
    l.scatter_to({.index = take_place(l, 0, at_g)});
    return scattered_term(l, at_g);
}

std::vector<Sample> take_samples() {
    using X = std::span<const Expr>;
    return {{"rows", {{{5, 3}}, {{7}, -5, 4, true}}, [](X x) { return take(x[0], x[1]); }},
            {"columns", {{{3, 5}}, {{2, 3}, 0, 4, true}}, [](X x) { return take(x[0], x[1], -1); }},
            {"scalar", {{{5, 3}}, {{}, 0, 4, true}}, [](X x) { return take(x[0], x[1]); }}};
}

// A gradient op is sampled by itself, so that its own gradient is tested.
std::vector<Sample> take_grad_samples() {
    return {{"repeated rows",
             {{{7}, 0, 4, true}, {{7, 3}}},
             [](std::span<const Expr> x) {
                 return apply(take_grad_op, {x[0], x[1]},
                              {{"axis", std::int64_t{0}}, {"sizes", Shape{5, 3}}}, {});
             }},
            {"middle axis", {{{2, 2}, 0, 3, true}, {{3, 2, 2, 5}}}, [](std::span<const Expr> x) {
                 return apply(take_grad_op, {x[0], x[1]},
                              {{"axis", std::int64_t{1}}, {"sizes", Shape{3, 4, 5}}}, {});
             }}};
}

template <bool Wide>
Expr scattered_rows(std::span<const Expr> x) {
    return apply(take_scatter_op, {x[0], x[1]},
                 {{"axis", std::int64_t{0}}, {"sizes", Shape{5, 3}}, {"wide", Wide}}, {});
}

std::vector<Sample> take_scatter_samples() {
    return {{"repeated rows", {{{7}, 0, 4, true}, {{7, 3}}}, scattered_rows<false>},
            {"in double", {{{7}, 0, 4, true}, {{7, 3}}}, scattered_rows<true>, true, true}};
}

// ---- index arrays on the first axes

// Shape of the index arrays at inputs first, first + 1, ..., last - 1.
Shape index_shape(const InferArgs& a, std::size_t first, std::size_t last) {
    Shape shape;
    for (std::size_t i = first; i < last; ++i) {
        require_index(a, i);
        auto both = broadcast_shapes(shape, a.type(i).shape);
        if (!both)
            a.error(fmt::format("index arrays cannot be broadcast together: {}, {}",
                                a.describe(first), a.describe(i)));
        shape = *both;
    }
    return shape;
}

std::vector<TensorType> infer_advanced_index(const InferArgs& a) {
    const std::size_t k = a.inputs.size() - 1;
    const Shape& x = a.type(0).shape;
    if (k > x.size()) a.error(fmt::format("{} indices for {}", k, a.describe(0)));
    Shape shape = index_shape(a, 1, k + 1);
    shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(k), x.end());
    return {{a.type(0).dtype, shape}};
}

std::vector<TensorType> infer_advanced_index_grad(const InferArgs& a) {
    const std::size_t k = a.inputs.size() - 1;
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    const std::size_t rank = index_shape(a, 0, k).size();
    if (rank + sizes.size() - k != a.type(k).shape.size())
        a.error(fmt::format("rank of the gradient: {}", a.describe(k)));
    return {{a.type(k).dtype, sizes}};
}

// The place in x of element `out` of advanced_index; index arrays are inputs first ... last - 1.
std::vector<Index> advanced_place(Lowering& l, std::size_t first, std::size_t last,
                                  std::span<const Index> out) {
    std::size_t rank = 0;
    for (std::size_t i = first; i < last; ++i)
        rank = std::max(rank, l.shape(static_cast<int>(i)).size());
    std::vector<Index> place;
    for (std::size_t i = first; i < last; ++i) {
        const int n = static_cast<int>(i);
        place.push_back(to_index(l.load(n, broadcast_index(out.first(rank), l.shape(n)))));
    }
    for (std::size_t k = rank; k < out.size(); ++k) place.push_back(out[k]);
    return place;
}

Value lower_advanced_index(Lowering& l, std::span<const Index> out) {
    return l.load(0, advanced_place(l, 1, l.node.inputs.size(), out));
}

std::vector<TensorType> infer_advanced_index_scatter(const InferArgs& a) {
    return {{type_of_scatter(a), infer_advanced_index_grad(a)[0].shape}};
}

Value lower_advanced_index_scatter(Lowering& l, std::span<const Index> at_g) {
    l.scatter_to({.index = advanced_place(l, 0, l.node.inputs.size() - 1, at_g)});
    return scattered_term(l, at_g);
}

std::vector<Expr> pullback_advanced_index(const PullbackArgs& a) {
    std::vector<Expr> out(a.x.size());
    const Shape& sizes = a.x[0].shape();
    // x[arange(n), y] with n results reads each row once: the gradient needs no scatter.
    const Dim places = a.y[0].rank() > 0 ? a.y[0].shape()[0] : Dim(1);
    const bool rows = a.x.size() == 3 && sizes.size() == 2 && counts_up(a.x[1]) &&
                      a.x[2].rank() == 1 && a.x[1].shape()[0] == places;
    if (rows) {
        const Expr labels = broadcast_to(a.x[2], Shape{places});
        out[0] = apply(one_hot_rows_op, {labels, a.g[0]}, {{"sizes", sizes}}, {});
        return out;
    }
    std::vector<Expr> inputs(a.x.begin() + 1, a.x.end());
    inputs.push_back(a.g[0]);
    out[0] = apply(advanced_index_grad_op, std::move(inputs), {{"sizes", sizes}}, {});
    return out;
}

std::vector<Sample> advanced_index_samples() {
    using X = std::span<const Expr>;
    return {{"picked by label",
             {{{6, 10}}, {{6}, 0, 9, true}},
             [](X x) { return advanced_index(x[0], {arange(6), x[1]}); }},
            {"pairs",
             {{{4, 5, 3}}, {{7}, -4, 3, true}, {{7}, 0, 4, true}},
             [](X x) { return advanced_index(x[0], {x[1], x[2]}); }},
            {"outer", {{{4, 5}}, {{3, 1}, 0, 3, true}, {{2}, 0, 4, true}}, [](X x) {
                 return advanced_index(x[0], {x[1], x[2]});
             }}};
}

std::vector<Sample> advanced_index_grad_samples() {
    return {{"repeated places",
             {{{9}, 0, 2, true}, {{9}, 0, 1, true}, {{9, 2}}},
             [](std::span<const Expr> x) {
                 return apply(advanced_index_grad_op, {x[0], x[1], x[2]},
                              {{"sizes", Shape{3, 2, 2}}}, {});
             }}};
}

std::vector<Sample> advanced_index_scatter_samples() {
    return {{"in double",
             {{{9}, 0, 2, true}, {{9}, 0, 1, true}, {{9, 2}}},
             [](std::span<const Expr> x) {
                 return apply(advanced_index_scatter_op, {x[0], x[1], x[2]},
                              {{"sizes", Shape{3, 2, 2}}, {"wide", true}}, {});
             },
             true,
             true}};
}

// ---- one place a row

std::vector<TensorType> infer_one_hot_rows(const InferArgs& a) {
    require_index(a, 0);
    const Shape& sizes = a.attrs.get<Shape>("sizes");
    if (a.type(0).rank() != 1 || a.type(1).rank() != 1 || sizes.size() != 2 ||
        differ(a.type(0).shape[0], a.type(1).shape[0]))
        a.error(fmt::format("two vectors of one size: {}, {}", a.describe(0), a.describe(1)));
    return {{a.type(1).dtype, sizes}};
}

Value lower_one_hot_rows(Lowering& l, std::span<const Index> out) {
    const std::int64_t n = l.shape(1)[0];
    if (n == 0) return zero(l);
    // There may be fewer labels than rows.
    Guard guard(l.code);
    const Index row[] = {guard.inside(out[0], n)};
    Value v = guard.load(l, 1, row);
    Value here = ir::eq(guard.load(l, 0, row), l.code.index(out[1]));
    return ir::select(here, v, ir::literal(v, 0));
}

std::vector<Sample> one_hot_rows_samples() {
    auto build = [](std::span<const Expr> x) {
        return apply(one_hot_rows_op, {x[0], x[1]}, {{"sizes", Shape{6, 10}}}, {});
    };
    return {{"all rows", {{{6}, 0, 9, true}, {{6}}}, build},
            {"fewer labels", {{{4}, 0, 9, true}, {{4}}}, build}};
}

}  // namespace

constinit const OpDef take_op{.info = {.name = "take", .traits = Trait::View},
                              .doc = "elements at index arrays along attr axis",
                              .arity = 2,
                              .infer = infer_take,
                              .lower = lower_take,
                              .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
                                  return {apply(take_grad_op, {a.x[1], a.g[0]},
                                                a.node.attrs.with("sizes", a.x[0].shape()), {}),
                                          Expr()};
                              },
                              .samples = take_samples};
constinit const OpDef take_grad_op{
    .info = {.name = "take_grad"},
    .doc = "g added up at the places that take read; zero elsewhere",
    .arity = 2,
    .infer = infer_take_grad,
    .expand =
        [](const Node& node) {
            return std::vector<Expr>{
                scattered(take_scatter_op, node, static_cast<std::size_t>(node.inputs[0].rank()))};
        },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {Expr(), apply(take_op, {a.g[0], a.x[0]},
                              {{"axis", a.node.attrs.get<std::int64_t>("axis")}}, {})};
    },
    .samples = take_grad_samples,
    .placing = {&take_op.info, 1}};
constinit const OpDef take_scatter_op{
    .info = {.name = "take_scatter", .traits = Trait::Scatters},
    .doc = "what take_grad stands for; in double where attr wide says so",
    .arity = 2,
    .infer = infer_take_scatter,
    .lower = lower_take_scatter,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        const Expr g = apply(take_op, {a.g[0], a.x[0]},
                             {{"axis", a.node.attrs.get<std::int64_t>("axis")}}, {});
        return {Expr(), cast(g, a.x[1].dtype())};
    },
    .samples = take_scatter_samples};
constinit const OpDef advanced_index_op{.info = {.name = "advanced_index", .traits = Trait::View},
                                        .doc = "elements at index arrays on the first axes",
                                        .arity = -1,
                                        .infer = infer_advanced_index,
                                        .lower = lower_advanced_index,
                                        .pullback = pullback_advanced_index,
                                        .samples = advanced_index_samples};
constinit const OpDef advanced_index_grad_op{
    .info = {.name = "advanced_index_grad"},
    .doc = "g (the last input) added up at the places that advanced_index read",
    .arity = -1,
    .infer = infer_advanced_index_grad,
    .expand =
        [](const Node& node) {
            const Shape& sizes = node.attrs.get<Shape>("sizes");
            const std::size_t read = sizes.size() - (node.inputs.size() - 1);
            return std::vector<Expr>{
                scattered(advanced_index_scatter_op, node,
                          static_cast<std::size_t>(node.inputs.back().rank()) - read)};
        },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        std::vector<Expr> inputs{a.g[0]};
        inputs.insert(inputs.end(), a.x.begin(), a.x.end() - 1);
        std::vector<Expr> out(a.x.size());
        out.back() = apply(advanced_index_op, std::move(inputs), {}, {});
        return out;
    },
    .samples = advanced_index_grad_samples,
    .placing = {&advanced_index_op.info, -1}};
constinit const OpDef advanced_index_scatter_op{
    .info = {.name = "advanced_index_scatter", .traits = Trait::Scatters},
    .doc = "what advanced_index_grad stands for; in double where attr wide says so",
    .arity = -1,
    .infer = infer_advanced_index_scatter,
    .lower = lower_advanced_index_scatter,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        std::vector<Expr> inputs{a.g[0]};
        inputs.insert(inputs.end(), a.x.begin(), a.x.end() - 1);
        std::vector<Expr> out(a.x.size());
        out.back() = cast(apply(advanced_index_op, std::move(inputs), {}, {}), a.x.back().dtype());
        return out;
    },
    .samples = advanced_index_scatter_samples};
constinit const OpDef one_hot_rows_op{
    .info = {.name = "one_hot_rows"},
    .doc = "row i is zero but for g[i] in column y[i]",
    .arity = 2,
    .infer = infer_one_hot_rows,
    .lower = lower_one_hot_rows,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        Expr rows = count_up(a.x[1].shape()[0], {});
        return {Expr(), apply(advanced_index_op, {a.g[0], rows, a.x[0]}, {}, {})};
    },
    .samples = one_hot_rows_samples,
    .placing = {&advanced_index_op.info, 1}};

// ---- builders

Expr take(const Operand& x, const Operand& indices, int axis) {
    Expr e = x.expr();
    const std::int64_t k = normalize_axis(axis, e.rank(), "take", x.loc);
    Expr index = checked_index(indices.expr(), e.shape()[k], x.loc);
    return apply(take_op, {e, index}, {{"axis", k}}, x.loc);
}

Expr advanced_index(const Operand& x, const std::vector<Expr>& indices) {
    Expr e = x.expr();
    if (static_cast<int>(indices.size()) > e.rank())
        fail<GraphError>(x.loc, "index: {} indices, but {}", indices.size(), describe(e));
    std::vector<Expr> inputs{e};
    for (std::size_t k = 0; k < indices.size(); ++k)
        inputs.push_back(checked_index(indices[k], e.shape()[k], x.loc));
    return apply(advanced_index_op, std::move(inputs), {}, x.loc);
}

std::span<const OpDef* const> gather_ops() {
    static constexpr std::array rows = {
        &take_op,           &take_grad_op,           &take_scatter_op,
        &advanced_index_op, &advanced_index_grad_op, &advanced_index_scatter_op,
        &one_hot_rows_op};
    return rows;
}

}  // namespace arete

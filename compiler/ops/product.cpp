// Rows of products that leave one element out. Nothing is divided by the element: it may be 0, and
// the whole product may overflow. They expand into products over blocks, and blocks of blocks.
#include "compiler/ops/product.h"

#include <array>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

extern const OpDef prod_others_op, prod_others_along_op;

namespace {

constexpr std::int64_t block = 8;

std::vector<TensorType> infer_others(const InferArgs& a) {
    if (!is_float(a.type(0).dtype)) a.error("needs a float: " + a.describe(0));
    if (a.type(0).rank() < 1) a.error("needs an axis: " + a.describe(0));
    bool fits = a.type(0).rank() == a.type(a.inputs.size() - 1).rank();
    for (std::size_t k = 0; fits && k < a.type(0).shape.size(); ++k)
        fits = !differ(a.type(0).shape[k], a.type(a.inputs.size() - 1).shape[k]);
    if (!fits || a.type(0).dtype != a.type(a.inputs.size() - 1).dtype)
        a.error(fmt::format("types differ: {}, {}", a.describe(0), a.describe(1)));
    return {a.type(0)};
}

// bool[n,n,...]: where some of the indices are equal, as `test` says.
template <std::size_t Rank, class Test>
Expr places(std::int64_t n, Test test) {
    Array out(DType::Bool, Sizes(Rank, n));
    std::array<std::int64_t, Rank> at{};
    for (std::int64_t i = 0; i < out.size(); ++i) {
        std::int64_t rest = i;
        for (std::size_t k = Rank; k-- > 0; rest /= n) at[k] = rest % n;
        out.data<bool>()[i] = test(at);
    }
    return constant(out);
}

Expr between(const Expr& e, int axis) {
    return expand_dims(e, axis);
}

// Products and slopes of the elements of blocks: x[..., m, block], filled up with `fill`.
Expr in_blocks(const Expr& x, double fill) {
    const std::int64_t n = x.shape().back().value(), m = (n + block - 1) / block;
    Shape shape = x.shape();
    shape.back() = m * block - n;
    const Expr rest = full(shape, fill, x.dtype());
    shape.back() = m;
    shape.push_back(block);
    return reshape(m * block == n ? x : concatenate({x, rest}, -1), shape);
}

Expr out_of_blocks(const Expr& e, const Shape& shape) {
    Shape whole = shape;
    whole.back() = e.shape()[e.shape().size() - 2] * e.shape().back();
    const Expr line = reshape(e, whole);
    if (whole == shape) return line;
    return slice_window(line, Shape(shape.size(), Dim(0)), Ints(shape.size(), 1), shape, {});
}

Expr others(const Expr& x) {
    const std::int64_t n = x.shape().back().value();
    if (n <= 1) return ones_like(x);
    if (n <= block) {
        const Expr own = places<2>(n, [](const auto& i) { return i[0] == i[1]; });
        return prod(where(own, 1, between(x, -2)), -1);
    }
    const Expr blocks = in_blocks(x, 1);
    return out_of_blocks(others(blocks) * between(others(prod(blocks, -1)), -1), x.shape());
}

// The derivative of others(x) where x changes by v.
Expr others_along(const Expr& x, const Expr& v) {
    const std::int64_t n = x.shape().back().value();
    if (n <= 1) return zeros_like(x);
    if (n <= block) {
        // Axes: the element, the one that changes, those that are multiplied.
        const Expr own = places<2>(n, [](const auto&i) { return i[0] == i[1]; }),
                   two = places<3>(n, [](const auto&i) { return i[2] == i[0] || i[2] == i[1]; });
        const Expr rest = prod(where(two, 1, between(between(x, -2), -2)), -1);
        return sum(where(own, 0, between(v, -2) * rest), -1);
    }
    const Expr blocks = in_blocks(x, 1), changes = in_blocks(v, 0);
    const Expr inner = others(blocks), products = prod(blocks, -1),
               product_changes = sum(inner * changes, -1);
    return out_of_blocks(others_along(blocks, changes) * between(others(products), -1) +
                             inner * between(others_along(products, product_changes), -1),
                         x.shape());
}

Expr along(const Expr& x, const Expr& v) {
    return apply(prod_others_along_op, {x, v}, {}, {});
}

// The Hessian is symmetric: its columns are its rows.
std::vector<Expr> pullback_others(const PullbackArgs& a) {
    return {along(a.x[0], a.g[0])};
}

// By x: for each element the same of the others, of which only products without it have a slope.
std::vector<Expr> pullback_along(const PullbackArgs& a) {
    const Expr &x = a.x[0], &v = a.x[1], &g = a.g[0];
    const Expr count = count_up(x.shape().back(), {});
    const Expr own = eq(between(count, 1), count);
    const Expr rest = along(where(own, 1, between(x, -2)), where(own, 0, between(v, -2)));
    return {sum(where(own, 0, between(g, -2) * rest), -1), along(x, g)};
}

std::vector<Sample> others_samples() {
    auto build = [](std::span<const Expr> x) { return prod_others(x[0]); };
    return {{"rows", {{{4, 5}, 0.5, 1.5}}, build, true, true},
            {"blocks", {{{2, 19}, 0.5, 1.5}}, build, true, true},
            {"blocks of blocks", {{{67}, 0.8, 1.2}}, build, true, true}};
}

std::vector<Sample> others_along_samples() {
    auto build = [](std::span<const Expr> x) { return along(x[0], x[1]); };
    return {{"rows", {{{3, 4}, 0.5, 1.5}, {{3, 4}}}, build, true, true},
            {"blocks", {{{2, 11}, 0.5, 1.5}, {{2, 11}}}, build, true, true}};
}

}  // namespace

constinit const OpDef prod_others_op{
    .info = {.name = "prod_others"},
    .doc = "for each element of the last axis the product of the others",
    .infer = infer_others,
    .expand = [](const Node& n) { return std::vector<Expr>{others(n.inputs[0])}; },
    .pullback = pullback_others,
    .samples = others_samples};
constinit const OpDef prod_others_along_op{
    .info = {.name = "prod_others_along"},
    .doc = "the derivative of prod_others(a) where a changes by b",
    .arity = 2,
    .infer = infer_others,
    .expand =
        [](const Node& n) { return std::vector<Expr>{others_along(n.inputs[0], n.inputs[1])}; },
    .pullback = pullback_along,
    .samples = others_along_samples};

Expr prod_others(const Expr& x) {
    return apply(prod_others_op, {x}, {}, {});
}

std::span<const OpDef* const> product_ops() {
    static constexpr std::array rows = {&prod_others_op, &prod_others_along_op};
    return rows;
}

}  // namespace arete

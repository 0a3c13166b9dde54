#include "compiler/ops/columns.h"

#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef conv2d_columns_op, columns_to_image_op;

namespace {

std::vector<TensorType> infer_columns(const InferArgs& a) {
    const Shape &w = a.type(0).shape, &g = a.type(1).shape;
    if (w.size() != 4 || g.size() != 4 || a.type(0).dtype != a.type(1).dtype || differ(w[0], g[1]))
        a.error(fmt::format("needs w[co,ci,kh,kw] and g[n,co,h,w]: {}, {}", a.describe(0),
                            a.describe(1)));
    return {{a.type(0).dtype, {g[0], w[1], w[2], w[3], g[2], g[3]}}};
}

// out[n,ci,ky,kx,y,x] = sum over co of w[co,ci,ky,kx] g[n,co,y,x].
Value lower_columns(Lowering& l, std::span<const Index> out) {
    const Index co = l.reduce_axis("co", l.shape(0)[0]);
    return l.reduce(ir::Reduction::Sum, l.load(0, {co, out[1], out[2], out[3]}) *
                                            l.load(1, {out[0], co, out[4], out[5]}));
}

std::vector<TensorType> infer_image(const InferArgs& a) {
    const Shape& c = a.type(0).shape;
    if (c.size() != 6) a.error("needs columns of rank 6: " + a.describe(0));
    return {{a.type(0).dtype, {c[0], c[1], c[4] + c[2] - Dim(1), c[5] + c[3] - Dim(1)}}};
}

// out[n,ci,y,x] = sum over ky, kx of columns[n,ci,ky,kx,y-ky,x-kx], of those that exist.
Value lower_image(Lowering& l, std::span<const Index> out) {
    const Sizes c = l.shape(0);
    const Index ky = l.reduce_axis("ky", c[2]), kx = l.reduce_axis("kx", c[3]);
    const bool flip = l.node.attrs.get<bool>("filter_flip");
    Guard guard(l.code);
    const Index y = guard.inside(out[2] - ky, c[4]), x = guard.inside(out[3] - kx, c[5]);
    const Index at[] = {
        out[0], out[1], flip ? Index(c[2] - 1) - ky : ky, flip ? Index(c[3] - 1) - kx : kx, y, x};
    return l.reduce(ir::Reduction::Sum, guard.load(l, 0, at));
}

std::vector<Sample> columns_samples() {
    return {{"small",
             {{{3, 2, 2, 3}}, {{2, 3, 4, 5}}},
             [](std::span<const Expr> x) {
                 return apply(conv2d_columns_op, {x[0], x[1]}, {}, {});
             },
             false,
             true}};
}

std::vector<Sample> image_samples() {
    auto build = [](bool flip) {
        return [flip](std::span<const Expr> x) {
            return conv2d_grad_input_by_columns(x[0], x[1], flip);
        };
    };
    return {{"flipped", {{{3, 2, 3, 2}}, {{2, 3, 5, 9}}}, build(true), false, true},
            {"correlation", {{{4, 3, 5, 5}}, {{2, 4, 8, 8}}}, build(false), false, true}};
}

}  // namespace

constinit const OpDef conv2d_columns_op{
    .info = {.name = "conv2d_columns", .traits = Trait::Reduces},
    .doc = "products of weights and gradients, by place in the filter",
    .arity = 2,
    .infer = infer_columns,
    .lower = lower_columns,
    .samples = columns_samples};
constinit const OpDef columns_to_image_op{
    .info = {.name = "columns_to_image", .traits = Trait::Reduces},
    .doc = "columns added up where they overlap in the image",
    .infer = infer_image,
    .lower = lower_image,
    .samples = image_samples};

Expr conv2d_grad_input_by_columns(const Operand& w, const Operand& g, bool filter_flip) {
    Expr columns = apply(conv2d_columns_op, {w.expr(), g.expr()}, {}, w.loc);
    return apply(columns_to_image_op, {columns}, {{"filter_flip", filter_flip}}, w.loc);
}

std::span<const OpDef* const> columns_ops() {
    static constexpr std::array rows = {&conv2d_columns_op, &columns_to_image_op};
    return rows;
}

}  // namespace arete

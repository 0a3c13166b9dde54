// The row of padding with zeros.
#include "compiler/loops/kernel.h"
#include "compiler/ops/convolution.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;

extern const OpDef pad2d_op;

namespace {

// attr pad: rows above and below, columns left and right; attr lowest: of the lowest value, not 0
std::vector<TensorType> infer_pad2d(const InferArgs& a) {
    const Shape& pad = a.attrs.get<Shape>("pad");
    TensorType t = a.type(0);
    if (t.rank() < 2) a.error("needs at least two axes: " + a.describe(0));
    for (std::size_t k : {0, 1}) {
        Dim& d = t.shape[t.shape.size() - 2 + k];
        d = d + pad[2 * k] + pad[2 * k + 1];
    }
    return {t};
}

Value lower_pad2d(Lowering& l, std::span<const Index> out) {
    const Sizes pad = concrete(l.node.attrs.get<Shape>("pad")), sizes = l.shape(0);
    const Value edge =
        l.node.attrs.has("lowest")
            ? loops::identity_value(l.code, loops::Reduction::Max, l.node.types[0].dtype)
            : zero(l);
    if (count(sizes) == 0) return edge;
    std::vector<Index> index(out.begin(), out.end());
    Guard guard(l.code);
    for (std::size_t k : {0, 1}) {
        const std::size_t axis = sizes.size() - 2 + k;
        index[axis] = guard.inside(out[axis] - pad[2 * k], sizes[axis]);
    }
    if (l.node.attrs.has("lowest")) return guard.load(l, 0, index, edge);
    return guard.load(l, 0, index);
}

std::vector<Expr> pullback_pad2d(const PullbackArgs& a) {
    const Shape &pad = a.node.attrs.get<Shape>("pad"), &sizes = a.x[0].shape();
    Shape starts(sizes.size(), Dim(0));
    for (std::size_t k : {0, 1}) starts[sizes.size() - 2 + k] = pad[2 * k];
    return {slice_window(a.g[0], starts, Ints(sizes.size(), 1), sizes, {})};
}

using Inputs = std::span<const Expr>;

std::vector<Sample> pad2d_samples() {
    return {{"images", {{{2, 3, 3, 5}}}, [](Inputs x) { return pad2d(x[0], 2, 1); }},
            {"each side",
             {{{2, 3, 5}}},
             [](Inputs x) {
                 return pad2d(x[0], {0, 3}, {2, 1});
             }},
            {"lowest",
             {{{2, 3, 4}}},
             [](Inputs x) {
                 // Not infinite: the test sums what it is given.
                 return maximum(
                     apply(pad2d_op, {x[0]}, {{"pad", Shape{1, 2, 0, 1}}, {"lowest", true}}, {}),
                     -10);
             }},
            {"matrix, columns", {{{3, 4}}}, [](Inputs x) { return pad2d(x[0], 0, 3); }}};
}

}  // namespace

constinit const OpDef pad2d_op{
    .info = {.name = "pad2d"},
    .doc = "attr pad rows and columns, of zeros or the lowest value, around the last two axes",
    .infer = infer_pad2d,
    .lower = lower_pad2d,
    .pullback = pullback_pad2d,
    .samples = pad2d_samples};

Expr pad2d(const Operand& x, Sides rows, Sides columns) {
    if (rows.before < 0 || rows.after < 0 || columns.before < 0 || columns.after < 0)
        fail<GraphError>(x.loc, "pad2d: negative pad {}, {} of rows, {}, {} of columns",
                         rows.before, rows.after, columns.before, columns.after);
    return apply(pad2d_op, {x.expr()},
                 {{"pad", Shape{rows.before, rows.after, columns.before, columns.after}}}, x.loc);
}

Expr pad2d(const Operand& x, std::int64_t rows, std::int64_t columns) {
    if (rows < 0 || columns < 0)
        fail<GraphError>(x.loc, "pad2d: negative pad {}, {}", rows, columns);
    return pad2d(x, Sides{rows, rows}, Sides{columns, columns});
}

std::span<const OpDef* const> padding_ops() {
    static constexpr std::array rows = {&pad2d_op};
    return rows;
}

}  // namespace arete

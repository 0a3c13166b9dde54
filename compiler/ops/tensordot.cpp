#include "compiler/ops/tensordot.h"

#include <numeric>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

// A matrix whose rows, or columns, are the axes that are summed, and the shape of the others.
struct Unfolded {
    Expr matrix;
    Shape rest;
};
Unfolded unfolded(const Operand& x, const std::vector<std::size_t>& summed, bool summed_last) {
    const Expr e = x.expr();
    std::vector<int> kept, order;
    Unfolded out;
    Dim together = 1;
    for (std::size_t k = 0; k < e.shape().size(); ++k) {
        if (std::find(summed.begin(), summed.end(), k) != summed.end()) continue;
        kept.push_back(static_cast<int>(k));
        out.rest.push_back(e.shape()[k]);
    }
    for (std::size_t k : summed) {
        order.push_back(static_cast<int>(k));
        together = together * e.shape()[k];
    }
    order.insert(summed_last ? order.begin() : order.end(), kept.begin(), kept.end());
    const Dim others = size_of(out.rest);
    const Expr turned = order.empty() ? e : transpose(x, order);
    out.matrix =
        reshape(at(turned, x.loc), summed_last ? Shape{others, together} : Shape{together, others});
    return out;
}

// Axes before the last two broadcast to `batch`, and then one axis.
Expr stacked(const Expr& x, const Shape& batch, Loc loc) {
    Shape shape = batch;
    shape.insert(shape.end(), x.shape().end() - 2, x.shape().end());
    const Expr e = broadcast_to(at(x, loc), shape);
    return reshape(at(e, loc),
                   Shape{size_of(batch), x.shape()[x.shape().size() - 2], x.shape().back()});
}

}  // namespace

Expr tensordot(const Operand& a, const Operand& b, const std::vector<int>& axes_a,
               const std::vector<int>& axes_b) {
    const Loc loc = a.loc;
    const Expr x = a.expr(), y = b.expr();
    if (axes_a.size() != axes_b.size())
        fail<GraphError>(loc, "tensordot: {} axes of the one and {} of the other", axes_a.size(),
                         axes_b.size());
    std::vector<std::size_t> left, right;
    for (std::size_t k = 0; k < axes_a.size(); ++k) {
        left.push_back(
            static_cast<std::size_t>(normalize_axis(axes_a[k], x.rank(), "tensordot", loc)));
        right.push_back(
            static_cast<std::size_t>(normalize_axis(axes_b[k], y.rank(), "tensordot", loc)));
        for (std::size_t before = 0; before < k; ++before)
            if (left[before] == left[k] || right[before] == right[k])
                fail<GraphError>(loc, "tensordot: an axis is given twice");
        if (differ(x.shape()[left[k]], y.shape()[right[k]]))
            fail<GraphError>(loc, "tensordot: sizes of axes {} and {} differ: {}, {}", left[k],
                             right[k], describe(x, "argument 1"), describe(y, "argument 2"));
    }
    const Unfolded m = unfolded(a, left, true), n = unfolded(b, right, false);
    Shape shape = m.rest;
    shape.insert(shape.end(), n.rest.begin(), n.rest.end());
    return reshape(at(dot(at(m.matrix, loc), at(n.matrix, loc)), loc), shape);
}

Expr tensordot(const Operand& a, const Operand& b, int axes) {
    const int rank = a.expr().rank();
    if (axes < 0 || axes > rank || axes > b.expr().rank())
        fail<GraphError>(a.loc, "tensordot: {} axes of {} and {}", axes,
                         describe(a.expr(), "argument 1"), describe(b.expr(), "argument 2"));
    std::vector<int> last(static_cast<std::size_t>(axes)), first(last);
    std::iota(last.begin(), last.end(), rank - axes);
    std::iota(first.begin(), first.end(), 0);
    return tensordot(a, b, last, first);
}

Expr inner(const Operand& a, const Operand& b) {
    if (a.expr().rank() == 0 || b.expr().rank() == 0) return a * b;
    return tensordot(a, b, {-1}, {-1});
}

Expr matmul(const Operand& a, const Operand& b) {
    const Loc loc = a.loc;
    const Expr x = a.expr(), y = b.expr();
    if (x.rank() == 0 || y.rank() == 0)
        fail<GraphError>(loc, "matmul: needs an axis: {}, {}", describe(x, "argument 1"),
                         describe(y, "argument 2"));
    if (x.rank() <= 2 && y.rank() <= 2) return dot(a, b);
    const Expr m = x.rank() == 1 ? expand_dims(a, 0) : x, n = y.rank() == 1 ? expand_dims(b, 1) : y;
    const std::optional<Shape> batch =
        broadcast_shapes(Shape(m.shape().begin(), m.shape().end() - 2),
                         Shape(n.shape().begin(), n.shape().end() - 2));
    if (!batch || differ(m.shape().back(), n.shape()[n.shape().size() - 2]))
        fail<GraphError>(loc, "matmul: shapes do not fit: {}, {}", describe(x, "argument 1"),
                         describe(y, "argument 2"));
    const Expr product =
        batched_dot(at(stacked(m, *batch, loc), loc), at(stacked(n, *batch, loc), loc));
    Shape shape = *batch;
    if (x.rank() > 1) shape.push_back(m.shape()[m.shape().size() - 2]);
    if (y.rank() > 1) shape.push_back(n.shape().back());
    return reshape(at(product, loc), shape);
}

Expr kron(const Operand& a, const Operand& b) {
    const Loc loc = a.loc;
    const Expr x = a.expr(), y = b.expr();
    const std::size_t rank = std::max(x.shape().size(), y.shape().size());
    Shape left, right, joined;
    for (std::size_t k = 0; k < rank; ++k) {
        const auto size = [&](const Expr& e) {
            const std::size_t missing = rank - e.shape().size();
            return k < missing ? Dim(1) : e.shape()[k - missing];
        };
        left.insert(left.end(), {size(x), Dim(1)});
        right.insert(right.end(), {Dim(1), size(y)});
        joined.push_back(size(x) * size(y));
    }
    const Expr product = at(reshape(a, left), loc) * at(reshape(b, right), loc);
    return reshape(at(product, loc), joined);
}

}  // namespace arete

#include "compiler/grad/conditions.h"

#include <algorithm>

#include "compiler/ops/movement.h"
#include "compiler/ops/op.h"
#include "compiler/ops/rows.h"

namespace arete {

Expr with_rank(const Expr& e, int rank, Loc loc) {
    if (e.rank() >= rank) return e;
    Shape shape(static_cast<std::size_t>(rank - e.rank()), Dim(1));
    shape.insert(shape.end(), e.shape().begin(), e.shape().end());
    return reshape(at(e, loc), shape);
}

bool varies(const Expr& e, int rank, const Ints& axes) {
    return std::any_of(axes.begin(), axes.end(), [&](std::int64_t k) {
        const std::int64_t own = k - rank + e.rank();
        return own >= 0 && !(e.shape()[own] == Dim(1));
    });
}

Expr viewed(const Node& n, std::size_t operand, const Expr& c, Loc loc) {
    if (c.rank() == 0) return c;
    const Expr& x = n.inputs[operand];
    const auto input = [&] { return c.node().inputs[0]; };
    if (is_op(n, "reshape") && is_op(c.node(), "reshape") && input().shape() == n.types[0].shape) {
        const Expr back = input();
        return is_op(back.node(), "broadcast_to") ? back.node().inputs[0] : back;
    }
    const auto apply_to = [&](const Expr& e, const Attrs& attrs) {
        std::vector<Expr> inputs = n.inputs;
        inputs[operand] = e;
        return apply(def(n), std::move(inputs), attrs, loc);
    };
    const Expr ranked = with_rank(c, x.rank(), loc);
    if (is_op(n, "dimshuffle")) {
        if (!is_op(ranked.node(), "dimshuffle")) return apply_to(ranked, n.attrs);
        const Ints& before = ranked.node().attrs.get<Ints>("order");
        const Expr& from = ranked.node().inputs[0];
        Ints order = n.attrs.get<Ints>("order");
        for (std::int64_t& k : order) k = k < 0 ? k : before[k];
        bool back = static_cast<int>(order.size()) == from.rank();
        for (std::size_t k = 0; back && k < order.size(); ++k)
            back = order[k] == static_cast<std::int64_t>(k);
        return back ? from : apply_to(from, n.attrs.with("order", order));
    }
    if (is_op(n, "slice")) {
        Shape starts = n.attrs.get<Shape>("starts"), sizes = n.attrs.get<Shape>("sizes");
        Ints steps = n.attrs.get<Ints>("steps");
        bool whole = true;
        for (std::size_t k = 0; k < sizes.size(); ++k) {
            if (ranked.shape()[k] == Dim(1)) starts[k] = 0, sizes[k] = 1, steps[k] = 1;
            whole = whole && starts[k] == Dim(0) && steps[k] == 1 && sizes[k] == ranked.shape()[k];
        }
        if (whole) return ranked;
        return apply_to(ranked,
                        n.attrs.with("starts", starts).with("sizes", sizes).with("steps", steps));
    }
    return apply_to(broadcast_to(at(ranked, loc), x.shape()), n.attrs);
}

}  // namespace arete

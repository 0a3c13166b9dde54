#include "compiler/ops/gradient_ops.h"

#include "compiler/ops/bits.h"
#include "compiler/ops/custom.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

// x with a gradient made of that of the result.
template <class Change>
Expr with_gradient(const Operand& x, std::string name, Change change) {
    const Expr e = x.expr();
    if (!is_float(e.dtype())) return e;  // has none
    Region same;
    same.params.push_back(make_leaf(param_op, e.type(), x.loc));
    same.results.push_back(same.params.back());
    const CustomGradient gradient = [change](const std::vector<Expr>&, const std::vector<Expr>&,
                                             const std::vector<Expr>& g) {
        return std::vector<Expr>{g[0].empty() ? Expr() : change(g[0])};
    };
    return apply_with_gradient(std::move(same), {e}, std::move(name), gradient, x.loc)[0];
}

}  // namespace

Expr disconnected_grad(const Operand& x) {
    return stop_gradient(x);
}
Expr zero_grad(const Operand& x) {
    return with_gradient(x, "zero_grad", [](const Expr& g) { return zeros_like(g); });
}
Expr grad_clip(const Operand& x, double low, double high) {
    if (!(low <= high)) fail<GraphError>(x.loc, "grad_clip: from {} to {}", low, high);
    return with_gradient(x, "grad_clip", [low, high](const Expr& g) { return clip(g, low, high); });
}
Expr grad_scale(const Operand& x, double factor) {
    return with_gradient(x, "grad_scale", [factor](const Expr& g) { return g * factor; });
}

}  // namespace arete

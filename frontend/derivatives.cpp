#include "frontend/derivatives.h"

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "frontend/scan.h"

namespace arete {

Expr Rop(const Operand& f, const std::vector<Expr>& wrt, const std::vector<Expr>& directions,
         const GradOptions& options) {
    const Expr e = f.expr();
    const Loc loc = f.loc;
    if (wrt.size() != directions.size())
        fail<GraphError>(loc, "Rop: {} variables and {} directions", wrt.size(), directions.size());
    // The gradient of sum(f * u) is linear in u; its derivative by u along v is what is asked for.
    // u stands for any value: nothing of it is left.
    const Expr u = make_leaf(input_op, e.type(), loc, "Rop's cotangent");
    GradOptions zero = options;
    zero.disconnected_inputs = Disconnected::zero;
    const std::vector<Expr> back = Lop(f, wrt, u, options);
    Expr cost;
    for (std::size_t k = 0; k < wrt.size(); ++k) {
        const Expr &x = wrt[k], &v = directions[k];
        bool fits = v.rank() == x.rank();
        for (std::size_t axis = 0; fits && axis < x.shape().size(); ++axis)
            fits = !differ(x.shape()[axis], v.shape()[axis]);
        if (!fits)
            fail<GraphError>(loc, "Rop: direction {} is {}, its variable is {}", k + 1,
                             v.type().str(), x.type().str());
        const Expr term = sum(at(at(back[k], loc) * cast(at(v, loc), x.dtype()), loc));
        cost = cost.empty() ? term : at(cost, loc) + cast(at(term, loc), cost.dtype());
    }
    if (cost.empty()) fail<GraphError>(loc, "Rop: there is no variable");
    const Expr along = grad(at(cost, loc), u, zero);
    const std::pair<Expr, Expr> pairs[] = {{u, zeros_like(at(e, loc))}};
    return substitute({&along, 1}, pairs)[0];
}

std::vector<Expr> jacobian(const Operand& f, const std::vector<Expr>& wrt,
                           const GradOptions& options) {
    const Expr e = f.expr();
    if (e.rank() == 0) return grad(f, wrt, options);
    if (e.rank() != 1 || !is_float(e.dtype()))
        fail<GraphError>(f.loc, "jacobian: the expression must be a vector of floats, it is {}",
                         e.type().str());
    const Loc loc = f.loc;
    const Expr rows = count_up(e.shape()[0], loc);
    return map(
        [&](const std::vector<Expr>& i) {
            // One row of the unit matrix.
            const Expr unit = cast(eq(at(rows, loc), i[0]), e.dtype());
            return StepResult(Lop(f, wrt, unit, options));
        },
        {Sequence(rows)}, {}, loc.file, loc.line);
}

Expr jacobian(const Operand& f, const Expr& wrt, const GradOptions& options) {
    return jacobian(f, std::vector<Expr>{wrt}, options)[0];
}

std::vector<Expr> hessian(const Operand& cost, const std::vector<Expr>& wrt,
                          const GradOptions& options) {
    std::vector<Expr> out;
    for (const Expr& x : wrt) {
        if (x.empty() || x.rank() != 1)
            fail<GraphError>(cost.loc, "hessian: it is by vectors, this is {}",
                             x.empty() ? "an empty expression" : x.type().str());
        // Where the gradient is constant its own are zeros.
        GradOptions zero = options;
        zero.disconnected_inputs = Disconnected::zero;
        out.push_back(jacobian(at(grad(cost, x, options), cost.loc), x, zero));
    }
    return out;
}

Expr hessian(const Operand& cost, const Expr& wrt, const GradOptions& options) {
    return hessian(cost, std::vector<Expr>{wrt}, options)[0];
}

}  // namespace arete

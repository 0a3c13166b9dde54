#include "compiler/ops/losses.h"

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

struct Compared {
    Operand first, second;
};
Compared compared(const Operand& a, const Operand& b, std::string_view op) {
    auto [x, y] = unify_floats(a, b, op);
    if (!broadcast_shapes(x.shape(), y.shape()))
        fail<GraphError>(a.loc, "{}: shapes cannot be broadcast together: {}, {}", op,
                         describe(a.expr(), "argument 1"), describe(b.expr(), "argument 2"));
    return {at(x, a.loc), at(y, a.loc)};
}

// weight * log(p), and 0 where the weight is.
Operand weighted_log(const Operand& weight, const Operand& p, Loc loc) {
    const Operand product = at(weight * at(log(p), loc), loc);
    return at(where(at(neq(weight, 0), loc), product, 0), loc);
}

}  // namespace

Expr binary_crossentropy(const Operand& p, const Operand& targets) {
    const Loc loc = p.loc;
    const auto [q, t] = compared(p, targets, "binary_crossentropy");
    const Operand yes = weighted_log(t, q, loc);
    const Operand no = weighted_log(at(1 - t, loc), at(1 - q, loc), loc);
    return -at(yes + no, loc);
}

// t softplus(-x) + (1 - t) softplus(x): softplus(x) - t x would cancel.
Expr sigmoid_binary_crossentropy(const Operand& logits, const Operand& targets) {
    const Loc loc = logits.loc;
    const auto [x, t] = compared(logits, targets, "sigmoid_binary_crossentropy");
    const Operand yes = at(t * at(softplus(at(-x, loc)), loc), loc);
    const Operand no = at(at(1 - t, loc) * at(softplus(x), loc), loc);
    return yes + no;
}

Expr huber(const Operand& predictions, const Operand& targets, double delta) {
    const Loc loc = predictions.loc;
    if (!(delta > 0)) fail<GraphError>(loc, "huber: delta {}", delta);
    const auto [a, b] = compared(predictions, targets, "huber");
    const Operand error = at(a - b, loc), size = at(abs(error), loc);
    const Operand square = at(0.5 * at(sqr(error), loc), loc);
    const Operand line = at(delta * at(size - 0.5 * delta, loc), loc);
    return where(at(size <= delta, loc), square, line);
}

Expr hinge(const Operand& scores, const Operand& targets) {
    const Loc loc = scores.loc;
    const auto [s, t] = compared(scores, targets, "hinge");
    return relu(at(1 - at(t * s, loc), loc));
}

Expr kl_divergence(const Operand& p, const Operand& q) {
    const Loc loc = p.loc;
    const auto [a, b] = compared(p, q, "kl_divergence");
    const Operand ratio = at(at(log(a), loc) - at(log(b), loc), loc);
    return where(at(neq(a, 0), loc), at(a * ratio, loc), 0);
}

Expr smooth_labels(const Operand& targets, double epsilon) {
    const Loc loc = targets.loc;
    const Expr t = cast(targets, float_of(targets.expr().dtype()));
    if (t.rank() == 0) fail<GraphError>(loc, "smooth_labels: needs an axis: {}", describe(t));
    const Operand classes = at(cast(at(t.shape(-1, loc.file, loc.line), loc), t.dtype()), loc);
    return at(at(t, loc) * (1 - epsilon), loc) + at(epsilon / classes, loc);
}

}  // namespace arete

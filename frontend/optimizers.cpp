#include "frontend/optimizers.h"

#include <cmath>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

// Of one parameter: what it is, its gradient, the rate in its dtype.
struct Descent {
    const Shared& w;
    Operand g, rate;
    Loc loc;
    Operand operator()(const Expr& e) const { return at(e, loc); }
    // A variable of the optimiser, zero at first.
    Operand memory(const char* what) const {
        return at(shared(zeros(w.dtype(), concrete(w.shape())), w.node().name + what, false,
                         loc.file, loc.line),
                  loc);
    }
};

// The updates that `each` makes of every parameter.
template <class Each>
std::vector<Update> updates_of(std::string_view name, const std::vector<Shared>& params,
                               const std::vector<Expr>& gradients, const Operand& rate, Each each) {
    const Loc loc = rate.loc;
    if (params.size() != gradients.size())
        fail<GraphError>(loc, "{}: {} gradients for {} parameters", name, gradients.size(),
                         params.size());
    if (!rate.is_literal() && rate.expr().rank() != 0)
        fail<GraphError>(loc, "{}: the rate must be a scalar: {}", name,
                         describe(rate.expr(), "it"));
    std::vector<Update> out;
    for (std::size_t k = 0; k < params.size(); ++k) {
        const Shared& w = params[k];
        const Expr& g = gradients[k];
        bool fits = is_float(w.dtype()) && !g.empty() && g.rank() == w.rank();
        for (std::size_t axis = 0; fits && axis < w.shape().size(); ++axis)
            fits = !differ(w.shape()[axis], g.shape()[axis]);
        if (!fits)
            fail<GraphError>(loc, "{}: the gradient of {} is {}", name, describe(w, "a parameter"),
                             g.empty() ? std::string("empty") : g.type().str());
        const Expr own_rate = rate.beside(w.dtype(), name);
        each(Descent{w, at(cast(at(g, loc), w.dtype()), loc),
                     at(cast(at(own_rate, loc), w.dtype()), loc), loc},
             out);
    }
    return out;
}

// rho * old + (1 - rho) * now
Operand blended(const Descent& s, const Operand& old, const Operand& now, double rho) {
    return s(s(old * rho) + s(now * (1 - rho)));
}

// 1 - beta^t, which does not cancel for a beta near 1.
Operand correction(const Descent& s, const Operand& t, double beta) {
    return s(-s(expm1(s(t * std::log(beta)))));
}

std::vector<Update> adam_steps(std::string_view name, const std::vector<Shared>& params,
                               const std::vector<Expr>& gradients, const Operand& rate,
                               const AdamOptions& o, double decay) {
    const Loc loc = rate.loc;
    const Operand step = at(shared(Array(std::int64_t{0}), "step", false, loc.file, loc.line), loc);
    const Operand next = at(step + 1, loc);
    std::vector<Update> out = updates_of(
        name, params, gradients, rate, [&](const Descent& s, std::vector<Update>& updates) {
            const Operand m = s.memory(".m"), v = s.memory(".v");
            const Operand t = s(cast(next, s.w.dtype()));
            const Operand mean = blended(s, m, s.g, o.beta1);
            const Operand square = blended(s, v, s(sqr(s.g)), o.beta2);
            const Operand root = s(s(sqrt(s(square / correction(s, t, o.beta2)))) + o.epsilon);
            const Operand change = s(s(s.rate * s(mean / correction(s, t, o.beta1))) / root);
            const Operand w = s(s.w);
            const Operand kept = decay == 0 ? w : s(w - s(s(s.rate * decay) * w));
            updates.emplace_back(s.w, s(kept - change));
            updates.emplace_back(m.expr(), mean);
            updates.emplace_back(v.expr(), square);
        });
    if (!params.empty()) out.emplace_back(step.expr(), next);
    return out;
}

Operand norm_of(const std::vector<Expr>& gradients, Loc loc) {
    Expr total;
    for (const Expr& g : gradients) {
        const Expr part = sum(at(sqr(at(g, loc)), loc));
        total = total.empty() ? part : at(total, loc) + at(part, loc);
    }
    return at(sqrt(at(total, loc)), loc);
}

}  // namespace

std::vector<Update> sgd(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                        const Operand& rate) {
    return updates_of("sgd", params, gradients, rate,
                      [](const Descent& s, std::vector<Update>& updates) {
                          updates.emplace_back(s.w, s(s(s.w) - s(s.rate * s.g)));
                      });
}

std::vector<Update> sgd_momentum(const std::vector<Shared>& params,
                                 const std::vector<Expr>& gradients, const Operand& rate,
                                 const MomentumOptions& o) {
    return updates_of("sgd_momentum", params, gradients, rate,
                      [&o](const Descent& s, std::vector<Update>& updates) {
                          const Operand v = s.memory(".velocity"), change = s(s.rate * s.g);
                          const Operand next = s(s(v * o.momentum) - change);
                          const Operand move = o.nesterov ? s(s(next * o.momentum) - change) : next;
                          updates.emplace_back(s.w, s(s(s.w) + move));
                          updates.emplace_back(v.expr(), next);
                      });
}

std::vector<Update> adagrad(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                            const Operand& rate, double epsilon) {
    return updates_of("adagrad", params, gradients, rate,
                      [epsilon](const Descent& s, std::vector<Update>& updates) {
                          const Operand squares = s.memory(".squares");
                          const Operand next = s(squares + s(sqr(s.g)));
                          const Operand root = s(s(sqrt(next)) + epsilon);
                          updates.emplace_back(s.w, s(s(s.w) - s(s(s.rate * s.g) / root)));
                          updates.emplace_back(squares.expr(), next);
                      });
}

std::vector<Update> rmsprop(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                            const Operand& rate, double rho, double epsilon) {
    return updates_of("rmsprop", params, gradients, rate,
                      [=](const Descent& s, std::vector<Update>& updates) {
                          const Operand mean = s.memory(".mean_square");
                          const Operand next = blended(s, mean, s(sqr(s.g)), rho);
                          const Operand root = s(s(sqrt(next)) + epsilon);
                          updates.emplace_back(s.w, s(s(s.w) - s(s(s.rate * s.g) / root)));
                          updates.emplace_back(mean.expr(), next);
                      });
}

std::vector<Update> adadelta(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                             const Operand& rate, double rho, double epsilon) {
    return updates_of(
        "adadelta", params, gradients, rate, [=](const Descent& s, std::vector<Update>& updates) {
            const Operand mean = s.memory(".mean_square"), moved = s.memory(".mean_change");
            const Operand next = blended(s, mean, s(sqr(s.g)), rho);
            const Operand size = s(sqrt(s(moved + epsilon)));
            const Operand change = s(s(s.g * size) / s(sqrt(s(next + epsilon))));
            updates.emplace_back(s.w, s(s(s.w) - s(s.rate * change)));
            updates.emplace_back(mean.expr(), next);
            updates.emplace_back(moved.expr(), blended(s, moved, s(sqr(change)), rho));
        });
}

std::vector<Update> adam(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                         const Operand& rate, const AdamOptions& options) {
    return adam_steps("adam", params, gradients, rate, options, 0);
}

std::vector<Update> adamw(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                          const Operand& rate, const AdamOptions& options) {
    return adam_steps("adamw", params, gradients, rate, options, options.weight_decay);
}

std::vector<Expr> clip_by_global_norm(const std::vector<Expr>& gradients, const Operand& largest) {
    const Loc loc = largest.loc;
    if (gradients.empty()) return {};
    const Operand norm = norm_of(gradients, loc);
    const Operand factor = at(largest / norm, loc), longer = at(norm > largest, loc);
    std::vector<Expr> out;
    for (const Expr& g : gradients)
        out.push_back(
            where(longer, at(at(g, loc) * at(cast(factor, g.dtype()), loc), loc), at(g, loc)));
    return out;
}

Expr clip_by_norm(const Expr& gradient, const Operand& largest) {
    return clip_by_global_norm({gradient}, largest)[0];
}

}  // namespace arete

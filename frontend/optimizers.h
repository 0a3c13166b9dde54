// Optimisers: updates of parameters from their gradients, for `function({.updates = ...})`.
//
//     auto train = function({.inputs = {x, y}, .outputs = {cost},
//                            .updates = adam(params, grad(cost, {w, b}), 1e-3)});
//
// Whatever they remember between calls are shared variables of their own, zero at first, with the
// parameters' dtypes and sizes. Rates are numbers, or scalar expressions (schedules). A GraphError
// names the line where there are not as many gradients as parameters, or one has another shape.
#pragma once

#include <vector>

#include "frontend/function.h"
#include "frontend/shared.h"

namespace arete {

/// w - rate g.
std::vector<Update> sgd(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                        const Operand& rate);

struct MomentumOptions {
    double momentum = 0.9;
    bool nesterov = false;  ///< the gradient looks ahead: Sutskever and others (2013)
};
/// v' = momentum v - rate g, w + v'; with Nesterov's w + momentum v' - rate g.
std::vector<Update> sgd_momentum(const std::vector<Shared>& params,
                                 const std::vector<Expr>& gradients, const Operand& rate,
                                 const MomentumOptions& options = {});

/// w - rate g / (sqrt(sum of g^2) + epsilon): Duchi, Hazan, Singer (2011).
std::vector<Update> adagrad(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                            const Operand& rate, double epsilon = 1e-10);

/// m' = rho m + (1 - rho) g^2, w - rate g / (sqrt(m') + epsilon): Hinton's lecture (2012).
std::vector<Update> rmsprop(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                            const Operand& rate, double rho = 0.9, double epsilon = 1e-8);

/// m' = rho m + (1 - rho) g^2, d = g sqrt(s + epsilon) / sqrt(m' + epsilon), s' = rho s + (1 - rho)
/// d^2, w - rate d: Zeiler (2012), whose rate is 1.
std::vector<Update> adadelta(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                             const Operand& rate = 1.0, double rho = 0.95, double epsilon = 1e-6);

struct AdamOptions {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    /// Of adamw: rate * weight_decay * w is taken off, apart from the gradient.
    double weight_decay = 0.01;
};
/// m' = beta1 m + (1 - beta1) g, v' = beta2 v + (1 - beta2) g^2, and with t the number of this step
/// w - rate m' / (1 - beta1^t) / (sqrt(v' / (1 - beta2^t)) + epsilon): Kingma and Ba (2014).
std::vector<Update> adam(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                         const Operand& rate = 1e-3, const AdamOptions& options = {});
/// The same beside a decay of the weights: Loshchilov and Hutter (2017).
std::vector<Update> adamw(const std::vector<Shared>& params, const std::vector<Expr>& gradients,
                          const Operand& rate = 1e-3, const AdamOptions& options = {});

/// g where its 2-norm is at most `largest`, otherwise g of that norm; all gradients together by one
/// factor, or one by its own.
std::vector<Expr> clip_by_global_norm(const std::vector<Expr>& gradients, const Operand& largest);
Expr clip_by_norm(const Expr& gradient, const Operand& largest);

}  // namespace arete

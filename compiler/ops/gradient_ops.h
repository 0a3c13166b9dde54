// Ops that leave a value as it is, and change its gradient: Theano's names.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// x, but a constant to gradients, as stop_gradient: grad does not see that x was used here.
Expr disconnected_grad(const Operand& x);
/// x, whose gradient from here is 0: unlike disconnected_grad, grad sees that x was used.
Expr zero_grad(const Operand& x);
/// x, whose gradient from here is clipped to [low, high]. A GraphError where low is above high.
Expr grad_clip(const Operand& x, double low, double high);
/// x, whose gradient from here is multiplied by a number.
Expr grad_scale(const Operand& x, double factor);

}  // namespace arete

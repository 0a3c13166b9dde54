// Derivatives of more than a scalar: Jacobians, Hessians, and products with them.
#pragma once

#include <vector>

#include "compiler/grad/grad.h"

namespace arete {

/// Theano's Rop: the derivative of f along v: sum over j of df/dx_j v_j, without forming a
/// Jacobian. `directions` have the shapes of `wrt`. As the gradient of a gradient, so every op on
/// the way must have two derivatives; values on which f does not depend contribute nothing.
Expr Rop(const Operand& f, const std::vector<Expr>& wrt, const std::vector<Expr>& directions,
         const GradOptions& options = {});
/// Theano's jacobian: of a vector f[n] (or a scalar), for each of `wrt`, of shape [n, ...its shape]
/// (or its shape). A loop over the rows.
std::vector<Expr> jacobian(const Operand& f, const std::vector<Expr>& wrt,
                           const GradOptions& options = {});
Expr jacobian(const Operand& f, const Expr& wrt, const GradOptions& options = {});
/// Theano's hessian: of a scalar, for each vector [n] of `wrt`, the matrix [n,n].
std::vector<Expr> hessian(const Operand& cost, const std::vector<Expr>& wrt,
                          const GradOptions& options = {});
Expr hessian(const Operand& cost, const Expr& wrt, const GradOptions& options = {});

}  // namespace arete

// Symbolic gradients: the reverse walk over a graph.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "compiler/ops/operand.h"

namespace arete {

/// What becomes of a variable on which the cost does not depend differentiably.
enum class Disconnected {
    error,  ///< a GraphError that names the variable and its line
    warn,   ///< a line on stderr and a gradient of zeros
    zero,   ///< a gradient of zeros
};

struct GradOptions {
    /// Expressions through which no gradient flows.
    std::vector<Expr> consider_constant;
    /// Gradients of the cost with respect to expressions, taken instead of computed.
    std::vector<std::pair<Expr, Expr>> known_grads;
    Disconnected disconnected_inputs = Disconnected::error;
};

/// Gradients of a float scalar with respect to each of `wrt`: inputs, shared variables or
/// intermediate expressions, of floats. Each has the dtype and shape of its variable. A GraphError
/// where the cost is no scalar or no float, where a variable is no float, where an op on the way is
/// not differentiable, or where the cost does not depend on a variable (see `Disconnected`).
std::vector<Expr> grad(const Operand& cost, const std::vector<Expr>& wrt,
                       const GradOptions& options = {});
std::vector<Expr> grad(const Operand& cost, std::initializer_list<Expr> wrt,
                       const GradOptions& options = {});
Expr grad(const Operand& cost, const Expr& wrt, const GradOptions& options = {});
/// Theano's Lop: the gradient of sum(f * v) without forming it, for any shape of f. v has f's
/// shape.
std::vector<Expr> Lop(const Operand& f, const std::vector<Expr>& wrt, const Expr& v,
                      const GradOptions& options = {});

}  // namespace arete

// Lazy choice: a node that owns what is computed in either case.
#pragma once

#include <vector>

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// Inputs: the condition, a bool scalar, then what the regions use from outside, the parameters of
/// both. The first region's results where the condition is true, else the second's.
extern const OpDef ifelse_op;

/// Theano's ifelse: `yes` where the scalar condition is true (not zero), else `no`. Only what the
/// chosen side needs is computed, but for what both need, or something else does. Both sides have
/// the same shape; of two dtypes both become the common one. (`where` chooses element by element,
/// and computes both.)
Expr ifelse(const Operand& condition, const Operand& yes, const Operand& no);
/// The same for several values, of which each side has as many.
std::vector<Expr> ifelse(const Operand& condition, const std::vector<Operand>& yes,
                         const std::vector<Operand>& no);

}  // namespace arete

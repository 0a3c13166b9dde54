// Products over chosen axes, made of dot and batched_dot.
#pragma once

#include "compiler/ops/linalg.h"

namespace arete {

/// The sum over pairs of axes of a and b; the axes that are left of a, then those of b. With a
/// number the last axes of a, and the first of b. A GraphError where sizes of a pair differ.
Expr tensordot(const Operand& a, const Operand& b, const std::vector<int>& axes_a,
               const std::vector<int>& axes_b);
Expr tensordot(const Operand& a, const Operand& b, int axes = 2);
/// The sum over the last axes of both; of a scalar the product.
Expr inner(const Operand& a, const Operand& b);
/// NumPy's matmul (@): products of matrices in the last two axes, of which those before are
/// broadcast; a vector is a row on the left, and a column on the right. A GraphError for scalars.
Expr matmul(const Operand& a, const Operand& b);
/// Every element of a times all of b, side by side: axis by axis, the last ones beside each other.
Expr kron(const Operand& a, const Operand& b);

}  // namespace arete

// Products of vectors and matrices.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// Theano's and NumPy's dot: vector with vector (a scalar), matrix with vector, vector with matrix,
/// matrix with matrix; for higher ranks, the sum over the last axis of a and the last but one of b.
/// A scalar operand multiplies. Dtypes are promoted; products of integers and bool give i64. A
/// GraphError where the inner sizes differ.
Expr dot(const Operand& a, const Operand& b);
/// a[b,m,k] times b[b,k,n], one product for each index of the first axis.
Expr batched_dot(const Operand& a, const Operand& b);
/// a[i] * b[j] of two vectors.
Expr outer(const Operand& a, const Operand& b);

}  // namespace arete

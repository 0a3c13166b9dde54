// Softmax and its relatives: defined by smaller ops, which fusion joins again.
#pragma once

#include "compiler/ops/reduction.h"

namespace arete {

/// exp(x) / sum(exp(x)) along one axis, without overflow. Integers give f32.
Expr softmax(const Operand& x, int axis = -1);
/// The same over several axes together.
Expr softmax(const Operand& x, const Axes& axes);
/// log(softmax(x)), without overflow or logarithms of 0.
Expr log_softmax(const Operand& x, int axis = -1);
/// log(sum(exp(x))) over axes, without overflow. Infinite elements count as in the formula.
Expr logsumexp(const Operand& x, const Axes& axes = -1, bool keepdims = false);
/// log(sum(weights * exp(x))) over axes: weights of either sign, of which those that are 0 leave
/// elements out, however large.
Expr logsumexp(const Operand& x, const Operand& weights, const Axes& axes, bool keepdims = false);
/// -log of the probability that each row of p gives to its target, a vector. Targets are a vector
/// of integer labels, or a matrix of weights (one-hot rows, say) of p's shape. A label out of
/// range is a RangeError when the function runs.
Expr categorical_crossentropy(const Operand& p, const Operand& targets);

}  // namespace arete

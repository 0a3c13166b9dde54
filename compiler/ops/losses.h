// Losses, element by element: `mean` or `sum` of them is a cost. Integers give f32.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// -(t log(p) + (1 - t) log(1 - p)) of probabilities p and targets t in [0, 1]; 0 log(0) is 0.
Expr binary_crossentropy(const Operand& p, const Operand& targets);
/// The same of p = sigmoid(logits), for logits of any size.
Expr sigmoid_binary_crossentropy(const Operand& logits, const Operand& targets);
/// Half the squared error up to `delta`, and beyond it a line with the same slope: Huber (1964).
Expr huber(const Operand& predictions, const Operand& targets, double delta = 1);
/// max(0, 1 - t s) of scores s and targets t, which are -1 or 1.
Expr hinge(const Operand& scores, const Operand& targets);
/// p log(p / q) of probabilities; 0 where p is. Their sum is the divergence of Kullback and
/// Leibler.
Expr kl_divergence(const Operand& p, const Operand& q);
/// Targets, one-hot along the last axis, with a share `epsilon` spread over all classes: Szegedy
/// and others (2016). A GraphError for targets without an axis.
Expr smooth_labels(const Operand& targets, double epsilon);

}  // namespace arete

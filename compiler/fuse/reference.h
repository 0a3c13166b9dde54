// The reference evaluator: every node in a nest of its own, run by the loop interpreter.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

/// Values of expressions for given inputs (pairs of input leaf and value): no rewriting, no fusion,
/// no schedule, no native code. Shared variables are read when they are first met, never written.
/// What has been computed once, here or in an equal expression, is kept.
class ReferenceEvaluator {
  public:
    explicit ReferenceEvaluator(std::vector<std::pair<Expr, Array>> inputs)
        : inputs_(std::move(inputs)) {}
    /// Throws a RangeError where a run-time check fails.
    std::vector<Array> operator()(std::span<const Expr> outputs);

  private:
    std::vector<std::pair<Expr, Array>> inputs_;
    Interner interner_;
    std::unordered_map<const Node*, std::vector<Array>> values_;  // of interned nodes
};

/// Values of `outputs` for these inputs, by an evaluator of their own.
std::vector<Array> reference_eval(std::span<const Expr> outputs,
                                  const std::vector<std::pair<Expr, Array>>& inputs);

/// Values of `outputs`, whose sizes are concrete and which need no composite ops, where those of
/// `known` are taken as they are: what one kernel computes from what it reads.
std::vector<Array> reference_eval_from(std::span<const Expr> outputs,
                                       const std::vector<std::pair<Expr, Array>>& known);

}  // namespace arete

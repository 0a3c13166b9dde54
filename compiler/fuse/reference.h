// The reference evaluator: every node in a nest of its own, run by the loop interpreter.
#pragma once

#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

/// Values of `outputs` for these inputs (pairs of input leaf and value): no rewriting, no fusion,
/// no schedule, no native code. Shared variables are read, never written. Throws a RangeError where
/// a run-time check fails.
std::vector<Array> reference_eval(std::span<const Expr> outputs,
                                  const std::vector<std::pair<Expr, Array>>& inputs);

}  // namespace arete

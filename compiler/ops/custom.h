// Ops of users: functions of the host, and graphs with gradients of their own.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// Gradients with respect to each input, empty where there is none: of inputs x, outputs y and the
/// gradients g by the outputs (empty where nothing depends on an output).
using CustomGradient = std::function<std::vector<Expr>(
    const std::vector<Expr>& x, const std::vector<Expr>& y, const std::vector<Expr>& g)>;

/// A C++ function as an op. It runs on the host, in the order of the function's steps, and before
/// any shared variable changes: what it throws ends the call in a CallError with its text, and
/// nothing has been updated. It may be called from any thread, but never by two at a time for one
/// function.
struct HostFunction {
    std::string name;
    /// Types of the outputs for those of the inputs. Sizes may be unknown then.
    std::function<std::vector<TensorType>(const std::vector<TensorType>& inputs)> types;
    /// Computes the outputs into arrays of these types.
    std::function<void(std::span<const Array> inputs, std::span<Array> outputs)> run;
    CustomGradient gradient;  ///< empty: not differentiable
};
std::vector<Expr> call(const HostFunction& f, const std::vector<Operand>& inputs,
                       const char* file = __builtin_FILE(), int line = __builtin_LINE());

/// A region in the place of its results, with a gradient of its own: gone once sizes are known.
extern const OpDef op_from_graph_op;
/// A node of that op; the region's parameters stand for the inputs.
std::vector<Expr> apply_with_gradient(Region region, std::vector<Expr> inputs, std::string name,
                                      CustomGradient gradient, Loc loc);
/// What such a node computes of its inputs.
std::vector<Expr> inlined(const Node& node);

}  // namespace arete

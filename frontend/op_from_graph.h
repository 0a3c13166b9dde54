// A graph as an op: Theano's OpFromGraph.
#pragma once

#include <string>
#include <vector>

#include "compiler/ops/custom.h"

namespace arete {

/// Makes an op of expressions of some inputs. Applied to arguments it is as if the graph had been
/// written there once more; but with a gradient of its own, which is then what grad uses.
///
///     OpFromGraph clip({x}, {minimum(maximum(x, -1), 1)}, straight_through, "clip");
///     Expr y = clip({h})[0];
class OpFromGraph {
  public:
    /// A GraphError where an input is no input variable, or a dtype or rank does not fit when it is
    /// applied. Sizes that the inputs leave open are those of the arguments.
    OpFromGraph(std::vector<Expr> inputs, std::vector<Expr> outputs, CustomGradient gradient = {},
                std::string name = "op_from_graph", const char* file = __builtin_FILE(),
                int line = __builtin_LINE());
    std::vector<Expr> operator()(const std::vector<Operand>& arguments,
                                 const char* file = __builtin_FILE(),
                                 int line = __builtin_LINE()) const;

  private:
    std::vector<Expr> inputs_, outputs_;
    CustomGradient gradient_;
    std::string name_;
};

}  // namespace arete

// Rewrites of nodes that own regions: what no rule of a table can do, since it concerns a loop as a
// whole.
#pragma once

#include <vector>

#include "compiler/graph/graph.h"

namespace arete {

/// Sizes must be numbers. Loops over the same inputs whose states are equal become one (a gradient
/// keeps further values of the loop that it derives, see scan_grad.cpp). Of each loop:
/// - results, states, sequences and captures that nothing needs go;
/// - of states and outputs only the last rows are kept where nothing reads others;
/// - constants, and rows that are all equal, are part of the body;
/// - a factor that a step reads transposed is transposed once, before the loop;
/// - a product of a sequence's rows with what does not change is one product before the loop;
/// - sums over the steps of products, or of reductions of rows that are kept, are one product or
///   reduction behind the loop.
/// The last two are Theano's scan_pushout. Branches: see branches.h. Of a `recompute` the results
/// that nothing reads go, and the inputs that only they needed. Regions inside regions come first.
std::vector<Expr> simplify_control(std::vector<Expr> outputs);

}  // namespace arete

// Rewrites of branches as a whole.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "compiler/graph/graph.h"

namespace arete {

/// What becomes of the results of an ifelse node of the graph, as pairs; empty where nothing
/// changes.
/// - Of a constant condition the chosen side is part of the graph.
/// - What a side computes and the graph computes anyway is read from there.
/// - Results and captured values that nothing needs go, constants are part of both sides.
std::vector<std::pair<Expr, Expr>> improve_branch(const Graph& graph,
                                                  const std::shared_ptr<const Node>& node);

}  // namespace arete

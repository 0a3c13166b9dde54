// Rewrites of branches as a whole.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/graph/graph.h"

namespace arete {

/// The nodes of a graph by what they compute, names and lines apart: made once for all branches.
class GraphValues {
  public:
    explicit GraphValues(const Graph& graph);

    /// The graph's node that computes what `n` does, given what stands for its inputs; null where
    /// there is none. It is what stands for `n` from then on.
    std::shared_ptr<const Node> find(const std::shared_ptr<const Node>& n);
    /// `leaf` stands for a value of the graph.
    void stand_for(const Expr& leaf, const Expr& value);

  private:
    Interner interner_;
    std::unordered_map<const Node*, std::shared_ptr<const Node>> outer_;  // by canonical node
    std::unordered_map<const Node*, Expr> canonical_;  // output 0, or what a leaf stands for
};

/// What becomes of the results of an ifelse node of the graph, as pairs; empty where nothing
/// changes.
/// - Of a constant condition the chosen side is part of the graph.
/// - What a side computes and the graph computes anyway is read from there.
/// - Results and captured values that nothing needs go, constants are part of both sides.
std::vector<std::pair<Expr, Expr>> improve_branch(const Graph& graph, GraphValues& values,
                                                  const std::shared_ptr<const Node>& node);

}  // namespace arete

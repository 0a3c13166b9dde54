// Snapshots of an expression graph: dense ids, users, order; interning; printing; verifying.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/core/id.h"
#include "compiler/graph/node.h"

namespace arete {

/// A node, by its number in a Graph.
using NodeId = Id<struct NodeTag>;

/// A view of everything that `outputs` need, with nodes numbered in topological order (inputs
/// first; of several orders the one nearest to creation). Valid as long as the nodes live.
class Graph {
  public:
    explicit Graph(std::vector<Expr> outputs);

    const std::vector<Expr>& outputs() const { return outputs_; }
    IdSpan<NodeId, const std::shared_ptr<const Node>> nodes() const { return nodes_; }
    std::size_t size() const { return nodes_.size(); }
    /// Number of a node; an InternalError where it is not part of the graph.
    NodeId id(const Node& node) const;
    NodeId id(const Expr& e) const { return id(e.node()); }
    bool contains(const Node& node) const { return ids_.count(&node) != 0; }
    /// Nodes that read node `i`, ascending, each once.
    const std::vector<NodeId>& users(NodeId i) const { return users_[i]; }
    /// The numbers of all nodes, ascending.
    IdRange<NodeId> ids() const { return nodes_.ids(); }

  private:
    std::vector<Expr> outputs_;
    IdVector<NodeId, std::shared_ptr<const Node>> nodes_;
    std::unordered_map<const Node*, NodeId> ids_;
    IdVector<NodeId, std::vector<NodeId>> users_;
};

/// Merges equal nodes as they are made: value numbering, which gives common subexpression
/// elimination and makes pointer equality mean equality. One a compilation; not shared by threads.
class Interner {
  public:
    /// The canonical node equal to `node`; locations of merged nodes are united.
    std::shared_ptr<const Node> intern(Node node);

  private:
    std::unordered_multimap<std::size_t, std::shared_ptr<Node>> table_;
};

/// Rebuilds the graph below `outputs` bottom up. `rebuild` gets each node with its inputs already
/// replaced (a copy it may change) and returns the replacement of each output of the node. Regions
/// of the copy have been rebuilt, too, by the same function: parameters must become leaves.
using Rebuild = std::function<std::vector<Expr>(const std::shared_ptr<const Node>& old, Node copy)>;
std::vector<Expr> transform(std::span<const Expr> outputs, const Rebuild& rebuild);
Region transform_region(const Region& region, const Rebuild& rebuild);
/// The graph with other expressions in the place of some, which nothing below them is looked at
/// for. Sizes are taken as they are.
std::vector<Expr> replace(std::span<const Expr> outputs,
                          std::span<const std::pair<Expr, Expr>> replacements);
/// True where two regions compute the same of their parameters: the same nodes in the same places.
bool equal(const Region& a, const Region& b);
/// All outputs of a node.
std::vector<Expr> outputs_of(const std::shared_ptr<const Node>& node);

/// One line a node: "%3 = add(%1, %2) : f32[10]  # net.cpp:12".
std::string to_string(const Graph& graph);
/// Graphviz source.
std::string to_dot(const Graph& graph);
/// Checks structure (inputs before users, types present, leaves without inputs, regions closed) and
/// calls `infer` on each node, in regions too, to compare its types with those recorded. Throws an
/// InternalError naming `pass`.
void verify(const Graph& graph, std::string_view pass,
            const std::function<std::vector<TensorType>(const Node&)>& infer);

}  // namespace arete

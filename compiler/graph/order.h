// Graph algorithms on dense ids, by Boost.Graph (kept in one translation unit: order.cpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace arete {

/// Edges (from, to) between vertices 0..n-1.
using Edges = std::vector<std::pair<int, int>>;

/// An order in which every edge points forward; empty where the edges form a cycle (and n > 0).
std::vector<int> topological_order(int n, const Edges& edges);

/// An edge of a flow network, and what it costs to cut it.
struct CutEdge {
    int from = 0, to = 0;
    std::int64_t capacity = 0;
};

/// The cut of least capacity between two of the vertices 0..n-1: by vertex, 1 on the sink's side.
/// Of several such cuts the one with the largest sink's side.
std::vector<char> minimum_cut(int n, std::span<const CutEdge> edges, int source, int sink);

/// Graphviz source of a graph with one label a vertex.
std::string dot_source(std::span<const std::string> labels, const Edges& edges);

}  // namespace arete

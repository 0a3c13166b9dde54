// Graph algorithms on dense ids, by Boost.Graph (kept in one translation unit: order.cpp).
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace arete {

/// Edges (from, to) between vertices 0..n-1.
using Edges = std::vector<std::pair<int, int>>;

/// An order in which every edge points forward; empty where the edges form a cycle (and n > 0).
std::vector<int> topological_order(int n, const Edges& edges);

/// Graphviz source of a graph with one label a vertex.
std::string dot_source(std::span<const std::string> labels, const Edges& edges);

}  // namespace arete

#include "compiler/graph/order.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/graphviz.hpp>
#include <boost/graph/topological_sort.hpp>
#include <sstream>

namespace arete {

namespace {

using BoostGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS>;

BoostGraph build(int n, const Edges& edges) {
    BoostGraph g(static_cast<std::size_t>(n));
    for (auto [from, to] : edges)
        boost::add_edge(static_cast<std::size_t>(from), static_cast<std::size_t>(to), g);
    return g;
}

}  // namespace

std::vector<int> topological_order(int n, const Edges& edges) {
    // Boost walks depth first from vertex 0 and reports vertices when they are finished. On the
    // reversed graph that is an order with every vertex after what it needs, and vertices that
    // need nothing from each other in the order of their ids. Compilers do this often, so the graph
    // is one in two arrays, which keeps the edges of a vertex in the order given.
    using Compressed = boost::compressed_sparse_row_graph<boost::directedS>;
    std::vector<std::pair<std::size_t, std::size_t>> reversed;
    reversed.reserve(edges.size());
    for (auto [from, to] : edges)
        reversed.emplace_back(static_cast<std::size_t>(to), static_cast<std::size_t>(from));
    const Compressed g(boost::edges_are_unsorted_multi_pass, reversed.begin(), reversed.end(),
                       static_cast<std::size_t>(n));
    std::vector<std::size_t> finished;
    finished.reserve(static_cast<std::size_t>(n));
    try {
        boost::topological_sort(g, std::back_inserter(finished));
    } catch (const boost::not_a_dag&) {
        return {};
    }
    return {finished.begin(), finished.end()};
}

std::string dot_source(std::span<const std::string> labels, const Edges& edges) {
    std::ostringstream out;
    boost::write_graphviz(
        out, build(static_cast<int>(labels.size()), edges), [&](std::ostream& o, std::size_t v) {
            o << "[shape=box, fontname=monospace, label=" << boost::escape_dot_string(labels[v])
              << "]";
        });
    return out.str();
}

}  // namespace arete

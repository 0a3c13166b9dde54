#include "compiler/graph/order.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
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

std::vector<char> minimum_cut(int n, std::span<const CutEdge> edges, int source, int sink) {
    using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
    struct Pipe {
        std::int64_t capacity = 0, residual = 0;
        Traits::edge_descriptor reverse;
    };
    using Network =
        boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, Pipe>;
    const auto size = static_cast<std::size_t>(n);
    Network g(size);
    for (const CutEdge& e : edges) {
        const auto from = static_cast<std::size_t>(e.from), to = static_cast<std::size_t>(e.to);
        const auto forth = boost::add_edge(from, to, g).first,
                   back = boost::add_edge(to, from, g).first;
        g[forth].capacity = e.capacity;
        g[forth].reverse = back;
        g[back].reverse = forth;
    }
    std::vector<Traits::edge_descriptor> predecessor(size);
    std::vector<boost::default_color_type> color(size);
    std::vector<long> distance(size);
    const auto index = boost::get(boost::vertex_index, g);
    const auto of = [&](auto& values) {
        return boost::make_iterator_property_map(values.begin(), index);
    };
    boost::boykov_kolmogorov_max_flow(
        g, boost::get(&Pipe::capacity, g), boost::get(&Pipe::residual, g),
        boost::get(&Pipe::reverse, g), of(predecessor), of(color), of(distance), index,
        static_cast<std::size_t>(source), static_cast<std::size_t>(sink));
    // The source's side is what it still reaches, and no more.
    std::vector<char> cut(size, 1);
    std::vector<std::size_t> reached{static_cast<std::size_t>(source)};
    cut[reached.front()] = 0;
    while (!reached.empty()) {
        const std::size_t v = reached.back();
        reached.pop_back();
        for (const auto& e : boost::make_iterator_range(boost::out_edges(v, g)))
            if (const std::size_t to = boost::target(e, g); g[e].residual > 0 && cut[to]) {
                cut[to] = 0;
                reached.push_back(to);
            }
    }
    return cut;
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

#include "tests/fuzz/known.h"

namespace arete::fuzz {

namespace {

bool has(const Graph& graph, std::initializer_list<std::string_view> names) {
    for (const auto& node : graph.nodes())
        for (const std::string_view name : names)
            if (node->op->name == name) return true;
    return false;
}

bool truncates(const Graph& graph) {
    for (const auto& node : graph.nodes())
        if (node->op->name == "cast" && is_float(node->inputs[0].dtype()) &&
            is_integer(node->types[0].dtype))
            return true;
    return false;
}

}  // namespace

const char* known_kind(const Case& c, const Finding& f) {
    if (f.message.find("no elements along axis") != std::string::npos)
        return "logsumexp of nothing";
    const Graph graph(c.results());
    const bool value = f.kind == Finding::Kind::Value || f.kind == Finding::Kind::Exception;
    if (value && truncates(graph)) return "casts out of range";
    if (value && has(graph, {"sin", "cos"})) return "sines of large angles";
    if (value && has(graph, {"exp", "erf", "pow"})) return "rewrites that change special values";
    if (value && has(graph, {"mod", "floordiv"})) return "mod and floordiv";
    if (value && has(graph, {"sum", "dot"})) return "scales that move out of sums";
    if (f.kind == Finding::Kind::Gradient) return "gradients";
    if (f.message.find("no value for input") != std::string::npos)
        return "debug mode and emptiness";
    return nullptr;
}

}  // namespace arete::fuzz

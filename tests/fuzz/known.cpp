#include "tests/fuzz/known.h"

namespace arete::fuzz {

namespace {

bool has(const Graph& graph, std::initializer_list<std::string_view> names) {
    for (const auto& node : graph.nodes())
        for (const std::string_view name : names)
            if (node->op->name == name) return true;
    return false;
}

}  // namespace

const char* known_kind(const Case& c, const Finding& f) {
    if (f.message.find("no elements along axis") != std::string::npos)
        return "logsumexp of nothing";
    const Graph graph(c.results());
    const bool value = f.kind == Finding::Kind::Value || f.kind == Finding::Kind::Exception;
    if (value && has(graph, {"exp", "erf", "pow"})) return "rewrites that change special values";
    if (f.kind == Finding::Kind::Value && has(graph, {"sum", "dot"}))
        return "scales that move out of sums";
    if (f.kind == Finding::Kind::Gradient) return "gradients";
    if (f.message.find("no value for input") != std::string::npos)
        return "debug mode and emptiness";
    return nullptr;
}

}  // namespace arete::fuzz

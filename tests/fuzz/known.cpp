#include "tests/fuzz/known.h"

namespace arete::fuzz {

namespace {

bool has(const Graph& graph, std::string_view name) {
    for (const auto& node : graph.nodes())
        if (node->op->name == name) return true;
    return false;
}

}  // namespace

const char* known_kind(const Case& c, const Finding& f) {
    const Graph graph(c.results());
    const bool value = f.kind == Finding::Kind::Value;
    // As softmax has it, a row with an infinity is NaN throughout; written out, only there. And
    // exp(x) / exp(x) is 1, also where both are 0.
    if (value && has(graph, "exp") && has(graph, "div")) return "quotients of exponentials";
    // Documented: NaN, as NumPy's square root.
    if (value && has(graph, "pow")) return "x^0.5 of -infinity";
    // Right where the formula is, by way of numbers that even long doubles do not tell from 0.
    if (value && has(graph, "log1mexp")) return "log(1 - exp(x)) of logarithms";
    // Documented: each of several equal elements takes the whole gradient.
    if (f.kind == Finding::Kind::Gradient && (has(graph, "max") || has(graph, "min")))
        return "ties of max and min";
    return nullptr;
}

}  // namespace arete::fuzz

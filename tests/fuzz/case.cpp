#include "tests/fuzz/case.h"

#include <cstring>

#include "compiler/ops/leaves.h"
#include "frontend/shared.h"

namespace arete::fuzz {

std::vector<Expr> Case::results() const {
    std::vector<Expr> out = outputs;
    for (const auto& [variable, value] : updates) out.push_back(value);
    return out;
}

void Case::reset() const {
    for (std::size_t k = 0; k < shared.size(); ++k) arete::Shared(shared[k]).set_value(state[k]);
}

void Case::note_shared() {
    std::vector<Expr> roots = results();
    for (const auto& [variable, value] : updates) roots.push_back(variable);
    std::vector<Expr> found;
    std::vector<Array> held;
    const Graph graph(roots);
    for (const auto& node : graph.nodes()) {
        if (node->op->kind != OpInfo::Kind::Shared) continue;
        found.emplace_back(node);
        held.push_back(node->storage->host_value().copy());
        for (std::size_t k = 0; k < shared.size(); ++k)
            if (same(shared[k], found.back())) held.back() = state[k];
    }
    shared = std::move(found);
    state = std::move(held);
}

std::string Case::str() const {
    std::string out = to_string(Graph(results()));
    for (const auto& [variable, value] : updates)
        out += fmt::format("update of {} \"{}\"\n", variable.type().str(), variable.node().name);
    for (std::size_t k = 0; k < inputs.size(); ++k)
        out += fmt::format("{} {} = {}\n", inputs[k].node().name, inputs[k].type().str(),
                           values[k].str());
    for (std::size_t k = 0; k < shared.size(); ++k)
        out += fmt::format("shared {} = {}\n", shared[k].node().name, state[k].str());
    return out;
}

std::string result_name(const Case& c, std::size_t k) {
    if (k < c.outputs.size()) return fmt::format("output {}", k);
    return fmt::format("the update of {}", c.updates[k - c.outputs.size()].first.node().name);
}

Sizes sizes_of(const Expr& e, const std::vector<Expr>& inputs, const std::vector<Array>& values) {
    Sizes out;
    for (const Dim& d : e.shape()) {
        const Dim bound = d.bind([&](DimSymbol s) -> std::optional<Dim> {
            for (std::size_t k = 0; k < inputs.size(); ++k) {
                if (inputs[k].node().id != s.variable) continue;
                return s.axis < 0 ? Dim(values[k].as_int()) : Dim(values[k].shape()[s.axis]);
            }
            return std::nullopt;
        });
        out.push_back(bound.is_const() ? bound.value() : -1);
    }
    return out;
}

}  // namespace arete::fuzz

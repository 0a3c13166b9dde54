#include "compiler/pipeline/inspect.h"

#include <algorithm>
#include <unordered_set>

namespace arete {

namespace {

void stored_in(const std::vector<loops::Stmt>& body, std::vector<int>& out) {
    for (const loops::Stmt& s : body) {
        if (s.kind == loops::Stmt::Kind::Store) out.push_back(s.store.buffer);
        stored_in(s.body, out);
    }
}

}  // namespace

std::vector<StoredValue> stored_by(const Compiled& compiled, std::size_t step) {
    const Step& s = compiled.program.steps[step];
    const std::vector<Expr>& values = compiled.step_values[step];
    std::vector<int> buffers;
    stored_in(s.kernel.body, buffers);
    if (s.kernel.body.empty())
        for (const loops::StoreTo& store : s.nest.stores) buffers.push_back(store.buffer);
    std::vector<StoredValue> out;
    for (int b : buffers) {
        if (b >= static_cast<int>(values.size())) continue;  // local
        const int slot = s.slots[static_cast<std::size_t>(b)];
        if (std::any_of(out.begin(), out.end(), [&](const StoredValue& o) {
                return s.slots[static_cast<std::size_t>(o.parameter)] == slot;
            }))
            continue;
        // In place: the slot is the parameter of the old value too, which comes first.
        StoredValue found{b, values[static_cast<std::size_t>(b)]};
        for (std::size_t k = 0; k < values.size(); ++k)
            if (s.slots[k] == slot) found.value = values[k];
        out.push_back(std::move(found));
    }
    return out;
}

std::vector<std::shared_ptr<const Node>> nodes_of_step(const Compiled& compiled, std::size_t step) {
    const std::vector<StoredValue> stored = stored_by(compiled, step);
    const auto is_stored = [&](const Expr& e) {
        return std::any_of(stored.begin(), stored.end(),
                           [&](const StoredValue& s) { return same(s.value, e); });
    };
    const auto is_read = [&](const Expr& e) {
        const std::vector<Expr>& all = compiled.step_values[step];
        return !is_stored(e) &&
               std::any_of(all.begin(), all.end(), [&](const Expr& o) { return same(o, e); });
    };
    std::vector<Expr> roots;
    for (const StoredValue& s : stored) roots.push_back(s.value);
    std::unordered_set<const Node*> inside;
    std::vector<Expr> pending = roots;
    while (!pending.empty()) {
        const Expr e = pending.back();
        pending.pop_back();
        if (is_read(e) || !inside.insert(&e.node()).second) continue;
        pending.insert(pending.end(), e.node().inputs.begin(), e.node().inputs.end());
    }
    std::vector<std::shared_ptr<const Node>> out;
    const Graph graph(roots);
    for (const auto& node : graph.nodes())
        if (inside.count(node.get())) out.push_back(node);
    return out;
}

}  // namespace arete

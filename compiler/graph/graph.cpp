#include "compiler/graph/graph.h"

#include <algorithm>
#include <atomic>

#include "compiler/graph/order.h"

namespace arete {

std::uint64_t next_id() {
    static std::atomic<std::uint64_t> counter{0};
    return ++counter;
}

Node::~Node() {
    thread_local std::vector<Expr>* pending = nullptr;
    std::vector<Expr> own;
    std::vector<Expr>& to = pending ? *pending : own;
    const auto later = [&](Expr& e) {
        try {
            to.push_back(std::move(e));
        } catch (const std::bad_alloc&) {
            // It stays where it is, and goes by recursion.
        }
    };
    for (Expr& e : inputs) later(e);
    for (Region& r : regions) {
        for (Expr& e : r.results) later(e);
        for (Expr& e : r.params) later(e);
    }
    if (pending) return;  // the node whose destructor runs further up drains the list
    pending = &own;
    while (!own.empty()) {
        Expr e = std::move(own.back());
        own.pop_back();
        e = Expr();  // may destroy a node, which adds its inputs to the list
    }
    pending = nullptr;
}

namespace {

std::size_t mix(std::size_t h, std::size_t v) {
    return (h ^ v) * 0x9e3779b97f4a7c15u + (v >> 3);
}

std::size_t hash(const Node& n) {
    std::size_t h = mix(std::hash<const void*>{}(n.op), static_cast<std::size_t>(n.id));
    for (const Expr& e : n.inputs) h = mix(h, std::hash<const void*>{}(&e.node()) + e.output());
    for (const Region& r : n.regions) h = mix(h, r.params.size() * 31 + r.results.size());
    return mix(h, n.attrs.hash());
}

bool equal(const Node& a, const Node& b) {
    return a.op == b.op && a.id == b.id && a.types == b.types && a.storage == b.storage &&
           a.payload == b.payload && a.inputs.size() == b.inputs.size() &&
           a.regions.size() == b.regions.size() &&
           std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), same) &&
           a.attrs == b.attrs &&
           std::equal(a.regions.begin(), a.regions.end(), b.regions.begin(),
                      [](const Region& x, const Region& y) { return arete::equal(x, y); });
}

}  // namespace

Graph::Graph(std::vector<Expr> outputs) : outputs_(std::move(outputs)) {
    std::vector<std::shared_ptr<const Node>> found;
    Edges edges;
    // Numbers in the order of discovery at first.
    auto number = [&](const Expr& e) {
        auto [it, fresh] = ids_.try_emplace(&e.node(), found.size());
        if (fresh) found.push_back(e.node_ptr());
        return it->second.number();
    };
    for (const Expr& e : outputs_) number(e);
    for (std::size_t i = 0; i < found.size(); ++i) {
        const Node* node = found[i].get();
        for (const Expr& e : node->inputs) edges.emplace_back(number(e), static_cast<int>(i));
    }
    const std::vector<int> order = topological_order(static_cast<int>(found.size()), edges);
    ARETE_CHECK(order.size() == found.size(), "the graph has a cycle");
    std::vector<NodeId> place(found.size());
    nodes_.reserve(found.size());
    for (int i : order) place[i] = nodes_.add(std::move(found[i]));
    for (auto& [node, id] : ids_) id = place[id.index()];
    // By user, so that each list is ascending.
    std::vector<std::pair<NodeId, NodeId>> uses;  // user, used
    uses.reserve(edges.size());
    for (const auto& [from, to] : edges) uses.emplace_back(place[to], place[from]);
    std::stable_sort(uses.begin(), uses.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    users_.resize(nodes_.size());
    for (const auto& [user, used] : uses) {
        std::vector<NodeId>& u = users_[used];
        if (u.empty() || u.back() != user) u.push_back(user);
    }
}

NodeId Graph::id(const Node& node) const {
    auto it = ids_.find(&node);
    ARETE_CHECK(it != ids_.end(), "node '{}' is not part of the graph", node.op->name);
    return it->second;
}

std::shared_ptr<const Node> Interner::intern(Node node) {
    std::size_t h = hash(node);
    auto [first, last] = table_.equal_range(h);
    for (auto it = first; it != last; ++it) {
        if (!equal(*it->second, node)) continue;
        Node& kept = *it->second;
        for (Loc l : node.locs)
            if (l && std::find(kept.locs.begin(), kept.locs.end(), l) == kept.locs.end())
                kept.locs.push_back(l);
        if (kept.name.empty()) kept.name = node.name;
        return it->second;
    }
    node.indexed.reset();
    auto made = std::make_shared<Node>(std::move(node));
    table_.emplace(h, made);
    return made;
}

std::vector<Expr> outputs_of(const std::shared_ptr<const Node>& node) {
    std::vector<Expr> out;
    for (std::size_t k = 0; k < node->types.size(); ++k)
        out.emplace_back(node, static_cast<int>(k));
    return out;
}

std::vector<Expr> transform(std::span<const Expr> outputs, const Rebuild& rebuild) {
    Graph graph({outputs.begin(), outputs.end()});
    IdVector<NodeId, std::vector<Expr>> done(graph.size());
    auto replaced = [&](const Expr& e) { return done[graph.id(e)][e.output()]; };
    for (NodeId i : graph.ids()) {
        const Node& old = *graph.nodes()[i];
        Node copy = old;
        for (Expr& e : copy.inputs) e = replaced(e);
        for (Region& r : copy.regions) r = transform_region(r, rebuild);
        done[i] = rebuild(graph.nodes()[i], std::move(copy));
        ARETE_CHECK(done[i].size() == old.types.size(), "{} replaced by {} outputs", old.op->name,
                    done[i].size());
    }
    std::vector<Expr> out;
    for (const Expr& e : outputs) out.push_back(replaced(e));
    return out;
}

Region transform_region(const Region& region, const Rebuild& rebuild) {
    std::vector<Expr> all = region.params;
    all.insert(all.end(), region.results.begin(), region.results.end());
    all = transform(all, rebuild);
    const auto border = all.begin() + static_cast<std::ptrdiff_t>(region.params.size());
    Region out{{all.begin(), border}, {border, all.end()}};
    for (const Expr& p : out.params)
        ARETE_CHECK(p.node().is_leaf(), "a parameter became {}", p.node().op->name);
    return out;
}

std::vector<Expr> replace(std::span<const Expr> outputs,
                          std::span<const std::pair<Expr, Expr>> replacements) {
    const auto replacement = [&](const Expr& e) {
        for (const auto& [what, by] : replacements)
            if (same(what, e)) return by;
        return Expr();
    };
    std::unordered_map<const Node*, std::vector<Expr>> done;
    std::vector<std::shared_ptr<const Node>> pending;
    for (const Expr& e : outputs) pending.push_back(e.node_ptr());
    const auto replaced = [&](const Expr& e) {
        const auto at = done.find(&e.node());
        return at == done.end() ? Expr() : at->second[e.output()];
    };
    while (!pending.empty()) {
        const std::shared_ptr<const Node> node = pending.back();
        if (done.count(node.get())) {
            pending.pop_back();
            continue;
        }
        std::vector<Expr> results = outputs_of(node);
        bool all = true, any = false;
        for (Expr& e : results) {
            const Expr by = replacement(e);
            all = all && !by.empty();
            any = any || !by.empty();
            if (!by.empty()) e = by;
        }
        if (!all) {
            const std::size_t before = pending.size();
            for (const Expr& e : node->inputs)
                if (!done.count(&e.node())) pending.push_back(e.node_ptr());
            if (pending.size() > before) continue;
            bool changed = false;
            for (const Expr& e : node->inputs) changed = changed || !same(replaced(e), e);
            if (changed) {
                Node copy = *node;
                for (Expr& e : copy.inputs) e = replaced(e);
                const auto made = std::make_shared<const Node>(std::move(copy));
                for (std::size_t k = 0; k < results.size(); ++k)
                    if (same(results[k], Expr(node, static_cast<int>(k))))
                        results[k] = Expr(made, static_cast<int>(k));
            }
        }
        pending.pop_back();
        done.emplace(node.get(), std::move(results));
    }
    std::vector<Expr> out;
    for (const Expr& e : outputs) out.push_back(replaced(e));
    return out;
}

bool equal(const Region& a, const Region& b) {
    if (a.params.size() != b.params.size() || a.results.size() != b.results.size()) return false;
    const Graph x(a.results), y(b.results);
    if (x.size() != y.size()) return false;
    std::unordered_map<const Node*, const Node*> partner;  // of a's nodes
    for (std::size_t k = 0; k < a.params.size(); ++k) {
        if (a.params[k].type() != b.params[k].type()) return false;
        partner[&a.params[k].node()] = &b.params[k].node();
    }
    const auto match = [&](const Expr& p, const Expr& q) {
        const auto at = partner.find(&p.node());
        return at != partner.end() && at->second == &q.node() && p.output() == q.output();
    };
    // Both are walked from the results, so that partners are found whatever the order of nodes.
    std::vector<std::pair<const Node*, const Node*>> pending;
    for (std::size_t k = 0; k < a.results.size(); ++k) {
        if (a.results[k].output() != b.results[k].output()) return false;
        pending.emplace_back(&a.results[k].node(), &b.results[k].node());
    }
    while (!pending.empty()) {
        const auto [p, q] = pending.back();
        if (const auto at = partner.find(p); at != partner.end()) {
            if (at->second != q) return false;
            pending.pop_back();
            continue;
        }
        if (p->op != q->op || p->id != q->id || p->types != q->types || p->storage != q->storage ||
            p->payload != q->payload || p->inputs.size() != q->inputs.size() ||
            p->regions.size() != q->regions.size() || !(p->attrs == q->attrs))
            return false;
        const std::size_t before = pending.size();
        for (std::size_t k = 0; k < p->inputs.size(); ++k)
            if (!match(p->inputs[k], q->inputs[k])) {
                if (partner.count(&p->inputs[k].node()) ||
                    p->inputs[k].output() != q->inputs[k].output())
                    return false;
                pending.emplace_back(&p->inputs[k].node(), &q->inputs[k].node());
            }
        if (pending.size() > before) continue;
        for (std::size_t k = 0; k < p->regions.size(); ++k)
            if (!equal(p->regions[k], q->regions[k])) return false;
        partner[p] = q;
        pending.pop_back();
    }
    return true;
}

namespace {

std::string node_text(const Graph& graph, NodeId i) {
    const Node& n = *graph.nodes()[i];
    std::string text = fmt::format("{}(", n.op->name);
    for (std::size_t k = 0; k < n.inputs.size(); ++k) {
        text += fmt::format("{}%{}", k ? ", " : "", graph.id(n.inputs[k]));
        if (n.inputs[k].node().types.size() > 1) text += fmt::format(".{}", n.inputs[k].output());
    }
    std::string attrs = n.attrs.str();
    if (!attrs.empty()) text += (n.inputs.empty() ? "" : "; ") + attrs;
    text += ") :";
    for (std::size_t k = 0; k < n.types.size(); ++k) text += (k ? ", " : " ") + n.types[k].str();
    if (!n.name.empty()) text += " \"" + n.name + "\"";
    return text;
}

}  // namespace

namespace {

// A region's numbers are its own: its parameters come first.
std::string indented_text(const Graph& graph, const std::string& indent, std::size_t results) {
    std::string out;
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        std::string line = fmt::format("{}%{} = {}", indent, i, node_text(graph, i));
        if (n.loc()) line = fmt::format("{:<72} # {}", line, n.loc().str());
        out += line + "\n";
        for (const Region& r : n.regions) {
            std::vector<Expr> all = r.results;
            all.insert(all.end(), r.params.begin(), r.params.end());
            const Graph body(all);
            out += indent + "    region(";
            for (std::size_t k = 0; k < r.params.size(); ++k)
                out += fmt::format("{}%{}", k ? ", " : "", body.id(r.params[k]));
            out += "):\n" + indented_text(body, indent + "        ", r.results.size());
        }
    }
    out += indent + "return";
    for (std::size_t k = 0; k < results; ++k) {
        const Expr& e = graph.outputs()[k];
        out += fmt::format("{}%{}", k ? ", " : " ", graph.id(e));
        if (e.node().types.size() > 1) out += fmt::format(".{}", e.output());
    }
    return out + "\n";
}

}  // namespace

std::string to_string(const Graph& graph) {
    return indented_text(graph, "", graph.outputs().size());
}

std::string to_dot(const Graph& graph) {
    std::vector<std::string> labels;
    Edges edges;
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        labels.push_back(fmt::format("%{} {}{}\n{}", i, n.op->name,
                                     n.name.empty() ? "" : " " + n.name, n.types[0].str()));
        for (const Expr& e : n.inputs) edges.emplace_back(graph.id(e).number(), i.number());
    }
    return dot_source(labels, edges);
}

void verify(const Graph& graph, std::string_view pass,
            const std::function<std::vector<TensorType>(const Node&)>& infer) {
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        ARETE_CHECK(n.op && !n.types.empty(), "after {}: %{} has no op or type", pass, i);
        ARETE_CHECK(!n.is_leaf() || n.inputs.empty(), "after {}: leaf %{} has inputs", pass, i);
        for (const Expr& e : n.inputs) {
            ARETE_CHECK(graph.id(e) < i, "after {}: %{} comes before its input", pass, i);
            ARETE_CHECK(e.output() < static_cast<int>(e.node().types.size()),
                        "after {}: %{} reads an output that is not there", pass, i);
        }
        if (n.is_leaf()) continue;
        for (const Region& r : n.regions) {
            const Graph body(r.results);
            for (const auto& inner : body.nodes())
                ARETE_CHECK(
                    !inner->is_leaf() || inner->op->kind == OpInfo::Kind::Constant ||
                        std::any_of(r.params.begin(), r.params.end(),
                                    [&](const Expr& p) { return &p.node() == inner.get(); }),
                    "after {}: the region of %{} is not closed: it reads {} \"{}\"", pass, i,
                    inner->op->name, inner->name);
            verify(body, pass, infer);
        }
        std::vector<TensorType> types = infer(n);
        ARETE_CHECK(types == n.types, "after {}: {} is recorded as {}, but its rule says {}", pass,
                    node_text(graph, i), n.types[0].str(),
                    types.empty() ? "nothing" : types[0].str());
    }
}

}  // namespace arete

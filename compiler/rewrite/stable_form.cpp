#include "compiler/rewrite/stable_form.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ops/leaves.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/engine.h"

namespace arete {

namespace {

class Former {
  public:
    Former(std::span<const Expr> outputs, std::span<const Expr> keep)
        : graph_({outputs.begin(), outputs.end()}),
          engine_({{stabilize_rules(), true}, {rules::arithmetic_rules()}, {rules::logic_rules()}},
                  graph_.size(), nullptr, Products::unknown, Functions::kept),
          done_(graph_.size()),
          unchanged_(graph_.size()) {
        for (const Expr& e : keep)
            if (!e.node().is_leaf()) kept_nodes_.insert(&e.node());
        for (NodeId i : graph_.ids()) visit(i);
    }

    bool changed() const { return engine_.fired(0) > 0; }

    std::vector<Expr> results(std::span<const Expr> of) {
        std::vector<Expr> out;
        for (const Expr& e : of) {
            if (!graph_.contains(e.node())) {
                out.push_back(e);
                continue;
            }
            const NodeId i = graph_.id(e);
            const auto it = kept_.find(i);
            const std::vector<Expr>& forms = it == kept_.end() ? done_[i] : it->second;
            out.push_back(rebuilt(forms[e.output()]));
        }
        return out;
    }

  private:
    void visit(NodeId i) {
        const std::shared_ptr<const Node>& node = graph_.nodes()[i];
        std::vector<Expr> forms = engine_.visit(graph_, i, done_);
        const std::shared_ptr<const Node> plain = engine_.plain();
        const std::vector<Expr> made = outputs_of(plain);
        unchanged_[i] = std::equal(forms.begin(), forms.end(), made.begin(), made.end(), same);
        for (const Expr& x : node->inputs)
            unchanged_[i] = unchanged_[i] && unchanged_[graph_.id(x)];
        if (unchanged_[i]) originals_.try_emplace(plain.get(), node);
        if (!kept_nodes_.count(node.get())) {
            done_[i] = std::move(forms);
            return;
        }
        // Rules see a leaf, marked as one that is not what it seems.
        for (std::size_t k = 0; k < forms.size(); ++k) {
            Node leaf = make_leaf(input_op, forms[k].type(), node->loc()).node();
            leaf.attrs = leaf.attrs.with("stands_for", true);
            stands_for_[leaf.id] = {i, k};
            done_[i].push_back(engine_.normal_form(std::move(leaf))[0]);
        }
        kept_[i] = std::move(forms);
    }

    // An expression of the engine with the nodes of the graph wherever they have not changed.
    Expr rebuilt(const Expr& e) {
        const Graph graph({e});
        for (const auto& node : graph.nodes()) {
            if (made_.count(node.get())) continue;
            made_[node.get()] = rebuild(node);
        }
        return made_.at(&e.node())[e.output()];
    }

    std::vector<Expr> rebuild(const std::shared_ptr<const Node>& node) {
        alive_.push_back(node);
        if (const auto it = originals_.find(node.get()); it != originals_.end())
            return outputs_of(it->second);
        if (const auto it = stands_for_.find(node->id);
            node->is_leaf() && it != stands_for_.end()) {
            const auto [i, k] = it->second;
            if (unchanged_[i]) return {Expr(graph_.nodes()[i], static_cast<int>(k))};
            return {rebuilt(kept_.at(i)[k])};
        }
        if (node->is_leaf()) return outputs_of(node);
        auto copy = std::make_shared<Node>(*node);
        for (Expr& x : copy->inputs) x = made_.at(&x.node())[x.output()];
        return outputs_of(copy);
    }

    Graph graph_;
    Engine engine_;
    Engine::Replaced done_;
    IdVector<NodeId, char> unchanged_;
    std::unordered_set<const Node*> kept_nodes_;
    std::unordered_map<NodeId, std::vector<Expr>> kept_;  // forms
    std::unordered_map<std::uint64_t, std::pair<NodeId, std::size_t>> stands_for_;
    std::unordered_map<const Node*, std::shared_ptr<const Node>> originals_;
    std::unordered_map<const Node*, std::vector<Expr>> made_;
    std::vector<std::shared_ptr<const Node>> alive_;
};

}  // namespace

StableForm stable_form(std::span<const Expr> outputs, std::span<const Expr> keep) {
    Former former(outputs, keep);
    StableForm form;
    form.changed = former.changed();
    if (form.changed) {
        form.outputs = former.results(outputs);
        form.kept = former.results(keep);
    } else {
        form.outputs.assign(outputs.begin(), outputs.end());
        form.kept.assign(keep.begin(), keep.end());
    }
    return form;
}

}  // namespace arete

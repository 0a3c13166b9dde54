#include "compiler/rewrite/branches.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ops/branch.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

using Pairs = std::vector<std::pair<Expr, Expr>>;

class Branch {
  public:
    Branch(const Graph& graph, GraphValues& values, const std::shared_ptr<const Node>& node)
        : graph_(graph),
          values_(values),
          node_(node),
          captures_(node->inputs.begin() + 1, node->inputs.end()) {
        for (const Region& r : node->regions) {
            params_.push_back(r.params);
            results_.push_back(r.results);
        }
    }

    Pairs run() {
        if (const Array* c = constant_value(node_->inputs[0]))
            return chosen(c->as_int() != 0 ? 0 : 1);
        drop_results();
        if (kept_.empty()) return {};
        bring_in_constants();
        read_from_outside();
        drop_captures();
        return changed_ ? rebuilt() : Pairs();
    }

  private:
    Pairs chosen(std::size_t side) const {
        Pairs by, out;
        for (std::size_t k = 0; k < captures_.size(); ++k)
            by.emplace_back(params_[side][k], captures_[k]);
        const std::vector<Expr> values = replace(results_[side], by);
        for (std::size_t k = 0; k < values.size(); ++k)
            out.emplace_back(Expr(node_, static_cast<int>(k)), values[k]);
        return out;
    }

    void drop_results() {
        std::unordered_set<int> read;
        for (NodeId u : graph_.users(graph_.id(*node_)))
            for (const Expr& e : graph_.nodes()[u]->inputs)
                if (&e.node() == node_.get()) read.insert(e.output());
        for (const Expr& e : graph_.outputs())
            if (&e.node() == node_.get()) read.insert(e.output());
        for (int k = 0; k < static_cast<int>(node_->types.size()); ++k)
            if (read.count(k)) kept_.push_back(k);
        changed_ = kept_.size() < node_->types.size();
        for (std::vector<Expr>& results : results_) {
            std::vector<Expr> now;
            for (int k : kept_) now.push_back(results[k]);
            results = std::move(now);
        }
    }

    void bring_in_constants() {
        for (std::size_t side = 0; side < 2; ++side) {
            Pairs by;
            for (std::size_t k = 0; k < captures_.size(); ++k)
                if (constant_value(captures_[k])) by.emplace_back(params_[side][k], captures_[k]);
            if (!by.empty()) results_[side] = replace(results_[side], by);
        }
    }

    // Parameters are what they stand for. What the graph computes does not depend on the branch
    // then, as its operands do not.
    void read_from_outside() {
        for (std::size_t side = 0; side < 2; ++side) {
            for (std::size_t k = 0; k < captures_.size(); ++k)
                values_.stand_for(params_[side][k], captures_[k]);
            const Graph body(results_[side]);
            Pairs by;
            for (const auto& n : body.nodes()) {
                const std::shared_ptr<const Node> found = values_.find(n);
                if (!found || n->is_leaf() || n->op->has(Trait::View)) continue;
                for (const Expr& e : outputs_of(n))
                    by.emplace_back(e, capture(Expr(found, e.output()), side));
            }
            if (!by.empty()) results_[side] = replace(results_[side], by);
        }
    }

    // The parameter of a side for a value.
    Expr capture(const Expr& value, std::size_t side) {
        for (std::size_t k = 0; k < captures_.size(); ++k)
            if (same(captures_[k], value)) return params_[side][k];
        captures_.push_back(value);
        for (std::vector<Expr>& params : params_)
            params.push_back(make_leaf(param_op, value.type(), node_->loc(), value.node().name));
        return params_[side].back();
    }

    void drop_captures() {
        const Graph sides[] = {Graph(results_[0]), Graph(results_[1])};
        for (std::size_t k = captures_.size(); k-- > 0;) {
            if (sides[0].contains(params_[0][k].node()) || sides[1].contains(params_[1][k].node()))
                continue;
            const auto at = static_cast<std::ptrdiff_t>(k);
            captures_.erase(captures_.begin() + at);
            for (std::vector<Expr>& params : params_) params.erase(params.begin() + at);
        }
        const bool same_captures =
            captures_.size() + 1 == node_->inputs.size() &&
            std::equal(captures_.begin(), captures_.end(), node_->inputs.begin() + 1, same);
        changed_ = changed_ || !same_captures;
    }

    Pairs rebuilt() const {
        std::vector<Expr> inputs{node_->inputs[0]};
        inputs.insert(inputs.end(), captures_.begin(), captures_.end());
        const std::vector<Expr> made =
            apply_all(ifelse_op, std::move(inputs), {}, node_->loc(),
                      {{params_[0], results_[0]}, {params_[1], results_[1]}});
        Pairs out;
        for (std::size_t k = 0; k < kept_.size(); ++k)
            out.emplace_back(Expr(node_, kept_[k]), made[k]);
        return out;
    }

    const Graph& graph_;
    GraphValues& values_;
    const std::shared_ptr<const Node> node_;
    std::vector<Expr> captures_;
    std::vector<std::vector<Expr>> params_, results_;  // by side
    std::vector<int> kept_;                            // results that something reads
    bool changed_ = false;
};

}  // namespace

GraphValues::GraphValues(const Graph& graph) {
    for (const auto& n : graph.nodes()) {
        Node copy = *n;
        for (Expr& e : copy.inputs) e = Expr(canonical_.at(&e.node()).node_ptr(), e.output());
        copy.locs.clear();
        copy.name.clear();
        const auto made = interner_.intern(std::move(copy));
        canonical_.emplace(n.get(), Expr(made));
        outer_.try_emplace(made.get(), n);
    }
}

void GraphValues::stand_for(const Expr& leaf, const Expr& value) {
    canonical_.insert_or_assign(&leaf.node(),
                                Expr(canonical_.at(&value.node()).node_ptr(), value.output()));
}

std::shared_ptr<const Node> GraphValues::find(const std::shared_ptr<const Node>& n) {
    if (canonical_.count(n.get())) return nullptr;
    Node copy = *n;
    for (Expr& e : copy.inputs) {
        const auto at = canonical_.find(&e.node());
        if (at == canonical_.end()) return nullptr;
        // A leaf stands for one result; other nodes have their own.
        e = Expr(at->second.node_ptr(), e.node().is_leaf() ? at->second.output() : e.output());
    }
    copy.locs.clear();
    copy.name.clear();
    const auto made = interner_.intern(std::move(copy));
    const auto found = outer_.find(made.get());
    if (found == outer_.end()) return nullptr;
    canonical_.emplace(n.get(), Expr(made));
    return found->second;
}

Pairs improve_branch(const Graph& graph, GraphValues& values,
                     const std::shared_ptr<const Node>& node) {
    return Branch(graph, values, node).run();
}

}  // namespace arete

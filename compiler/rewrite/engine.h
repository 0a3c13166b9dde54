// The walk that applies rules until none fires. Private to the folder.
#pragma once

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "compiler/rewrite/rewrite.h"

namespace arete {

/// Rules, and whether their patterns look through views (see Matcher).
struct RuleTable {
    std::span<const Rule> rules;
    bool through_views = false;
};

class Engine : public Surroundings {
  public:
    /// Rules of the earlier tables are tried first. `size`: nodes of the graph, which bounds how
    /// often rules may fire.
    Engine(std::vector<RuleTable> tables, std::size_t size, RewriteLog* log, Products products,
           Functions functions = Functions::folded);

    /// The normal form of all outputs.
    std::vector<Expr> run(const Graph& graph);

    /// What becomes of each output of the graph's node `i`, given what has become of its inputs.
    /// To be called for all nodes in their order; `run` does.
    using Replaced = IdVector<NodeId, std::vector<Expr>>;
    std::vector<Expr> visit(const Graph& graph, NodeId i, const Replaced& done);
    /// The normal form of each output of a node whose inputs are in normal form.
    std::vector<Expr> normal_form(Node n);
    /// The last node that `visit` made, before rules were tried on it.
    const std::shared_ptr<const Node>& plain() const { return plain_; }

    int readers(const Node& node) const override;
    bool computes(const Expr& e) const override { return static_cast<bool>(id(e)); }
    void refused() const override { refused_ = true; }

    /// True where a rule asked for an only reader and there were several, or for an expression that
    /// was not there: that may have changed since.
    bool was_refused() const { return refused_; }
    std::size_t fired() const { return fired_; }
    /// How often rules of a table have fired.
    std::size_t fired(std::size_t table) const { return fired_in_[table]; }

  private:
    struct Candidate {
        const Rule* rule;
        std::size_t table;
    };
    struct Given {
        int readers = 0;
        NodeId id;
    };

    void start(const Graph& graph);
    Region inside(const Region& region);
    NodeId id(const Expr& e) const;
    const std::vector<Candidate>& rules_for(const OpInfo& op);
    Expr simplify(const Expr& e);
    void note(const Candidate& c, const Expr& e, const Expr& by);
    Expr normalise(const Expr& e, const Node& from);

    std::vector<RuleTable> tables_;
    Interner interner_;
    std::unordered_map<const OpInfo*, std::vector<Candidate>> by_op_;
    std::unordered_set<const Node*> normal_;
    std::unordered_map<const Node*, std::vector<Expr>> replaced_;
    std::vector<std::shared_ptr<const Node>> keep_;  // so that addresses are not reused
    std::unordered_map<const Node*, Given> given_;   // by what has become of the graph's nodes
    std::shared_ptr<const Node> plain_;
    const Graph* graph_ = nullptr;
    IdVector<NodeId, int> results_;  // how often each node is an output
    RewriteLog* log_;
    Products products_;
    Functions functions_;
    std::vector<std::size_t> fired_in_;
    std::size_t fired_ = 0, limit_;
    mutable bool refused_ = false;
};

}  // namespace arete

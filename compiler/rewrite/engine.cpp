#include "compiler/rewrite/engine.h"

#include <algorithm>

#include "compiler/rewrite/fold.h"
#include "compiler/rewrite/matcher.h"

namespace arete {

Engine::Engine(std::vector<RuleTable> tables, std::size_t size, RewriteLog* log, Products products,
               Functions functions)
    : tables_(std::move(tables)),
      log_(log),
      products_(products),
      functions_(functions),
      fired_in_(tables_.size()),
      // Chains of views push each slice down all that is below it, which comes to rest.
      limit_(1000 + 50 * size + std::min(size * size, std::size_t{4'000'000})) {
    for (const RuleTable& table : tables_)
        for (const Rule& r : table.rules)
            ARETE_CHECK(
                r.pattern.kind == Pattern::Kind::Apply || r.pattern.kind == Pattern::Kind::Class,
                "rule {} matches everything", r.name);
}

std::vector<Expr> Engine::run(const Graph& graph) {
    Replaced done(graph.size());
    for (NodeId i : graph.ids()) done[i] = visit(graph, i, done);
    std::vector<Expr> out;
    for (const Expr& e : graph.outputs()) out.push_back(done[graph.id(e)][e.output()]);
    return out;
}

void Engine::start(const Graph& graph) {
    refused_ = false;
    given_.clear();
    graph_ = &graph;
    results_.assign(graph.size(), 0);
    for (const Expr& e : graph.outputs()) ++results_[graph.id(e)];
}

std::vector<Expr> Engine::visit(const Graph& graph, NodeId i, const Replaced& done) {
    if (i.number() == 0) start(graph);
    const auto replaced = [&](const Expr& e) { return done[graph.id(e)][e.output()]; };
    Node copy = *graph.nodes()[i];
    for (Expr& e : copy.inputs) e = replaced(e);
    for (Region& r : copy.regions) r = inside(r);
    const std::vector<Expr> out = normal_form(std::move(copy));
    const int readers = results_[i] + static_cast<int>(graph.users(i).size());
    std::unordered_set<const Node*> seen;
    for (const Expr& e : out)
        if (seen.insert(&e.node()).second) {
            Given& given = given_[&e.node()];
            given.readers += readers;
            given.id = i;
        }
    return out;
}

// A region is rewritten as a graph of its own is: its parameters are leaves.
Region Engine::inside(const Region& region) {
    const Graph body(region.results);
    Engine engine(tables_, body.size(), log_, products_, functions_);
    Region out{{}, engine.run(body)};
    for (const Expr& p : region.params) out.params.push_back(engine.normal_form(p.node())[0]);
    fired_ += engine.fired_;
    for (std::size_t t = 0; t < fired_in_.size(); ++t) fired_in_[t] += engine.fired_in_[t];
    refused_ = refused_ || engine.refused_;
    return out;
}

// Nodes that rules have just made are read by what they were made for.
int Engine::readers(const Node& node) const {
    auto it = given_.find(&node);
    return it == given_.end() ? 1 : it->second.readers;
}

std::vector<Expr> Engine::normal_form(Node n) {
    std::shared_ptr<const Node> made = interner_.intern(std::move(n));
    plain_ = made;
    std::vector<Expr> out = outputs_of(made);
    if (!normal_.insert(made.get()).second) {
        auto it = replaced_.find(made.get());
        return it == replaced_.end() ? out : it->second;
    }
    keep_.push_back(made);
    if (made->is_leaf() || made->types.size() != 1) return out;
    Expr now = simplify(out[0]);
    plain_ = made;
    if (!same(now, out[0])) replaced_[made.get()] = {now};
    return {now};
}

// The node of the given graph that computes an expression of what has been visited, if there is
// one.
NodeId Engine::id(const Expr& e) const {
    const Node& n = e.node();
    if (auto it = given_.find(&n); it != given_.end()) return it->second.id;
    if (n.is_leaf() || n.inputs.empty()) return {};
    std::vector<NodeId> inputs;
    for (const Expr& x : n.inputs) {
        inputs.push_back(id(x));
        if (!inputs.back()) return {};
    }
    // Whichever operand has the fewest readers: a variable may have very many.
    std::size_t fewest = 0;
    for (std::size_t k = 1; k < inputs.size(); ++k)
        if (graph_->users(inputs[k]).size() < graph_->users(inputs[fewest]).size()) fewest = k;
    for (NodeId user : graph_->users(inputs[fewest])) {
        const Node& u = *graph_->nodes()[user];
        bool equal = u.op == n.op && u.inputs.size() == n.inputs.size() && u.regions.empty() &&
                     u.attrs == n.attrs;
        for (std::size_t k = 0; equal && k < inputs.size(); ++k)
            equal = graph_->id(u.inputs[k]) == inputs[k] &&
                    u.inputs[k].output() == n.inputs[k].output();
        if (equal) return user;
    }
    return {};
}

// The rules whose patterns may match this op, in the order of the tables.
const std::vector<Engine::Candidate>& Engine::rules_for(const OpInfo& op) {
    auto [it, fresh] = by_op_.try_emplace(&op);
    if (fresh)
        for (std::size_t t = 0; t < tables_.size(); ++t)
            for (const Rule& r : tables_[t].rules)
                if (r.pattern.kind == Pattern::Kind::Apply
                        ? op.name == r.pattern.op
                        : r.pattern.is(reinterpret_cast<const OpDef&>(op)))
                    it->second.push_back({&r, t});
    return it->second;
}

Expr Engine::simplify(const Expr& e) {
    if (const Expr c = fold(e, products_, functions_); !c.empty()) return normalise(c, e.node());
    for (const Candidate& c : rules_for(*e.node().op)) {
        const Rule& r = *c.rule;
        Matcher matches(r.pattern, e, this, tables_[c.table].through_views);
        while (const std::optional<Match> m = matches.next()) {
            if (r.guard && !r.guard(*m)) continue;
            const Expr by = r.replace(*m);
            if (by.empty() || same(by, e)) continue;
            // Sizes that are not known yet may have several names.
            if (by.type() != e.type() && (m->moved_views() || !is_static(e.shape()))) continue;
            note(c, e, by);
            return normalise(by, e.node());
        }
    }
    return e;
}

namespace {

std::string text(const Expr& e) {
    return fmt::format("{} : {}", to_line(e), e.type().str());
}

}  // namespace

void Engine::note(const Candidate& c, const Expr& e, const Expr& by) {
    ARETE_CHECK(by.type() == e.type(), "rule {}: {} became {}", c.rule->name, e.type().str(),
                by.type().str());
    ++fired_in_[c.table];
    if (++fired_ > limit_)
        throw InternalError(
            fmt::format("rewriting does not come to rest; the last rule was {}", c.rule->name),
            e.loc());
    if (log_) log_->firings.push_back({c.rule, text(e), text(by), e.loc().str(), e, by});
}

// What a rule made of `from`, down to what was already in normal form. New nodes take the user's
// lines.
Expr Engine::normalise(const Expr& e, const Node& from) {
    if (normal_.count(&e.node())) {
        auto it = replaced_.find(&e.node());
        return it == replaced_.end() ? e : it->second[e.output()];
    }
    Node copy = e.node();
    copy.locs = from.locs;
    if (!copy.origin.op) copy.origin = from.origin;
    for (Expr& x : copy.inputs) x = normalise(x, from);
    return normal_form(std::move(copy))[e.output()];
}

}  // namespace arete

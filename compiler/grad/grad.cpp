#include "compiler/grad/grad.h"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "compiler/grad/masks.h"
#include "compiler/graph/graph.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/op.h"
#include "compiler/ops/rows.h"
#include "compiler/rewrite/stable_form.h"

namespace arete {

namespace {

// Name and line of a variable, for messages.
std::string who(const Expr& e) {
    std::string text = describe(e, fmt::format("the result of {}", e.node().op->name));
    return e.loc() ? fmt::format("{} ({})", text, e.loc().str()) : text;
}

// Gradients of a scalar, empty where it does not depend on a variable.
std::vector<Expr> derivatives(const Expr& cost, const std::vector<Expr>& wrt, Loc loc);

class ReverseWalk {
  public:
    ReverseWalk(const Expr& cost, const Expr& seed, const std::vector<Expr>& wrt,
                const GradOptions& options, Loc loc)
        : options_(options), loc_(loc), graph_(roots(cost, seed, options)) {
        for (const auto& node : graph_.nodes()) known_.insert(node.get());
        find_paths(wrt);
        grads_.resize(graph_.size());
        for (NodeId i : graph_.ids()) grads_[i].resize(graph_.nodes()[i]->types.size());
    }

    void run(const Expr& cost, const Expr& seed) {
        add(cost, {sum_to(seed, cost.type(), loc_), {}, {}, loc_});
        for (const auto& [e, g] : options_.known_grads)
            slot(e) = {sum_to(g, e.type(), loc_), {}, {}, loc_};
        for (NodeId i : graph_.ids().reversed()) visit(i);
    }

    /// Empty where the cost does not depend on e.
    Expr gradient(const Expr& e) {
        return graph_.contains(e.node()) && !slot(e).g.empty() ? value(slot(e)) : Expr();
    }
    /// True where the cost depends on e in any way.
    bool depends_on(const Expr& e) const { return graph_.contains(e.node()); }

  private:
    // Given gradients, too: they are the user's, and keep their lines.
    static std::vector<Expr> roots(const Expr& cost, const Expr& seed, const GradOptions& options) {
        std::vector<Expr> out{cost, seed};
        for (const auto& [e, g] : options.known_grads) {
            out.push_back(e);
            out.push_back(g);
        }
        return out;
    }

    // reaches_[i]: a gradient that arrives at node i flows on towards a variable.
    void find_paths(const std::vector<Expr>& wrt) {
        for (const Expr& e : wrt) wanted_.insert(&e.node());
        std::unordered_set<const Node*> constant;
        for (const Expr& e : options_.consider_constant) constant.insert(&e.node());
        for (const auto& [e, g] : options_.known_grads) given_.push_back(e);
        reaches_.resize(graph_.size());
        for (NodeId i : graph_.ids()) {
            const Node& n = *graph_.nodes()[i];
            if (constant.count(&n)) continue;
            for (const Expr& x : n.inputs) reaches_[i] = reaches_[i] || leads_on(x);
        }
    }

    bool leads_on(const Expr& x) const {
        return is_float(x.dtype()) && (wanted_.count(&x.node()) || reaches_[graph_.id(x)]);
    }

    Masked& slot(const Expr& e) { return grads_[graph_.id(e)][e.output()]; }

    void add(const Expr& e, const Masked& g) {
        for (const Expr& given : given_)
            if (same(given, e)) return;
        Masked& sum = slot(e);
        sum = sum.g.empty() ? g : Masked::sum(sum, g, e.loc());
    }

    // With its zeros, on the line of what left them out.
    Expr value(const Masked& m) {
        const Expr e = m.value();
        relocate(e, m.loc, {});
        return e;
    }

    void visit(NodeId i) {
        const std::shared_ptr<const Node>& node = graph_.nodes()[i];
        const std::vector<Masked>& arrived = grads_[i];
        const bool arrives = std::any_of(arrived.begin(), arrived.end(),
                                         [](const Masked& m) { return !m.g.empty(); });
        if (!arrives || !reaches_[i]) return;
        const OpDef& op = def(*node);
        if (!op.pullback)
            fail<GraphError>(node->loc() ? node->loc() : loc_, "grad: {} has no gradient",
                             op.info.name);
        PullbackArgs args{*node, node->inputs, {}, {}};
        for (std::size_t k = 0; k < node->types.size(); ++k) {
            args.y.emplace_back(node, static_cast<int>(k));
            const Masked& m = arrived[k];
            args.g.push_back(op.scalar || m.g.empty() ? m.g : value(m));
        }
        if (!node->regions.empty())
            args.grad = [&](const Expr& cost, const std::vector<Expr>& wrt) {
                return derivatives(cost, wrt, node->loc());
            };
        const std::vector<Expr> found = op.pullback(args);
        ARETE_CHECK(found.size() == node->inputs.size(), "{}: {} gradients of {} inputs",
                    op.info.name, found.size(), node->inputs.size());
        const auto is_new = [&](const Node& n) { return known_.count(&n) == 0; };
        Carrier carrier(arrived, args.g, is_new, node->loc());
        std::vector<Masked> back(found.size());
        for (std::size_t k = 0; k < found.size(); ++k)
            if (!found[k].empty() && leads_on(node->inputs[k]))
                back[k] = op.scalar ? carrier.elementwise(found[k]) : carrier.other(found[k]);
        for (std::size_t k = 0; k < found.size(); ++k) {
            if (back[k].g.empty()) continue;
            const Expr& x = node->inputs[k];
            const Fit fit = broadcasts(op) ? Fit::broadcast : Fit::equal;
            add(x, relocated(back[k].sum_to(x.type(), fit), *node));
            slot(x) = relocated(slot(x), *node);
        }
    }

    Masked relocated(Masked m, const Node& of) {
        const Origin origin{of.origin.op ? of.origin.op : of.op, true};
        relocate(m.g, of.loc(), origin);
        for (const Mask* mask : {&m.pending, &m.applied})
            for (const Mask::Condition& c : mask->conditions()) relocate(c.e, of.loc(), origin);
        return m;
    }

    // Gives the nodes that a pullback has made the line of the node they belong to: built by the
    // library, they carry its lines. Nodes that were there before keep theirs.
    void relocate(const Expr& e, Loc loc, Origin origin) {
        kept_.push_back(e);
        std::vector<const Node*> open{&e.node()};
        while (!open.empty()) {
            const Node* node = open.back();
            open.pop_back();
            if (!known_.insert(node).second) continue;
            // Made a moment ago by this thread, as an object that is not const, and seen by no
            // one else: locations are no part of a node's identity.
            const_cast<Node*>(node)->locs = loc ? std::vector<Loc>{loc} : std::vector<Loc>{};
            const_cast<Node*>(node)->origin = origin;
            for (const Expr& x : node->inputs) open.push_back(&x.node());
        }
    }

    const GradOptions& options_;
    Loc loc_;
    Graph graph_;
    std::unordered_set<const Node*> known_;   // before the walk, or relocated
    std::vector<Expr> kept_;                  // so that no new node has the address of a known one
    std::unordered_set<const Node*> wanted_;  // whose gradients are asked for
    std::vector<Expr> given_;                 // whose gradients are known
    IdVector<NodeId, char> reaches_;
    IdVector<NodeId, std::vector<Masked>> grads_;  // by output
};

// The cost in the form from which it is derived, and what has become of the expressions that the
// walk stops at.
struct StableWalk {
    StableWalk(const Expr& written, const std::vector<Expr>& variables, const GradOptions& given)
        : options(given) {
        std::vector<Expr> keep = variables;
        keep.insert(keep.end(), given.consider_constant.begin(), given.consider_constant.end());
        for (const auto& [e, g] : given.known_grads) keep.push_back(e);
        StableForm form = stable_form({&written, 1}, keep);
        changed = form.changed;
        cost = form.outputs[0];
        auto kept = form.kept.begin();
        for (std::size_t k = 0; k < variables.size(); ++k) wrt.push_back(*kept++);
        for (Expr& e : options.consider_constant) e = *kept++;
        for (auto& [e, g] : options.known_grads) e = *kept++;
    }
    Expr cost;
    std::vector<Expr> wrt;
    GradOptions options;
    bool changed = false;
};

std::vector<Expr> derivatives(const Expr& cost, const std::vector<Expr>& wrt, Loc loc) {
    const GradOptions options;
    const StableWalk stable(cost, wrt, options);
    const Expr seed = scalar_constant(cost.dtype(), 1.0, loc);
    ReverseWalk walk(stable.cost, seed, stable.wrt, stable.options, loc);
    walk.run(stable.cost, seed);
    std::vector<Expr> out;
    for (const Expr& e : stable.wrt) out.push_back(walk.gradient(e));
    return out;
}

std::vector<Expr> pull_back(const Expr& cost, const Expr& seed, const std::vector<Expr>& wrt,
                            const GradOptions& options, Loc loc) {
    for (const Expr& e : wrt) {
        if (e.empty())
            fail<GraphError>(loc,
                             "grad: an expression to derive by is empty: nothing was assigned");
        if (!is_float(e.type().dtype))
            fail<GraphError>(loc, "grad: only floats have gradients, but {}", who(e));
    }
    const StableWalk stable(cost, wrt, options);
    ReverseWalk walk(stable.cost, seed, stable.wrt, stable.options, loc);
    walk.run(stable.cost, seed);
    std::vector<Expr> out;
    for (std::size_t k = 0; k < wrt.size(); ++k) {
        const Expr& e = wrt[k];
        Expr g = walk.gradient(stable.wrt[k]);
        if (g.node_ptr() == nullptr && stable.changed) {
            // As it was written the cost may depend on what it does not depend on in fact.
            ReverseWalk written(cost, seed, {e}, options, loc);
            written.run(cost, seed);
            if (written.gradient(e).node_ptr() != nullptr) g = zeros_like(at(e, loc));
        }
        if (g.node_ptr() == nullptr) {
            std::string_view how = walk.depends_on(e) ? "differentiably " : "";
            std::string message =
                fmt::format("grad: the cost does not depend {}on this variable: {}", how, who(e));
            if (options.disconnected_inputs == Disconnected::error) throw GraphError(loc, message);
            if (options.disconnected_inputs == Disconnected::warn)
                fmt::print(stderr, "{}: warning: {}\n", loc.str(), message);
            g = zeros_like(at(e, loc));
        }
        out.push_back(std::move(g));
    }
    return out;
}

}  // namespace

std::vector<Expr> grad(const Operand& cost, const std::vector<Expr>& wrt,
                       const GradOptions& options) {
    const Expr c = cost.expr();
    if (c.rank() != 0)
        fail<GraphError>(cost.loc, "grad: the cost must be a scalar, it is {}", c.type().str());
    if (!is_float(c.dtype()))
        fail<GraphError>(cost.loc, "grad: the cost must be a float, it is {}", c.type().str());
    const Loc loc = c.loc() ? c.loc() : cost.loc;
    return pull_back(c, scalar_constant(c.dtype(), 1.0, loc), wrt, options, cost.loc);
}

std::vector<Expr> grad(const Operand& cost, std::initializer_list<Expr> wrt,
                       const GradOptions& options) {
    return grad(cost, std::vector<Expr>(wrt), options);
}

Expr grad(const Operand& cost, const Expr& wrt, const GradOptions& options) {
    return grad(cost, std::vector<Expr>{wrt}, options)[0];
}

std::vector<Expr> Lop(const Operand& f, const std::vector<Expr>& wrt, const Expr& v,
                      const GradOptions& options) {
    const Expr e = f.expr();
    if (!is_float(e.dtype()))
        fail<GraphError>(f.loc, "Lop: the expression must be a float, it is {}", e.type().str());
    bool fits = v.rank() == e.rank();
    for (std::size_t k = 0; fits && k < e.shape().size(); ++k)
        fits = !differ(v.shape()[k], e.shape()[k]);
    if (!fits)
        fail<GraphError>(f.loc, "Lop: shapes differ: {}, {}", e.type().str(), v.type().str());
    return pull_back(e, cast(at(v, f.loc), e.dtype()), wrt, options, f.loc);
}

}  // namespace arete

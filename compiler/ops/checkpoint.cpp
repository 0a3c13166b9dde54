#include "compiler/ops/checkpoint.h"

#include <algorithm>
#include <unordered_set>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

std::vector<TensorType> infer_region(const InferArgs& a) {
    ARETE_CHECK(a.regions.size() == 1 && a.regions[0].params.size() == a.inputs.size(),
                "{} of {} inputs", a.op.info.name, a.inputs.size());
    std::vector<TensorType> types;
    for (const Expr& e : a.regions[0].results) types.push_back(e.type());
    return types;
}

// The gradient as a region: the values forward from the inputs, and derivatives of these.
std::vector<Expr> pullback_region(const PullbackArgs& a) {
    const Loc loc = a.node.loc();
    const Region& forward = a.node.regions[0];
    std::vector<Expr> given(a.x.begin(), a.x.end()), params = forward.params;
    Expr cost;
    for (std::size_t k = 0; k < a.g.size(); ++k) {
        if (a.g[k].empty() || !is_float(forward.results[k].dtype())) continue;
        given.push_back(a.g[k]);
        params.push_back(make_leaf(param_op, a.g[k].type(), loc));
        const Expr term = sum(at(forward.results[k] * params.back(), loc));
        cost = cost.empty() ? term : cost + term;
    }
    std::vector<Expr> g(a.x.size());
    if (cost.empty()) return g;
    std::vector<Expr> wrt;
    std::vector<std::size_t> of;
    for (std::size_t k = 0; k < a.x.size(); ++k) {
        if (!is_float(a.x[k].dtype())) continue;
        wrt.push_back(forward.params[k]);
        of.push_back(k);
    }
    const std::vector<Expr> found = a.grad(cost, wrt);
    Region back;
    std::vector<std::size_t> to;
    for (std::size_t k = 0; k < found.size(); ++k) {
        if (found[k].empty()) continue;
        back.results.push_back(found[k]);
        to.push_back(of[k]);
    }
    if (to.empty()) return g;
    // What the gradient does not read need not live until then.
    const Graph graph(back.results);
    std::vector<Expr> inputs;
    for (std::size_t k = 0; k < params.size(); ++k) {
        if (!graph.contains(params[k].node())) continue;
        back.params.push_back(params[k]);
        inputs.push_back(given[k]);
    }
    const std::vector<Expr> made =
        apply_all(recompute_op, std::move(inputs), {}, loc, {std::move(back)});
    for (std::size_t k = 0; k < to.size(); ++k) g[to[k]] = made[k];
    return g;
}

using Inputs = std::span<const Expr>;

Expr layers(const Expr& x, const Expr& w) {
    return tanh(dot(tanh(dot(x, w)), w));
}

std::vector<Sample> checkpoint_samples() {
    return {{"two layers",
             {{{4, 3}}, {{3, 3}}},
             [](Inputs x) {
                 return checkpoint([w = x[1]](const Expr& h) { return layers(h, w); })(x[0]);
             },
             true,
             true}};
}

std::vector<Sample> recompute_samples() {
    return {{"two layers",
             {{{4, 3}}, {{3, 3}}},
             [](Inputs x) {
                 Region r;
                 for (const Expr& e : x) r.params.push_back(make_leaf(param_op, e.type(), {}));
                 r.results = {layers(r.params[0], r.params[1])};
                 return apply_all(recompute_op, {x[0], x[1]}, {}, {}, {std::move(r)})[0];
             },
             true,
             true}};
}

// What a function made of parameters, closed: what does not depend on them or on leaves that the
// function has made itself is an input of the node.
void close_region(Region& region, std::vector<Expr>& inputs, std::uint64_t first_id, Loc loc) {
    std::unordered_set<const Node*> params;
    for (const Expr& p : region.params) params.insert(&p.node());
    const Graph graph(region.results);
    IdVector<NodeId, char> inside(graph.size()), closed(graph.size()), needed(graph.size());
    const auto is_constant = [](const Node& n) { return n.op->kind == OpInfo::Kind::Constant; };
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        inside[i] = params.count(&n) != 0 || (n.is_leaf() && !is_constant(n) && n.id >= first_id);
        closed[i] =
            is_constant(n) || (!n.is_leaf() && (n.inputs.empty() || n.op->has(Trait::View)));
        for (const Expr& e : n.inputs) {
            inside[i] |= inside[graph.id(e)];
            closed[i] &= closed[graph.id(e)];
        }
    }
    for (const Expr& e : region.results) needed[graph.id(e)] = 1;
    std::vector<std::pair<Expr, Expr>> by;
    for (NodeId i : graph.ids().reversed()) {
        const std::shared_ptr<const Node>& n = graph.nodes()[i];
        if (!needed[i] || params.count(n.get())) continue;
        const bool leaf = n->is_leaf() && !is_constant(*n);
        if (!leaf && (inside[i] || closed[i] || n->op->has(Trait::View))) {
            for (const Expr& e : n->inputs) needed[graph.id(e)] = 1;
            continue;
        }
        for (const Expr& e : outputs_of(n)) {
            inputs.push_back(e);
            region.params.push_back(make_leaf(param_op, e.type(), loc, n->name));
            by.emplace_back(e, region.params.back());
        }
    }
    region.results = replace(region.results, by);
}

}  // namespace

constinit const OpDef checkpoint_op{.info = {.name = "checkpoint", .traits = Trait::Late},
                                    .doc = "a graph whose gradient computes it again",
                                    .arity = -1,
                                    .infer = infer_region,
                                                                    .pullback = pullback_region,
                                    .samples = checkpoint_samples};
constinit const OpDef recompute_op{.info = {.name = "recompute", .traits = Trait::Step},
                                   .doc = "a graph that shares nothing with the one around it",
                                   .arity = -1,
                                   .infer = infer_region,
                                   .pullback = pullback_region,
                                   .samples = recompute_samples};

std::vector<Expr> checkpointed(const std::function<std::vector<Expr>(const std::vector<Expr>&)>& f,
                               const std::vector<Operand>& inputs, Loc loc) {
    const std::uint64_t first = next_id();
    Region region;
    std::vector<Expr> given;
    for (const Operand& x : inputs) {
        given.push_back(x.expr());
        region.params.push_back(
            make_leaf(param_op, given.back().type(), x.loc, given.back().node().name));
    }
    region.results = f(region.params);
    if (region.results.empty()) fail<GraphError>(loc, "checkpoint: the function gives nothing");
    for (const Expr& e : region.results)
        if (e.empty()) fail<GraphError>(loc, "checkpoint: a result is an empty expression");
    close_region(region, given, first, loc);
    return apply_all(checkpoint_op, std::move(given), {}, loc, {std::move(region)});
}

}  // namespace arete

// The row of ifelse.
#include "compiler/ops/branch.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

bool fits(const TensorType& a, const TensorType& b) {
    bool out = a.dtype == b.dtype && a.rank() == b.rank();
    for (std::size_t k = 0; out && k < a.shape.size(); ++k) out = !differ(a.shape[k], b.shape[k]);
    return out;
}

std::vector<TensorType> infer_ifelse(const InferArgs& a) {
    ARETE_CHECK(a.regions.size() == 2 && !a.inputs.empty(), "ifelse without two regions");
    if (a.type(0).rank() != 0 || a.type(0).dtype != DType::Bool)
        a.error("the condition must be a bool scalar: " + a.describe(0));
    for (const Region& r : a.regions) {
        ARETE_CHECK(r.params.size() + 1 == a.inputs.size(), "ifelse: a region of {} parameters",
                    r.params.size());
        for (std::size_t k = 0; k < r.params.size(); ++k)
            ARETE_CHECK(fits(r.params[k].type(), a.type(k + 1)), "ifelse: a parameter is {} for {}",
                        r.params[k].type().str(), a.type(k + 1).str());
    }
    const std::vector<Expr>&yes = a.regions[0].results, &no = a.regions[1].results;
    ARETE_CHECK(yes.size() == no.size(), "ifelse: {} results or {}", yes.size(), no.size());
    std::vector<TensorType> types;
    for (std::size_t k = 0; k < yes.size(); ++k) {
        if (!fits(yes[k].type(), no[k].type()))
            a.error(fmt::format("both sides must have one dtype and shape: value {} is {} or {}",
                                k + 1, yes[k].type().str(), no[k].type().str()));
        types.push_back(yes[k].type());
    }
    return types;
}

// What is computed for these and not for others is part of a region; what that uses is captured.
class BranchSides {
  public:
    BranchSides(const Expr& condition, const std::vector<Expr>& yes, const std::vector<Expr>& no)
        : graphs_{Graph(yes), Graph(no)}, outside_({condition}), sides_{yes, no} {}

    // The inputs behind the condition, and the regions.
    std::vector<Region> regions(std::vector<Expr>& captures, Loc loc) {
        std::vector<Region> out;
        std::vector<Expr> params;
        for (std::size_t k = 0; k < 2; ++k) {
            for (const Expr& e : captured(k)) {
                if (std::any_of(captures.begin(), captures.end(),
                                [&](const Expr& c) { return same(c, e); }))
                    continue;
                captures.push_back(e);
            }
        }
        for (std::size_t k = 0; k < 2; ++k) {
            std::vector<std::pair<Expr, Expr>> by;
            Region r;
            for (const Expr& e : captures) {
                r.params.push_back(make_leaf(param_op, e.type(), loc, e.node().name));
                by.emplace_back(e, r.params.back());
            }
            r.results = replace(sides_[k], by);
            out.push_back(std::move(r));
        }
        return out;
    }

  private:
    bool belongs_inside(std::size_t side, const Node& n) const {
        return !graphs_[1 - side].contains(n) && !outside_.contains(n) && !n.is_leaf();
    }

    std::vector<Expr> captured(std::size_t side) const {
        std::vector<Expr> out, pending = sides_[side];
        std::unordered_set<const Node*> seen;
        while (!pending.empty()) {
            const Expr e = pending.back();
            pending.pop_back();
            if (constant_value(e)) continue;
            if (!belongs_inside(side, e.node())) {
                if (std::none_of(out.begin(), out.end(), [&](const Expr& o) { return same(o, e); }))
                    out.push_back(e);
                continue;
            }
            if (!seen.insert(&e.node()).second) continue;
            for (auto x = e.node().inputs.rbegin(); x != e.node().inputs.rend(); ++x)
                pending.push_back(*x);
        }
        return out;
    }

    const std::array<Graph, 2> graphs_;
    const Graph outside_;  // is computed anyway
    const std::array<std::vector<Expr>, 2> sides_;
};

// A choice between the gradients of either side.
std::vector<Expr> pullback_ifelse(const PullbackArgs& a) {
    const Loc loc = a.node.loc();
    const std::size_t captures = a.x.size() - 1;
    std::vector<Expr> inputs(a.x.begin(), a.x.end());
    std::vector<Expr> seeds(a.g.size());
    for (std::size_t k = 0; k < a.g.size(); ++k) {
        if (a.g[k].empty()) continue;
        inputs.push_back(a.g[k]);
        seeds[k] = make_leaf(param_op, a.g[k].type(), loc);
    }
    std::vector<std::vector<Expr>> by_side;
    std::vector<char> any(captures, 0);
    for (const Region& r : a.node.regions) {
        Expr cost;
        for (std::size_t k = 0; k < seeds.size(); ++k) {
            if (seeds[k].empty() || !is_float(r.results[k].dtype())) continue;
            const Expr term = sum(at(r.results[k] * seeds[k], loc));
            cost = cost.empty() ? term : cost + term;
        }
        std::vector<Expr> wrt;
        for (const Expr& p : r.params)
            if (is_float(p.dtype())) wrt.push_back(p);
        std::vector<Expr> found(wrt.size()), all(captures);
        if (!cost.empty()) found = a.grad(cost, wrt);
        std::size_t next = 0;
        for (std::size_t k = 0; k < captures; ++k)
            if (is_float(r.params[k].dtype())) {
                all[k] = found[next++];
                any[k] |= !all[k].empty();
            }
        by_side.push_back(std::move(all));
    }
    std::vector<Region> regions;
    for (std::size_t side = 0; side < 2; ++side) {
        Region r;
        r.params = a.node.regions[side].params;
        for (const Expr& s : seeds)
            if (!s.empty()) r.params.push_back(s);
        for (std::size_t k = 0; k < captures; ++k)
            if (any[k])
                r.results.push_back(by_side[side][k].empty() ? zeros_like(at(r.params[k], loc))
                                                             : by_side[side][k]);
        regions.push_back(std::move(r));
    }
    std::vector<Expr> g(a.x.size());
    if (regions[0].results.empty()) return g;
    const std::vector<Expr> found = apply_all(ifelse_op, inputs, {}, loc, std::move(regions));
    std::size_t next = 0;
    for (std::size_t k = 0; k < captures; ++k)
        if (any[k]) g[k + 1] = found[next++];
    return g;
}

std::vector<Sample> ifelse_samples() {
    using Inputs = std::span<const Expr>;
    const auto build = [](Inputs x) {
        return ifelse(sum(x[0]) > 0, x[0] * x[1], tanh(x[1]) + x[0]);
    };
    return {{"positive", {{{2, 3}, 0.5, 2}, {{2, 3}}}, build, true, true},
            {"negative", {{{2, 3}, -2, -0.5}, {{2, 3}}}, build, true, true}};
}

}  // namespace

constinit const OpDef ifelse_op{.info = {.name = "ifelse", .traits = Trait::Step},
                                .doc = "lazy choice, see ops/branch.h",
                                .arity = -1,
                                .infer = infer_ifelse,
                                .pullback = pullback_ifelse,
                                .samples = ifelse_samples};

std::vector<Expr> ifelse(const Operand& condition, const std::vector<Operand>& yes,
                         const std::vector<Operand>& no) {
    const Loc loc = condition.loc;
    Expr c = condition.expr();
    if (c.rank() != 0)
        fail<GraphError>(loc, "ifelse: the condition must be a scalar: {}",
                         describe(c, "this one"));
    if (c.dtype() != DType::Bool) c = neq(at(c, loc), 0);
    if (yes.size() != no.size() || yes.empty())
        fail<GraphError>(loc, "ifelse: {} values or {}: there must be as many, and at least one",
                         yes.size(), no.size());
    std::vector<Expr> a, b;
    for (std::size_t k = 0; k < yes.size(); ++k) {
        const auto [x, y] = unify(yes[k], no[k], "ifelse");
        if (!fits(x.type(), y.type()))
            fail<GraphError>(loc, "ifelse: both sides must have one shape: value {} is {} or {}",
                             k + 1, x.type().str(), y.type().str());
        a.push_back(x);
        b.push_back(specify_shape(at(y, no[k].loc), x.shape(), "ifelse: the other value"));
    }
    std::vector<Expr> inputs;
    std::vector<Region> regions = BranchSides(c, a, b).regions(inputs, loc);
    inputs.insert(inputs.begin(), c);
    return apply_all(ifelse_op, std::move(inputs), {}, loc, std::move(regions));
}

Expr ifelse(const Operand& condition, const Operand& yes, const Operand& no) {
    return ifelse(condition, std::vector<Operand>{yes}, std::vector<Operand>{no})[0];
}

}  // namespace arete

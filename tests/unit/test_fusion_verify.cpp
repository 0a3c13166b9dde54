// The verifier of fusion: each way to break a partition is found.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "compiler/rewrite/specialize_shapes.h"

using namespace arete;

namespace {

/// A fused graph, whose parts a test can falsify.
struct Planted {
    explicit Planted(std::vector<Expr> outputs)
        : keep(outputs), graph(std::move(outputs)), fusion(fuse(graph, keep)) {}

    NodeId id(const Expr& e) const { return graph.id(e); }
    GroupId group(const Expr& e) const {
        GroupId k(0);
        while (!same(fusion.groups.at(k).roots.at(0), e)) ++k;
        return k;
    }
    void inline_value(const Expr& e) {
        fusion.groups.erase(fusion.groups.begin() + group(e).number());
        fusion.is_stored[id(e)] = 0;
        fusion.reasons[id(e)].clear();
    }
    std::string found() const {
        try {
            verify(fusion, keep);
        } catch (const InternalError& e) {
            return e.what();
        }
        return "nothing";
    }

    std::vector<Expr> keep;
    Graph graph;
    Fusion fusion;
};

/// A layer with what is planted there; then the verifier's message.
struct Layer {
    Tensor<float, 2> x = matrix<float>("x", {64, 100}), w = matrix<float>("w", {100, 30});
    Tensor<float, 1> b = vector<float>("b", {30});
    Expr product = dot(x, w), h = tanh(product + b), norm = sum(h, 1, true), y = h / norm;

    std::string with(const std::function<void(Planted&)>& change) const {
        Planted p({y});
        REQUIRE(p.found() == "nothing");
        REQUIRE(p.fusion.stored(h));
        REQUIRE(p.fusion.stored(norm));
        REQUIRE(!p.fusion.stored(product));
        REQUIRE(p.fusion.groups.size() == 3);
        change(p);
        return p.found();
    }
};

bool says(const std::string& message, const std::string& what) {
    INFO(message);
    CHECK(message.find(what) != std::string::npos);
    return message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("fusion verifier: what is stored is stored once, with a reason, before it is read") {
    const Layer layer;
    says(layer.with([&](Planted& p) { p.fusion.groups.erase(p.fusion.groups.begin()); }),
         "which no group before it stores");
    says(layer.with([&](Planted& p) {
        std::swap(p.fusion.groups[GroupId(0)], p.fusion.groups[GroupId(1)]);
    }),
         "which no group before it stores");
    says(layer.with([&](Planted& p) { p.fusion.groups.push_back(p.fusion.groups[GroupId(1)]); }),
         "groups 1 and 3 store");
    says(layer.with([&](Planted& p) { p.fusion.groups.pop_back(); }),
         "neither stored nor computed");
    says(layer.with([&](Planted& p) { p.fusion.groups.emplace_back(); }), "stores nothing");
    says(layer.with([&](Planted& p) { p.fusion.groups[GroupId(2)].roots = {layer.w}; }),
         "which is not stored by a kernel");
    says(layer.with([&](Planted& p) { p.fusion.groups[GroupId(2)].roots = {layer.product}; }),
         "which is not stored by a kernel");
    says(layer.with([&](Planted& p) { p.fusion.reasons[p.id(layer.h)].clear(); }),
         "is stored without a reason");
    says(layer.with([&](Planted& p) { p.fusion.reasons[p.id(layer.product)] = "why not"; }),
         "is not stored, for a reason");
    says(layer.with([&](Planted& p) { p.fusion.is_stored[p.id(layer.w)] = 0; }),
         "a leaf, is not stored");
    says(layer.with([&](Planted& p) { p.fusion.is_stored.pop_back(); }), "nodes of");
}

TEST_CASE(
    "fusion verifier: results are stored, and inlined values are computed where they are read") {
    const Layer layer;
    says(layer.with([&](Planted& p) { p.inline_value(layer.y); }), "a result, is not stored");
    says(layer.with([&](Planted& p) { p.fusion.is_stored[p.id(layer.product)] = 1; }),
         "is stored without a reason");
    says(layer.with([&](Planted& p) {
        p.fusion.is_stored[p.id(layer.product)] = 1;
        p.fusion.reasons[p.id(layer.product)] = "planted";
    }),
         "which no group before it stores");
    // A result that no other value needs, and that nobody keeps.
    Planted p({layer.y, exp(layer.x)});
    const Expr lost = p.keep.back();
    p.inline_value(lost);
    p.keep.pop_back();
    says(p.found(), "neither stored nor computed");
}

TEST_CASE("fusion verifier: a reduction is computed once, alone, and followed one to one") {
    const Layer layer;
    // With h goes the product within.
    says(layer.with([&](Planted& p) { p.inline_value(layer.h); }), "computes two reductions");
    says(layer.with([&](Planted& p) { p.inline_value(layer.norm); }), "one to one");
    const auto x = matrix<float>("x", {64, 100});
    const Expr total = sum(exp(x), 1), most = max(x, 1);
    Planted two({total + most});
    const Expr apart = two.fusion.stored(total) ? total : most;
    REQUIRE(two.fusion.stored(total) != two.fusion.stored(most));
    two.inline_value(apart);
    says(two.found(), "computes two reductions");
    const Expr rows = sum(x, 1), turned = reshape(rows, {8, 8}).T();
    Planted view({exp(turned)});
    REQUIRE(view.fusion.stored(rows));
    view.inline_value(rows);
    says(view.found(), "one to one");
    const Expr a = exp(rows), c = x + dimshuffle(rows, {0, 'x'});
    Planted twice({a, c});
    REQUIRE(twice.fusion.stored(rows));
    twice.inline_value(rows);
    says(twice.found(), "groups 0 and 1 compute");
}

TEST_CASE("fusion verifier: checks, scatters and what these read are stored") {
    const auto x = matrix<float>("x", {50, 4});
    const auto i = vector<std::int64_t>("i", {7});
    const Expr rows = take(x, i), g = grad(sum(sqr(rows)), x);
    const std::vector<Expr> both{exp(rows) * 2, g * 2};
    Planted p(expand_composites(both));
    REQUIRE(p.found() == "nothing");
    for (const auto& node : p.graph.nodes()) {
        const Expr e(node);
        const bool scatter = node->op->has(Trait::Scatters);
        if (!scatter && !node->op->has(Trait::Checks)) continue;
        Planted q(p.keep);
        q.inline_value(e);
        says(q.found(), "a check, a scatter or a step, is not stored");
        if (!scatter) continue;
        Planted r(p.keep);
        bool planted = false;
        for (const Expr& operand : node->inputs)
            if (!operand.node().is_leaf() && !operand.node().op->has(Trait::Checks)) {
                r.inline_value(operand);
                planted = true;
                break;
            }
        CHECK(planted);
        says(r.found(), "which a scatter or a step reads, is not stored");
    }
}

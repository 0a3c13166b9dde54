// The graph: order, users, interning, rebuilding, regions, text, the verifier.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/graph/graph.h"
#include "compiler/graph/order.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/op.h"

using namespace arete;

namespace {

Node copy_of(const Expr& e) {
    return e.node();
}

}  // namespace

TEST_CASE("graph: every node comes after its inputs, once, and knows its users") {
    const auto x = matrix<float>("x", {3, 4}), w = matrix<float>("w", {4, 2});
    const Expr h = tanh(dot(x, w)), y = h * h + sum(h);
    const Graph g({y, h, y});
    CHECK(g.outputs().size() == 3);
    for (NodeId i : g.ids()) {
        const Node& n = *g.nodes()[i];
        CHECK(g.id(n) == i);
        for (const Expr& e : n.inputs) {
            CHECK(g.id(e) < i);
            const auto& users = g.users(g.id(e));
            CHECK(std::count(users.begin(), users.end(), i) == 1);
        }
    }
    CHECK(g.size() == 7);
    CHECK(g.users(g.id(h)).size() == 2);  // h * h reads it twice, once counts
    CHECK(g.users(g.id(y)).empty());
    CHECK(g.contains(x.node()));
    CHECK(!g.contains(Expr(x + 1).node()));
    CHECK_THROWS_AS(g.id(x + 1), InternalError);
}

TEST_CASE("graph: a deep chain neither overflows the stack nor takes long") {
    Expr e = vector<float>("x", {3});
    for (int k = 0; k < 100000; ++k) e = e + 1;
    CHECK(Graph({e}).size() == 200001);
}

TEST_CASE("graph: topological order, and cycles") {
    const Edges edges{{2, 0}, {0, 1}, {2, 1}};
    const auto order = topological_order(3, edges);
    CHECK(order == std::vector<int>{2, 0, 1});
    CHECK(topological_order(3, {{0, 1}, {1, 2}, {2, 0}}).empty());
    CHECK(topological_order(0, {}).empty());
    CHECK(topological_order(2, {}).size() == 2);
}

TEST_CASE("interner: equal nodes merge and keep their lines") {
    const auto x = vector<float>("x", {3});
    const int line = __LINE__ + 1;
    const Expr a = exp(x);
    const Expr b = exp(x);
    const Expr c = exp(x + 0);
    Interner interner;
    const auto first = interner.intern(copy_of(a)), second = interner.intern(copy_of(b));
    CHECK(first == second);
    CHECK(interner.intern(copy_of(a)) == first);
    REQUIRE(first->locs.size() == 2);
    CHECK(first->locs[0].line == line);
    CHECK(first->locs[1].line == line + 1);
    CHECK(interner.intern(copy_of(c)) != first);
    // Attributes tell nodes apart.
    const auto m = matrix<float>("m", {3, 3});
    CHECK(interner.intern(copy_of(sum(m, 0))) != interner.intern(copy_of(sum(m, 1))));
    CHECK(interner.intern(copy_of(sum(m, 0))) == interner.intern(copy_of(sum(m, 0))));
    CHECK(interner.intern(copy_of(sum(m, 0))) != interner.intern(copy_of(max(m, 0))));
}

TEST_CASE("interner: constants merge by value, inputs and shared variables never") {
    Interner interner;
    const auto leaf = [&](const Expr& e) { return interner.intern(copy_of(e)); };
    CHECK(leaf(constant(Array(1.0f))) == leaf(constant(Array(1.0f))));
    CHECK(leaf(constant(Array(1.0f))) != leaf(constant(Array(2.0f))));
    CHECK(leaf(constant(Array(1.0f))) != leaf(constant(Array(1.0))));
    CHECK(leaf(constant(Array(0.0f))) != leaf(constant(Array(-0.0f))));
    CHECK(leaf(vector<float>("x")) != leaf(vector<float>("x")));
    CHECK(leaf(shared(Array(1.0f), "s")) != leaf(shared(Array(1.0f), "s")));
    const auto x = vector<float>("x");
    CHECK(leaf(x) == leaf(x));
    // Two draws of one stream are two, though they look alike.
    RandomStream random(1);
    CHECK(leaf(random.uniform({3})) != leaf(random.uniform({3})));
}

TEST_CASE("transform: rebuilds what changes and keeps shared parts shared") {
    const auto x = vector<float>("x", {3});
    const Expr h = exp(x), y = h + h * 2;
    int visited = 0;
    const std::vector<Expr> roots{y, h};
    const auto out = transform(roots, [&](const std::shared_ptr<const Node>& old, Node copy) {
        ++visited;
        CHECK(old->inputs.size() == copy.inputs.size());
        if (old->op->name == "exp") return std::vector<Expr>{tanh(copy.inputs[0])};
        return std::vector<Expr>{Expr(std::make_shared<const Node>(std::move(copy)))};
    });
    CHECK(visited == static_cast<int>(Graph(roots).size()));
    CHECK(out[1].node().op->name == "tanh");
    CHECK(same(out[0].node().inputs[0], out[1]));
    CHECK(h.node().op->name == "exp");  // the old graph is as it was
    CHECK_THROWS_AS(transform(roots, [](const std::shared_ptr<const Node>&,
                                        Node) { return std::vector<Expr>{}; }),
                    InternalError);
}

namespace {

// A node with a region that doubles its parameter, which stands for x.
Node doubling(const Expr& x, double factor = 2) {
    const Expr param = make_leaf(param_op, x.type(), {});
    Node node = copy_of(exp(x));
    node.regions = {{{param}, {param * factor}}};
    return node;
}

}  // namespace

TEST_CASE("graph: regions are graphs of their own") {
    const auto x = vector<float>("x", {3});
    const Expr e(std::make_shared<const Node>(doubling(x)));
    const Region& region = e.node().regions[0];
    const Graph g({e});
    CHECK(g.size() == 2);
    CHECK(!g.contains(region.results[0].node()));
    CHECK(to_string(g).find("region(%") != std::string::npos);
    // The same function rebuilds what is inside.
    const auto out = transform({&e, 1}, [&](const std::shared_ptr<const Node>& old, Node copy) {
        if (old->op->name == "mul") return std::vector<Expr>{tanh(copy.inputs[0])};
        return std::vector<Expr>{Expr(std::make_shared<const Node>(std::move(copy)))};
    });
    const Region& made = out[0].node().regions[0];
    CHECK(made.results[0].node().op->name == "tanh");
    CHECK(same(made.results[0].node().inputs[0], made.params[0]));
    CHECK(region.results[0].node().op->name == "mul");
}

TEST_CASE("graph: nodes with equal regions merge") {
    const auto x = vector<float>("x", {3});
    Interner interner;
    CHECK(interner.intern(doubling(x)) == interner.intern(doubling(x)));
    CHECK(interner.intern(doubling(x)) != interner.intern(doubling(x, 3)));
    // Parameters in another order are not the same.
    const Expr a = make_leaf(param_op, x.type(), {}), b = make_leaf(param_op, x.type(), {});
    const Region one{{a, b}, {a - b}}, other{{b, a}, {a - b}}, again{{b, a}, {b - a}};
    CHECK(!equal(one, other));
    CHECK(equal(one, again));
    CHECK(!equal(one, {{a, b}, {a - b, a}}));
    CHECK(!equal({{a, b}, {a * a}}, {{a, b}, {a * b}}));
}

TEST_CASE("graph: the verifier refuses a region that is not closed") {
    const auto x = vector<float>("x", {3});
    Node open = doubling(x);
    const auto infer = [](const Node& n) { return n.types; };
    CHECK_NOTHROW(verify(Graph({Expr(std::make_shared<const Node>(open))}), "test", infer));
    open.regions[0].results[0] = open.regions[0].params[0] + x;
    CHECK_THROWS_AS(verify(Graph({Expr(std::make_shared<const Node>(open))}), "test", infer),
                    InternalError);
}

TEST_CASE("graph: expressions are replaced, and nothing below them is touched") {
    const auto x = vector<float>("x", {3});
    const Expr e = exp(x), y = e * e + x;
    const std::pair<Expr, Expr> pairs[] = {{e, x * 3}, {x, tanh(x)}};
    const Expr out = replace({&y, 1}, pairs)[0];
    CHECK(pp(out) == pp((x * 3) * (x * 3) + tanh(x)));
    CHECK(same(replace({&y, 1}, {})[0], y));
}

TEST_CASE("graph: text names inputs, types and lines") {
    const auto x = matrix<float>("x", {3, 4});
    const int line = __LINE__ + 1;
    const Expr y = sum(x * 2, 1);
    const std::string text = to_string(Graph({y}));
    CAPTURE(text);
    CHECK(text.find("input() : f32[3,4] \"x\"") != std::string::npos);
    CHECK(text.find("sum(%2; axes=[1], keepdims=false) : f32[3]") != std::string::npos);
    CHECK(text.find(fmt::format("# test_graph.cpp:{}", line)) != std::string::npos);
    CHECK(text.find("return %3") != std::string::npos);
    CHECK(to_string(Graph({y})) == text);
    const std::string dot = to_dot(Graph({y}));
    CHECK(dot.find("digraph") == 0);
    CHECK(dot.find("->") != std::string::npos);
}

TEST_CASE("verify: wrong types and leaves with inputs") {
    const auto x = vector<float>("x", {3});
    const Expr y = exp(x);
    CHECK_NOTHROW(verify(Graph({y}), "test", infer_types));
    Node wrong = copy_of(y);
    wrong.types[0].shape = {4};
    const auto message = [](const Node& n) {
        try {
            verify(Graph({Expr(std::make_shared<const Node>(n))}), "a_pass", infer_types);
        } catch (const InternalError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(message(wrong).find(
              "after a_pass: exp(%0) : f32[4] is recorded as f32[4], but its rule says f32[3]") !=
          std::string::npos);
    wrong = copy_of(y);
    wrong.types[0].dtype = DType::F64;
    CHECK(message(wrong).find("its rule says f32[3]") != std::string::npos);
    Node leaf = copy_of(x);
    leaf.inputs = {vector<float>("z")};
    CHECK(message(leaf).find("has inputs") != std::string::npos);
    Node untyped = copy_of(y);
    untyped.types.clear();
    CHECK(message(untyped).find("no op or type") != std::string::npos);
}

TEST_CASE("attributes: order, equality, text") {
    const Attrs a{{"axes", Ints{0, 1}}, {"keepdims", true}};
    CHECK(a.str() == "axes=[0,1], keepdims=true");
    CHECK(a == Attrs{{"axes", Ints{0, 1}}, {"keepdims", true}});
    CHECK(!(a == a.with("keepdims", false)));
    CHECK(a.with("axes", Ints{0, 1}) == a);
    CHECK(a.hash() == Attrs{{"axes", Ints{0, 1}}, {"keepdims", true}}.hash());
    CHECK(a.get<bool>("keepdims"));
    CHECK_THROWS_AS(a.get<Ints>("keepdims"), InternalError);
    CHECK_THROWS_AS(a.get<bool>("missing"), InternalError);
    CHECK(!a.has("missing"));
}

// What shares a kernel, and what is stored.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "compiler/pipeline/compile.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "tests/unit/programs.h"

using namespace arete;
using arete::test::program;

namespace {

struct Fused {
    std::unique_ptr<Graph> graph;
    Fusion fusion;
    std::size_t groups() const { return fusion.groups.size(); }
    bool stored(const Expr& e) const { return fusion.stored(e); }
    std::string text() const { return to_string(fusion); }
};

Fused fused(const std::vector<Expr>& outputs) {
    Fused f;
    f.graph = std::make_unique<Graph>(outputs);
    f.fusion = fuse(*f.graph, outputs);
    return f;
}

bool copies(const Program& p) {
    return std::any_of(p.steps.begin(), p.steps.end(),
                       [](const Step& s) { return std::holds_alternative<CopyStep>(s.action); });
}

}  // namespace

TEST_CASE("fusion: a chain of elementwise ops is one group") {
    const auto x = matrix<float>("x", {64, 100});
    const auto b = vector<float>("b", {100});
    const Expr y = tanh(exp(x * 2 + b) - 1) / (1 + sqr(x));
    const Fused f = fused({y});
    CHECK(f.groups() == 1);
    CHECK(f.stored(y));
    CHECK(f.stored(x));  // leaves are loaded
    for (const auto& node : f.graph->nodes())
        if (!node->is_leaf() && node.get() != &y.node()) CHECK(!f.stored(Expr(node)));
    CHECK(f.text().find("result of the function") != std::string::npos);
}

TEST_CASE("fusion: outputs are stored even where they are read") {
    const auto x = vector<float>("x", {100});
    const Expr h = exp(x), y = h + 1;
    const Fused f = fused({h, y});
    CHECK(f.groups() == 2);
    CHECK(f.stored(h));
}

TEST_CASE("fusion: a reduction takes elementwise work before and after it") {
    const auto x = matrix<float>("x", {64, 100});
    const Expr y = sqrt(sum(sqr(x - 1), 1) + 2);
    CHECK(fused({y}).groups() == 1);
    // One reduction a kernel.
    const Expr twice = sum(exp(x), 1) + max(x, 1);
    CHECK(fused({twice}).groups() == 2);
    // What broadcasts the reduction again reads it from memory.
    const Expr total = sum(exp(x), 1, true);
    const Fused f = fused({exp(x) / total});
    CHECK(f.stored(total));
    CHECK(f.groups() == 2);
}

TEST_CASE("fusion: operands of a contraction are stored, its bias and activation are not apart") {
    const auto x = matrix<float>("x", {64, 100}), w = matrix<float>("w", {100, 30});
    const auto b = vector<float>("b", {30});
    const Expr h = tanh(x), product = dot(h, w), y = relu(product + b);
    const Fused f = fused({y});
    CHECK(f.stored(h));
    CHECK(!f.stored(product));
}

TEST_CASE("fusion: views are read through") {
    const auto x = matrix<float>("x", {64, 100});
    const Expr t = x.T(), s = x(slice(1, 33)), r = reshape(s, {100, 32});
    const Fused product = fused({dot(t, x)});
    CHECK(product.groups() == 1);
    CHECK(!product.stored(t));
    const Fused sliced = fused({dot(r, s) * 2});
    CHECK(sliced.groups() == 1);
    CHECK(!sliced.stored(r));
    CHECK(!sliced.stored(s));
    // A view that is the result is one copying kernel.
    CHECK(fused({t}).groups() == 1);
}

TEST_CASE("fusion: what is expensive is not computed twice") {
    const auto x = vector<float>("x", {1000});
    const Expr h = exp(x);
    const Expr outer_sum = reshape(h, {1000, 1}) + reshape(h, {1, 1000});
    CHECK(fused({outer_sum}).stored(h));
    const Expr a = x * 2;  // computing it again costs no more than loading it
    const Fused f = fused({exp(a) + 1, tanh(a)});
    CHECK(!f.stored(a));
    CHECK(f.groups() == 1);
}

TEST_CASE("fusion: values of the same loops over the same elements are one group") {
    const auto x = matrix<float>("x", {64, 100}), y = matrix<float>("y", {64, 100});
    const Fused both = fused({sum(x, 1), sum(sqr(x) * y, 1), max(x, 1)});
    CHECK(both.groups() == 1);
    CHECK(both.fusion.groups[GroupId(0)].roots.size() == 3);
    CHECK(fused({sum(x), prod(x)}).groups() == 1);
    CHECK(fused({x + y, x * y, tanh(y)}).groups() == 1);
    // A position comes with the extreme, but keeps sums from having lanes.
    CHECK(fused({max(x, 1), argmax(x, 1)}).groups() == 1);
    CHECK(fused({min(x), argmin(x)}).groups() == 1);
    CHECK(fused({max(x, 1), argmin(x, 1)}).groups() == 2);
    CHECK(fused({sum(x, 1), argmax(x, 1)}).groups() == 2);
    // Other elements, other loops, nothing in common.
    CHECK(fused({sum(x, 1), max(x(slice(2, 64)), 1)}).groups() == 2);
    CHECK(fused({sum(x, 1), sum(x, 0)}).groups() == 2);
    CHECK(fused({tanh(x), exp(y)}).groups() == 2);
    // Doubles would halve the lanes of the floats.
    CHECK(fused({x * 2, cast(x, DType::F64) + 1}).groups() == 2);
    // Products keep their registers for themselves.
    const auto v = matrix<float>("v", {100, 30}), w = matrix<float>("w", {100, 30});
    CHECK(fused({dot(x, v), dot(x, w)}).groups() == 2);
}

TEST_CASE("fusion: what only siblings read, they compute") {
    const auto x = matrix<float>("x", {64, 100}), y = matrix<float>("y", {64, 100});
    const auto z = matrix<float>("z", {100, 64});
    const Expr h = tanh(x) * sigmoid(y), k = exp(h * h - 1);
    // Stored for two kernels, which turned out to be one.
    const Fused one = fused({h * 2 + x, k + y, k * x});
    CHECK(one.groups() == 1);
    CHECK(!one.stored(h));
    CHECK(!one.stored(k));
    const Fused sums = fused({sum(h, 1), max(h * h, 1)});
    CHECK(sums.groups() == 1);
    CHECK(!sums.stored(h));
    // With a reduction of its own it has a kernel of its own.
    const Expr layer = tanh(dot(x, matrix<float>("v", {100, 32})));
    CHECK(fused({sum(layer, 1), max(layer * layer, 1)}).stored(layer));
    // A result, or what another kernel reads too, or what is read in another order, stays.
    CHECK(fused({h, h * 2 + x, h * h}).stored(h));
    CHECK(fused({sum(h, 1), max(h * h, 1), sum(h * y, 0)}).stored(h));
    CHECK(fused({h + x, h.T() * 2 + z}).stored(h));
    for (const std::vector<Expr>& outputs :
         {std::vector<Expr>{h * 2 + x, k + y, k * x}, {sum(h, 1), max(h * h, 1)}})
        verify(fused(outputs).fusion, outputs);
}

TEST_CASE("fusion: groups that need each other stay apart") {
    const auto x = matrix<float>("x", {64, 100}), y = matrix<float>("y", {64, 100});
    CHECK(fused({sum(exp(x), 1) + max(x, 1)}).groups() == 2);
    CHECK(fused({sum(x * dimshuffle(max(x, 1), {0, 'x'}), 1)}).groups() == 2);
    // Either of two pairs, not both.
    const Expr a = sum(x, 1), b = sum(y, 1);
    const Expr c = sum(x * dimshuffle(b, {0, 'x'}), 1), d = sum(y * dimshuffle(a, {0, 'x'}), 1);
    const Fused f = fused({dot(c, d)});
    CHECK(f.groups() == 4);
    // Producers come first.
    std::vector<const Node*> made;
    for (const Group& g : f.fusion.groups) {
        std::vector<Expr> pending = g.roots;
        for (std::size_t i = 0; i < pending.size(); ++i)
            for (const Expr& e : pending[i].node().inputs) {
                if (!f.stored(e))
                    pending.push_back(e);
                else if (!e.node().is_leaf())
                    CHECK(std::find(made.begin(), made.end(), &e.node()) != made.end());
            }
        for (const Expr& r : g.roots) made.push_back(&r.node());
    }
}

TEST_CASE("fusion: a sibling does not keep an update from its place") {
    const auto g = vector<float>("g", {100});
    const auto w = shared(zeros<float>({100}), "w");
    // h is needed by what reads the old w, so it cannot be made beside the new one.
    const Expr h = tanh(g);
    const Program p = program({g}, {h, sum(h * w)}, {{w, w - 0.1f * g}});
    CHECK(!copies(p));
    CHECK(kernel_count(p) == 3);
    const Program q = program({g}, {h}, {{w, w - 0.1f * g}});
    CHECK(!copies(q));
    CHECK(kernel_count(q) == 1);
    // Two variables in one nest: what is read by both changes last.
    const auto v = shared(zeros<float>({100}), "v");
    for (const bool swapped : {false, true}) {
        std::vector<std::pair<Expr, Expr>> updates{{w, 2 * w}, {v, v + w}};
        if (swapped) std::swap(updates[0], updates[1]);
        const Program r = program({}, {}, updates);
        CHECK(!copies(r));
        CHECK(kernel_count(r) == 1);
    }
}

TEST_CASE("fusion: of a chain that several kernels read, the narrowest value is stored") {
    const auto x = vector<float>("x", {100000}), y = vector<float>("y", {100000}),
               z = vector<float>("z", {100000});
    // Node by node, the comparison was recomputed, since it is cheap and reads one value; and
    // so was all before it, from three floats an element in each of three kernels.
    const Expr a = x * y, b = a + z, mask = b > 0.5f;
    const Fused f = fused({where(mask, x, 0), where(mask, y, 1), sum(where(mask, z, 2))});
    CHECK(f.stored(mask));
    CHECK(!f.stored(a));
    CHECK(!f.stored(b));
    CHECK(f.text().find("3 kernels read it; saves ") != std::string::npos);
    // Where recomputing it takes one float, it is.
    const Expr sign = x > 0.5f;
    CHECK(!fused({where(sign, x, 0), where(sign, x, 1) * x}).stored(sign));
}

TEST_CASE("fusion: bytes are read again rather than the floats computed from them") {
    const auto u = vector<std::uint8_t>("u", {100000}), v = vector<std::uint8_t>("v", {100000});
    const Expr product = cast(u, DType::F32) * cast(v, DType::F32);
    const auto a = vector<float>("a", {100000}), b = vector<float>("b", {100000});
    // Two operands and two readers: node by node, the floats were stored.
    const Fused f = fused({product + a, product * b});
    CHECK(!f.stored(product));
    // Unless the work costs more than the bytes.
    const Expr h = exp(product);
    CHECK(fused({h + a, sum(h * b)}).stored(h));
}

TEST_CASE("fusion: an update belongs to the kernel of its gradient and is written in place") {
    const auto x = matrix<float>("x", {32, 50}), g = matrix<float>("g", {32, 20});
    const auto w = shared(zeros<float>({50, 20}), "w");
    const Program p = program({x, g}, {}, {{w, w - 0.1f * dot(x.T(), g)}});
    CHECK(kernel_count(p) == 1);
    CHECK(!copies(p));
    CHECK(p.arena_bytes == 0);
    // Not where other elements of the old value are still read.
    const auto v = shared(zeros<float>({20, 20}), "v");
    const Program q = program({}, {}, {{v, v + v.T()}});
    CHECK(copies(q));
    // Decay and the old value as an output keep it in place: the reader runs first.
    const Program r = program({x, g}, {sum(w)}, {{w, 0.9f * w - 0.1f * dot(x.T(), g)}});
    CHECK(!copies(r));
    CHECK(kernel_count(r) == 2);
}

TEST_CASE("fusion: a layer is one kernel, softmax and its cost a few") {
    const auto x = matrix<float>("x", {32, 50});
    const auto y = vector<std::int32_t>("y", {32});
    const auto w = shared(zeros<float>({50, 10}), "w"), b = shared(zeros<float>({10}), "b");
    CHECK(kernel_count(program({x}, {sigmoid(dot(x, w) + b)})) == 1);
    const Expr cost = mean(categorical_crossentropy(softmax(dot(x, w) + b), y));
    const auto g = grad(cost, {w, b});
    const Program p = program({x, y}, {cost}, {{w, w - 0.1f * g[0]}, {b, b - 0.1f * g[1]}});
    CHECK(kernel_count(p) <= 12);
    // Checks of the labels come before the first write to a shared variable.
    bool written = false;
    for (const Step& s : p.steps) {
        CHECK(!(written && s.checks()));
        if (!s.kernel()) continue;
        for (const Part& part : s.kernel()->parts)
            for (const loops::StoreTo& store : part.nest.stores) {
                const SlotId slot = part.slots[store.buffer];
                written = written || p.slots[slot].kind == Slot::Kind::Shared;
            }
    }
    CHECK(written);
}

TEST_CASE("fusion: checks and scatters have kernels of their own") {
    const auto x = matrix<float>("x", {50, 4});
    const auto i = vector<std::int64_t>("i", {7});
    const Expr rows = take(x, i);
    const std::vector<Expr> both{exp(rows) * 2, grad(sum(sqr(rows)), x) * 2};
    const Fused f = fused(expand_composites(both));
    CHECK(f.text().find("checked before it is used") != std::string::npos);
    CHECK(f.text().find("scatter") != std::string::npos);
}

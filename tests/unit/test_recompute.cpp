// Keep or recompute: the minimum cut against all choices there are.
#include <algorithm>
#include <random>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/costs.h"
#include "compiler/fuse/fusion.h"
#include "compiler/fuse/recompute.h"
#include "compiler/graph/order.h"
#include "compiler/loops/math.h"

using namespace arete;

namespace {

using Value = KeepOrRecompute::Value;

int draw(std::mt19937& random, int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
}

/// Values computed from each other in the order of their numbers, and some kernels.
KeepOrRecompute random_problem(std::mt19937& random, int n) {
    KeepOrRecompute p;
    const int kernels = draw(random, 1, 4);
    std::vector<std::vector<char>> reads(static_cast<std::size_t>(n));
    p.values.resize(static_cast<std::size_t>(n));
    for (int i = n - 1; i >= 0; --i) {
        Value& v = p.values[i];
        v.given = draw(random, 0, 4) == 0;
        v.store = draw(random, 0, 9) == 0 ? KeepOrRecompute::never : draw(random, 1, 40);
        v.compute = draw(random, 0, 9) == 0 && v.store != KeepOrRecompute::never
                        ? KeepOrRecompute::never
                        : draw(random, 0, 60);
        for (int u = i + 1; u < n; ++u)
            if (!p.values[u].given && draw(random, 0, 2) == 0) v.readers.push_back(u);
        for (int k = 0; k < kernels; ++k) {
            bool through = false;
            for (int u : v.readers)
                for (const auto& l : p.values[u].loads) through |= l.kernel == k;
            const bool always = draw(random, 0, 5) == 0;
            if (through || always) v.loads.push_back({k, draw(random, 1, 20), always});
        }
    }
    return p;
}

/// The least cost of all choices.
std::int64_t least(const KeepOrRecompute& p) {
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    std::vector<char> choice(p.values.size());
    for (unsigned bits = 0; bits < 1u << p.values.size(); ++bits) {
        for (std::size_t i = 0; i < choice.size(); ++i) choice[i] = (bits >> i & 1) != 0;
        best = std::min(best, p.cost(choice));
    }
    return best;
}

/// What a set of stored values costs: what all kernels load and store, and their arithmetic.
/// Values are vectors of one length.
std::int64_t cost_of(const Graph& g, const IdVector<NodeId, char>& stored) {
    std::int64_t total = 0;
    for (NodeId i : g.ids()) {
        const Node& node = *g.nodes()[i];
        if (node.is_leaf() || !stored[i]) continue;
        const Expr root(g.nodes()[i]);
        LoweredNest nest =
            lower_nest({&root, 1}, [&](const Expr& e) { return stored[g.id(e)]; }, "n");
        const std::int64_t n = elements(node);
        total += FusionCosts{}.nest;
        for (const Expr& e : nest.buffers)
            total += n * static_cast<std::int64_t>(size_of(e.dtype())) + (same(e, root) ? 0 : n);
        loops::expand_math(nest.nest);
        for (const loops::Instr& v : nest.nest.values)
            if (arity(v.op) > 0) total += n * (v.op == loops::Op::Div ? 8 : 1);
    }
    return total;
}

struct Choice {
    std::unique_ptr<Graph> graph;
    Fusion fusion;
    std::int64_t cost = 0, least = 0;
};

/// Fusion's choice, and the least cost of all subsets of stored values.
Choice choose(const std::vector<Expr>& outputs) {
    Choice c;
    c.graph = std::make_unique<Graph>(outputs);
    c.fusion = choose_stored(*c.graph, outputs);
    c.cost = c.least = cost_of(*c.graph, c.fusion.is_stored);
    IdVector<NodeId, char> stored(c.graph->size());
    std::vector<NodeId> open;
    for (NodeId i : stored.ids()) {
        const Node& node = *c.graph->nodes()[i];
        stored[i] =
            node.is_leaf() || std::any_of(outputs.begin(), outputs.end(),
                                          [&](const Expr& e) { return &e.node() == &node; });
        if (!stored[i]) open.push_back(i);
    }
    if (open.size() > 9) return {};
    for (unsigned bits = 0; bits < 1u << open.size(); ++bits) {
        for (std::size_t k = 0; k < open.size(); ++k) stored[open[k]] = (bits >> k & 1) != 0;
        c.least = std::min(c.least, cost_of(*c.graph, stored));
    }
    return c;
}

/// Elementwise ops applied at random, read by a few outputs.
std::vector<Expr> random_outputs(std::mt19937& random) {
    const Ints shape{100000};
    std::vector<Expr> values;
    for (int k = 0; k < 3; ++k) values.push_back(vector<float>("x", shape));
    values.push_back(vector<std::uint8_t>("u", shape));
    const auto any = [&] {
        const Expr e = values[draw(random, std::max(0, static_cast<int>(values.size()) - 5),
                                   static_cast<int>(values.size()) - 1)];
        return e.dtype() == DType::F32 ? e : cast(e, DType::F32) * 0.5f;
    };
    for (int k = 0; k < 7; ++k) switch (draw(random, 0, 5)) {
            case 0: values.push_back(exp(any())); break;
            case 1: values.push_back(tanh(any())); break;
            case 2: values.push_back(cast(any() > 0.0f, DType::U8)); break;
            default: values.push_back(any() * any() + any()); break;
        }
    std::vector<Expr> outputs;
    for (int k = 0; k < 3; ++k) outputs.push_back(any() - any());
    return outputs;
}

}  // namespace

TEST_CASE("minimum cut: a network by hand, and the largest sink's side of several") {
    // 0 is the source, 3 the sink.
    const std::vector<CutEdge> edges{{0, 1, 5}, {1, 2, 3}, {0, 2, 2}, {2, 3, 9}, {1, 3, 1}};
    CHECK(minimum_cut(4, edges, 0, 3) == std::vector<char>{0, 0, 1, 1});
    // Both edges of a chain are as cheap.
    CHECK(minimum_cut(3, std::vector<CutEdge>{{0, 1, 4}, {1, 2, 4}}, 0, 2) ==
          std::vector<char>{0, 1, 1});
}

TEST_CASE("recompute: the cut is as cheap as the best of all choices") {
    std::mt19937 random(1);
    int kept = 0, recomputed = 0;
    for (int k = 0; k < 2000; ++k) {
        const KeepOrRecompute p = random_problem(random, draw(random, 1, 9));
        const std::vector<char> choice = minimum_cost(p);
        CHECK(p.cost(choice) == least(p));
        for (std::size_t i = 0; i < choice.size(); ++i) {
            kept += !choice[i] && !p.values[i].given && p.loads(i, choice) > 0;
            recomputed += choice[i];
        }
    }
    CHECK(kept > 1000);
    CHECK(recomputed > 1000);
}

TEST_CASE("recompute: of chains of elementwise work, against all sets of stored values") {
    std::mt19937 random(2);
    double sum = 0, worst = 1;
    int n = 0, optimal = 0;
    for (int k = 0; k < 600; ++k) {
        const std::vector<Expr> outputs = random_outputs(random);
        const Choice c = choose(outputs);
        if (!c.graph) continue;
        const double ratio = static_cast<double>(c.cost) / static_cast<double>(c.least);
        sum += ratio;
        worst = std::max(worst, ratio);
        optimal += c.cost == c.least;
        ++n;
    }
    INFO("mean ", sum / n, ", worst ", worst, ", optimal ", optimal, " of ", n);
    CHECK(n > 30);
    CHECK(2 * optimal > n);
    CHECK(sum / n < 1.02);
    CHECK(worst < 1.15);
}

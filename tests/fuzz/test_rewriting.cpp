// Rewriting of random graphs comes to rest: a second run fires nothing, and the first no more rules
// than there are nodes to do something about.
#include <algorithm>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "tests/fuzz/draw.h"

using namespace arete;
using namespace arete::fuzz;

TEST_CASE("random graphs: rewriting comes to rest, and a second run fires nothing") {
    constexpr std::uint64_t graphs = 600;
    std::size_t firings = 0, most = 0, nodes = 0;
    for (std::uint64_t seed = 0; seed < graphs; ++seed) {
        CAPTURE(seed);
        const Case c = Drawer(5'000'000 + seed, {.unknown_sizes = false}).draw();
        std::vector<Expr> e = c.results();
        // Deep graphs: with the gradients of the first result.
        if (is_float(e[0].dtype()) && e[0].rank() > 0) {
            std::vector<Expr> wrt;
            for (const Expr& x : c.inputs)
                if (is_float(x.dtype())) wrt.push_back(x);
            try {
                const std::vector<Expr> slopes =
                    grad(sum(e[0]), wrt, {.disconnected_inputs = Disconnected::zero});
                e.insert(e.end(), slopes.begin(), slopes.end());
            } catch (const GraphError&) {  // not differentiable
            }
        }
        const std::size_t size = Graph(e).size();
        nodes += size;
        for (const Phase phase : {Phase::Canonicalize, Phase::Stabilize, Phase::Specialize}) {
            // Nothing to take the largest of.
            if (phase == Phase::Specialize) {
                try {
                    e = expand_composites(e);
                } catch (const GraphError&) {
                    break;
                }
            }
            RewriteLog first, second;
            e = rewrite(e, phase, &first);
            CAPTURE(to_string(Graph(e)));
            const auto again = rewrite(e, phase, &second);
            CAPTURE(second.str());
            CHECK(second.firings.empty());
            CHECK(to_string(Graph(again)) == to_string(Graph(e)));
            CHECK(first.firings.size() < 4 * size + 40);
            firings += first.firings.size();
            most = std::max(most, first.firings.size());
        }
    }
    CHECK(firings > graphs);
    MESSAGE("rewrites of ", graphs, " graphs of ", nodes, " nodes: ", firings, ", at most ", most,
            " in one");
}

// Second derivatives compile: groups of values that share their loops never need each other.
#include <random>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "compiler/fuse/group_order.h"
#include "compiler/pipeline/compile.h"
#include "tests/second_derivatives.h"
#include "tests/unit/programs.h"

using namespace arete;
using namespace arete::test;

TEST_CASE("second derivatives: of a product, beside the first") {
    const auto c = vector<double>("c", {2});
    const auto x = scalar<double>("x");
    const Expr g = grad(prod(c * x * x), x);
    auto f = function({.inputs = {c, x}, .outputs = {g, grad(g, x)}, .mode = Mode::interpret});
    Array cs(DType::F64, {2}), at(DType::F64, {});
    cs.data<double>()[0] = 2, cs.data<double>()[1] = 3;
    *at.data<double>() = 5;
    const std::vector<Array> out = f(cs, at);
    // 6 x^4
    CHECK(out[0].as_double() == doctest::Approx(24 * 125));
    CHECK(out[1].as_double() == doctest::Approx(72 * 25));
}

TEST_CASE("second derivatives: random ones compile") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        const SecondDerivative d = random_second_derivative(seed);
        CHECK_NOTHROW(program(d.inputs, d.outputs));
    }
}

TEST_CASE("group order: merges exactly what does not need each other") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const int n = static_cast<int>(2 + random() % 12);
        std::vector<int> group(static_cast<std::size_t>(n));
        for (int k = 0; k < n; ++k) group[k] = k;
        GroupOrder order(static_cast<std::size_t>(n));
        std::vector<std::pair<int, int>> edges;
        for (int to = 1; to < n; ++to)
            for (int from = 0; from < to; ++from)
                if (random() % 4 == 0) {
                    edges.emplace_back(from, to);
                    order.add_edge(GroupId(from), GroupId(to));
                }
        const auto of = [&](int k) { return group[k]; };
        // Whether one group leads to another, by trying until nothing changes.
        const auto leads = [&](int a, int b) {
            std::vector<char> met(static_cast<std::size_t>(n), 0);
            met[a] = 1;
            for (bool more = true; more;) {
                more = false;
                for (const auto& [from, to] : edges)
                    if (met[of(from)] && !met[of(to)]) {
                        met[of(to)] = 1;
                        more = true;
                    }
            }
            return met[b] != 0;
        };
        for (int tries = 0; tries < 30; ++tries) {
            const int a = of(static_cast<int>(random() % static_cast<unsigned>(n))),
                      b = of(static_cast<int>(random() % static_cast<unsigned>(n)));
            if (a == b) continue;
            const bool may = !leads(a, b) && !leads(b, a);
            CHECK(order.independent(GroupId(a), GroupId(b)) == may);
            if (!may) continue;
            order.merge(GroupId(a), GroupId(b));
            for (int& g : group)
                if (g == b) g = a;
            for (int k = 0; k < n; ++k) CHECK(order.find(GroupId(k)) == GroupId(of(k)));
        }
    }
}

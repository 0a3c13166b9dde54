// Neither the length of a graph nor the number of its paths is a cost: nothing is recursive over
// nodes, and nothing walks paths.
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/graph/graph.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/unit/programs.h"

using namespace arete;
using arete::test::program;

TEST_CASE("deep graphs: a hundred thousand nodes are built, derived, printed and let go") {
    const auto x = vector<float>("x", {10});
    Expr e = x;
    for (int k = 0; k < 100000; ++k) e = k % 2 ? e * 0.5f : e + x;
    CHECK(Graph({e}).size() > 100000);
    const Expr g = grad(sum(e), x);
    CHECK(Graph({g}).size() > 100000);
    CHECK(pp(e).size() < 10000000);
    CHECK(debugprint(e).size() < 30000000);
    CHECK(to_string(Graph({e})).size() < 30000000);
    CHECK(to_line(e).size() < 2000);
}

TEST_CASE("deep graphs: ten thousand nodes compile to kernels of bounded size") {
    const auto x = vector<float>("x", {10});
    Expr e = x, where_chain = x;
    for (int k = 0; k < 10000; ++k) e = k % 4 == 3 ? tanh(e) : k % 4 == 1 ? e * x : e + 0.5f;
    for (int k = 0; k < 1000; ++k)
        where_chain = where(x > static_cast<float>(k), where_chain, where_chain * 0.5f + 1.0f);
    const Program p = program({x}, {e, where_chain});
    std::size_t nests = 0, largest = 0;
    for (const Step& s : p.steps)
        for (const Part& part : test::parts_of(s)) {
            ++nests;
            largest = std::max(largest, part.nest.values.size());
        }
    CHECK(nests < 500);
    CHECK(largest < 2500);
}

TEST_CASE("deep graphs: two to the two hundredth paths") {
    const auto x = vector<double>("x", {10});
    Expr e = x, product = x;
    for (int k = 0; k < 200; ++k) e = e + e;
    for (int k = 0; k < 200; ++k) product = sin(product) * product + product;
    for (const Expr& y : {e, product}) {
        CHECK(pp(y).size() < 100000);
        CHECK(debugprint(y).size() < 200000);
        CHECK(to_line(y).size() < 2000);
        const Expr g = grad(sum(y), x);
        CHECK(Graph({g}).size() < 3000);
        CHECK(program({x}, {y, g}).steps.size() < 500);
    }
    auto f = function({.inputs = {x}, .outputs = {e}, .mode = Mode::interpret});
    Array one = zeros<double>({10});
    for (int i = 0; i < 10; ++i) one.data<double>()[i] = 1;
    CHECK(f(one)[0].data<double>()[3] == 0x1p200);
}

TEST_CASE("deep graphs: many results, updates and operands") {
    const auto x = vector<float>("x", {16});
    std::vector<Expr> outputs;
    for (int k = 0; k < 2000; ++k) outputs.push_back(sin(x * static_cast<float>(k + 1)));
    CHECK(program({x}, outputs).steps.size() <= 2000);
    std::vector<std::pair<Expr, Expr>> updates;
    Expr sum_of_all;
    for (int k = 0; k < 1000; ++k) {
        const Expr s = shared(zeros<float>({16}));
        sum_of_all = sum_of_all.empty() ? s : sum_of_all + s;
        updates.emplace_back(s, s * 0.5f + x);
    }
    const Program p = program({x}, {sum_of_all}, updates);
    // In place, all of them.
    for (const Step& s : p.steps) CHECK(s.kernel());
}

// Special forms that other compilers choose by rewriting, and that here fall out of the lowering,
// because a kernel reads its operands through whatever views and elementwise ops stand before them:
// products of transposed operands, gemm with factors, gemv, outer products, 1x1 convolutions,
// slices of computed values, means, and updates in place.
#include <algorithm>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/pipeline/compile.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/unit/programs.h"

using namespace arete;
using arete::test::program;

namespace {

/// The one nest of a program that consists of nothing else.
loops::Nest only_nest(const Program& p) {
    REQUIRE(p.steps.size() == 1);
    REQUIRE(p.steps[StepId(0)].kernel());
    return p.steps[StepId(0)].kernel()->parts.at(0).nest;
}

std::int64_t iterations(const loops::Nest& n, const std::vector<loops::Var>& vars) {
    std::int64_t out = 1;
    for (loops::Var v : vars) out *= n.extents[v];
    return out;
}
int count(const loops::Nest& n, loops::Op op) {
    return static_cast<int>(std::count_if(n.values.begin(), n.values.end(),
                                          [&](const loops::Instr& i) { return i.op == op; }));
}
bool reads(const loops::Nest& n, const std::string& text) {
    return to_string(n).find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("no rule needed: a transposed operand of dot is another address") {
    const auto x = matrix<float>("x", {6, 4}), y = matrix<float>("y", {9, 6});
    const loops::Nest n = only_nest(program({x, y}, {dot(x.T(), y.T())}));
    CHECK(n.reduce_axes.size() == 1);
    CHECK(iterations(n, n.reduce_axes) == 6);
    CHECK(reads(n, "x[i+4*k]"));
    CHECK(reads(n, "y[6*j+k]"));
}

TEST_CASE("no rule needed: gemm with alpha and beta is one kernel") {
    const auto a = matrix<float>("a", {6, 4}), b = matrix<float>("b", {4, 7});
    const auto c = matrix<float>("c", {6, 7});
    const auto alpha = scalar<float>("alpha"), beta = scalar<float>("beta");
    for (const Expr& e : {beta * c + alpha * dot(a, b), beta * c + dot(a * alpha, b)}) {
        const loops::Nest n = only_nest(program({a, b, c, alpha, beta}, {e}));
        CHECK(n.accumulators.size() == 1);
        CHECK(iterations(n, n.axes) == 42);
        CHECK(count(n, loops::Op::Mul) == 3);  // of the product, by alpha, by beta
    }
}

TEST_CASE("no rule needed: gemv has one row of loops less, an outer product no reduction") {
    const auto a = matrix<float>("a", {6, 4});
    const auto u = vector<float>("u", {4}), v = vector<float>("v", {6});
    const loops::Nest gemv = only_nest(program({a, u, v}, {dot(a, u) + v}));
    CHECK(gemv.axes.size() == 1);
    CHECK(gemv.reduce_axes.size() == 1);
    // The rank-one update of a matrix.
    const loops::Nest ger = only_nest(program({a, u, v}, {a + outer(v, u)}));
    CHECK(ger.accumulators.empty());
    CHECK(iterations(ger, ger.axes) == 24);
    // Written as a product of matrices it is the same, by the rule dot_one_term.
    const Expr product = dot(reshape(v, {6, 1}), reshape(u, {1, 4}));
    CHECK(only_nest(program({a, u, v}, {a + product})).accumulators.empty());
}

TEST_CASE("no rule needed: a 1x1 convolution is a product over the channels") {
    const auto x = tensor4<float>("x", {2, 5, 7, 7}), w = tensor4<float>("w", {3, 5, 1, 1});
    const loops::Nest n = only_nest(program({x, w}, {conv2d(x, w)}));
    CHECK(n.reduce_axes.size() == 1);
    CHECK(iterations(n, n.reduce_axes) == 5);
    CHECK(count(n, loops::Op::LoadIf) == 0);
    CHECK(count(n, loops::Op::Load) == 2);
}

TEST_CASE("no rule needed: a slice of computed values computes no others") {
    const auto x = matrix<float>("x", {100, 8});
    const auto b = vector<float>("b", {8});
    const loops::Nest n = only_nest(program({x, b}, {exp(x + b)(slice(3, 5))}));
    CHECK(iterations(n, n.axes) == 16);
    CHECK(count(n, loops::Op::Exp) == 0);  // expanded, once an element of the slice
    // Through a reduction that needs a rule: slice_fold, and slice_dot for products.
    const loops::Nest sums = only_nest(program({x, b}, {sum(exp(x + b), 1)(slice(3, 5))}));
    CHECK(iterations(sums, sums.axes) * iterations(sums, sums.reduce_axes) == 16);
}

TEST_CASE("no rule needed: a mean divides its sum in the sum's kernel") {
    const auto x = matrix<float>("x", {16, 8});
    const loops::Nest n = only_nest(program({x}, {mean(x, 1)}));
    REQUIRE(n.accumulators.size() == 1);
    CHECK(n.accumulators.front().reduction == loops::Reduction::Mean);
    CHECK(n.values.size() == 2);  // a load, and the result
}

TEST_CASE("no rule needed: an update writes in place from within the product's kernel") {
    const auto x = matrix<float>("x", {16, 8}), g = matrix<float>("g", {16, 4});
    const auto w = shared(zeros<float>({8, 4}), "w");
    const Program p = program({x, g}, {}, {{w, w - 0.1f * dot(x.T(), g)}});
    CHECK(only_nest(p).accumulators.size() == 1);
    CHECK(p.arena_bytes == 0);
}

TEST_CASE("division by a constant becomes a product only where the reciprocal is exact") {
    const auto x = vector<float>("x", {4});
    const auto op_of = [&](double by) {
        const Expr e = x / by;
        return std::string(rewrite({&e, 1}, Phase::Specialize)[0].node().op->name);
    };
    CHECK(op_of(4) == "mul");
    CHECK(op_of(-0.125) == "mul");
    CHECK(op_of(0x1p126) == "mul");
    CHECK(op_of(3) == "div");
    CHECK(op_of(10) == "div");
    CHECK(op_of(0x1p127) == "div");  // the reciprocal would be denormal
    CHECK(op_of(0) == "div");
}

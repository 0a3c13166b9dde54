// What kernels are called: after what the user wrote.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/kernel_name.h"
#include "compiler/ops/op.h"
#include "tests/unit/programs.h"

using namespace arete;
using namespace arete::test;

namespace {

std::vector<std::string> kernels(const std::vector<Expr>& inputs, const std::vector<Expr>& outputs,
                                 const std::vector<std::pair<Expr, Expr>>& updates = {}) {
    std::vector<std::string> out;
    for (const Step& s : program(inputs, outputs, updates).steps)
        if (s.kernel()) out.push_back(s.name());
    return out;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("kernel names: what was applied, in order; arithmetic where there is nothing else") {
    const Expr x = matrix<float>("x", {3, 4}), y = matrix<float>("y", {3, 4});
    CHECK(kernels({x}, {tanh(exp(x) + 1)}) == std::vector<std::string>{"exp_tanh"});
    CHECK(kernels({x, y}, {x * 2 + y}) == std::vector<std::string>{"mul_add"});
    CHECK(kernels({x}, {x.T()}) == std::vector<std::string>{"dimshuffle"});
    CHECK(kernels({x, y}, {sigmoid(dot(x, y.T()) + 1)}) == std::vector<std::string>{"dot_sigmoid"});
    // Of many, those that say most.
    const std::vector<std::string> many = kernels({x}, {sin(cos(tanh(exp(sigmoid(x)))))});
    REQUIRE(many.size() == 1);
    CHECK(std::count(many[0].begin(), many[0].end(), '_') == 3);
}

TEST_CASE("kernel names: parts of a definition and of a gradient are called after the op") {
    const Expr x = matrix<float>("x", {30, 400}), w = matrix<float>("w", {400, 50});
    for (const std::string& name : kernels({x}, {softmax(x)}))
        CHECK(name.find("softmax") != std::string::npos);
    const Expr cost = sum(tanh(dot(x, w)));
    const std::vector<std::string> back = kernels({x, w}, grad(cost, {x, w}));
    CHECK(std::any_of(back.begin(), back.end(), [](const std::string& n) {
        return n.find("dot_grad") != std::string::npos;
    }));
}

TEST_CASE("kernel names: updates are called after the shared variables") {
    const Shared w = shared(zeros<float>({400, 50}), "w1"), b = shared(zeros<float>({50}), "b1"),
                 unnamed = shared(zeros<float>({7}));
    const Expr x = matrix<float>("x", {30, 400});
    const Expr cost = mean(sqr(dot(x, w) + b));
    const auto g = grad(cost, {w, b});
    const std::vector<std::string> names =
        kernels({x}, {cost}, {{w, w - 0.1f * g[0]}, {b, b - 0.1f * g[1]}});
    CHECK(std::any_of(names.begin(), names.end(), [](const std::string& n) {
        return n.find("update_w1") != std::string::npos;
    }));
    CHECK(has(kernels({}, {}, {{unnamed, unnamed + 1}}), "update"));

    CHECK(joined_names({"conv2d", "relu", "conv2d", "update_w1", "update_b1"}) ==
          "conv2d_relu_update_w1_b1");
    CHECK(joined_names({"conv2d_pool2d", "pool2d", "conv2d"}) == "conv2d_pool2d");
    CHECK(update_name({"a", "b", "c", "d", "e"}) == "update_a_to_e");
}

namespace {

// A user's own, with the name of one of Arete's.
constinit const OpDef my_softmax{
    .info = {.name = "softmax"},
    .doc = "twice a",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return x[0] + x[0]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] * 2}; }};
constinit const OpDef my_sum{
    .info = {.name = "sum"},
    .doc = "a + 1",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return x[0] + 1.0; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0]}; }};
constinit const OpDef my_slice{
    .info = {.name = "slice"},
    .doc = "-a",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return -x[0]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {-a.g[0]}; }};

}  // namespace

TEST_CASE("a user's op of the name of one of Arete's is another op, for rules and for printing") {
    const Expr x = vector<double>("x", {2});
    const Expr a = apply(my_softmax, {x}, {}, {}), b = apply(my_sum, {x}, {}, {}),
               c = apply(my_slice, {x}, {}, {});
    CHECK(a.node().op->name == "user_softmax");
    // Rules of softmax, sums and slices would all match.
    const std::vector<Expr> outputs{log(a), log(1 - a), argmax(a), log(b), sum(exp(b)), exp(c), c};
    const Array v(std::vector<double>{0.25, 0.375});
    for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
        const auto f = function({.inputs = {x}, .outputs = outputs, .mode = mode});
        const std::vector<Array> out = f(v);
        CHECK(out[0].as_double(0) == doctest::Approx(std::log(0.5)));
        CHECK(out[1].as_double(1) == doctest::Approx(std::log(0.25)));
        CHECK(out[2].as_int() == 1);
        CHECK(out[3].as_double(0) == doctest::Approx(std::log(1.25)));
        CHECK(out[4].as_double() == doctest::Approx(std::exp(1.25) + std::exp(1.375)));
        CHECK(out[5].as_double(0) == doctest::Approx(std::exp(-0.25)));
    }
    for (const Expr& e : outputs) CHECK(!pp(e).empty());
    CHECK(pp(c) == "user_slice(x)");
    // The same row is one op, so equal applications merge.
    CHECK(apply(my_sum, {x}, {}, {}).node().op == b.node().op);
    const Expr g = grad(sum(log(a)), x);
    CHECK(function({.inputs = {x}, .outputs = {g}})(v)[0].as_double(0) == doctest::Approx(4));
}

// Graphs that cannot be: each error names the line that the user wrote, the op and both shapes.
#include <cstdint>
#include <limits>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/errors/graph_errors.h"

using namespace arete;

namespace {

template <class F>
void fails(int line, F f, const std::string& text) {
    test::graph_error("test_build_errors.cpp", line, f, text);
}

}  // namespace

// Each expression stands on the line of its __LINE__.
// clang-format off

TEST_CASE("build errors: products") {
    const auto x = matrix<float>("x", {64, 784}), w = matrix<float>("w", {100, 10});
    const auto v = vector<float>("v", {5});
    const auto cube = tensor3<float>("cube", {2, 3, 4});
    fails(__LINE__, [&] { dot(x, w); },
          "dot: inner sizes differ: x is f32[64,784], w is f32[100,10]");
    fails(__LINE__, [&] { dot(v, w); }, "dot: inner sizes differ: v is f32[5], w is f32[100,10]");
    fails(__LINE__, [&] { dot(w, v); }, "dot: inner sizes differ: w is f32[100,10], v is f32[5]");
    fails(__LINE__, [&] { dot(v, vector<float>("u", {4})); },
          "dot: inner sizes differ: v is f32[5], u is f32[4]");
    fails(__LINE__, [&] { dot(x + 1, w); },
          "dot: inner sizes differ: argument 1 is f32[64,784], w is f32[100,10]");
    fails(__LINE__, [&] { dot(cube, x); },
          "dot: inner sizes differ: cube is f32[2,3,4], x is f32[64,784]");
    fails(__LINE__, [&] { batched_dot(x, w); }, "batched_dot: needs rank 3: x is f32[64,784]");
    fails(__LINE__, [&] { batched_dot(cube, cube); },
          "batched_dot: inner sizes differ: cube is f32[2,3,4], cube is f32[2,3,4]");
    const auto other = tensor3<float>("other", {3, 4, 5});
    fails(__LINE__, [&] { batched_dot(cube, other); },
          "batched_dot: numbers of matrices differ: cube is f32[2,3,4], other is f32[3,4,5]");
    fails(__LINE__, [&] { dot(x, Expr()); }, "use of an empty expression");
}

TEST_CASE("build errors: elementwise") {
    const auto x = matrix<float>("x", {4, 3}), y = matrix<float>("y", {4, 2});
    const auto v = vector<std::int32_t>("v", {4});
    const std::string both = "shapes cannot be broadcast together: x is f32[4,3], y is f32[4,2]";
    fails(__LINE__, [&] { x + y; }, "add: " + both);
    fails(__LINE__, [&] { x - y; }, "sub: " + both);
    fails(__LINE__, [&] { maximum(x, y); }, "maximum: " + both);
    fails(__LINE__, [&] { pow(x, y); }, "pow: " + both);
    fails(__LINE__, [&] { x < y; }, "lt: " + both);
    fails(__LINE__, [&] { where(x > 0, x, y); },
          "where: shapes cannot be broadcast together: argument 1 is bool[4,3], x is f32[4,3], y "
          "is f32[4,2]");
    // An operand that was cast has lost its name.
    fails(__LINE__, [&] { x* v; },
          "mul: shapes cannot be broadcast together: x is f32[4,3], argument 2 is f32[4]");
    // The line is that of the operation, not of its operands.
    const Expr sum_of_rows = sum(x, 1);
    fails(__LINE__, [&] { sum_of_rows* y; },
          "mul: shapes cannot be broadcast together: argument 1 is f32[4], y is f32[4,2]");
    fails(__LINE__, [&] { x + Array(std::vector<float>{1, 2}); },
          "add: shapes cannot be broadcast together: x is f32[4,3], argument 2 is f32[2]");
}

TEST_CASE("build errors: typed handles") {
    const Expr x = tensor(DType::F32, 2, "x", {4, 3});
    fails(__LINE__, [&] { Tensor<double, 2> t(x); },
          "expected f64 of rank 2, this expression is f32[4,3]");
    fails(__LINE__, [&] { Tensor<float, 1> t = x; },
          "expected f32 of rank 1, this expression is f32[4,3]");
    fails(__LINE__, [&] { Tensor<float, 2> t = sum(x, 0); },
          "expected f32 of rank 2, this expression is f32[3]");
    fails(__LINE__, [&] { Tensor<std::int32_t, 0> t = sum(x); },
          "expected i32 of rank 0, this expression is f32[]");
    const Tensor<float, 2> same = x + 1;
    CHECK(same.rank() == 2);
    static_assert(std::is_convertible_v<Tensor<float, 2>, Expr>);
    fails(__LINE__, [&] { matrix<float>("m", {3}); }, "input 'm': 1 static sizes for rank 2");
}

TEST_CASE("build errors: shapes and axes") {
    const auto x = matrix<float>("x", {4, 3}), z = matrix<float>("z");
    fails(__LINE__, [&] { reshape(x, {5, 2}); },
          "reshape: x is f32[4,3] has not the number of elements of [5,2]");
    fails(__LINE__, [&] { reshape(x, {-1, 5}); },
          "reshape: x is f32[4,3] does not divide into [-1,5]");
    fails(__LINE__, [&] { reshape(x, {-1, -1}); }, "reshape: more than one -1 in [-1,-1]");
    fails(__LINE__, [&] { flatten(x, 0); }, "flatten: outdim 0");
    fails(__LINE__, [&] { dimshuffle(x, {0}); },
          "dimshuffle: axis 1 is left out but has not size 1: x is f32[4,3]");
    fails(__LINE__, [&] { dimshuffle(x, {0, 0, 1}); }, "dimshuffle: axis 0 appears twice");
    fails(__LINE__, [&] { dimshuffle(x, {0, 1, 2}); },
          "dimshuffle: each item is an axis or 'x': x is f32[4,3]");
    fails(__LINE__, [&] { dimshuffle(x, {0, 1, 'y'}); },
          "dimshuffle: each item is an axis or 'x': x is f32[4,3]");
    fails(__LINE__, [&] { transpose(x, {0}); }, "transpose: 1 axes for a tensor of rank 2");
    fails(__LINE__, [&] { squeeze(x, {0}); }, "squeeze: axis 0 has not size 1: x is f32[4,3]");
    fails(__LINE__, [&] { broadcast_to(x, {4, 6}); },
          "broadcast_to: x is f32[4,3] cannot be repeated to [4,6]");
    fails(__LINE__, [&] { broadcast_to(x, {3}); },
          "broadcast_to: x is f32[4,3] cannot be repeated to [3]");
    fails(__LINE__, [&] { sum(x, 2); }, "sum: axis 2 of a tensor of rank 2");
    fails(__LINE__, [&] { mean(x, -3); }, "mean: axis -3 of a tensor of rank 2");
    fails(__LINE__, [&] { sum(x, {1, -1}); }, "sum: an axis is given twice");
    fails(__LINE__, [&] { argmax(x, {0, 1}); }, "argmax: one axis or none, not 2");
    fails(__LINE__, [&] { max(matrix<float>("none", {0, 3}), 0); },
          "max: no elements along axis 0: none is f32[0,3]");
    fails(__LINE__, [&] { softmax(x, 2); }, "softmax: axis 2 of a tensor of rank 2");
    fails(__LINE__, [&] { x.shape(2); }, "shape: axis 2 of a tensor of rank 2");
    const auto y = matrix<float>("y", {4, 2});
    const auto v = vector<float>("v", {4});
    fails(__LINE__, [&] { concatenate({x, y}, 0); },
          "concatenate: sizes differ on an axis other than 0: x is f32[4,3], y is f32[4,2]");
    fails(__LINE__, [&] { concatenate({x, y}, 2); }, "concatenate: axis 2 of a tensor of rank 2");
    fails(__LINE__, [&] { concatenate({x, v}, 0); },
          "concatenate: sizes differ on an axis other than 0: x is f32[4,3], v is f32[4]");
    fails(__LINE__, [&] { full({sum(z)}, 0, DType::F32); },
          "a size must be an integer made of constants, scalar inputs and sizes of inputs, but "
          "this one is f32[]");
}

TEST_CASE("build errors: convolution, pooling, softmax") {
    const auto x = tensor4<float>("x", {10, 3, 28, 28}), w = tensor4<float>("w", {20, 1, 5, 5});
    const auto small = tensor4<float>("small", {10, 1, 4, 9});
    const auto m = matrix<float>("m", {3, 4});
    const auto i = matrix<std::int32_t>("i", {3, 4});
    fails(__LINE__, [&] { conv2d(x, w); },
          "conv2d: numbers of channels differ: x is f32[10,3,28,28], w is f32[20,1,5,5]");
    fails(__LINE__, [&] { conv2d(small, w); },
          "conv2d: the image is smaller than the filter: small is f32[10,1,4,9], w is "
          "f32[20,1,5,5]");
    fails(__LINE__, [&] { conv2d(m, w); }, "conv2d: needs rank 4: m is f32[3,4]");
    const auto w4 = tensor4<float>("w4", {6, 2, 3, 5});
    fails(__LINE__, [&] { conv2d(x, w4, {.num_groups = 2}); },
          "conv2d: 3 channels cannot be divided into 2 groups: x is f32[10,3,28,28], w4 is "
          "f32[6,2,3,5]");
    const auto wide = tensor4<float>("wide", {1, 8, 4, 4});
    fails(__LINE__, [&] { conv2d(wide, w4, {.num_groups = 4}); },
          "conv2d: 6 filters cannot be divided into 4 groups: wide is f32[1,8,4,4], w4 is "
          "f32[6,2,3,5]");
    fails(__LINE__, [&] { conv2d(wide, w4, {.num_groups = 2}); },
          "conv2d: filters of 2 groups of 4 channels have 2 each: wide is f32[1,8,4,4], w4 is "
          "f32[6,2,3,5]");
    const auto two = tensor4<float>("two", {1, 2, 4, 4});
    fails(__LINE__, [&] { conv2d(two, w4, {.border_mode = {{0, 0}, {0, 0}}}); },
          "conv2d: the image is smaller than the filter: two is f32[1,2,4,4], w4 is f32[6,2,3,5]");
    fails(__LINE__, [&] { conv2d(two, w4, {.border_mode = 1, .filter_dilation = {1, 2}}); },
          "conv2d: the filter spans 9 columns, the padded image has 6: two is f32[1,2,4,4], w4 is "
          "f32[6,2,3,5]");
    fails(__LINE__, [&] { conv2d(two, w4, {.border_mode = {{0, 0}, {2, -1}}}); },
          "conv2d: negative border 2, -1 of columns");
    fails(__LINE__, [&] { conv2d(two, w4, {.subsample = {1, 0}}); },
          "conv2d: subsample must be positive, it is 1, 0");
    fails(__LINE__, [&] { conv2d(two, w4, {.filter_dilation = {-1, 2}}); },
          "conv2d: filter_dilation must be positive, it is -1, 2");
    fails(__LINE__, [&] { conv2d(two, w4, {.num_groups = 0}); },
          "conv2d: num_groups must be positive, it is 0");
    fails(__LINE__, [&] { pad2d(m, {1, 0}, {0, -2}); },
          "pad2d: negative pad 1, 0 of rows, 0, -2 of columns");
    fails(__LINE__, [&] { pool2d(m, {0, 2}); }, "pool2d: the pool's sizes must be positive");
    fails(__LINE__, [&] { pool2d(sum(m, 0), {1, 1}); }, "pool2d: needs at least two axes: [4]");
    fails(__LINE__, [&] { pool2d(m, {2, 2}, {.stride = {-1, 1}}); },
          "pool2d: negative stride -1, 1");
    fails(__LINE__, [&] { pool2d(m, {2, 3}, {.pad = {2, 0}}); },
          "pool2d: pad must be less than the window: pad 2, 0 of windows of 2, 3");
    fails(__LINE__, [&] { pool2d(m, {2, 3}, {.ignore_border = false, .pad = {1, 0}}); },
          "pool2d: pad 1, 0 needs ignore_border");
    fails(__LINE__, [&] { pool2d(m > 0, {2, 3}, {.mode = PoolMode::sum}); },
          "pool2d: needs numbers: the argument is bool[3,4]");
    fails(__LINE__, [&] { pad2d(m, -1, 0); }, "pad2d: negative pad -1, 0");
    // A pool that is larger than its image leaves nothing.
    CHECK(pool2d(m, {4, 2}).type().str() == "f32[0,2]");
    // Softmax of integers is of floats, as the other functions of the exponential are.
    CHECK(softmax(i).type().str() == "f32[3,4]");
    const auto labels = vector<float>("labels", {3});
    const auto few = vector<std::int32_t>("few", {2});
    const Expr p = softmax(m);
    fails(__LINE__, [&] { categorical_crossentropy(p, labels); },
          "categorical_crossentropy: labels must be integers: the first argument is f32[3,4], "
          "labels is f32[3]");
    fails(__LINE__, [&] { categorical_crossentropy(p, few); },
          "categorical_crossentropy: numbers of rows and labels differ: the first argument is "
          "f32[3,4], few is i32[2]");
    fails(__LINE__, [&] { categorical_crossentropy(labels, few); },
          "categorical_crossentropy: needs a matrix, and a vector of labels or a matrix: labels is "
          "f32[3], few is i32[2]");
}

TEST_CASE("build errors: indices and slices") {
    const auto x = matrix<float>("x", {4, 3});
    const auto f = scalar<float>("f");
    const auto i = scalar<std::int64_t>("i"), j = scalar<std::int64_t>("j");
    const auto s = shared(Array(std::int64_t{0}), "s");
    fails(__LINE__, [&] { x(4); },
          "index: 4 is out of range for axis 0 of size 4");
    fails(__LINE__, [&] { x(0, -4); },
          "index: -4 is out of range for axis 1 of size 3");
    fails(__LINE__, [&] { x(0, 0, 0); },
          "index: 3 indices, but x is f32[4,3]");
    fails(__LINE__, [&] { x(f); },
          "index: an index must be an integer: f is f32[]");
    fails(__LINE__, [&] { x(slice(0, 2, 0)); }, "index: a slice with step 0");
    fails(__LINE__, [&] { x(slice(f, none)); },
          "index: a bound of a slice must be an integer scalar: f is f32[]");
    // What a shared variable holds is no size: the length must not depend on it.
    fails(__LINE__, [&] { x(slice(s, i)); },
          "index: the length of a slice must be known: it is i-?, where ? stands for values that "
          "are no sizes");
    CHECK(x(slice(s * 2, (s + 1) * 2)).type().str() == "f32[2,3]");
    CHECK(x(slice(i * 2, (i + 1) * 2)).type().str() == "f32[2,3]");
    CHECK(x(slice(i, j)).type().str() == "f32[-i+j,3]");
    fails(__LINE__, [&] { take(x, Array(std::vector<std::int64_t>{0, 4})); },
          "index 4 is out of range for an axis of size 4");
    fails(__LINE__, [&] { take(x, f); }, "index: an index must be an integer: f is f32[]");
    fails(__LINE__, [&] { take(x, i, 2); }, "take: axis 2 of a tensor of rank 2");
    fails(__LINE__, [&] { arange(s); }, "arange: the length depends on values that are no sizes");
    fails(__LINE__, [&] { arange(0, 4, 0); },
          "arange: needs scalar bounds and a step that is not 0");
    const auto a = vector<std::int64_t>("a", {3}), b = vector<std::int64_t>("b", {2});
    fails(__LINE__, [&] { x(a, b); },
          "advanced_index: index arrays cannot be broadcast together: argument 2 is i64[3], "
          "argument 3 is i64[2]");
}

TEST_CASE("build errors: gradients") {
    const auto x = matrix<float>("x", {4, 3});
    const int line = __LINE__ + 1;
    const auto unused = vector<float>("unused", {2});
    const auto i = vector<std::int32_t>("i", {4});
    const Expr cost = sum(sqr(x));
    fails(__LINE__, [&] { grad(sqr(x), x); }, "grad: the cost must be a scalar, it is f32[4,3]");
    fails(__LINE__, [&] { grad(sum(i), x); }, "grad: the cost must be a float, it is i64[]");
    fails(__LINE__, [&] { grad(cost + sum(i), i); },
          fmt::format("grad: only floats have gradients, but i is i32[4] "
          "(test_build_errors.cpp:{})", line + 1));
    fails(__LINE__, [&] { grad(cost, {x, Expr()}); },
          "grad: an expression to derive by is empty: nothing was assigned");
    CHECK_THROWS_WITH_AS((void)Shared().get_value(),
                         doctest::Contains("was never assigned has no value"), GraphError);
    CHECK_THROWS_AS(Shared().set_value(zeros<float>({1})), GraphError);
    CHECK_THROWS_AS((void)Shared{Expr()}, GraphError);
    fails(__LINE__, [&] { grad(cost, {x, unused}); },
          fmt::format("grad: the cost does not depend on this variable: unused is f32[2] "
          "(test_build_errors.cpp:{})", line));
    fails(__LINE__, [&] { grad(sum(cast(argmax(x, 0), DType::F32)), x); },
          fmt::format("grad: the cost does not depend differentiably on this variable: x is "
          "f32[4,3] (test_build_errors.cpp:{})", line - 2));
    for (const Disconnected how : {Disconnected::zero, Disconnected::warn}) {
        const Expr g = grad(cost, {x, unused}, {.disconnected_inputs = how})[1];
        const Function f = function({.inputs = {unused},
                                     .outputs = {g},
                                     .on_unused_input = OnUnusedInput::ignore});
        CHECK(f(std::vector<float>{1, 2})[0].equals(zeros<float>({2})));
    }
    fails(__LINE__, [&] { Lop(x, {x}, unused); }, "Lop: shapes differ: f32[4,3], f32[2]");
}

TEST_CASE("build errors: updates") {
    const auto x = matrix<float>("x", {4, 3});
    const auto w = shared(zeros<float>({3, 2}), "w");
    const auto n = shared(Array(std::int32_t{0}), "n");
    const std::string f = "function 'function': ";
    const int made = __LINE__ + 1;
    const Expr y = w * 2;
    fails(__LINE__, [&] { function({.inputs = {x}, .updates = {{x, x}}}); },
          f + "update of 'x', which is not a shared variable but input: f32[4,3]");
    fails(__LINE__, [&] { function({.updates = {{y, y}}}); },
          f + fmt::format("update of the mul of test_build_errors.cpp:{}, which is not a shared "
          "variable but mul: f32[3,2]", made));
    fails(__LINE__, [&] { function({.updates = {{w, sum(w, 0)}}}); },
          f + "update of shared variable 'w': it is f32[3,2], its new value is f32[2]");
    fails(__LINE__, [&] { function({.updates = {{w, w.T()}}}); },
          f + "update of shared variable 'w': it is f32[3,2], its new value is f32[2,3]");
    fails(__LINE__, [&] { function({.updates = {{w, cast(w, DType::F64)}}}); },
          f + "update of shared variable 'w': it is f32[3,2], its new value is f64[3,2]");
    fails(__LINE__, [&] { function({.updates = {{n, n + 0.5}}}); },
          f + "update of shared variable 'n': it is i32[], its new value is f32[]");
    fails(__LINE__, [&] { function({.updates = {{w, w + 1}, {w, w + 2}}}); },
          f + "shared variable 'w' is updated twice");
    fails(__LINE__, [&] { function({.updates = {{Expr(), w}}}); },
          f + "update of an empty expression");
    fails(__LINE__, [&] { function({.updates = {{w, Expr()}}}); }, "use of an empty expression");
    fails(made, [&] { Shared s(y); }, "'mul' is not a shared variable");
    // A literal takes the variable's dtype.
    function({.updates = {{n, 3}}})();
    CHECK(n.get_value().item<std::int32_t>() == 3);
}

TEST_CASE("build errors: givens") {
    const auto x = matrix<float>("x", {4, 3});
    const Expr y = sum(sqr(x));
    const std::string f = "function 'function': ";
    const auto d = shared(zeros<double>({4, 3}), "d");
    const auto t = shared(zeros<float>({3, 4}), "t");
    fails(__LINE__, [&] { function({.outputs = {y}, .givens = {{x, d}}}); },
          f + "given for 'x': it is f32[4,3], the replacement is f64[4,3]");
    fails(__LINE__, [&] { function({.outputs = {y}, .givens = {{x, t}}}); },
          f + "given for 'x': it is f32[4,3], the replacement is f32[3,4]");
    fails(__LINE__, [&] { function({.outputs = {y}, .givens = {{x, sum(t)}}}); },
          f + "given for 'x': it is f32[4,3], the replacement is f32[]");
    fails(__LINE__, [&] { function({.outputs = {y}, .givens = {{Expr(), t}}}); },
          f + "given for an empty expression");
    // An input of what replaces is an input of the function.
    const auto z = matrix<float>("z", {4, 3});
    fails(__LINE__, [&] { function({.outputs = {y}, .givens = {{x, z * 2}}}); },
          f + "input 'z' (f32[4,3]) is needed but not among the inputs");
}

TEST_CASE("build errors: inputs") {
    const auto x = matrix<float>("x", {4, 3}), y = matrix<float>("y", {4, 3});
    const auto w = shared(zeros<float>({4, 3}), "w");
    const int made = __LINE__ + 1;
    const Expr e = x * 2;
    const std::string f = "function 'step': ";
    fails(__LINE__, [&] { function({.inputs = {w}, .outputs = {w}, .name = "step"}); },
          f + "input 1 is not an input variable but shared: f32[4,3]");
    fails(__LINE__, [&] { function({.inputs = {x, e}, .outputs = {e}, .name = "step"}); },
          f + "input 2 is not an input variable but mul: f32[4,3]");
    fails(__LINE__, [&] { function({.inputs = {x, x}, .outputs = {e}, .name = "step"}); },
          f + "input 'x' is given twice");
    fails(__LINE__, [&] { function({.inputs = {Expr()}, .outputs = {e}, .name = "step"}); },
          f + "input 1 is an empty expression");
    fails(__LINE__, [&] { function({.inputs = {x}, .outputs = {e, Expr()}, .name = "step"}); },
          f + "an output is an empty expression");
    fails(__LINE__, [&] { function({.inputs = {x}, .outputs = {e + y}, .name = "step"}); },
          f + "input 'y' (f32[4,3]) is needed but not among the inputs");
    fails(__LINE__, [&] { function({.inputs = {x}, .updates = {{w, x + y}}, .name = "step"}); },
          f + "input 'y' (f32[4,3]) is needed but not among the inputs");
    fails(__LINE__, [&] { function({.inputs = {x, y}, .outputs = {e}, .name = "step"}); },
          f + "input 'y' is not used by any output or update");
    fails(made, [&] { e.eval(); },
          "function 'eval': input 'x' (f32[4,3]) is needed but not among the inputs");
    for (const OnUnusedInput how : {OnUnusedInput::warn, OnUnusedInput::ignore}) {
        const Function g = function({.inputs = {x, y}, .outputs = {e}, .on_unused_input = how});
        CHECK(g(ones<float>({4, 3}), zeros<float>({4, 3}))[0].equals(full<float>({4, 3}, 2)));
    }
}

TEST_CASE("build errors: random draws") {
    RandomStream random(1);
    CHECK_THROWS_AS(random.uniform({3}, 0, 1, DType::I32), GraphError);
    CHECK_THROWS_AS(random.bernoulli({3}, 1.5), GraphError);
    CHECK_THROWS_AS(random.bernoulli({3}, std::numeric_limits<double>::quiet_NaN()), GraphError);
}

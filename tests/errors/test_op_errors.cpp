// Operands that an op does not take: each error names the line that the user wrote, the op and what
// it was given.
#include <cmath>
#include <cstdint>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/errors/graph_errors.h"

using namespace arete;

namespace {

template <class F>
void refuses(int line, F f, const std::string& text) {
    test::graph_error("test_op_errors.cpp", line, f, text);
}

}  // namespace

// Each expression stands on the line of its __LINE__.
// clang-format off

TEST_CASE("op errors: bits are of integers") {
    const auto x = matrix<float>("x", {4, 3});
    const auto i = vector<std::int32_t>("i", {4}), j = vector<std::int32_t>("j", {5});
    refuses(__LINE__, [&] { bitwise_and(x, 1); }, "bitwise_and: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { bitwise_or(i, 0.5); }, "bitwise_or: needs integers: argument 1 is f32[4]");
    refuses(__LINE__, [&] { bitwise_xor(x, x); }, "bitwise_xor: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { bitwise_not(x); }, "bitwise_not: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { gcd(x, 2); }, "gcd: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { left_shift(x, 2); }, "left_shift: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { right_shift(i, j); },
            "right_shift: shapes cannot be broadcast together: i is i32[4], j is i32[5]");
    refuses(__LINE__, [&] { bitwise_and(vector<std::uint8_t>("bytes", {4}), 300); },
            "bitwise_and: the literal 300 is out of the range of u8, which it takes beside u8");
}

TEST_CASE("op errors: functions of floats") {
    const auto x = matrix<float>("x", {4, 3}), y = matrix<float>("y", {4, 2});
    const std::string both = "shapes cannot be broadcast together: x is f32[4,3], y is f32[4,2]";
    refuses(__LINE__, [&] { hypot(x, y); }, "hypot: " + both);
    refuses(__LINE__, [&] { atan2(x, y); }, "atan2: " + both);
    refuses(__LINE__, [&] { fmod(x, y); }, "fmod: " + both);
    refuses(__LINE__, [&] { trunc_div(x, y); }, "trunc_div: " + both);
    refuses(__LINE__, [&] { copysign(x, y); }, "copysign: " + both);
    refuses(__LINE__, [&] { clip(x, y, 1); }, "maximum: " + both);
    refuses(__LINE__, [&] { prelu(x, y); }, "mul: " + both);
    refuses(__LINE__, [&] { polygamma(-1, x); }, "polygamma: order -1");
}

TEST_CASE("op errors: what has no slope") {
    const auto x = vector<float>("x", {4});
    const Expr next = nextafter(x, 1);
    const std::string message = [&] {
        try {
            grad(sum(next), x);
        } catch (const GraphError& e) {
            return std::string(e.what());
        }
        return std::string();
    }();
    CHECK(message == fmt::format("test_op_errors.cpp:{}: grad: nextafter has no gradient", __LINE__ - 9));
}

TEST_CASE("op errors: reductions") {
    const auto x = matrix<float>("x", {4, 3}), none = matrix<float>("none", {0, 3});
    refuses(__LINE__, [&] { stddev(x, 2); }, "var: axis 2 of a tensor of rank 2");
    refuses(__LINE__, [&] { norm(x, NAN); }, "norm: order NaN");
    refuses(__LINE__, [&] { norm(none, INFINITY, 0); }, "max: no elements along axis 0: the argument is f32[0,3]");
    refuses(__LINE__, [&] { ptp(none, 0); }, "max: no elements along axis 0: none is f32[0,3]");
    refuses(__LINE__, [&] { nanmin(none, 0); }, "min: no elements along axis 0: the argument is f32[0,3]");
    refuses(__LINE__, [&] { count_nonzero(x, {0, -2}); }, "sum: an axis is given twice");
    refuses(__LINE__, [&] { cumsum(x, 2); }, "cumsum: axis 2 of a tensor of rank 2");
    refuses(__LINE__, [&] { cummax(scalar<float>("s")); }, "cummax: axis 0 of a tensor of rank 0");
}

TEST_CASE("op errors: movement") {
    const auto x = matrix<float>("x", {4, 3});
    const auto v = vector<float>("v", {4});
    const auto z = matrix<float>("z");
    refuses(__LINE__, [&] { split(x, 3); }, "split: axis 0 does not divide into 3 parts: x is f32[4,3]");
    refuses(__LINE__, [&] { split(x, 0); }, "split: 0 parts");
    refuses(__LINE__, [&] { split(x, {1, 2}); }, "split: sizes [1,2] do not add up to that of axis 0: x is f32[4,3]");
    refuses(__LINE__, [&] { split(x, 3, -3); }, "split: axis -3 of a tensor of rank 2");
    refuses(__LINE__, [&] { tile(x, {2, -1}); }, "tile: -1 repetitions");
    refuses(__LINE__, [&] { repeat(x, -2, 0); }, "repeat: -2 repetitions");
    refuses(__LINE__, [&] { repeat(x, 2, 5); }, "repeat: axis 5 of a tensor of rank 2");
    refuses(__LINE__, [&] { flip(x, {0, -2}); }, "flip: an axis is given twice");
    refuses(__LINE__, [&] { roll(x, 1, 2); }, "roll: axis 2 of a tensor of rank 2");
    refuses(__LINE__, [&] { roll(x, std::vector<std::int64_t>{1}, std::vector<int>{0, 1}); }, "roll: 1 shifts along 2 axes");
    refuses(__LINE__, [&] { pad(x, {{1, 1}}); }, "pad: 1 widths for the axes of x is f32[4,3]");
    refuses(__LINE__, [&] { pad(v, {{-1, 2}}); }, "pad: widths -1 and 2 of axis 0");
    refuses(__LINE__, [&] { pad(vector<float>("none", {0}), {{1, 0}}, PadMode::edge); }, "pad: no elements along axis 0: none is f32[0]");
    refuses(__LINE__, [&] { diag(scalar<float>("s")); }, "diag: needs an axis: s is f32[]");
    refuses(__LINE__, [&] { diagonal(v); }, "diagonal: needs two axes: v is f32[4]");
    refuses(__LINE__, [&] { diagonal(x, 0, 1, -1); }, "diagonal: an axis is given twice");
    refuses(__LINE__, [&] { trace(z); }, "diagonal: sizes of axes 0 and 1 must be known: z is f32[z.shape(0),z.shape(1)]");
    refuses(__LINE__, [&] { tril(v); }, "tril: needs two axes: v is f32[4]");
    refuses(__LINE__, [&] { triu(v); }, "triu: needs two axes: v is f32[4]");
    refuses(__LINE__, [&] { swapaxes(x, 0, 2); }, "swapaxes: axis 2 of a tensor of rank 2");
    refuses(__LINE__, [&] { moveaxis(x, {0, 1}, {0}); }, "moveaxis: 2 axes to 1 places");
    refuses(__LINE__, [&] { moveaxis(x, {0, 0}, {0, 1}); }, "moveaxis: an axis is given twice");
    refuses(__LINE__, [&] { meshgrid({v, x}); }, "meshgrid: needs vectors: x is f32[4,3]");
    refuses(__LINE__, [&] { one_hot(v, 3); }, "one_hot: needs integers: v is f32[4]");
    refuses(__LINE__, [&] { linspace(0.0, 1.0, -1); }, "linspace: -1 numbers");
    refuses(__LINE__, [&] { linspace(v, 1.0, 3); }, "linspace: needs scalars: v is f32[4], the argument is f32[]");
}

TEST_CASE("op errors: products, losses and optimisers") {
    const auto x = matrix<float>("x", {4, 3});
    const auto v = vector<float>("v", {4}), u = vector<float>("u", {5});
    const auto s = scalar<float>("s");
    refuses(__LINE__, [&] { tensordot(x, v, {1}, {0}); }, "tensordot: sizes of axes 1 and 0 differ: x is f32[4,3], v is f32[4]");
    refuses(__LINE__, [&] { tensordot(x, v, {0, 0}, {0, 0}); }, "tensordot: an axis is given twice");
    refuses(__LINE__, [&] { tensordot(x, v, {0, 1}, {0}); }, "tensordot: 2 axes of the one and 1 of the other");
    refuses(__LINE__, [&] { tensordot(x, v, 2); }, "tensordot: 2 axes of x is f32[4,3] and v is f32[4]");
    refuses(__LINE__, [&] { inner(x, v); }, "tensordot: sizes of axes 1 and 0 differ: x is f32[4,3], v is f32[4]");
    refuses(__LINE__, [&] { matmul(x, s); }, "matmul: needs an axis: x is f32[4,3], s is f32[]");
    refuses(__LINE__, [&] { matmul(tensor3<float>("c", {2, 4, 3}), v); }, "matmul: shapes do not fit: c is f32[2,4,3], v is f32[4]");
    refuses(__LINE__, [&] { huber(v, u); }, "huber: shapes cannot be broadcast together: v is f32[4], u is f32[5]");
    refuses(__LINE__, [&] { huber(v, v, 0); }, "huber: delta 0");
    refuses(__LINE__, [&] { hinge(v, u); }, "hinge: shapes cannot be broadcast together: v is f32[4], u is f32[5]");
    refuses(__LINE__, [&] { kl_divergence(v, u); }, "kl_divergence: shapes cannot be broadcast together: v is f32[4], u is f32[5]");
    refuses(__LINE__, [&] { smooth_labels(s, 0.1); }, "smooth_labels: needs an axis: s is f32[]");
    refuses(__LINE__, [&] { grad_clip(v, 1, -1); }, "grad_clip: from 1 to -1");
    const Shared w = shared(zeros<float>({3}), "w");
    refuses(__LINE__, [&] { sgd({w}, {}, 0.1); }, "sgd: 0 gradients for 1 parameters");
    refuses(__LINE__, [&] { adam({w}, {v}); }, "adam: the gradient of w is f32[3] is f32[4]");
    refuses(__LINE__, [&] { rmsprop({w}, {Expr()}, 0.1); }, "rmsprop: the gradient of w is f32[3] is empty");
    refuses(__LINE__, [&] { adagrad({w}, {w}, v); }, "adagrad: the rate must be a scalar: v is f32[4]");
}

TEST_CASE("op errors: sums of products, and what networks are made of") {
    const auto x = matrix<float>("x", {4, 3});
    const auto y = matrix<float>("y", {4, 2});
    const auto c = tensor4<float>("c", {2, 4, 3, 3});
    const auto v = vector<float>("v", {5});
    refuses(__LINE__, [&] { einsum("ij,jk", {x, y}); }, "einsum \"ij,jk\": sizes 3 and 4 of 'j'");
    refuses(__LINE__, [&] { einsum("ij", {x, y}); }, "einsum \"ij\": 2 operands");
    refuses(__LINE__, [&] { einsum("ijk", {x}); }, "einsum \"ijk\": 'ijk' for a tensor of rank 2");
    refuses(__LINE__, [&] { einsum("ii", {x}); }, "einsum \"ii\": 'i' is 4 and 3");
    refuses(__LINE__, [&] { einsum("i1", {x}); }, "einsum \"i1\": '1' is no letter");
    refuses(__LINE__, [&] { einsum("ij->ii", {x}); }, "einsum \"ij->ii\": 'i' twice in the result");
    refuses(__LINE__, [&] { einsum("ij->k", {x}); }, "einsum \"ij->k\": 'k' is in no operand");
    refuses(__LINE__, [&] { einsum("i..j", {x}); }, "einsum \"i..j\": 'i..j'");
    refuses(__LINE__, [&] { layer_norm(v, {}, 2); }, "layer_norm: needs 2 axes: v is f32[5]");
    refuses(__LINE__, [&] { batch_norm(c, std::make_pair(Operand(v), Operand(v))); }, "batch_norm: needs a number for each channel: v is f32[5], c is f32[2,4,3,3]");
    refuses(__LINE__, [&] { group_norm(c, 3); }, "group_norm: 3 groups of the channels of c is f32[2,4,3,3]");
    refuses(__LINE__, [&] { local_response_norm(c, 0); }, "local_response_norm: size 0");
    refuses(__LINE__, [&] { attention(x, y, y); }, "attention: shapes do not fit: x is f32[4,3], y is f32[4,2], y is f32[4,2]");
    refuses(__LINE__, [&] { attention(x, x, x, {.mask = Operand(v)}); }, "attention: v is f32[5] for scores [4,4]");
    refuses(__LINE__, [&] { rotary_embedding(x, y); }, "rotary_embedding: needs an angle for each position and each pair of an even last axis: x is f32[4,3], y is f32[4,2]");
    refuses(__LINE__, [&] { lstm_cell(x, y, y, x, y, v); }, "lstm_cell: weights of 4 gates: y is f32[4,2], x is f32[4,3], v is f32[5]");
    refuses(__LINE__, [&] { conv1d(x, y); }, "conv1d: needs x[n,c,l] and w[co,c,k]: x is f32[4,3], y is f32[4,2]");
}

TEST_CASE("op errors: orders and counts") {
    const auto x = matrix<float>("x", {4, 3});
    const auto v = vector<float>("v", {5});
    const auto s = scalar<float>("s");
    const auto i = vector<std::int64_t>("i", {5});
    const auto b = vector<bool>("b", {3});
    refuses(__LINE__, [&] { sort(s); }, "sort: needs an axis: s is f32[]");
    refuses(__LINE__, [&] { argsort(x, 2); }, "argsort: axis 2 of a tensor of rank 2");
    refuses(__LINE__, [&] { topk(x, 4); }, "topk: 4 elements of axis 1: x is f32[4,3]");
    refuses(__LINE__, [&] { topk(x, -1); }, "topk: -1 elements of axis 1: x is f32[4,3]");
    refuses(__LINE__, [&] { searchsorted(x, v); }, "searchsorted: needs a vector: x is f32[4,3]");
    refuses(__LINE__, [&] { bincount(v, 3); }, "bincount: needs integers: v is f32[5]");
    refuses(__LINE__, [&] { bincount(i, 3, x); }, "bincount: weights for each integer: x is f32[4,3], i is i64[5]");
    refuses(__LINE__, [&] { histogram(v, s); }, "histogram: needs a vector of two edges at least: s is f32[]");
    refuses(__LINE__, [&] { histogram(v, 0, 0, 1); }, "histogram: 0 bins from 0 to 1");
    refuses(__LINE__, [&] { histogram(v, 3, 1, 1); }, "histogram: 3 bins from 1 to 1");
    refuses(__LINE__, [&] { quantile(x, 1.5); }, "quantile: q is 1.5");
    refuses(__LINE__, [&] { quantile(x, v); }, "quantile: needs one number: v is f32[5]");
    refuses(__LINE__, [&] { median(vector<float>("n", {0})); }, "quantile: of no elements: n is f32[0]");
    refuses(__LINE__, [&] { take_along_axis(x, i, 0); }, "take_along_axis: shapes do not fit: x is f32[4,3], i is i64[5]");
    refuses(__LINE__, [&] { take_along_axis(v, v, 0); }, "index: an index must be an integer: v is f32[5]");
    refuses(__LINE__, [&] { gather_nd(x, i); }, "gather_nd: the last axis of the indices must be as long as there are indices, at most the rank: x is f32[4,3], i is i64[5]");
    refuses(__LINE__, [&] { nonzero(s, 3); }, "nonzero: needs an axis: s is f32[]");
    refuses(__LINE__, [&] { boolean_mask(x, b, 3); }, "boolean_mask: needs a bool of the shape of the first axes: x is f32[4,3], b is bool[3]");
    // What is found when the function runs.
    const Function counts = function({.inputs = {i}, .outputs = {bincount(i, 3)}});
    CHECK(counts(std::vector<std::int64_t>{0, 2, 2, 0, 2})[0].str() == "i64[3] {2, 0, 3}");
    CHECK_THROWS_AS(counts(std::vector<std::int64_t>{0, 2, 3, 0, 2}), RangeError);
    CHECK_THROWS_AS(counts(std::vector<std::int64_t>{0, 2, -1, 0, 2}), RangeError);
}

TEST_CASE("op errors: copies with other elements") {
    const auto x = matrix<float>("x", {4, 3}), y = matrix<float>("y", {3, 4});
    const auto v = vector<float>("v", {5});
    const auto d = vector<double>("d", {3});
    const auto n = vector<std::int64_t>("n", {2});
    const auto i = vector<std::int64_t>("i", {5});
    const auto b = vector<bool>("b", {3});
    refuses(__LINE__, [&] { set_subtensor(x, {0}, v); }, "set_subtensor: v is f32[5] cannot be broadcast to [3]");
    refuses(__LINE__, [&] { inc_subtensor(x(all, i), y); }, "inc_subtensor: y is f32[3,4] cannot be broadcast to [4,5]");
    refuses(__LINE__, [&] { inc_subtensor(x + 1, 1); }, "inc_subtensor: needs the result of an index x(...), not this is f32[4,3]");
    refuses(__LINE__, [&] { set_subtensor(i, {0}, d(0)); }, "set_subtensor: the value is f64[] for i is i64[5]");
    refuses(__LINE__, [&] { inc_subtensor(b, {0}, true); }, "inc_subtensor: needs numbers: b is bool[3]");
    refuses(__LINE__, [&] { set_subtensor(x, {4}, 1); }, "index: 4 is out of range for axis 0 of size 4");
    refuses(__LINE__, [&] { set_subtensor(x, {0, 0, 0}, 1); }, "index: 3 indices, but x is f32[4,3]");
    refuses(__LINE__, [&] { set_subtensor(x, {n, i}, 1); }, "index: index arrays cannot be broadcast together: [2], [5]");
    refuses(__LINE__, [&] { set_subtensor(n, {0}, std::int64_t{1} << 40) + set_subtensor(b, {0}, 7); }, "set_subtensor: the value is i32[] for b is bool[3]");
    refuses(__LINE__, [&] { scatter_elements(x, i, v); }, "scatter_elements: ranks differ: x is f32[4,3], i is i64[5], v is f32[5]");
    refuses(__LINE__, [&] { scatter_elements(v, n, v); }, "scatter_elements: n is i64[2] and v is f32[5] for v is f32[5]");
    refuses(__LINE__, [&] { scatter_elements(v, i, v, 1); }, "scatter_elements: axis 1 of a tensor of rank 1");
    refuses(__LINE__, [&] { scatter_nd(x, i, v); }, "scatter_nd: the last axis of the indices must be as long as there are indices, at most the rank: x is f32[4,3], i is i64[5]");
    refuses(__LINE__, [&] { grad(sum(update_subtensor(Scatter::mul, v(n), d(slice(0, 2)))), v); }, "mul_subtensor: products of values that an index array may bring to one place have no gradient here");
}
// clang-format on

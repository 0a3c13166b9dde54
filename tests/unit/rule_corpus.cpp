#include "tests/unit/rule_corpus.h"

#include "compiler/ops/op.h"
#include "compiler/ops/random.h"
#include "compiler/ops/special.h"

using namespace arete;

namespace {

// So many numbers of a matrix, taken in a fixed disorder.
Expr values(const Expr& x, const Sizes& sizes) {
    std::vector<std::int64_t> places;
    for (std::int64_t k = 0; k < count(sizes); ++k) places.push_back(k * 19 % 35 * (k % 3) % 35);
    Shape shape;
    for (const std::int64_t n : sizes) shape.emplace_back(n);
    return reshape(take(flatten(x), constant(Array(places))), shape);
}

// Zeros and ones, as dropout has them.
Expr coins(DType t) {
    const Expr key = scalar_constant(DType::I64, std::int64_t{3});
    return random_bernoulli({35}, {key, key, 7}, 0.5, t);
}

// What a layer with max-pooling makes of images before its activation.
Expr pooled(const Expr& images, const Expr& filters, bool flip) {
    return pool2d(conv2d(images, filters, {.filter_flip = flip}), {2, 2});
}

// The gradient of a cost of p, passed on through p.
Expr through(const Expr& p, const Expr& cost, const Expr& x) {
    return Lop(p, {x}, grad(sum(cost), p))[0];
}

// A gradient that is zero but in three of many rows, one of which is read twice.
Expr rows_gradient(const Expr& w, const Expr& y) {
    const Array rows(std::vector<std::int64_t>{3, 29, 3, 14});
    return grad(sum(take(w, constant(rows)) * tile(y(slice(0, 4)), {1, 6})), w);
}

}  // namespace

const std::vector<Written>& written_for_rules() {
    using E = const Expr&;
    const auto labels = [](std::vector<std::int64_t> v) { return Array(v); };
    static const std::vector<Written> all_of_them = {
        {"elementwise_before_view", [](E x, E y) { return x.T() + y.T(); }},
        {"elementwise_before_view", [](E x, E) { return sqr(reshape(x, {35})); }},
        {"elementwise_before_view",
         [](E x, E) {
             return 2 * broadcast_to(x, {3, 5, 7});
         }},
        {"elementwise_before_view", [](E x, E y) { return x.T() < y.T(); }},
        {"elementwise_before_view", [](E x, E) { return where(x.T() > 1, x.T(), 0); }},
        {"broadcast_implied",
         [](E x, E y) {
             return x + broadcast_to(y(0), {5, 7});
         }},
        {"broadcast_implied",
         [](E x, E y) {
             return x * reshape(y(0), {1, 7});
         }},
        {"broadcast_implied",
         [](E x, E y) {
             return x * dimshuffle(y(0), {'x', 0});
         }},
        {"broadcast_reshape",
         [](E x, E) {
             return broadcast_to(reshape(x, {1, 5, 7}), {3, 5, 7});
         }},
        {"broadcast_chain",
         [](E x, E) {
             return broadcast_to(broadcast_to(x(0), {2, 7}), {3, 2, 7});
         }},
        {"slice_concatenate",
         [](E x, E y) {
             return concatenate({x, y})(slice(6, 9));
         }},
        {"slice_concatenate",
         [](E x, E y) {
             return concatenate({x, y, x}, 1)(all, slice(20, 14, -3));
         }},
        {"dynamic_slice_constant",
         [](E x, E) {
             const Expr start = scalar_constant(DType::I64, std::int64_t{1});
             const Expr zero = scalar_constant(DType::I64, std::int64_t{0});
             return apply(*find_op("dynamic_slice"), {x, start, zero},
                          {{"steps", Ints{2, 1}}, {"sizes", Shape{2, 3}}}, {});
         }},
        {"concatenate_chain",
         [](E x, E y) {
             return concatenate({concatenate({x, y}), x});
         }},
        {"concatenate_chain", [](E x, E) { return concatenate({x}); }},
        {"where_where", [](E x, E y) { return where(x < y, where(y < 1, x, 0), 0); }},
        {"where_reshape_where",
         [](E x, E y) {
             return where(x < y, reshape(where(coins(DType::Bool), flatten(x), 0), {5, 7}), 0);
         }},
        {"sigmoid_slope",
         [](E x, E y) { return sigmoid(x) + sum(y, 1, true) * (sigmoid(x) * sigmoid(-x)); }},
        {"div_of_scaled", [](E x, E) { return x * 4 / 0.5; }},
        {"pow_half", [](E x, E) { return pow(sqr(x), 0.5); }},
        {"pow_half", [](E x, E y) { return pow(maximum(x, 0) + abs(y), 0.5); }},
        {"pow_half", [](E x, E y) { return pow(where(x < y, exp(x), sqr(y)), 0.5); }},
        {"log_of_view", [](E x, E) { return log(sum(exp(x), 1)(slice(1, 3))); }},
        {"log_of_product", [](E x, E y) { return log(softmax(x) * sigmoid(y)); }},
        {"log_of_product", [](E x, E) { return log(0.5 * sigmoid(x)); }},
        {"log_of_quotient", [](E x, E y) { return log(sigmoid(x) / softmax(y)); }},
        {"log_of_power", [](E x, E) { return log(pow(sigmoid(x), 2.5)); }},
        {"log_of_root", [](E x, E) { return log(sqrt(exp(x))); }},
        {"log_of_cast",
         [](E x, E) {
             const DType other = x.dtype() == DType::F32 ? DType::F64 : DType::F32;
             return cast(log(cast(softmax(x), other)), DType::F32);
         }},
        {"minus_log_sum_exp", [](E x, E) { return x - logsumexp(x, 1, true); }},
        {"quotient_of_exponentials", [](E x, E y) { return x / (2 + 3 * exp(y)); }},
        {"quotient_of_exponentials", [](E x, E y) { return x / (0.5 + 3 * exp(y)); }},
        {"quotient_of_exponentials", [](E x, E y) { return (2 * exp(x) - exp(y)) / (3 * exp(x) + exp(y)); }},
        {"quotient_of_exponentials", [](E x, E) { return (exp(x) - 1) / (1 + exp(x)); }},
        {"quotient_of_exponentials", [](E x, E) { return (exp(x) - exp(2 * x)) / (1 + exp(x) + exp(-x)); }},
        {"quotient_of_exponentials", [](E x, E y) { return expm1(x) / (exp(x) + sum(exp(y), 1, true)); }},
        {"quotient_of_scaled_exponentials", [](E x, E y) { return x / (y + exp(x)); }},
        {"quotient_of_scaled_exponentials", [](E x, E y) { return (y * exp(x) - 2) / sqr(x + y * exp(y)); }},
        {"quotient_of_scaled_exponentials", [](E x, E y) { return 1 / pow(exp(x) + y * exp(2 * y) + 1, 1.5); }},
        {"log_of_scaled_exponentials", [](E x, E y) { return log(y + exp(x)); }},
        {"log_of_scaled_exponentials", [](E x, E y) { return log(y * exp(x) / x); }},
        {"log1p_of_scaled_exponentials", [](E x, E y) { return log1p(y * exp(x)); }},
        {"join_exponentials", [](E x, E y) { return exp(x) * exp(-y * exp(x)); }},
        {"join_exponentials", [](E x, E y) { return y * exp(x) * (exp(y - x * exp(x)) / x); }},
        {"join_flat", [](E x, E y) { return where(-y * exp(x) < -104, 0, sqr(y)) * (x * exp(x)); }},
        {"log_of_exponentials", [](E x, E y) { return log(2 * exp(x) + exp(y) / 3); }},
        {"log_of_exponentials", [](E x, E y) { return log(exp(x + y) - exp(x)); }},
        {"log_of_exponentials", [](E x, E y) { return log(1 + sum(exp(x), 1, true) + sqr(exp(y))); }},
        {"log1p_of_exponentials", [](E x, E) { return log1p(exp(x) / 4); }},
        {"log1p_of_exponentials", [](E x, E y) { return log1p(exp(x) + exp(y)); }},
        {"scaled_sigmoid_minus", [](E x, E) { return 2 * sigmoid(x) - 1; }},
        {"scaled_sigmoid_minus", [](E x, E) { return 0.25 * sigmoid(x) - 0.25; }},
        {"minus_scaled_sigmoid", [](E x, E) { return 1 - 2 * sigmoid(x); }},
        {"minus_scaled_sigmoid", [](E x, E) { return 3 - 3 * sigmoid(x); }},
        {"plus_scaled", [](E x, E) { return 0.5 * tanh(x) + 0.5; }},
        {"plus_scaled", [](E x, E) { return 3 + 3 * erf(x); }},
        {"minus_scaled", [](E x, E) { return 0.5 - 0.5 * tanh(x); }},
        {"minus_scaled", [](E x, E) { return 0.25 - 0.25 * erf(x); }},
        {"minus_scaled_erfc", [](E x, E) { return 1 - 0.5 * erfc(x); }},
        {"exp_minus_exp", [](E x, E) { return exp(-exp(x)); }},
        {"exp_minus_exp", [](E x, E) { return exp(-0.5 * exp(0.5 * x)); }},
        {"exp_of_difference", [](E x, E) { return exp(x - exp(x)); }},
        {"exp_of_difference", [](E x, E) { return exp(2 * x - exp(x)); }},
        {"expm1_minus_exp", [](E x, E) { return expm1(-exp(x)); }},
        {"expm1_minus_exp", [](E x, E) { return expm1(-0.5 * exp(0.5 * x)); }},
        {"one_minus_gumbel", [](E x, E) { return 1 - gumbel(x, 0); }},
        {"gumbel_minus_one", [](E x, E) { return gumbel(x, 0) - 1; }},
        {"one_minus_gumbel_cdf", [](E x, E) { return 1 - gumbel_cdf(x); }},
        {"log_gumbel", [](E x, E) { return log(gumbel(x / 8, 2)); }},
        {"log_gumbel_cdf", [](E x, E) { return log(gumbel_cdf(x)); }},
        {"log1p_minus_gumbel", [](E x, E) { return log1p(-gumbel(x, 0)); }},
        {"cancel_factors", [](E x, E y) { return gumbel(x, 0) * (y * exp(x)); }},
        {"cancel_factors", [](E x, E y) { return y / sqr(expm1(x)) * exp(x); }},
        {"cancel_factors", [](E x, E) { return pow(sigmoid(x), -0.7) * sigmoid(x); }},
        {"cancel_factors", [](E x, E) { return exp(x + 1) * sqr(sigmoid(-x)); }},
        {"cancel_quotients", [](E x, E) { return exp(x) / sqr(1 + 2 * exp(x)); }},
        {"log_one_minus_softmax", [](E x, E) { return log(1 - softmax(x)); }},
        {"log_one_minus_softmax", [](E x, E) { return log(1 - softmax(x, 0)(slice(1, 3))); }},
        {"log1p_minus_softmax", [](E x, E) { return log1p(-softmax(x).T()); }},
        {"log_of_weighted_sum", [](E x, E y) { return log(sum(y * exp(x), 1)); }},
        {"log_of_weighted_sum", [](E x, E y) { return log(sum(sqr(y) * softmax(x) * 2, 1, true)); }},
        {"log_of_weighted_sum", [](E x, E) { return log(sum(softmax(x)(all, slice(1, 3)))); }},
        {"log_of_mean", [](E x, E) { return log(mean(exp(x), 0)); }},
        {"log_of_mean", [](E x, E y) { return log(mean(y * sigmoid(x))); }},
        {"cancel_factors", [](E x, E y) { return (y / sigmoid(x)) * (sigmoid(x) * x); }},
        {"cancel_factors", [](E x, E y) { return exp(x) * y * sqr(sigmoid(-x)); }},
        {"cancel_factors", [](E x, E y) { return y / softmax(x) * softmax(x); }},
        {"cancel_quotients", [](E x, E y) { return exp(x) * y / sqrt(exp(x)); }},
        {"cancel_in_sum",
         [](E x, E y) { return (y / sigmoid(x) - x / sigmoid(-x)) * (sigmoid(x) * sigmoid(-x)); }},
        {"abs_positive", [](E x, E y) { return abs(exp(x) * max(sqr(y), 1, true)); }},
        {"sqr_sqrt", [](E x, E y) { return sqr(sqrt(sqr(x) + sum(abs(y), 1, true))); }},
        {"positive_masked", [](E x, E y) { return grad(sum(sqr(relu(x) * (y < 1))), x); }},
        {"positive_view_masked",
         [](E x, E) { return grad(sum(sqr(coins(x.dtype()) * flatten(relu(x)))), x); }},
        {"check_range_redundant",
         [](E x, E) {
             const Expr start = scalar_constant(DType::I64, std::int64_t{1});
             return cast(
                 apply(*find_op("check_range"), {start},
                       {{"size", Dim(5)}, {"length", Dim(2)}, {"step", std::int64_t{1}}}, {}),
                 x.dtype());
         }},
        {"sum_one_hot",
         [labels](E x, E) {
             const Expr y = constant(labels({0, 6, 3, 3, 1}));
             return sum(
                 apply(*find_op("one_hot_rows"), {y, x(all, 2)}, {{"sizes", Shape{5, 7}}}, {}), 1,
                 true);
         }},
        {"log_of_view", [](E x, E) { return log(softmax(x)(slice(1, 3))); }},
        {"log_of_view",
         [labels](E x, E) {
             return log(softmax(x)(arange(5), labels({0, 6, 3, 3, 1})));
         }},
        {"softmax_grad_of_picked",
         [labels](E x, E y) {
             const Expr p = softmax(x);
             return through(p, log(p(arange(5), labels({0, 6, 3, 3, 1}))) * y(all, 0), x);
         }},
        {"softmax_grad_of_picked",
         [labels](E x, E y) {
             const Expr p = softmax(x);
             return through(p, log(p(labels({0, 1, 0}), labels({2, 2, 2}))) * y(0, slice(0, 3)), x);
         }},
        {"softmax_grad_of_picked",
         [labels](E x, E) {
             const Expr p = softmax(x);
             return through(p, -log(take(p, labels({1, 1}), 1)), x);
         }},
        {"softmax_grad_of_picked",
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p(all, slice(1, 6, 2))), x);
         }},
        {"softmax_grad_of_sum",
         [](E x, E y) {
             const Expr p = softmax(x);
             return through(p, p * y + log(p), x);
         }},
        {"softmax_grad_of_sum",
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, p * log(p), x);
         }},
        {"softmax_grad_of_difference",
         [](E x, E y) {
             const Expr p = softmax(x);
             return through(p, p * y - y * log(p), x);
         }},
        {"softmax_grad_of_log",
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p), x);
         }},
        {"softmax_grad_of_log",
         [](E x, E y) {
             const Expr p = softmax(x, 0);
             return through(p, -y * log(p), x);
         }},
        {"exp_over_sum", [](E x, E) { return exp(x) / sum(exp(x), 1, true); }},
        {"exp_over_sum", [](E x, E) { return exp(x) / sum(exp(x), 0); }},
        {"exp_over_sum",
         [](E x, E) {
             return exp(x) / dimshuffle(sum(exp(x), 1), {0, 'x'});
         }},
        {"exp_over_sum", [](E x, E) { return exp(x) / sum(exp(x)); }},
        {"log_sum_exp_grad",
         [](E x, E y) {
             const Expr e = exp(x);
             return through(e, log(sum(e, 1)) * y(all, 0), x);
         }},
        {"log_sum_exp_grad",
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, log(sum(e, 0, true)), x);
         }},
        {"log_sum_exp_grad",
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, log(sum(e)), x);
         }},
        {"log_sum_exp",
         [](E x, E y) {
             return log(sum(exp(reshape(x, {5, 1, 7}) * y), {0, 2}));
         }},
        {"exp_over_sum",
         [](E x, E y) {
             const Expr e = exp(reshape(x, {5, 1, 7}) * y);
             return e / sum(e, {0, 2}, true);
         }},
        {"filters_of_unpooled",
         [](E x, E y) {
             const Expr w = values(y, {4, 12, 3, 3});
             return grad(sum(pooled(values(x, {2, 12, 8, 7}), w, true)), w);
         }},
        {"filters_of_unpooled",
         [](E x, E y) {
             const Expr w = values(y, {3, 7, 2, 5});
             return grad(sum(sqr(pooled(values(x, {2, 7, 7, 9}), w, false))), w);
         }},
        {"images_of_unpooled",
         [](E x, E y) {
             const Expr images = values(x, {2, 12, 8, 7});
             return grad(sum(pooled(images, values(y, {8, 12, 3, 3}), true)), images);
         }},
        {"images_of_unpooled",
         [](E x, E y) {
             const Expr images = values(x, {1, 7, 11, 9});
             return grad(sum(sqr(pooled(images, values(y, {9, 7, 4, 5}), false))), images);
         }},
        {"filters_by_phase",
         [](E x, E y) {
             const Expr w = values(y, {8, 3, 3, 3});
             const Conv2dOptions every_other{.border_mode = {1, 1}, .subsample = {2, 2}};
             return grad(sum(sqr(conv2d(values(x, {2, 3, 7, 8}), w, every_other))), w);
         }},
        {"filters_by_phase",
         [](E x, E y) {
             const Expr w = values(y, {9, 2, 2, 4});
             const Conv2dOptions every_third{.subsample = {1, 3}, .filter_flip = false};
             return grad(sum(sqr(conv2d(values(x, {1, 2, 5, 13}), w, every_third))), w);
         }},
        {"rows_subtracted",
         [](E x, E y) {
             const Expr w = tile(x, {6, 6});
             return w - 0.5 * rows_gradient(w, y);
         }},
        {"rows_subtracted",
         [](E x, E y) {
             const Expr w = tile(x, {6, 6});
             const Expr picked = w(constant(Array(std::vector<std::int64_t>{29, 0})),
                                   constant(Array(std::vector<std::int64_t>{41, 7})));
             return sqr(w) - grad(sum(picked * y(slice(0, 2), 0)), w) / 3;
         }},
        {"rows_added",
         [](E x, E y) {
             const Expr w = tile(x, {6, 6});
             return 3 * w + (rows_gradient(w, y) - rows_gradient(w, sqr(y)));
         }},
    };
    return all_of_them;
}

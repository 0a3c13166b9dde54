// Gradients, and gradients of gradients, at points where a formula taken literally gives NaN or
// loses a term.
#include "tests/ops/gradient_cases.h"

using namespace arete;
using namespace arete::test;

namespace {

Expr length(const Expr& x) {
    return sqrt(sum(sqr(x)));
}

}  // namespace

TEST_CASE("maximum, minimum, clipping, relu and abs choose") {
    check_all({
        {"maximum", [](X x) { return maximum(log(x), -1); }, {0, 1}, {0, 1}, {0, -1}},
        {"minimum", [](X x) { return minimum(1 / x, 10); }, {0, 1}, {0, -1}, {0, 2}},
        {"of what overflows", [](X x) { return minimum(exp(x), 100); }, {1000, 0}, {0, 1}, {0, 1}},
        {"clip",
         [](X x) { return minimum(maximum(log(x), -5), 5); },
         {0, 1, inf},
         {0, 1, 0},
         {0, -1, 0}},
        {"clip first",
         [](X x) { return sqrt(minimum(maximum(x, 0), 9)); },
         {-1, 0, 4, 16},
         {0, 0, 0.25, 0},
         {0, 0, -1.0 / 32, 0}},
        {"relu below",
         [](X x) { return sqrt(relu(x)); },
         {-1, 0, 4},
         {0, 0, 0.25},
         {0, 0, -1.0 / 32}},
        {"relu above", [](X x) { return relu(log(x)); }, {0, e}, {0, 1 / e}, {0, -1 / (e * e)}},
        {"abs below", [](X x) { return sqrt(abs(x)); }, {0, 4, -4}, {0, 0.25, -0.25}},
        {"abs above", [](X x) { return abs(sqrt(x)); }, {0, 4}, {0, 0.25}},
        {"the square of abs", [](X x) { return sqr(abs(x)); }, {0, -3}, {0, -6}, {2, 2}},
        {"the larger of two", [](X x) { return maximum(sqrt(x), x); }, {0.25, 4}, {1, 1}, {-2, 0}},
        {"softplus against relu",
         [](X x) { return maximum(x, 0.1 * x) + relu(-x); },
         {-2, 3},
         {-0.9, 1},
         {0, 0}},
    });
}

TEST_CASE("norms have gradient 0 at 0, and squares of norms all derivatives") {
    check_all({
        {"norm", length, {0, 0}, {0, 0}},
        {"norm elsewhere", length, {3, 4}, {0.6, 0.8}},
        {"square", [](X x) { return sqr(length(x)); }, {0, 0}, {0, 0}, {2, 2}},
        {"square elsewhere", [](X x) { return sqr(length(x)); }, {3, 4}, {6, 8}, {2, 2}},
        {"times itself", [](X x) { return length(x) * length(x); }, {0, 0}, {0, 0}},
        {"the same times itself",
         [](X x) {
             const Expr n = length(x);
             return n * n / 2;
         },
         {0, 0},
         {0, 0},
         {1, 1}},
        {"power", [](X x) { return pow(length(x), 2); }, {0, 0}, {0, 0}, {2, 2}},
        {"third power", [](X x) { return pow(length(x), 3); }, {0, 0}, {0, 0}, {0, 0}},
        {"fourth power", [](X x) { return sqr(sqr(length(x))); }, {0, 0}, {0, 0}, {0, 0}},
        {"written as a power",
         [](X x) { return sqr(pow(sum(pow(x, 2)), 0.5)); },
         {0, 0},
         {0, 0},
         {2, 2}},
        {"root mean square", [](X x) { return sqr(sqrt(mean(x * x))); }, {0, 0}, {0, 0}, {1, 1}},
        {"rows",
         [](X x) { return sqr(sqrt(sum(sqr(matrix_of(x)), 1))); },
         {0, 0, 3, 4},
         {0, 0, 6, 8},
         {2, 2, 2, 2}},
        {"Huber's loss",
         [](X x) {
             const Expr n = length(x);
             return where(n < 1, sqr(n) / 2, n - 0.5);
         },
         {0, 0},
         {0, 0},
         {1, 1}},
        {"Huber's loss elsewhere",
         [](X x) {
             const Expr n = length(x);
             return where(n < 1, sqr(n) / 2, n - 0.5);
         },
         {3, 4},
         {0.6, 0.8}},
        {"times what it is repeated for",
         [](X x) {
             const Expr n = sqrt(sum(sqr(matrix_of(x)), 1, true));
             return sqr(n * cast(numbers({1, 2, 3}), x.dtype())) / 14;
         },
         {0, 0, 3, 4},
         {0, 0, 6, 8},
         {2, 2, 2, 2}},
        {"one norm for many",
         [](X x) {
             return sqr(length(x) * cast(numbers({1, 2}), x.dtype())) / 5;
         },
         {0, 0},
         {0, 0},
         {2, 2}},
        {"distances",
         [](X x) {
             const Expr m = matrix_of(x);
             return sqrt(sum(sqr(expand_dims(m, 0) - expand_dims(m, 1)), 2));
         },
         {0, 0, 3, 4},
         {-1.2, -1.6, 1.2, 1.6}},
        {"the norm of order 3",
         [](X x) { return pow(sum(pow(abs(x), 3)), 1.0 / 3); },
         {0, 0},
         {0, 0}},
        {"the norm of order 3 elsewhere",
         [](X x) { return pow(sum(pow(abs(x), 3)), 1.0 / 3); },
         {-1, 0},
         {-1, 0}},
        {"the norm of order 1", [](X x) { return sqr(sqrt(sum(abs(x)))); }, {0, -2}, {0, -1}},
        {"direction",
         [](X x) {
             const Expr n = length(x);
             return where(n > 0, x / n, 0);
         },
         {0, 0},
         {0, 0},
         {0, 0}},
        {"the square of a root", [](X x) { return sqr(sqrt(x)); }, {0, 4}, {1, 1}, {0, 0}},
        {"the root itself", [](X x) { return sqrt(x); }, {0, inf}, {inf, 0}},
    });
}

TEST_CASE("smooth functions of a norm have their second derivatives at 0") {
    const double n = 5, s = std::sin(n) / n, c = std::cos(n) - s;
    check_all({
        {"1 - cos", [](X x) { return 1 - cos(length(x)); }, {0, 0}, {0, 0}, {1, 1}},
        {"1 - cos elsewhere",
         [](X x) { return 1 - cos(length(x)); },
         {3, 4},
         {3 * s, 4 * s},
         {s + c * 21 / 25, s + c * 28 / 25}},
        {"log(cosh)", [](X x) { return log_cosh(length(x)); }, {0, 0}, {0, 0}, {1, 1}},
        {"the square of a sine", [](X x) { return sqr(sin(length(x))); }, {0, 0}, {0, 0}, {2, 2}},
        {"rows",
         [](X x) { return -2 * cos(sqrt(sum(sqr(matrix_of(x)), 1))); },
         {0, 0, 3, 4},
         {0, 0, 6 * s, 8 * s},
         {2, 2, 2 * (s + c * 21 / 25), 2 * (s + c * 28 / 25)}},
        {"of one number",
         [](X x) { return cos(abs(x)); },
         {0, 2, -2, inf},
         {0, -std::sin(2), std::sin(2), NaN},
         {-1, -std::cos(2), -std::cos(2), NaN}},
        {"log(cosh) of one number",
         [](X x) { return log_cosh(abs(x)); },
         {0, inf, -inf},
         {0, 1, -1},
         {1, 0, 0}},
        {"of a root", [](X x) { return cos(sqrt(x)); }, {0, 4}, {-0.5, -std::sin(2) / 4}},
    });
}

TEST_CASE("at NaN: comparisons with it are false, and it is the largest and the smallest") {
    check_all({
        {"relu", [](X x) { return relu(x); }, {NaN, 1}, {0, 1}, {0, 0}},
        {"maximum with 0", [](X x) { return maximum(x, 0); }, {NaN, 1}, {0, 1}, {0, 0}},
        {"maximum", [](X x) { return maximum(x, 0.5); }, {NaN, 1}, {0, 1}, {0, 0}},
        {"minimum", [](X x) { return minimum(x, 0.5); }, {NaN, 0}, {0, 1}, {0, 0}},
        {"clip",
         [](X x) { return minimum(maximum(x, -1), 1); },
         {NaN, 0.5, 2},
         {0, 1, 0},
         {0, 0, 0}},
        {"of two variables the second",
         [](X x) { return maximum(x(slice(0, 2)), 2 * x(slice(2, 4))); },
         {NaN, 1, 1, NaN},
         {0, 0, 2, 2}},
        {"the branch that is taken", [](X x) { return where(x > 0, sqr(x), 3 * x); }, {NaN}, {3}},
        {"abs", [](X x) { return abs(x); }, {NaN, -1}, {NaN, -1}},
        {"max", [](X x) { return max(x); }, {1, NaN, NaN}, {0, 1, 1}},
        {"min of rows", [](X x) { return min(matrix_of(x), 1); }, {1, NaN, 2, 3}, {0, 1, 1, 0}},
    });
    const Expr x = vector<double>("x", {2});
    const auto values = function({.inputs = {x},
                                  .outputs = {relu(x), maximum(x, 0), maximum(x, 1), minimum(x, 1),
                                              abs(x), max(x), min(x)}})(Array(Values{NaN, 2}));
    for (const Array& v : values) CHECK(std::isnan(v.as_double(0)));
}

TEST_CASE("pow has its gradients at every corner") {
    check_all({
        {"x^0", [](X x) { return pow(x, 0); }, {0, 2, -1, inf}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {"sqrt(x)^0", [](X x) { return pow(sqrt(x), 0); }, {0, 2}, {0, 0}, {0, 0}},
        {"x^1", [](X x) { return pow(x, 1); }, {0, -2, inf}, {1, 1, 1}, {0, 0, 0}},
        {"x^2", [](X x) { return pow(x, 2); }, {0, -2}, {0, -4}, {2, 2}},
        {"x^3", [](X x) { return pow(x, 3); }, {0, -2}, {0, 12}, {0, -12}},
        {"x^-1", [](X x) { return pow(x, -1); }, {-2, inf}, {-0.25, 0}, {-0.25, 0}},
        {"exponents that differ",
         [](X x) {
             return pow(x, cast(numbers({0, 1, 2, 3}), x.dtype()));
         },
         {0, 0, 0, -2},
         {0, 1, 0, 12},
         {0, 0, 2, -12}},
        {"0^y",
         [](X x) {
             return pow(cast(numbers({0, 0, 2}), x.dtype()), x);
         },
         {2, 0.5, 3},
         {0, 0, 8 * std::log(2)},
         {0, 0, 8 * std::log(2) * std::log(2)}},
        {"0^0 by the exponent",
         [](X x) { return pow(cast(constant(0.0), x.dtype()), x); },
         {0},
         {0}},
        {"both vary: bases 0, 0, 0, 2, exponents 0, 1, 2, 3",
         [](X x) { return pow(x(slice(0, 4)), x(slice(4, 8))); },
         {0, 0, 0, 2, 0, 1, 2, 3},
         {0, 1, 0, 12, 0, 0, 0, 8 * std::log(2)}},
        {"both vary: a negative base",
         [](X x) { return pow(x(slice(0, 1)), x(slice(1, 2))); },
         {-2, 3},
         {12, NaN}},
        {"both vary: infinities",
         [](X x) { return pow(x(slice(0, 3)), x(slice(3, 6))); },
         {inf, 0.5, 2, -1, inf, -inf},
         {0, 0, 0, 0, 0, 0}},
    });
}

TEST_CASE("slopes of functions are right where these end") {
    const double big = std::exp(-100.0);
    check_all({
        {"tanh", [](X x) { return tanh(x); }, {100, -100, inf, -inf}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {"sigmoid",
         [](X x) { return sigmoid(x); },
         {100, -100, inf, -inf},
         {0, big, 0, 0},
         {0, big, 0, 0}},
        {"softplus",
         [](X x) { return softplus(x); },
         {100, -100, inf, -inf},
         {1, big, 1, 0},
         {0, big, 0, 0}},
        {"erf", [](X x) { return erf(x); }, {100, -100, 1e30, inf}, {0, 0, 0, 0}},
        {"erfc", [](X x) { return erfc(x); }, {100, -100, 1e30, inf}, {0, 0, 0, 0}},
        {"erf, twice",
         [](X x) { return erf(x); },
         {100, -100, 0},
         {0, 0, 1.1283791670955126},
         {0, 0, 0}},
        {"expm1", [](X x) { return expm1(x); }, {-100, 0, -inf}, {big, 1, 0}, {big, 1, 0}},
        {"log1p", [](X x) { return log1p(x); }, {-1, 0, inf}, {inf, 1, 0}, {-inf, -1, 0}},
        {"log", [](X x) { return log(x); }, {0, inf}, {inf, 0}, {-inf, 0}},
        {"sqrt", [](X x) { return sqrt(x); }, {0, 1}, {inf, 0.5}, {-inf, -0.25}},
        {"two roots", [](X x) { return sqrt(x) * sqrt(x); }, {0, 4}, {1, 1}, {0, 0}},
        {"two roots of powers",
         [](X x) { return sqrt(sqr(x) + x) * (3 * sqrt(sqr(x) + x)); },
         {0, 4},
         {3, 27},
         {6, 6}},
        {"abs", [](X x) { return abs(x); }, {0, -inf, inf}, {0, -1, 1}, {0, 0, 0}},
        {"log_erfc", [](X x) { return log_erfc(x); }, {-100}, {0}, {0}},
        {"erfcx", [](X x) { return erfcx(x); }, {inf, 0}, {0, -1.1283791670955126}},
        {"log1mexp",
         [](X x) { return log1mexp(x); },
         {-1, -100, -1000, -inf},
         {-1 / (e - 1), -big, 0, 0},
         {-e / ((e - 1) * (e - 1)), -big, 0, 0}},
        {"logaddexp",
         [](X x) { return logaddexp(x(slice(0, 3)), x(slice(3, 6))); },
         {inf, -inf, 1, inf, -inf, 1},
         {0.5, 0.5, 0.5, 0.5, 0.5, 0.5},
         {0, 0, 0, 0, 0, 0}},
        {"logaddexp of one that varies",
         [](X x) {
             return logaddexp(x, cast(numbers({1, inf}), x.dtype()));
         },
         {1, 3},
         {0.5, 0},
         {0.25, 0}},
        {"max with ties", [](X x) { return max(x); }, {1, 1, 0}, {1, 1, 0}, {0, 0, 0}},
        {"max with NaN", [](X x) { return max(x); }, {1, NaN, 0}, {0, 1, 0}},
        {"min with NaN", [](X x) { return min(x); }, {1, NaN, 0}, {0, 1, 0}},
    });
    // To the last digits: 2 erfcx / erfcx' and so on cancel in the written form.
    const Expr x = vector<double>("x", {3});
    const Expr first = grad(sum(log_erfc(x)), x), second = grad(sum(first), x);
    const Array got =
        function({.inputs = {x}, .outputs = {second + 2}})(Array(Values{1e2, 1e3, 1e4}))[0];
    const auto expected = [](double v) {
        const double w = 1 / (v * v);
        return w - 3 * w * w + 12.5 * w * w * w;
    };
    for (std::int64_t i = 0; i < 3; ++i) {
        const double want = expected(std::pow(10.0, 2.0 + static_cast<double>(i)));
        CHECK(std::fabs(got.as_double(i) - want) < 1e-13 + 1e-6 * want);
    }
}

TEST_CASE("prod has all derivatives beside zeros") {
    check_all({
        {"one zero", [](X x) { return prod(x); }, {0, 2, 3}, {6, 0, 0}, {5, 3, 2}},
        {"two zeros", [](X x) { return prod(x); }, {0, 2, 0}, {0, 0, 0}, {2, 0, 2}},
        {"three zeros", [](X x) { return prod(x); }, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}},
        {"infinity", [](X x) { return prod(x); }, {inf, 2}, {2, inf}},
        {"one element", [](X x) { return prod(x); }, {5}, {1}, {0}},
        {"columns",
         [](X x) { return prod(matrix_of(x), 0); },
         {0, 2, 3, 4},
         {3, 4, 0, 2},
         {1, 1, 1, 1}},
        {"blocks",
         [](X x) { return prod(x); },
         {1, 1, 0, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 0, 1, 1},
         {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
         {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0}},
    });
    // Where the whole product leaves the range, each of its slopes does not.
    check({"overflow", [](X x) { return prod(x); }, {1e200, 1e200, 1e-200}, {1, 1, inf}},
          DType::F64, 1e-12);
    check({"underflow", [](X x) { return prod(x); }, {1e-200, 1e-200}, {1e-200, 1e-200}},
          DType::F64, 0);
    // The Hessian is symmetric, and third derivatives are right.
    const Expr x = vector<double>("x", {3});
    const Array at = Array(Values{0, 2, 3});
    const Expr g = grad(prod(x), x);
    std::vector<Expr> rows;
    for (int k = 0; k < 3; ++k) rows.push_back(grad(g(k), x));
    const Expr h = stack({rows[0], rows[1], rows[2]});
    const Expr third = grad(g(0), {x})[0];
    auto f = function({.inputs = {x}, .outputs = {flatten(h), grad(sum(third * third(2)), x)}});
    const std::vector<Array> got_h = f(at);
    CHECK(close(got_h[0], {0, 3, 2, 3, 0, 0, 2, 0, 0}, 0));
    // third = (0, x2, x1): of x1 x2 + x1^2 the slopes are x2 + 2 x1 and x1.
    CHECK(close(got_h[1], {0, 7, 2}, 0));
}

TEST_CASE("a pooling window sends its gradient into the image, whatever it holds") {
    const auto pooled = [](Sizes sizes, std::array<std::int64_t, 2> window, Pool2dOptions o) {
        return [=](X x) { return pool2d(reshape(x, sizes), window, o); };
    };
    check_all({
        {"one pixel a window",
         pooled({2, 2}, {2, 2}, {.pad = {1, 1}}),
         {-inf, -inf, -inf, -inf},
         {1, 1, 1, 1}},
        {"the first of what is -infinity",
         pooled({3, 3}, {3, 3}, {.stride = {2, 2}, .pad = {1, 1}}),
         Values(9, -inf),
         {1, 1, 0, 1, 1, 0, 0, 0, 0}},
        {"padding of columns",
         pooled({2, 3}, {2, 3}, {.stride = {1, 2}, .pad = {0, 2}}),
         Values(6, -inf),
         {2, 0, 1, 0, 0, 0}},
        {"padding behind",
         pooled({3, 3}, {2, 2}, {.ignore_border = false}),
         Values(9, -inf),
         {1, 0, 1, 0, 0, 0, 1, 0, 1}},
        {"a number among them",
         pooled({2, 2}, {3, 3}, {.stride = {1, 1}, .pad = {1, 1}}),
         {-inf, -inf, 5, -inf},
         {0, 0, 4, 0}},
        {"a NaN among them",
         pooled({2, 2}, {3, 3}, {.stride = {1, 1}, .pad = {1, 1}}),
         {-inf, NaN, 5, -inf},
         {0, 4, 0, 0}},
        {"ties", pooled({2, 2}, {2, 2}, {}), {7, 7, 7, 7}, {1, 0, 0, 0}},
    });
}

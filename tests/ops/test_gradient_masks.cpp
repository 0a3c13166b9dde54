// What was not chosen contributes nothing to gradients, whatever it is.
#include <random>

#include "compiler/graph/graph.h"
#include "tests/ops/gradient_cases.h"

using namespace arete;
using namespace arete::test;

namespace {

/// bool[2,1]: the first row.
Expr first_row() {
    return reshape(bools({true, false}), {2, 1});
}

}  // namespace

TEST_CASE("what where did not choose contributes nothing to gradients") {
    check_all({
        {"sqrt",
         [](X x) { return where(x > 0, sqrt(x), 0); },
         {0, 4, -1},
         {0, 0.25, 0},
         {0, -1.0 / 32, 0}},
        {"the other branch",
         [](X x) { return where(x <= 0, 0, sqrt(x)); },
         {0, 4},
         {0, 0.25},
         {0, -1.0 / 32}},
        {"x log(x)",
         [](X x) { return where(x > 0, x * log(x), 0); },
         {0, 1, -1},
         {0, 1, 0},
         {0, 1, 0}},
        {"quotient",
         [](X x) { return where(neq(x, 0), sin(x) / x, 1); },
         {0, 3.141592653589793},
         {0, -1 / 3.141592653589793}},
        {"power",
         [](X x) { return where(x > 0, pow(x, 0.3), 2 * x); },
         {0, 1},
         {2, 0.3},
         {0, -0.21}},
        {"power of itself", [](X x) { return where(x > 0, pow(x, x), 0); }, {0, 1}, {0, 1}, {0, 2}},
        {"overflow", [](X x) { return where(x > 0, exp(1 / x), 0); }, {0, 1}, {0, -e}, {0, 3 * e}},
        {"nested",
         [](X x) { return where(x > 0, where(x < 4, sqrt(x), log(x - 3)), 0); },
         {0, 1, 3, 4},
         {0, 0.5, 0.5 / std::sqrt(3.0), 1},
         {0, -0.25, -0.25 / std::pow(3.0, 1.5), -1}},
        {"where below where",
         [](X x) { return where(x > 1, log(where(x > 0, sqrt(x), 0)), 0); },
         {-1, 0, 0.5, 4},
         {0, 0, 0, 0.125},
         {0, 0, 0, -1.0 / 32}},
        {"both branches",
         [](X x) { return where(x < 1, sqr(x), 2 * sqrt(x)); },
         {0, 0.5, 4},
         {0, 1, 0.5},
         {2, 2, -1.0 / 16}},
        {"NaN in the data",
         [](X x) { return where(isnan(x), 0, sqr(x)); },
         {NaN, 3},
         {0, 6},
         {0, 2}},
        {"infinity in the data",
         [](X x) { return where(x < inf, sqr(x) * x, 0); },
         {inf, 3},
         {0, 27},
         {0, 18}},
        {"a factor that is true or false",
         [](X x) { return cast(x > 0, x.dtype()) * x + where(x > 0, log(x), 0); },
         {0, 2},
         {0, 1.5},
         {0, -0.25}},
    });
}

TEST_CASE("masks of gradients go through views, broadcasts and sums") {
    check_all({
        {"reshape",
         [](X x) { return where(x > 0, reshape(sqrt(matrix_of(x)), {4}), 0); },
         {0, 4, -1, 1},
         {0, 0.25, 0, 0.5},
         {0, -1.0 / 32, 0, -0.25}},
        {"transpose",
         [](X x) {
             const Expr r = sqrt(matrix_of(x)).T();
             return where(r > 0, r, 0);
         },
         {0, 4, 1, 0},
         {0, 0.25, 0.5, 0},
         {0, -1.0 / 32, -0.25, 0}},
        {"slice, backwards",
         [](X x) {
             const Expr r = log(x)(slice(none, none, -1));
             return where(r > 0, r, 0);
         },
         {0, 2},
         {0, 0.5},
         {0, -0.25}},
        {"one number for all, none chosen",
         [](X x) {
             return where(bools({false, false}), sqrt(x(0)), 0);
         },
         {0},
         {0},
         {0}},
        {"one number for all, one chosen",
         [](X x) {
             return where(bools({false, true}), 3 * sqrt(x(0)), 0);
         },
         {4},
         {0.75},
         {-3.0 / 32}},
        {"a row for all, columns chosen",
         [](X x) {
             return where(bools({false, true}), log(x) * numbers({1, 2, 3, 4}, {2, 2}), 0);
         },
         {0, 2},
         {0, 3},
         {0, -1.5}},
        {"a sum", [](X x) { return where(sum(x) > 0, sqrt(sum(x)), 0); }, {0, 0}, {0, 0}, {0, 0}},
        {"rows of a sum",
         [](X x) {
             const Expr s = sum(matrix_of(x), 1, true);
             return where(s > 0, log(s) * matrix_of(x), 0);
         },
         {0, 0, 0.5, 0.5},
         {0, 0, 1, 1},
         {0, 0, 2, 2}},
        {"a mean of chosen ones",
         [](X x) { return mean(where(x > 0, log(x), 0)); },
         {0, 2},
         {0, 0.25},
         {0, -0.125}},
        {"concatenate",
         [](X x) {
             const Expr y = concatenate({log(x), sqrt(x)});
             return where(concatenate({x, x}) > 0, y, 0);
         },
         {0, 4},
         {0, 0.5},
         {0, -1.0 / 16 - 1.0 / 32}},
        {"max", [](X x) { return log(max(where(x > 0, x, 1))); }, {0, 4, 2}, {0, 0.25, 0}},
        {"cast",
         [](X x) { return where(x > 0, cast(sqrt(cast(x, DType::F64)), x.dtype()), 0); },
         {0, 4},
         {0, 0.25},
         {0, -1.0 / 32}},
    });
}

TEST_CASE("masks of gradients go through products of matrices and softmax") {
    const double p = 1 / (1 + e), q = e / (1 + e);
    check_all({
        {"rows of a product",
         [](X x) {
             const Expr w = numbers({1, 2, 3, 4}, {2, 2});
             return where(first_row(), dot(log(matrix_of(x)), cast(w, x.dtype())), 0);
         },
         {1, 2, 0, 0},
         {3, 3.5, 0, 0},
         {-3, -1.75, 0, 0}},
        {"rows of a product with what is infinite",
         [](X x) {
             const Expr w = numbers({1, inf, 3, 4}, {2, 2});
             return where(first_row().T(), dot(matrix_of(x), cast(w, x.dtype())), 0);
         },
         {1, 2, 3, 4},
         {1, 3, 1, 3}},
        {"weights of rows that are NaN",
         [](X x) {
             const Expr rows = numbers({5, 6, NaN, inf}, {2, 2});
             return where(first_row(), dot(cast(rows, x.dtype()), matrix_of(x)), 0);
         },
         {1, 2, 3, 4},
         {5, 5, 6, 6}},
        {"rows of softmax",
         [](X x) {
             const Expr w = cast(numbers({1, 3}), x.dtype());
             return where(first_row(), softmax(matrix_of(x)) * w, 0);
         },
         {1, 2, NaN, -inf},
         {-2 * p * q, 2 * p * q, 0, 0}},
        {"elements of softmax, all left out",
         [](X x) {
             const Expr s = softmax(matrix_of(x));
             return where(isnan(s), 0, s * cast(numbers({1, 3}), x.dtype()));
         },
         {1, 2, -inf, -inf},
         {-2 * p * q, 2 * p * q, 0, 0}},
        {"rows of log_softmax, picked",
         [](X x) {
             const Expr logs = log_softmax(matrix_of(x))(Array(std::vector<std::int64_t>{0, 1}),
                                                         Array(std::vector<std::int64_t>{0, 0}));
             return where(bools({true, false}), logs, 0);
         },
         {1, 2, NaN, -inf},
         {1 - p, -q, 0, 0}},
        {"the logarithm of softmax, picked",
         [](X x) {
             const Expr logs = log(softmax(matrix_of(x)))(Array(std::vector<std::int64_t>{0, 1}),
                                                          Array(std::vector<std::int64_t>{0, 0}));
             return where(bools({true, false}), logs, 0);
         },
         {1, 2, NaN, -inf},
         {1 - p, -q, 0, 0}},
        {"logsumexp",
         [](X x) {
             return where(bools({true, false}), logsumexp(matrix_of(x), 1), 0);
         },
         {1, 2, NaN, inf},
         {p, q, 0, 0},
         {0, 0, 0, 0}},
    });
}

TEST_CASE("filters learn nothing from images that were not chosen") {
    const Expr w = tensor4<double>("w", {1, 1, 1, 2});
    const Array images = Array(Values{1, 2, NaN, inf}, {2, 1, 1, 2});
    const Expr valid = reshape(bools({true, false}), {2, 1, 1, 1});
    const Expr cost = sum(where(valid, conv2d(images, w, {.filter_flip = false}), 0));
    auto f = function(
        {.inputs = {w}, .outputs = {grad(cost, w)}, .on_unused_input = OnUnusedInput::ignore});
    CHECK(close(f(Array(Values{5, 7}, {1, 1, 1, 2}))[0], {1, 2}, 1e-12));
}

TEST_CASE("what nothing reads has gradient 0") {
    check_all({
        {"slice", [](X x) { return log(x)(slice(1, none)); }, {0, 2}, {0, 0.5}, {0, -0.25}},
        {"index", [](X x) { return log(x)(1); }, {0, 2}, {0, 0.5}, {0, -0.25}},
        {"take",
         [](X x) {
             return take(log(x), Array(std::vector<std::int64_t>{1, 1}));
         },
         {0, 2},
         {0, 1},
         {0, -0.5}},
        {"pairs",
         [](X x) {
             return log(matrix_of(x))(Array(std::vector<std::int64_t>{0, 1}),
                                      Array(std::vector<std::int64_t>{1, 1}));
         },
         {0, 2, 0, 4},
         {0, 0.5, 0, 0.25},
         {0, -0.25, 0, -1.0 / 16}},
        {"a sum of two slices",
         [](X x) {
             const Expr y = log(x);
             return y(slice(1, 2)) + y(slice(2, 3));
         },
         {0, 2, 4, 0},
         {0, 0.5, 0.25, 0},
         {0, -0.25, -1.0 / 16, 0}},
        {"max", [](X x) { return max(log(x)); }, {0, 2}, {0, 0.5}, {0, -0.25}},
        {"max-pooling",
         [](X x) {
             return pool2d(log(reshape(x, {1, 1, 2, 2})), {2, 2});
         },
         {0, 4, 2, 0},
         {0, 0.25, 0, 0},
         {0, -1.0 / 16, 0, 0}},
        {"max-pooling of windows that overlap",
         [](X x) {
             return pool2d(log(reshape(x, {1, 4})), {1, 2}, {.stride = {1, 1}});
         },
         {0, 0.5, 4, 2},
         {0, 2, 0.5, 0},
         {0, -4, -1.0 / 8, 0}},
    });
}

namespace {

/// Formulas in two ways: as written, and with every operand replaced by a harmless number where it
/// is not chosen, as users of other libraries must write them.
class Formulas {
  public:
    Formulas(std::uint64_t seed, bool rows, std::size_t most_steps = 3)
        : random_(seed), rows_(rows) {
        const double chosen[] = {0.5, 1, 2, 3, 0.25}, other[] = {0, -1, NaN, inf, -inf, 2, 1e300};
        Array mask(DType::Bool, rows ? Sizes{3, 1} : Sizes{3, 4});
        for (std::int64_t i = 0; i < mask.size(); ++i) mask.data<bool>()[i] = below(2) != 0;
        x = matrix<double>("x", {3, 4});
        value = Array(DType::F64, {3, 4});
        for (std::int64_t i = 0; i < 12; ++i)
            value.data<double>()[i] = mask.data<bool>()[rows ? i / 4 : i]
                                          ? chosen[below(std::size(chosen))]
                                          : other[below(std::size(other))];
        mask_ = constant(mask);
        Both u{x, x};
        const int steps = 1 + below(most_steps);
        for (int k = 0; k < steps; ++k) u = step(u);
        const Expr weights = 1 + sin(cast(arange(12), DType::F64));
        const auto cost = [&](const Expr& e) {
            const Expr left = where(mask_, e, 0);
            return sum(left * reshape(weights, {3, 4})(all, slice(0, left.shape()[1].value())));
        };
        plain = cost(u.plain);
        guarded = cost(u.guarded);
    }

    Expr x, plain, guarded;
    Array value;

  private:
    struct Both {
        Expr plain, guarded;
    };

    int below(std::size_t n) { return static_cast<int>(random_() % n); }

    template <class F>
    Both both(const Both& u, const F& f) {
        return {f(u.plain), f(where(mask_, u.guarded, 0.7))};
    }

    Both step(const Both& u) {
        switch (below(rows_ ? 18 : 11)) {
            case 0: return both(u, [](X v) { return log(v); });
            case 1: return both(u, [](X v) { return sqrt(v); });
            case 2: return both(u, [](X v) { return 1 / v; });
            case 3: return both(u, [](X v) { return pow(v, 0.3); });
            case 4: return both(u, [](X v) { return exp(v); });
            case 5: return both(u, [](X v) { return v * log(abs(v)); });
            case 6: return both(u, [](X v) { return sqr(v) + 2 / sqrt(v); });
            case 7: return both(u, [](X v) { return transpose(sqrt(v.T() + 1)); });
            case 8: return both(u, [](X v) { return maximum(log(v), 1 / v); });
            case 9: return both(u, [](X v) { return tanh(v) / v; });
            case 10:
                return both(u, [](X v) {
                    return where(v > 1, log(v - 1), reshape(sqrt(flatten(v)), v.shape()));
                });
            case 11: return both(u, [](X v) { return v * sum(log(v), 1, true); });
            case 12: return both(u, [](X v) { return softmax(v) + v; });
            case 13: return both(u, [](X v) { return logsumexp(v, 1, true) * v; });
            case 14: return both(u, [](X v) { return max(v, 1, true) / v; });
            case 15:
                return both(u, [](X v) {
                    return v * log(v(all, slice(0, 1))) + sqrt(v(all, slice(-1, none)));
                });
            case 16:
                return both(u, [](X v) {
                    const Expr w = cos(cast(arange(16), DType::F64));
                    return v.shape()[1] == Dim(4) ? dot(v, reshape(w, {4, 4})) : v + 1;
                });
            default: return both(u, [](X v) { return prod(v, 1, true) + v; });
        }
    }

    std::mt19937_64 random_;
    bool rows_;
    Expr mask_;
};

}  // namespace

namespace {

/// The value, the first and the second derivative of a random formula, written in both ways; how
/// many of the three could be compared.
int compare_random(std::uint64_t seed, std::size_t most_steps) {
    CAPTURE(seed);
    CAPTURE(most_steps);
    const Formulas f(seed, seed % 2, most_steps);
    std::vector<Expr> outputs;
    for (const Expr& cost : {f.guarded, f.plain}) {
        const Expr first = grad(cost, f.x);
        const Expr v = cos(cast(arange(12), DType::F64));
        outputs.push_back(cost);
        outputs.push_back(first);
        outputs.push_back(grad(sum(first * reshape(v, {3, 4})), f.x,
                               {.disconnected_inputs = Disconnected::zero}));
    }
    const std::vector<std::pair<Expr, Array>> binding{{f.x, f.value}};
    const std::vector<Array> got = reference_eval(outputs, binding);
    for (int k = 0; k < 3; ++k) {
        const Array &guarded = got[k], &plain = got[static_cast<std::size_t>(k) + 3];
        for (std::int64_t i = 0; i < guarded.size(); ++i)
            if (!(std::fabs(guarded.as_double(i)) < 1e6)) return k;  // what is chosen is singular
        CHECK_MESSAGE(difference(plain, guarded) < 1e-9, k, ": ", plain.str(), " expected ",
                      guarded.str(), "\n at ", f.value.str(), "\n", to_string(Graph({f.plain})));
    }
    return 3;
}

}  // namespace

TEST_CASE("masks: random formulas need no guards") {
    int compared = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) compared += compare_random(seed, 3);
    CHECK(compared > 600);
    compared = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) compared += compare_random(seed, 5);
    CHECK(compared > 600);
}

// Rows that are left out by what is written differently on different ways: a conjunction, a view
// there and back, a slice of what is the same for a whole row.
TEST_CASE("masks: conditions on whole rows stay what they are") {
    for (const std::uint64_t seed : {51, 965, 1251, 2467, 3845, 5729, 6369, 7975, 8961})
        CHECK(compare_random(seed, 5) == 3);
}

TEST_CASE("masks: a gradient is as long as what it is the gradient of") {
    for (const bool same_branch : {true, false}) {
        const auto nodes = [&](int n) {
            const Expr x = vector<double>("x", {8});
            Expr y = x;
            for (int k = 0; k < n; ++k) {
                const Expr other = same_branch ? scalar_constant(DType::F64, 0.5) : sqr(y) + x;
                y = where(y > 0.1 * k, sqrt(y) + relu(y), other);
            }
            return Graph({grad(sum(y), x)}).size();
        };
        const std::size_t few = nodes(100), many = nodes(200), most = nodes(400);
        CHECK(many < 2.2 * static_cast<double>(few));
        CHECK(most < 2.2 * static_cast<double>(many));
        CHECK(most < 400 * 60);
    }
}

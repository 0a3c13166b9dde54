// Softmax, its logarithm and logsumexp of rows with infinities and NaN: what the formulas as
// written give, element by element, and their gradients.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <arete/arete.h>

using namespace arete;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
using Row = std::vector<double>;

struct Case {
    Row x, softmax, log_softmax;
    double logsumexp;
    // Gradients of sums of these with the weights 1, 2, 3; that of logsumexp is softmax.
    Row of_softmax, of_log_softmax;
};

const double half = std::log(2.0), e = std::exp(1.0);

// exp(x) / sum(exp(x)), x - log(sum(exp(x))), log(sum(exp(x))); y (w - sum(w y)), w - 6 y.
const Case cases[] = {
    {{0, 0, -inf}, {0.5, 0.5, 0}, {-half, -half, -inf}, half, {-0.25, 0.25, 0}, {-2, -1, 3}},
    {{inf, 0, 1}, {nan, 0, 0}, {nan, -inf, -inf}, inf, {nan, nan, nan}, {nan, 2, 3}},
    {{-1e30, inf, -inf}, {0, nan, 0}, {-inf, nan, -inf}, inf, {nan, nan, nan}, {1, nan, 3}},
    {{inf, inf, 3}, {nan, nan, 0}, {nan, nan, -inf}, inf, {nan, nan, nan}, {nan, nan, 3}},
    {{-inf, -inf, -inf}, {nan, nan, nan}, {nan, nan, nan}, -inf, {nan, nan, nan}, {nan, nan, nan}},
    {{-inf, -inf, 1e30}, {0, 0, 1}, {-inf, -inf, 0}, 1e30, {0, 0, 0}, {1, 2, -3}},
    {{nan, 0, 1}, {nan, nan, nan}, {nan, nan, nan}, nan, {nan, nan, nan}, {nan, nan, nan}},
    {{1, 1, 1 + half},
     {0.25, 0.25, 0.5},
     {-2 * half, -2 * half, -half},
     1 + 2 * half,
     {-0.3125, -0.0625, 0.375},
     {-0.5, 0.5, 0}},
    {{0, 1, -inf},
     {1 / (1 + e), e / (1 + e), 0},
     {-std::log(1 + e), 1 - std::log(1 + e), -inf},
     std::log(1 + e),
     {-e / ((1 + e) * (1 + e)), e / ((1 + e) * (1 + e)), 0},
     {1 - 6 / (1 + e), 2 - 6 * e / (1 + e), 3}},
};

void check(const Array& got, std::int64_t at, double expected, DType t) {
    const double v = got.as_double(at), u = t == DType::F32 ? 0x1p-24 : 0x1p-53;
    if (t == DType::F32) expected = static_cast<float>(expected);
    if (std::isnan(expected))
        CHECK(std::isnan(v));
    else if (std::isinf(expected) || expected == 0)
        CHECK(v == expected);
    else
        CHECK(std::fabs(v - expected) <= 16 * u * std::max(1.0, std::fabs(expected)));
}

}  // namespace

TEST_CASE("rows with infinities: softmax and its relatives are what their formulas give") {
    constexpr auto rows = static_cast<std::int64_t>(std::size(cases));
    for (const DType t : {DType::F32, DType::F64})
        for (const int axis : {1, 0}) {
            const Sizes sizes = axis == 1 ? Sizes{rows, 3} : Sizes{3, rows};
            const auto place = [&](std::int64_t r, std::int64_t k) {
                return axis == 1 ? 3 * r + k : rows * k + r;
            };
            std::vector<double> given(static_cast<std::size_t>(3 * rows)), weighed = given;
            for (std::int64_t r = 0; r < rows; ++r)
                for (std::int64_t k = 0; k < 3; ++k) {
                    const auto at = static_cast<std::size_t>(place(r, k));
                    given[at] = cases[r].x[k];
                    weighed[at] = static_cast<double>(k + 1);
                }
            const Array values = Array(given, sizes).astype(t);
            const Expr x = tensor(t, 2, "x", sizes), w = constant(Array(weighed, sizes).astype(t));
            const Expr total = sum(exp(x), axis, true);
            const std::vector<Expr> softmaxes{softmax(x, axis), exp(x) / total,
                                              softmax(x, Axes{axis})};
            const std::vector<Expr> logs{log_softmax(x, axis), log(softmax(x, axis)),
                                         x - log(total), x - logsumexp(x, axis, true)};
            const std::vector<Expr> sums{logsumexp(x, axis), log(sum(exp(x), axis))};
            for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
                const auto run = [&](std::vector<Expr> outputs) {
                    return function({.inputs = {x}, .outputs = std::move(outputs), .mode = mode})
                        .call(std::vector<Array>{values});
                };
                // Without stabilising rules only the ops themselves are stable.
                const bool stable = mode != Mode::fast_compile;
                const auto several = [&](const std::vector<Expr>& all) {
                    std::vector<Expr> out(all.begin(), all.begin() + 1);
                    if (stable) out = all;
                    return out;
                };
                const auto compare = [&](const std::vector<Expr>& what, const Row Case::*row) {
                    for (const Array& got : run(what))
                        for (std::int64_t r = 0; r < rows; ++r)
                            for (std::int64_t k = 0; k < 3; ++k) {
                                CAPTURE(r);
                                CAPTURE(k);
                                check(got, place(r, k), (cases[r].*row)[k], t);
                            }
                };
                const auto gradients = [&](std::vector<Expr> of, bool weights) {
                    for (Expr& f : of) f = grad(weights ? sum(f * w) : sum(f), x);
                    return of;
                };
                CAPTURE(name(t));
                CAPTURE(axis);
                CAPTURE(static_cast<int>(mode));
                compare(several(softmaxes), &Case::softmax);
                compare(several(logs), &Case::log_softmax);
                for (const Array& got : run(several(sums)))
                    for (std::int64_t r = 0; r < rows; ++r) check(got, r, cases[r].logsumexp, t);
                compare(gradients(several(softmaxes), true), &Case::of_softmax);
                compare(gradients(several(logs), true), &Case::of_log_softmax);
                compare(gradients(several(sums), false), &Case::softmax);
            }
        }
}

TEST_CASE("huge and infinite elements: logarithms of differences keep what is left of 1 or of 0") {
    for (const DType t : {DType::F32, DType::F64})
        for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
            const Array rows = Array(Row{16777217, 1, 16777217, 1e30, 1e30, -1e30, 5, 5, -inf},
                                     Sizes{3, 3})
                                   .astype(t);
            const Expr x = tensor(t, 2, "x", {3, 3});
            for (const Expr& e : {log(1 - softmax(x)), log1p(-softmax(x))}) {
                const Array got = function({.inputs = {x}, .outputs = {e}, .mode = mode})
                                      .call(std::vector<Array>{rows})[0];
                const Row want{-half, 0, -half, -half, -half, 0, -half, -half, 0};
                for (std::int64_t i = 0; i < 9; ++i) check(got, i, want[i], t);
            }
            const Expr u = tensor(t, 1, "u", {4}), v = tensor(t, 1, "v", {4});
            const auto of = [&](const Expr& e, const Row& a, const Row& b) {
                return function({.inputs = {u, v},
                                 .outputs = {e},
                                 .on_unused_input = OnUnusedInput::ignore,
                                 .mode = mode})
                    .call(std::vector<Array>{Array(a).astype(t), Array(b).astype(t)})[0];
            };
            // exp(u + v) - exp(u) of u = -inf is 0 - 0, of v = inf infinite.
            const Array apart =
                of(log(exp(u + v) - exp(u)), {-inf, -inf, 0, 1}, {0.5, -2, inf, half});
            for (const auto& [i, want] : {std::pair{0, -inf}, {1, -inf}, {2, inf}, {3, 1.0}})
                check(apart, i, want, t);
            // exp(u - exp(u)) is 0 at both infinities.
            const Array density =
                of(log(exp(u - exp(u))), {-inf, inf, 0, 1e4}, {0, 0, 0, 0});
            for (const auto& [i, want] : {std::pair{0, -inf}, {1, -inf}, {2, -1.0}, {3, -inf}})
                check(density, i, want, t);
        }
}

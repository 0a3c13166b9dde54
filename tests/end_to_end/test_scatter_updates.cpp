// Updates that change part of a variable: what they give, and that they touch no more than that.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/support.h"

using namespace arete;
using arete::test::difference;

namespace {

constexpr Mode modes[] = {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug,
                          Mode::nan_guard};
constexpr std::int64_t rows = 400, columns = 37;

// Numbers that take some rounding.
Array table(Sizes sizes, double seed) {
    Array out(DType::F32, std::move(sizes));
    for (std::int64_t i = 0; i < out.size(); ++i)
        out.data<float>()[i] = static_cast<float>(std::sin(seed + 0.7 * static_cast<double>(i)));
    return out;
}

Array places(std::vector<std::int64_t> v) {
    return Array(std::move(v));
}

// w + scale * (the rows of g at these places), in double.
Array with_rows(const Array& w, const std::vector<std::int64_t>& at, const Array& g, double scale) {
    std::vector<double> sum(static_cast<std::size_t>(w.size()));
    for (std::size_t k = 0; k < at.size(); ++k)
        for (std::int64_t c = 0; c < columns; ++c) {
            const std::int64_t row = at[k] < 0 ? at[k] + rows : at[k];
            sum[static_cast<std::size_t>(row * columns + c)] +=
                g.as_double(static_cast<std::int64_t>(k) * columns + c);
        }
    Array out(DType::F32, {rows, columns});
    for (std::int64_t i = 0; i < w.size(); ++i)
        out.data<float>()[i] =
            static_cast<float>(w.as_double(i) + scale * sum[static_cast<std::size_t>(i)]);
    return out;
}

// Nothing of the size of the table is copied, zeroed or kept beside it.
void touches_rows_only(const Function& f, std::int64_t most_bytes = rows * columns * 2) {
    const MemoryPlan plan = f.memory().back();
    CHECK(std::count(plan.steps.begin(), plan.steps.end(), "copy") == 0);
    CHECK(plan.arena_bytes < most_bytes);
}

}  // namespace

TEST_CASE("scatter updates: a table changes in the rows that were read") {
    const std::vector<std::int64_t> at{5, -1, 5, 399, 0, 5, -400, 17};
    const Array w = table({rows, columns}, 0), g = table({8, columns}, 3);
    using Form = std::function<Expr(const Expr& w, const Expr& gradient)>;
    const std::vector<Form> forms{
        [](const Expr& w, const Expr& d) { return w - 0.25 * d; },
        [](const Expr& w, const Expr& d) { return w + (-0.25) * d; },
        [](const Expr& w, const Expr& d) { return w - d * 0.25; },
        [](const Expr& w, const Expr& d) { return -(0.25 * d) + w; },
        [](const Expr& w, const Expr& d) { return w - d / 4; },
        [](const Expr& w, const Expr& d) { return w - (0.5 * d) * 0.5; },
    };
    for (const Mode mode : modes)
        for (std::size_t k = 0; k < forms.size(); ++k) {
            CAPTURE(static_cast<int>(mode));
            CAPTURE(k);
            const auto W = shared(w, "W");
            const auto i = vector<std::int64_t>("i");
            const auto x = matrix<float>("x");
            const Expr cost = sum(take(W, i) * x);
            const Function f = function({.inputs = {i, x},
                                         .outputs = {cost},
                                         .updates = {{W, forms[k](W, grad(cost, W))}},
                                         .mode = mode});
            const std::vector<Array> arguments{places(at), g};
            f.call(arguments);
            CHECK(difference(W.get_value(), with_rows(w, at, g, -0.25)) < 1e-6);
            if (mode == Mode::fast_run) touches_rows_only(f);
            // Places out of range leave all as it was.
            const Array before = W.get_value();
            CHECK_THROWS_AS(f(std::vector<std::int64_t>{0, 400, 1, 2, 3, 4, 5, 6}, g), RangeError);
            CHECK_THROWS_AS(f(std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, -401}, g), RangeError);
            CHECK(W.get_value().equals(before));
        }
}

TEST_CASE("scatter updates: gradients of two gathers, of some elements, and with decay") {
    const std::vector<std::int64_t> at{5, -1, 5, 399}, and_at{5, 40};
    const Array w = table({rows, columns}, 0), g = table({4, columns}, 3),
                h = table({2, columns}, 7);
    for (const Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const auto W = shared(w, "W");
        const auto i = vector<std::int64_t>("i"), j = vector<std::int64_t>("j");
        const auto x = matrix<float>("x"), y = matrix<float>("y");
        const Expr both = grad(sum(take(W, i) * x) + sum(W(j) * y), W);
        const Function f =
            function({.inputs = {i, x, j, y}, .updates = {{W, W - 0.5 * both}}, .mode = mode});
        const std::vector<Array> arguments{places(at), g, places(and_at), h};
        f.call(arguments);
        CHECK(difference(W.get_value(), with_rows(with_rows(w, at, g, -0.5), and_at, h, -0.5)) <
              1e-6);
        if (mode == Mode::fast_run) touches_rows_only(f);

        const auto V = shared(w, "V");
        const auto k = vector<std::int64_t>("k");
        const auto z = vector<float>("z");
        const Expr of_some = grad(sum(V(j, k) * z), V);
        const Function some =
            function({.inputs = {j, k, z}, .updates = {{V, V - 2 * of_some}}, .mode = mode});
        const std::vector<Array> chosen{places({3, 3, -1}), places({7, 7, -37}),
                                        Array(std::vector<float>{0.5F, 0.25F, 1})};
        some.call(chosen);
        Array expected = w.copy();
        expected.data<float>()[3 * columns + 7] -= 1.5F;
        expected.data<float>()[399 * columns] -= 2;
        CHECK(difference(V.get_value(), expected) < 1e-6);
        if (mode == Mode::fast_run)
            touches_rows_only(some, rows * columns * 5);  // a number for each place

        const auto U = shared(w, "U");
        const Expr d = grad(sum(take(U, i) * x), U);
        const Function decay =
            function({.inputs = {i, x}, .updates = {{U, 0.9 * U - 0.5 * d}}, .mode = mode});
        decay.call(std::array{places(at), g});
        Array less = w.copy();
        for (std::int64_t e = 0; e < less.size(); ++e) less.data<float>()[e] *= 0.9F;
        CHECK(difference(U.get_value(), with_rows(less, at, g, -0.5)) < 1e-6);
    }
}

TEST_CASE("scatter updates: whoever reads the old value reads it first") {
    const std::vector<std::int64_t> at{5, -1, 5, 399};
    const Array w = table({rows, columns}, 0), u = table({rows, columns}, 9),
                g = table({4, columns}, 3);
    const Array changed = with_rows(w, at, g, 1);
    for (const Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const auto W = shared(w, "W"), U = shared(u, "U");
        const auto i = vector<std::int64_t>("i");
        const auto x = matrix<float>("x");
        const Expr next = inc_subtensor(W(i), x);
        const auto reset = [&] {
            W.set_value(w);
            U.set_value(u);
        };
        const std::vector<Array> arguments{places(at), g};
        // The old value itself, sums of it, and another variable that becomes it.
        const Function all = function({.inputs = {i, x},
                                       .outputs = {W, sum(W), next, sum(next) - sum(W)},
                                       .updates = {{W, next}, {U, W}},
                                       .mode = mode});
        const std::vector<Array> out = all.call(arguments);
        CHECK(out[0].equals(w));
        CHECK(difference(out[2], changed) < 1e-6);
        CHECK(U.get_value().equals(w));
        CHECK(W.get_value().equals(out[2]));
        double added = 0;
        for (std::int64_t k = 0; k < g.size(); ++k) added += g.as_double(k);
        CHECK(out[3].as_double() == doctest::Approx(added).epsilon(1e-3));
        // Two that swap, each with rows changed; values made of the other one.
        reset();
        const Function swap = function(
            {.inputs = {i, x}, .updates = {{W, inc_subtensor(U(i), x)}, {U, next}}, .mode = mode});
        swap.call(arguments);
        CHECK(difference(U.get_value(), changed) < 1e-6);
        CHECK(difference(W.get_value(), with_rows(u, at, g, 1)) < 1e-6);
        reset();
        const Function crossed =
            function({.inputs = {i, x},
                      .updates = {{W, set_subtensor(W(i), U(i))}, {U, set_subtensor(U(i), W(i))}},
                      .on_unused_input = OnUnusedInput::ignore,
                      .mode = mode});
        crossed.call(arguments);
        for (const std::int64_t row : {5, 399, 6})
            for (std::int64_t c = 0; c < columns; ++c) {
                const std::int64_t e = row * columns + c;
                CHECK(W.get_value().as_double(e) == (row == 6 ? w : u).as_double(e));
                CHECK(U.get_value().as_double(e) == (row == 6 ? u : w).as_double(e));
            }
        // Rows that move within the variable.
        reset();
        const Function moved = function(
            {.updates = {{W, set_subtensor(W, {slice(1, none)}, W(slice(0, -1)))}}, .mode = mode});
        moved.call({});
        for (std::int64_t e = 0; e < w.size(); ++e)
            CHECK(W.get_value().as_double(e) == w.as_double(e < columns ? e : e - columns));
    }
}

TEST_CASE("scatter updates: one after another, of slices, and what is between them") {
    const Array w = table({rows, columns}, 0);
    for (const Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const auto W = shared(w, "W");
        const auto k = scalar<std::int64_t>("k");
        const Expr first = set_subtensor(W, {slice(none, none, -7), slice(2, 30, 3)}, 5);
        const Expr second = inc_subtensor(first, {slice(k * 4, (k + 1) * 4)}, W(slice(0, 4)));
        const Expr third = update_subtensor(Scatter::max, second(all, -1), 0.25);
        const Function f = function({.inputs = {k}, .updates = {{W, third}}, .mode = mode});
        const Function g = function({.inputs = {k},
                                     .outputs = {first, sum(second), third},
                                     .updates = {{W, third}},
                                     .mode = mode});
        Array expected = w.copy();
        float* e = expected.data<float>();
        for (std::int64_t r = rows - 1; r >= 0; r -= 7)
            for (std::int64_t c = 2; c < 30; c += 3) e[r * columns + c] = 5;
        const Array after_first = expected.copy();
        for (std::int64_t r = 0; r < 4; ++r)
            for (std::int64_t c = 0; c < columns; ++c)
                e[(r + 8) * columns + c] += w.data<float>()[r * columns + c];
        for (std::int64_t r = 0; r < rows; ++r) {
            float& last = e[r * columns + columns - 1];
            last = std::max(last, 0.25F);
        }
        const std::vector<Array> arguments{Array(std::int64_t{2})};
        const std::vector<Array> out = g.call(arguments);
        CHECK(out[0].equals(after_first));
        CHECK(out[2].equals(expected));
        CHECK(W.get_value().equals(expected));
        W.set_value(w);
        f.call(arguments);
        CHECK(W.get_value().equals(expected));
        if (mode == Mode::fast_run) touches_rows_only(f);
        W.set_value(w);
        CHECK_THROWS_AS(f(std::int64_t{100}), RangeError);
        CHECK(W.get_value().equals(w));
    }
}

TEST_CASE("scatter updates: of what is computed, and in loops") {
    for (const Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const auto x = vector<double>("x", {6});
        const auto i = vector<std::int64_t>("i");
        // The target is computed and dies: it is written itself; or it lives on.
        const Expr y = exp(x) + 1;
        const Expr changed = inc_subtensor(y(i), 10);
        const Expr twice = set_subtensor(changed(slice(0, 2)), 0);
        const Function f = function(
            {.inputs = {x, i}, .outputs = {twice, sum(changed), changed * 2}, .mode = mode});
        const std::vector<Array> arguments{Array(std::vector<double>{0, 0, 0, 0, 0, 0}),
                                           places({1, -1, 1, 3})};
        const std::vector<Array> out = f.call(arguments);
        CHECK(out[0].str() == "f64[6] {0, 0, 2, 12, 2, 12}");
        CHECK(out[1].as_double() == 52);
        CHECK(out[2].str() == "f64[6] {4, 44, 4, 24, 4, 24}");
        const Function alone = function({.inputs = {x, i}, .outputs = {twice}, .mode = mode});
        CHECK(alone.call(arguments)[0].equals(out[0]));
        if (mode == Mode::fast_run) {
            const std::vector<std::string> names = alone.memory().back().steps;
            CHECK(std::count(names.begin(), names.end(), "copy") == 0);
        }
        // Counts of what a loop meets.
        const ScanResult steps = scan({.fn = [](const std::vector<Expr>& a) -> StepResult {
                                           return inc_subtensor(a[1], {a[0]}, 1);
                                       },
                                       .sequences = {i},
                                       .outputs_info = {zeros({6}, DType::I64)}});
        const Function counted =
            function({.inputs = {i}, .outputs = {steps.outputs[0](-1)}, .mode = mode});
        CHECK(counted.call(std::array{places({1, 5, 1, 3})})[0].str() ==
              "i64[6] {0, 2, 0, 1, 0, 1}");
    }
}

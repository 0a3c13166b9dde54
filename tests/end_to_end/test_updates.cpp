// Shared variables and updates: every right-hand side sees the old values, whatever the order of
// the kernels and whatever is written in place. Each case runs natively and interpreted.
#include <cstdint>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/support.h"

using namespace arete;
using arete::test::difference;

namespace {

using Floats = std::vector<float>;

constexpr Mode modes[] = {Mode::fast_run, Mode::interpret};

/// start, start + step, ...
Array ramp(Sizes sizes, float start = 0, float step = 1) {
    Array out(DType::F32, std::move(sizes));
    for (std::int64_t i = 0; i < out.size(); ++i)
        out.data<float>()[i] = start + step * static_cast<float>(i);
    return out;
}

Shared var(const Array& a, const char* name) {
    return shared(a, name);
}

}  // namespace

TEST_CASE("updates: simultaneous") {
    for (const Mode mode : modes) {
        const auto a = var(ramp({37}), "a"), b = var(ramp({37}, 100), "b");
        const Function f = function({.updates = {{a, b + 1}, {b, a * 2}}, .mode = mode});
        f();
        CHECK(a.get_value().equals(ramp({37}, 101)));
        CHECK(b.get_value().equals(ramp({37}, 0, 2)));
    }
}

TEST_CASE("updates: swapping two and rotating three shared variables") {
    for (const Mode mode : modes) {
        const Array one = ramp({5, 7}), two = ramp({5, 7}, 50), three = ramp({5, 7}, 9, -1);
        const auto a = var(one, "a"), b = var(two, "b"), c = var(three, "c");
        const Function swap = function({.updates = {{a, b}, {b, a}}, .mode = mode});
        swap();
        CHECK(a.get_value().equals(two));
        CHECK(b.get_value().equals(one));
        swap();
        CHECK(a.get_value().equals(one));
        const Function rotate =
            function({.outputs = {a}, .updates = {{a, b}, {b, c}, {c, a}}, .mode = mode});
        CHECK(rotate()[0].equals(one));
        CHECK(a.get_value().equals(two));
        CHECK(b.get_value().equals(three));
        CHECK(c.get_value().equals(one));
        // Swapped through arithmetic that may be done in place.
        const Function mixed =
            function({.updates = {{a, b + c}, {b, a + c}, {c, a + b}}, .mode = mode});
        mixed();
        CHECK(a.get_value().equals(ramp({5, 7}, 9, 0)));
        CHECK(b.get_value().equals(ramp({5, 7}, 50, 2)));
        CHECK(c.get_value().equals(ramp({5, 7}, 59, 0)));
    }
}

TEST_CASE("updates: outputs see the old values, or the new ones where they ask for them") {
    for (const Mode mode : modes) {
        const auto w = var(ramp({2, 9}), "w");
        const Expr next = w * 3;
        const Function f = function(
            {.outputs = {w, next, w + 1, sum(w), next}, .updates = {{w, next}}, .mode = mode});
        const auto out = f();
        CHECK(out[0].equals(ramp({2, 9})));
        CHECK(out[1].equals(ramp({2, 9}, 0, 3)));
        CHECK(out[2].equals(ramp({2, 9}, 1)));
        CHECK(out[3].item<float>() == 153);
        CHECK(out[4].equals(out[1]));
        CHECK(w.get_value().equals(out[1]));
        // What was returned is no window on the variable.
        f();
        CHECK(out[1].equals(ramp({2, 9}, 0, 3)));
    }
}

TEST_CASE("updates: one that reads another, transposed, shifted and reduced") {
    for (const Mode mode : modes) {
        const Array start = ramp({4, 4});
        const auto w = var(start, "w");
        // Every element is written from another element: nothing may be overwritten too early.
        function({.updates = {{w, w.T()}}, .mode = mode})();
        for (int i = 0; i < 16; ++i)
            CHECK(w.get_value().as_double(i) == start.as_double(i % 4 * 4 + i / 4));
        w.set_value(start);
        function({.updates = {{w, w - mean(w, 0)}}, .mode = mode})();
        CHECK(w.get_value().equals(
            Array(Floats{-6, -6, -6, -6, -2, -2, -2, -2, 2, 2, 2, 2, 6, 6, 6, 6}, {4, 4})));
        w.set_value(start);
        const auto total = var(ramp({4}), "total");
        function({.updates = {{w, w + total}, {total, total + sum(w, 0)}}, .mode = mode})();
        CHECK(w.get_value().as_double(5) == 6);
        CHECK(total.get_value().equals(Array(Floats{24, 29, 34, 39})));
        w.set_value(start);
        const Expr moved = concatenate({w(slice(1, none)), w(slice(0, 1))}, 0);
        function({.updates = {{w, moved}}, .mode = mode})();
        CHECK(w.get_value().as_double(0) == 4);
        CHECK(w.get_value().as_double(15) == 3);
        // Two variables take the same expression.
        const auto p = var(ramp({3}), "p"), q = var(ramp({3}), "q");
        const Expr both = p + q;
        function({.updates = {{p, both}, {q, both}}, .mode = mode})();
        CHECK(p.get_value().equals(ramp({3}, 0, 2)));
        CHECK(q.get_value().equals(ramp({3}, 0, 2)));
    }
}

TEST_CASE("updates: several from one loop, whichever reads the others") {
    for (const Mode mode : modes) {
        const Array one = ramp({37}), two = ramp({37}, 100);
        const auto a = var(one, "a"), b = var(two, "b");
        function({.updates = {{a, 2 * a}, {b, b + a}}, .mode = mode})();
        CHECK(a.get_value().equals(ramp({37}, 0, 2)));
        CHECK(b.get_value().equals(ramp({37}, 100, 2)));
        function({.updates = {{b, b - a}, {a, a * 3}}, .mode = mode})();
        CHECK(a.get_value().equals(ramp({37}, 0, 6)));
        CHECK(b.get_value().equals(ramp({37}, 100, 0)));
        // Neither can change first.
        const Function both =
            function({.outputs = {a - b}, .updates = {{a, a + b}, {b, b - a}}, .mode = mode});
        CHECK(both()[0].equals(ramp({37}, -100, 6)));
        CHECK(a.get_value().equals(ramp({37}, 100, 6)));
        CHECK(b.get_value().equals(ramp({37}, 100, -6)));
    }
}

TEST_CASE("updates: a matrix product into its own operand") {
    for (const Mode mode : modes) {
        const Array m = Array(Floats{1, 1, 0, 0, 1, 1, 0, 0, 1}, {3, 3});
        const auto w = var(m, "w");
        const Function square = function({.updates = {{w, dot(w, w)}}, .mode = mode});
        square();
        CHECK(w.get_value().equals(Array(Floats{1, 2, 1, 0, 1, 2, 0, 0, 1}, {3, 3})));
        square();
        CHECK(w.get_value().equals(Array(Floats{1, 4, 6, 0, 1, 4, 0, 0, 1}, {3, 3})));
    }
}

TEST_CASE("updates: L2 in the cost, momentum, and a weight that two layers share") {
    for (const Mode mode : modes) {
        const auto x = matrix<float>("x", {6, 5});
        const auto y = vector<std::int32_t>("y", {6});
        const auto w = var(ramp({5, 5}, -0.3f, 0.02f), "w"), v = var(zeros<float>({5, 5}), "v");
        const Expr h = tanh(dot(x, w));
        const Expr p = softmax(dot(h, w));
        const Expr cost = mean(categorical_crossentropy(p, y)) + 0.5f * 0.1f * sum(sqr(w));
        const Expr g = grad(cost, w);
        const Expr velocity = 0.9f * v - 0.5f * g;
        const Function step = function({.inputs = {x, y},
                                        .outputs = {cost, g, w},
                                        .updates = {{v, velocity}, {w, w + velocity}},
                                        .mode = mode});
        const Function gradient = function({.inputs = {x, y}, .outputs = {g}, .mode = mode});
        const Array xs = ramp({6, 5}, -1, 0.07f);
        const std::vector<std::int32_t> ys{0, 1, 2, 3, 4, 0};
        double last = 1e9;
        Array slow_w = w.get_value(), slow_v = v.get_value();
        for (int k = 0; k < 8; ++k) {
            const auto out = step(xs, ys);
            CHECK(out[0].as_double() < last);
            last = out[0].as_double();
            CHECK(out[2].equals(slow_w));
            w.set_value(slow_w);
            CHECK(difference(gradient(xs, ys)[0], out[1]) < 1e-6);
            for (int i = 0; i < 25; ++i) {
                float& vi = slow_v.data<float>()[i];
                vi = 0.9f * vi - 0.5f * out[1].data<float>()[i];
                slow_w.data<float>()[i] += vi;
            }
            CHECK(difference(v.get_value(), slow_v) < 1e-6);
            w.set_value(slow_w);
            v.set_value(slow_v);
        }
    }
}

TEST_CASE("updates: native and interpreted training agree") {
    std::vector<Array> result[2];
    for (const Mode mode : modes) {
        const auto x = matrix<float>("x"), t = matrix<float>("t");
        const auto w1 = var(ramp({7, 11}, -0.4f, 0.011f), "w1"), b1 = var(zeros<float>({11}), "b1");
        const auto w2 = var(ramp({11, 3}, 0.4f, -0.023f), "w2"), b2 = var(ones<float>({3}), "b2");
        const Expr out = dot(sigmoid(dot(x, w1) + b1), w2) + b2;
        const Expr cost = mean(sqr(out - t));
        const std::vector<Expr> params{w1, b1, w2, b2};
        const auto g = grad(cost, params);
        FunctionOptions o{.inputs = {x, t}, .outputs = {cost}, .mode = mode};
        for (std::size_t k = 0; k < params.size(); ++k)
            o.updates.emplace_back(params[k], params[k] - 0.05f * g[k]);
        const Function step = function(o);
        auto& r = result[mode == Mode::interpret];
        for (int k = 0; k < 10; ++k)
            r.push_back(step(ramp({13, 7}, -1, 0.02f), ramp({13, 3}, 0, 0.1f))[0]);
        for (const Shared& p : {w1, b1, w2, b2}) r.push_back(p.get_value());
    }
    for (std::size_t k = 0; k < result[0].size(); ++k) {
        CAPTURE(k);
        CHECK(difference(result[0][k], result[1][k]) < 1e-5);
    }
    CHECK(result[0][9].as_double() < result[0][0].as_double());
}

TEST_CASE("updates: one shared variable in two functions") {
    for (const Mode mode : modes) {
        const auto x = vector<float>("x", {3});
        const auto w = var(ramp({3}), "w");
        const Function add = function({.inputs = {x}, .updates = {{w, w + x}}, .mode = mode});
        const Function read = function({.outputs = {sum(w)}, .mode = mode});
        CHECK(read()[0].item<float>() == 3);
        add(Floats{1, 1, 1});
        add(Floats{1, 2, 3});
        CHECK(read()[0].item<float>() == 12);
        w.set_value(zeros<float>({3}));
        CHECK(read()[0].item<float>() == 0);
        // A value that is its own update stays.
        function({.outputs = {w}, .updates = {{w, w}}, .mode = mode})();
        CHECK(w.get_value().equals(zeros<float>({3})));
    }
}

TEST_CASE("updates: constants, inputs and scalars of every dtype as new values") {
    for (const Mode mode : modes) {
        const auto x = vector<float>("x", {3});
        const auto w = var(ramp({3}), "w");
        const auto n = shared(Array(std::int64_t{0}), "n");
        const auto flag = shared(Array(false), "flag");
        const auto byte = shared(Array(std::uint8_t{250}), "byte");
        const Function f =
            function({.inputs = {x},
                      .outputs = {w},
                      .updates = {{w, x}, {n, n + 1}, {flag, !flag}, {byte, byte + 10}},
                      .mode = mode});
        CHECK(f(Floats{7, 8, 9})[0].equals(ramp({3})));
        CHECK(w.get_value().equals(ramp({3}, 7)));
        CHECK(n.get_value().item<std::int64_t>() == 1);
        CHECK(flag.get_value().item<bool>());
        CHECK(byte.get_value().item<std::uint8_t>() == 4);  // wraps
        function({.updates = {{w, Array(Floats{1, 2, 3})}, {n, 5}}, .mode = mode})();
        CHECK(w.get_value().equals(ramp({3}, 1)));
        CHECK(n.get_value().item<std::int64_t>() == 5);
    }
}

TEST_CASE("updates: borrowed memory is written in place") {
    for (const Mode mode : modes) {
        Floats memory{1, 2, 3};
        const auto w = shared(Array::view(memory.data(), {3}), "w", true);
        function({.updates = {{w, w * 2}}, .mode = mode})();
        CHECK(memory == Floats{2, 4, 6});
        const Array window = w.get_value(true), kept = w.get_value();
        function({.updates = {{w, w + 1}}, .mode = mode})();
        CHECK(window.equals(Array(Floats{3, 5, 7})));
        CHECK(kept.equals(Array(Floats{2, 4, 6})));
        Array other = ramp({3});
        w.set_value(other, true);
        function({.updates = {{w, w + 1}}, .mode = mode})();
        CHECK(other.equals(ramp({3}, 1)));
        // Without borrow the caller's array is left alone.
        Array copied = ramp({3});
        w.set_value(copied);
        function({.updates = {{w, w + 1}}, .mode = mode})();
        CHECK(copied.equals(ramp({3})));
        const auto v = shared(copied, "v");
        function({.updates = {{v, v + 1}}, .mode = mode})();
        CHECK(copied.equals(ramp({3})));
    }
}

TEST_CASE("updates: scatters into a table that is read too") {
    for (const Mode mode : modes) {
        const auto i = vector<std::int64_t>("i");
        const auto table = var(ramp({5, 2}), "table");
        const Expr rows = take(table, i);
        const Expr cost = sum(sqr(rows)) / 2;
        const Function step = function({.inputs = {i},
                                        .outputs = {cost},
                                        .updates = {{table, table - grad(cost, table)}},
                                        .mode = mode});
        CHECK(step(std::vector<std::int64_t>{1, 4})[0].item<float>() == (4 + 9 + 64 + 81) / 2.0f);
        CHECK(table.get_value().equals(Array(Floats{0, 1, 0, 0, 4, 5, 6, 7, 0, 0}, {5, 2})));
        // The same row twice gets both gradients.
        step(std::vector<std::int64_t>{2, 2, 0});
        CHECK(table.get_value().equals(Array(Floats{0, 0, 0, 0, -4, -5, 6, 7, 0, 0}, {5, 2})));
    }
}

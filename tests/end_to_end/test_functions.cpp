// What functions mean: givens, sizes, dtypes, gradients' options, memory. Each case runs natively
// and interpreted.
#include <cmath>
#include <cstdint>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/support.h"

using namespace arete;
using arete::test::difference;

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Ints32 = std::vector<std::int32_t>;

constexpr Mode modes[] = {Mode::fast_run, Mode::interpret};

Array ramp(Sizes sizes, float start = 0, float step = 1) {
    Array out(DType::F32, std::move(sizes));
    for (std::int64_t i = 0; i < out.size(); ++i)
        out.data<float>()[i] = start + step * static_cast<float>(i);
    return out;
}

/// Runs f natively and interpreted, expects both to agree, and returns the native results.
std::vector<Array> run(FunctionOptions options, const std::vector<Array>& arguments = {},
                       double tolerance = 1e-6) {
    options.mode = Mode::interpret;
    const auto expected = function(options).call(arguments);
    options.mode = Mode::fast_run;
    const auto got = function(options).call(arguments);
    REQUIRE(got.size() == expected.size());
    for (std::size_t k = 0; k < got.size(); ++k) {
        CAPTURE(k);
        CHECK_MESSAGE(difference(got[k], expected[k]) <= tolerance, got[k].str(),
                      " and interpreted ", expected[k].str());
    }
    return got;
}

}  // namespace

TEST_CASE("functions: no outputs, outputs that are inputs, constants or given twice") {
    const auto x = vector<float>("x");
    const auto out =
        run({.inputs = {x}, .outputs = {x, x, Expr(constant(Array(Floats{1, 2}))), x + x}},
            {ramp({3})});
    CHECK(out[0].equals(ramp({3})));
    CHECK(out[1].equals(ramp({3})));
    CHECK(out[2].equals(Array(Floats{1, 2})));
    CHECK(out[3].equals(ramp({3}, 0, 2)));
    CHECK(function({.outputs = {}})().empty());
    const Function f = function({.inputs = {x}, .outputs = {x}, .name = "same"});
    const Array in = ramp({3});
    Array result = f(in)[0];
    result.data<float>()[0] = 9;  // results are the caller's
    CHECK(in.as_double(0) == 0);
    CHECK(f.name() == "same");
}

TEST_CASE("functions: a mini-batch of shared data by givens") {
    const auto x = matrix<float>("x", {4, 3});
    const auto y = vector<std::int32_t>("y", {4});
    const auto i = scalar<std::int64_t>("i");
    const auto data = shared(ramp({12, 3}), "data");
    Array labels(DType::I32, {12});
    for (int k = 0; k < 12; ++k) labels.data<std::int32_t>()[k] = k;
    const auto all_labels = shared(labels, "labels");
    for (const Mode mode : modes) {
        const Function f = function({.inputs = {i},
                                     .outputs = {sum(x, 1), y * 2},
                                     .givens = {{x, data(slice(i * 4, (i + 1) * 4))},
                                                {y, all_labels(slice(i * 4, (i + 1) * 4))}},
                                     .mode = mode});
        for (const std::int64_t k : {0, 2, 1}) {
            const auto out = f(k);
            for (std::int64_t r = 0; r < 4; ++r) {
                CHECK(out[0].as_double(r) == static_cast<double>(9 * (4 * k + r) + 3));
                CHECK(out[1].as_int(r) == 2 * (4 * k + r));
            }
        }
        CHECK(f.stats().specialisations == 1);  // the number of the batch sets no size
    }
}

TEST_CASE("functions: givens of unknown size, of intermediate values and of each other") {
    const auto x = vector<float>("x"), z = vector<float>("z");
    const Expr h = x * 2, y = sum(h + 1), rows = arange(x.shape(0));
    // Sizes said in terms of x become those of what replaces it.
    auto out = run({.inputs = {z}, .outputs = {y, rows}, .givens = {{x, concatenate({z, z})}}},
                   {ramp({3})});
    CHECK(out[0].item<float>() == 18);
    CHECK(out[1].shape() == Sizes{6});
    // An intermediate value; its own operands are no longer needed.
    out = run({.inputs = {z}, .outputs = {y}, .givens = {{h, z}}}, {ramp({3})});
    CHECK(out[0].item<float>() == 6);
    // A replacement is not replaced again: x and z are swapped.
    out = run({.inputs = {x, z}, .outputs = {x - 3 * z}, .givens = {{x, z}, {z, x}}},
              {ramp({3}, 1), ramp({3}, 10)});
    CHECK(out[0].equals(ramp({3}, 7, -2)));
    // Shared variables and constants may be replaced; updates see the replacement.
    for (const Mode mode : modes) {
        const auto w = shared(ramp({3}), "w"), v = shared(ramp({3}, 5), "v");
        const Function f = function(
            {.outputs = {w * 1}, .updates = {{w, w + 1}}, .givens = {{w, v}}, .mode = mode});
        CHECK(f()[0].equals(ramp({3}, 5)));
        CHECK(w.get_value().equals(ramp({3}, 6)));
        CHECK(v.get_value().equals(ramp({3}, 5)));
    }
    // A literal takes the dtype.
    const auto s = scalar<double>("s");
    CHECK(run({.outputs = {s + 1}, .givens = {{s, 2}}})[0].item<double>() == 3);
}

TEST_CASE("functions: random streams") {
    for (const Mode mode : modes) {
        RandomStream random(7), again(7);
        const Expr u = random.uniform({50}), v = random.uniform({50}), w = again.uniform({50});
        const Function f = function({.outputs = {u, v}, .mode = mode}),
                       g = function({.outputs = {w}, .mode = mode});
        const auto first = f(), second = f();
        CHECK(!first[0].equals(second[0]));
        CHECK(!first[0].equals(first[1]));
        CHECK(g()[0].equals(first[0]));
        CHECK(g()[0].equals(second[0]));
        // Another function that reads the same draw goes on where this one stopped.
        const Function h = function({.outputs = {sum(u)}, .mode = mode});
        g();
        CHECK(h()[0].as_double() !=
              doctest::Approx(function({.outputs = {sum(w)}, .mode = mode})()[0].as_double()));
    }
}

TEST_CASE("functions: several shapes, each compiled once") {
    const auto x = matrix<float>("x");
    const auto v = vector<float>("v");
    const Function f = function({.inputs = {x, v}, .outputs = {x + v, sum(x, 0), x.shape(0)}});
    int count = 0;
    for (const std::int64_t rows : {1, 4, 33, 0})
        for (const std::int64_t columns : {1, 7}) {
            const auto out = f(ramp({rows, columns}), ramp({columns}, 1));
            CHECK(out[0].shape() == Sizes{rows, columns});
            for (std::int64_t k = 0; k < rows * columns; ++k)
                CHECK(out[0].as_double(k) == static_cast<double>(k + k % columns + 1));
            CHECK(out[1].shape() == Sizes{columns});
            CHECK(out[2].item<std::int64_t>() == rows);
            CHECK(f.stats().specialisations == ++count);
        }
    f(ramp({4, 7}), ramp({7}));
    CHECK(f.stats().specialisations == count);
    CHECK(f.stats().kernels > 0);
    CHECK(f.stats().compile_ms > 0);
    // A row that broadcasts is another shape.
    CHECK(f(ramp({4, 7}), ramp({1}, 1))[0].as_double(27) == 28);
}

TEST_CASE("functions: sizes that scalar inputs set") {
    const auto n = scalar<std::int32_t>("n"), a = scalar<std::int32_t>("a");
    const auto x = vector<float>("x");
    for (const Mode mode : modes) {
        const Function count =
            function({.inputs = {n},
                      .outputs = {arange(n), full({n, 2}, 1.5, DType::F32), n + 1},
                      .mode = mode});
        for (const int k : {3, 0, 12, 3}) {
            const auto out = count(k);
            CHECK(out[0].shape() == Sizes{k});
            CHECK(out[1].shape() == Sizes{k, 2});
            for (int i = 0; i < k; ++i) CHECK(out[0].as_int(i) == i);
            CHECK(out[2].item<std::int32_t>() == k + 1);
        }
        CHECK(count.stats().specialisations == 3);
        const Function cut =
            function({.inputs = {x, a, n}, .outputs = {x(slice(a, n))}, .mode = mode});
        CHECK(cut(ramp({10}), 2, 5)[0].equals(ramp({3}, 2)));
        CHECK(cut(ramp({10}), 0, 10)[0].equals(ramp({10})));
        CHECK(cut(ramp({10}), 4, 4)[0].shape() == Sizes{0});
        CHECK_THROWS_AS(cut(ramp({10}), 8, 11), Error);
        CHECK_THROWS_AS(cut(ramp({10}), -1, 3), Error);
        CHECK_THROWS_AS(count(-1), Error);
        CHECK(cut(ramp({10}), 7, 10)[0].equals(ramp({3}, 7)));
        const Function half = function(
            {.inputs = {x}, .outputs = {x(slice(floordiv(x.shape(0), 2), none))}, .mode = mode});
        CHECK(half(ramp({7}))[0].equals(ramp({4}, 3)));
    }
}

TEST_CASE("functions: arrays of no elements, scalars") {
    const auto x = matrix<float>("x", {-1, 3});
    const auto w = shared(ramp({3, 2}), "w");
    const Expr h = relu(dot(x, w));
    const Expr g = grad(sum(h), w);
    const auto out =
        run({.inputs = {x}, .outputs = {h, sum(h, 0), sum(h), g, x * 2, dot(x.T(), x), softmax(h)}},
            {zeros<float>({0, 3})});
    CHECK(out[0].shape() == Sizes{0, 2});
    CHECK(out[1].equals(zeros<float>({2})));
    CHECK(out[2].item<float>() == 0);
    CHECK(out[3].equals(zeros<float>({3, 2})));
    CHECK(out[4].shape() == Sizes{0, 3});
    CHECK(out[5].equals(zeros<float>({3, 3})));
    CHECK(out[6].shape() == Sizes{0, 2});
    const auto a = scalar<float>("a"), b = scalar<float>("b");
    const auto s = run({.inputs = {a, b}, .outputs = {a * b + 1, exp(a) / b, grad(a * sqr(b), b)}},
                       {Array(2.0f), Array(3.0f)});
    CHECK(s[0].item<float>() == 7);
    CHECK(s[1].item<float>() == doctest::Approx(std::exp(2.0) / 3));
    CHECK(s[2].item<float>() == 12);
}

TEST_CASE("functions: literals and dtypes") {
    const auto f = vector<float>("f");
    const auto d = vector<double>("d");
    const auto i = vector<std::int32_t>("i");
    const auto l = vector<std::int64_t>("l");
    const auto u = vector<std::uint8_t>("u");
    const auto b = vector<bool>("b");
    const std::pair<Expr, DType> cases[] = {
        {0.1f * f, DType::F32},       {0.1 * f, DType::F32},
        {2 * f, DType::F32},          {f + 1, DType::F32},
        {0.1f * d, DType::F64},       {2 * d, DType::F64},
        {f * d, DType::F64},          {f + i, DType::F32},
        {f + l, DType::F32},          {d + i, DType::F64},
        {i / i, DType::F32},          {l / 2, DType::F32},
        {i * 2, DType::I32},          {l * 2, DType::I64},
        {u + 1, DType::U8},           {u + i, DType::I32},
        {i + l, DType::I64},          {i * 0.5, DType::F32},
        {b + 1, DType::I32},          {b * f, DType::F32},
        {mean(i), DType::F32},        {sum(i), DType::I64},
        {sum(b), DType::I64},         {exp(i), DType::F32},
        {f > 0, DType::Bool},         {!f, DType::Bool},
        {b && f, DType::Bool},        {pow(f, 2), DType::F32},
        {where(b, f, 0), DType::F32}, {where(b, 1, f), DType::F32},
        {argmax(d), DType::I64},      {maximum(0.0, f), DType::F32},
        {f.shape(0), DType::I64},     {dot(i, i), DType::I64}};
    for (const auto& [e, t] : cases) {
        INFO(std::string(e.node().op->name));
        CHECK(e.dtype() == t);
    }
    static_assert(std::is_constructible_v<Tensor<float, 1>, Expr>);
    const Tensor<float, 1> typed = 0.5 * f + 1;
    const auto out =
        run({.inputs = {f, i},
             .outputs = {typed, i / 2, i * 0.5, f + i, 1 - f, floordiv(i, 2), mod(i, 3)}},
            {Array(Floats{1, 2, 3}), Array(Ints32{5, -5, 7})});
    CHECK(out[0].equals(Array(Floats{1.5, 2, 2.5})));
    CHECK(out[1].equals(Array(Floats{2.5, -2.5, 3.5})));
    CHECK(out[2].equals(out[1]));
    CHECK(out[3].equals(Array(Floats{6, -3, 10})));
    CHECK(out[4].equals(Array(Floats{0, -1, -2})));
    CHECK(out[5].equals(Array(Ints32{2, -3, 3})));
    CHECK(out[6].equals(Array(Ints32{2, 1, 1})));
    // 0.1 beside f64 is the double, not the float.
    CHECK(run({.inputs = {d}, .outputs = {d * 0.1}}, {Array(Doubles{3})})[0].item<double>() ==
          3 * 0.1);
}

TEST_CASE("functions: logic on expressions names their lines") {
    const auto x = vector<float>("x");
    const auto out =
        run({.inputs = {x}, .outputs = {x > 1 && x < 3, !(x > 1) || x > 2, !x}}, {ramp({5})});
    CHECK(out[0].equals(Array(std::vector<std::int64_t>{0, 0, 1, 0, 0}).astype(DType::Bool)));
    CHECK(out[1].equals(Array(std::vector<std::int64_t>{1, 1, 0, 1, 1}).astype(DType::Bool)));
    CHECK(out[2].equals(Array(std::vector<std::int64_t>{1, 0, 0, 0, 0}).astype(DType::Bool)));
    const int line = __LINE__ + 1;
    const Expr both = x > 0 && x < 1;
    CHECK(both.loc().line == line);
}

TEST_CASE("functions: eval, casts, not-a-numbers") {
    CHECK(arange(4).eval().equals(Array(std::vector<std::int64_t>{0, 1, 2, 3})));
    const auto w = shared(ramp({3}), "w");
    CHECK((w * 2).eval().equals(ramp({3}, 0, 2)));
    w.set_value(ramp({3}, 5));
    CHECK((w * 2).eval().equals(ramp({3}, 10, 2)));
    const float nan = std::nanf(""), infinite = HUGE_VALF;
    const auto x = vector<float>("x");
    const auto out = run(
        {.inputs = {x},
         .outputs = {x * 0, x - x, max(x), maximum(x, 0), x + 0, where(isnan(x), 0, x), eq(x, x)}},
        {Array(Floats{nan, infinite, -infinite, -0.0f, 1})});
    CHECK(std::isnan(out[0].as_double(0)));
    CHECK(std::isnan(out[0].as_double(1)));
    CHECK(std::isnan(out[1].as_double(2)));
    CHECK(std::isnan(out[2].as_double()));
    CHECK(std::isnan(out[3].as_double(0)));
    CHECK(out[3].as_double(1) == infinite);
    CHECK(out[5].as_double(0) == 0);
    CHECK(out[6].astype(DType::I64).equals(Array(std::vector<std::int64_t>{0, 1, 1, 1, 1})));
    const auto casts =
        run({.inputs = {x},
             .outputs = {cast(x, DType::I32), cast(x, DType::Bool), cast(x, DType::F64)}},
            {Array(Floats{1.9f, -1.9f, 0, -0.0f, 3e6f})});
    CHECK(casts[0].equals(Array(Ints32{1, -1, 0, 0, 3000000})));
    CHECK(casts[1].astype(DType::I32).equals(Array(Ints32{1, 1, 0, 0, 1})));
    CHECK(casts[2].as_double(0) == static_cast<double>(1.9f));
}

TEST_CASE("functions: gradients that stop, that are given, and of second order") {
    const auto x = vector<double>("x");
    const Expr h = sqr(x), y = sum(h * x);
    const Array at = Array(Doubles{1, 2, -3});
    const auto g = [&](const Expr& e) {
        return run({.inputs = {x}, .outputs = {e}, .on_unused_input = OnUnusedInput::ignore}, {at},
                   1e-12)[0];
    };
    CHECK(g(grad(y, x)).equals(Array(Doubles{3, 12, 27})));
    CHECK(g(grad(y, x, {.consider_constant = {h}})).equals(Array(Doubles{1, 4, 9})));
    CHECK(g(grad(sum(stop_gradient(h) * x), x)).equals(Array(Doubles{1, 4, 9})));
    // dy/dh is given as 10: 10 * 2x + h.
    CHECK(g(grad(y, x, {.known_grads = {{h, full({3}, 10.0, DType::F64)}}}))
              .equals(Array(Doubles{21, 44, -51})));
    CHECK(g(grad(y, h)).equals(at));
    const Expr second = grad(sum(grad(y, x)), x);
    CHECK(g(second).equals(Array(Doubles{6, 12, -18})));
    CHECK(g(grad(sum(second), x)).equals(Array(Doubles{6, 6, 6})));
    // Hessian times vector of a function that mixes its variables.
    const Expr f = sum(exp(x) * x) + prod(x);
    const auto v = vector<double>("v", {3});
    const Expr hv = grad(sum(grad(f, x) * v), x);
    const auto out =
        run({.inputs = {x, v}, .outputs = {hv}}, {at, Array(Doubles{1, -1, 2})}, 1e-12)[0];
    const double e[] = {3 * std::exp(1.0), 4 * std::exp(2.0), -std::exp(-3.0)};
    CHECK(out.as_double(0) == doctest::Approx(e[0] + -3 * -1 + 2 * 2));
    CHECK(out.as_double(1) == doctest::Approx(-e[1] + -3 * 1 + 1 * 2));
    CHECK(out.as_double(2) == doctest::Approx(2 * e[2] + 2 * 1 + 1 * -1));
    const auto both = Lop(sqr(x), {x}, v);
    CHECK(run({.inputs = {x, v}, .outputs = {both[0]}}, {at, Array(Doubles{1, 1, 2})})[0].equals(
        Array(Doubles{2, 4, -12})));
}

TEST_CASE("functions: memory of the caller") {
    const auto x = matrix<float>("x");
    const Function f = function({.inputs = {x}, .outputs = {x * 2, sum(x, 1)}});
    float memory[] = {1, 2, 3, 4, 5, 6, 7};
    // Views need not be aligned, and are read anew in each call.
    const Array view = Array::view(memory + 1, {2, 3});
    CHECK(f(view)[1].equals(Array(Floats{9, 18})));
    memory[1] = 10;
    CHECK(f(view)[1].equals(Array(Floats{17, 18})));
    const float constant_memory[] = {1, 2};
    CHECK(f(Array::view(constant_memory, {1, 2}))[1].equals(Array(Floats{3})));
    float results[9] = {};
    std::vector<Array> out{Array::view(results + 1, {2, 3}), Array(DType::F32, {2})};
    const std::vector<Array> in{view};
    f.call_into(out, in);
    CHECK(results[0] == 0);
    CHECK(results[1] == 20);
    CHECK(results[6] == 14);
    CHECK(results[7] == 0);
    // Copies of a Function are one function.
    const Function g = f;
    g(ramp({5, 5}));
    CHECK(f.stats().specialisations == g.stats().specialisations);
    // Rows of a big array, not aligned to vectors.
    const auto big = ramp({64, 65});
    const auto doubled = f(Array::view(big.data<float>() + 65, {63, 65}))[0];
    for (int k = 0; k < 63 * 65; ++k) REQUIRE(doubled.as_double(k) == 2 * (65.0 + k));
}

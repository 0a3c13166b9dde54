// Calls that cannot be: what is wrong is named, and no shared variable changes.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/support.h"

using namespace arete;
using arete::test::message_of;

namespace {

using Floats = std::vector<float>;
using Longs = std::vector<std::int64_t>;

constexpr Mode modes[] = {Mode::fast_run, Mode::interpret};

/// f must throw an E that reads "test_call_errors.cpp:line: text".
template <class E, class F>
void fails(int line, F f, const std::string& text) {
    CAPTURE(line);
    try {
        f();
    } catch (const E& e) {
        CHECK(std::string(e.what()) == fmt::format("test_call_errors.cpp:{}: {}", line, text));
        return;
    } catch (const std::exception& e) {
        FAIL_CHECK("another kind of error: " << e.what());
        return;
    }
    FAIL_CHECK("no error; expected: " << text);
}

Array counting(Sizes sizes) {
    Array out(DType::F32, std::move(sizes));
    for (std::int64_t i = 0; i < out.size(); ++i) out.data<float>()[i] = static_cast<float>(i);
    return out;
}

}  // namespace

TEST_CASE("call errors: number, dtype, rank and sizes of arguments") {
    const int line_x = __LINE__ + 1;
    const auto x = matrix<float>("x", {-1, 3});
    const auto n = scalar<std::int32_t>("n");
    const int line = __LINE__ + 1;
    const Function f = function({.inputs = {x, n}, .outputs = {x * n}, .name = "twice"});
    const Array good = counting({2, 3});
    const std::string name = "function 'twice': ";
    fails<ArgumentError>(
        line, [&] { f(good); }, name + "1 arguments given, it takes 2");
    fails<ArgumentError>(
        line, [&] { f(); }, name + "0 arguments given, it takes 2");
    fails<ArgumentError>(
        line, [&] { f(good, 1, 2); }, name + "3 arguments given, it takes 2");
    const std::string argument = name + "argument 1 ('x') must be f32[x.shape(0),3], it is ";
    fails<ArgumentError>(
        line_x, [&] { f(good.astype(DType::F64), 1); }, argument + "f64[2,3]");
    fails<ArgumentError>(
        line_x, [&] { f(good.astype(DType::I32), 1); }, argument + "i32[2,3]");
    fails<ArgumentError>(
        line_x, [&] { f(counting({6}), 1); }, argument + "f32[6]");
    fails<ArgumentError>(
        line_x,
        [&] {
            f(Floats{1, 2, 3}, 1);
        },
        argument + "f32[3]");
    fails<ArgumentError>(
        line_x,
        [&] {
            f(counting({3, 2}), 1);
        },
        argument + "f32[3,2]");
    fails<ArgumentError>(
        line_x, [&] { f(1.0f, 1); }, argument + "f32[]");
    const std::string second = name + "argument 2 ('n') ";
    fails<ArgumentError>(
        line_x + 1, [&] { f(good, good); }, second + "must be i32[], it is f32[2,3]");
    fails<ArgumentError>(
        line_x + 1, [&] { f(good, Longs{1}); }, second + "must be i32[], it is i64[1]");
    CHECK(f(good, 2)[0].equals(function({.inputs = {x}, .outputs = {x * 2}})(good)[0]));
    CHECK(f(good, std::int64_t{2})[0].as_double(5) == 10);
    CHECK(f(good, 2.0)[0].as_double(5) == 10);
}

TEST_CASE("call errors: numbers that the input cannot hold") {
    const int line = __LINE__ + 1;
    const auto i = scalar<std::int32_t>("i");
    const auto u = scalar<std::uint8_t>("u");
    const auto b = scalar<bool>("b");
    const auto x = scalar<float>("x");
    const auto call = [](const Expr& e, const auto& v) {
        return function({.inputs = {e}, .outputs = {e}, .name = "f"})(v)[0];
    };
    const std::string f = "function 'f': argument 1 ('";
    fails<ArgumentError>(
        line, [&] { call(i, 2.5); }, f + "i') is f64[] {2.5}, which i32 cannot hold");
    fails<ArgumentError>(
        line, [&] { call(i, std::int64_t{1} << 32); },
        f + "i') is i64[] {4294967296}, which i32 cannot hold");
    fails<ArgumentError>(
        line + 1, [&] { call(u, 256); }, f + "u') is i32[] {256}, which u8 cannot hold");
    fails<ArgumentError>(
        line + 1, [&] { call(u, -1); }, f + "u') is i32[] {-1}, which u8 cannot hold");
    fails<ArgumentError>(
        line + 2, [&] { call(b, 2); }, f + "b') is i32[] {2}, which bool cannot hold");
    fails<ArgumentError>(
        line + 3, [&] { call(x, (1 << 24) + 1); },
        f + "x') is i32[] {16777217}, which f32 cannot hold");
    CHECK(message_of([&] { call(i, std::numeric_limits<double>::quiet_NaN()); }) != "");
    // What f32 makes infinite is not rounded, and the largest i64 is no f64.
    CHECK(message_of([&] { call(x, 1e300); }) != "");
    CHECK(message_of([&] { call(scalar<double>("d"), INT64_MAX); }) != "");
    CHECK(call(x, std::numeric_limits<double>::infinity()).item<float>() ==
          std::numeric_limits<float>::infinity());
    CHECK(call(x, 0.1).item<float>() == 0.1f);  // a double is rounded
    CHECK(call(b, 1).item<bool>());
    CHECK(call(u, 255).item<std::uint8_t>() == 255);
}

TEST_CASE("call errors: sizes that had to be equal differ") {
    const auto x = matrix<float>("x"), y = matrix<float>("y");
    for (const Mode mode : modes) {
        const int line = __LINE__ + 1;
        const Expr added = x + y;
        const Expr product = dot(x, y);
        const Expr both = concatenate({x, y}, 0);
        const auto run = [&](const Expr& e, const Array& a, const Array& b) {
            return function({.inputs = {x, y}, .outputs = {e}, .mode = mode})(a, b)[0];
        };
        const Array a = counting({2, 3}), b = counting({3, 2});
        const auto message = [&](const Expr& e) {
            return message_of([&] { run(e, a, a.reshaped({6, 1})); });
        };
        CAPTURE(message(product));
        CHECK(message(product).rfind(fmt::format("test_call_errors.cpp:{}: dot: inner sizes "
                                                 "differ: x is f32[2,3], y is f32[6,1]",
                                                 line + 1),
                                     0) == 0);
        const auto sum_error = message_of([&] { run(added, a, b); });
        CHECK(sum_error == fmt::format("test_call_errors.cpp:{}: add: shapes cannot be broadcast "
                                       "together: x is f32[2,3], y is f32[3,2]",
                                       line));
        const auto concatenate_error = message_of([&] { run(both, a, b); });
        CHECK(concatenate_error ==
              fmt::format("test_call_errors.cpp:{}: concatenate: sizes differ on an axis other "
                          "than 0: x is f32[2,3], y is f32[3,2]",
                          line + 2));
        CHECK(run(added, a, a).as_double(5) == 10);
        CHECK(run(product, a, b).shape() == Sizes{2, 2});
    }
}

TEST_CASE("call errors: a size beside a known one is that, or 1") {
    const auto x = matrix<float>("x", {4, 3});
    const auto y = matrix<float>("y");
    const auto w = shared(counting({4, 3}), "w");
    const Array before = w.get_value();
    const Expr z = x + y;
    const Function f = function({.inputs = {x, y}, .outputs = {z}, .updates = {{w, w + z}}});
    const std::string message = message_of([&] { f(counting({4, 3}), counting({5, 3})); });
    CHECK(message.find("test_call_errors.cpp:") == 0);
    CHECK(message.find("add") != std::string::npos);
    CHECK(w.get_value().equals(before));
    CHECK(f(counting({4, 3}), counting({1, 3}))[0].as_double(4) == 5);
}

TEST_CASE("call errors: an index out of range changes nothing") {
    for (const Mode mode : modes) {
        const auto i = vector<std::int64_t>("i");
        const auto j = vector<std::int32_t>("j");
        const auto w = shared(counting({4, 3}), "w"), count = shared(Array(0.0f), "count");
        const auto v = shared(counting({4, 3}), "v");
        const auto table = shared(counting({4, 3}), "table");
        RandomStream random(3);
        const Expr noise = random.uniform({4, 3});
        const int line = __LINE__ + 1;
        const Expr rows = take(w, i);
        const Expr elements = table(arange(i.shape(0)), j);
        const Function f = function({.inputs = {i, j},
                                     .outputs = {rows, elements, sum(noise)},
                                     .updates = {{w, w + 1},
                                                 {v, w - v + noise},
                                                 {count, count + sum(rows)},
                                                 {table, table * 0.5f}},
                                     .name = "f",
                                     .mode = mode});
        const auto state = [&] {
            return std::vector<Array>{w.get_value(), v.get_value(), count.get_value(),
                                      table.get_value()};
        };
        const auto unchanged = [&](const std::vector<Array>& before) {
            const auto now = state();
            for (std::size_t k = 0; k < now.size(); ++k) CHECK(now[k].equals(before[k]));
        };
        const std::vector<std::int32_t> good_j{0, 2};
        const auto initial = state();
        fails<RangeError>(
            line,
            [&] {
                f(Longs{0, 4}, good_j);
            },
            "index 4 is out of range for an axis of size 4");
        unchanged(initial);
        fails<RangeError>(
            line,
            [&] {
                f(Longs{-5, 0}, good_j);
            },
            "index -5 is out of range for an axis of size 4");
        unchanged(initial);
        CHECK(message_of([&] {
                  f(Longs{0, 1}, std::vector<std::int32_t>{0, 3});
              }).find(fmt::format("test_call_errors.cpp:{}: ", line + 1)) == 0);
        unchanged(initial);
        CHECK_THROWS_AS(f(Longs{std::numeric_limits<std::int64_t>::max(), 0}, good_j), RangeError);
        CHECK_THROWS_AS(f(Longs{std::numeric_limits<std::int64_t>::min(), 0}, good_j), RangeError);
        unchanged(initial);
        // Good calls still work, and see that no random numbers were used up.
        const auto out = f(Longs{3, -4}, good_j);
        CHECK(out[0].equals(Array(Floats{9, 10, 11, 0, 1, 2}, {2, 3})));
        CHECK(out[1].equals(Array(Floats{0, 5})));
        CHECK(count.get_value().item<float>() == 33);
        CHECK(w.get_value().as_double(0) == 1);
        RandomStream again(3);
        const Expr fresh = sum(again.uniform({4, 3}));
        CHECK(function({.outputs = {fresh}, .mode = mode})()[0].equals(out[2]));
        const auto later = state();
        CHECK_THROWS_AS(f(Longs{0, 9}, good_j), RangeError);
        unchanged(later);
    }
}

TEST_CASE("call errors: symbolic slices and positions out of range") {
    for (const Mode mode : modes) {
        const auto i = scalar<std::int64_t>("i");
        const auto data = shared(counting({6, 2}), "data");
        const auto seen = shared(Array(0.0f), "seen");
        const int line = __LINE__ + 1;
        const Expr batch = data(slice(i * 2, (i + 1) * 2));
        const Expr row = data(i);
        const Function f = function(
            {.inputs = {i}, .outputs = {batch}, .updates = {{seen, seen + 1}}, .mode = mode});
        const Function g = function(
            {.inputs = {i}, .outputs = {row}, .updates = {{seen, seen + 1}}, .mode = mode});
        CHECK(f(2)[0].equals(Array(Floats{8, 9, 10, 11}, {2, 2})));
        CHECK(g(-1)[0].equals(Array(Floats{10, 11})));
        CHECK(seen.get_value().item<float>() == 2);
        for (const std::int64_t bad :
             {std::int64_t{3}, std::int64_t{-1}, std::int64_t{1} << 40, std::int64_t{1} << 62}) {
            CAPTURE(bad);
            const std::string message = message_of([&] { f(bad); });
            CHECK(message.find(fmt::format("test_call_errors.cpp:{}: ", line)) == 0);
            CHECK(message.find("a slice of 2 elements from ") != std::string::npos);
            CHECK(message.find(" leaves its axis of size 6") != std::string::npos);
        }
        const std::string message = message_of([&] { g(6); });
        CHECK(message.find(fmt::format("test_call_errors.cpp:{}: ", line + 1)) == 0);
        CHECK_THROWS_AS(g(-7), RangeError);
        CHECK(seen.get_value().item<float>() == 2);
        CHECK(f(0)[0].equals(Array(Floats{0, 1, 2, 3}, {2, 2})));
        CHECK(seen.get_value().item<float>() == 3);
        // A failed call may have compiled something; it is no other specialisation.
        CHECK(f.stats().specialisations == 1);
    }
}

TEST_CASE("call errors: labels out of range in a training step") {
    const auto x = matrix<float>("x", {3, 4});
    const auto y = vector<std::int32_t>("y", {3});
    const auto w = shared(zeros<float>({4, 5}), "w");
    const Expr cost = mean(categorical_crossentropy(softmax(dot(x, w)), y));
    const Function step =
        function({.inputs = {x, y}, .outputs = {cost}, .updates = {{w, w - 0.1f * grad(cost, w)}}});
    const Array xs = counting({3, 4});
    const Array before = w.get_value();
    for (const std::int32_t bad : {5, -6, 1000000})
        CHECK_THROWS_AS(step(xs, std::vector<std::int32_t>{0, bad, 1}), RangeError);
    CHECK(w.get_value().equals(before));
    CHECK(step(xs, std::vector<std::int32_t>{0, 4, 1})[0].item<float>() ==
          doctest::Approx(std::log(5.0)));
    CHECK(!w.get_value().equals(before));
}

TEST_CASE("call errors: set_value, get_value, items") {
    const int line = __LINE__ + 1;
    const auto w = shared(counting({2, 3}), "w");
    const std::string start = "set_value: shared variable 'w' is f32[2,3], the value is ";
    fails<ArgumentError>(
        line,
        [&] {
            w.set_value(counting({3, 2}));
        },
        start + "f32[3,2]");
    fails<ArgumentError>(
        line, [&] { w.set_value(counting({6})); }, start + "f32[6]");
    fails<ArgumentError>(
        line,
        [&] {
            w.set_value(zeros<double>({2, 3}));
        },
        start + "f64[2,3]");
    fails<ArgumentError>(
        line,
        [&] {
            w.set_value(zeros<double>({2, 3}), true);
        },
        start + "f64[2,3]");
    CHECK(w.get_value().equals(counting({2, 3})));
    CHECK_THROWS_WITH_AS(w.get_value().item<float>(), "Array: f32[2,3] holds 6 elements, not 1",
                         ArgumentError);
    CHECK_THROWS_WITH_AS(Array(1.0f).item<double>(), "Array: f32[] read as f64", ArgumentError);
    w.set_value(ones<float>({2, 3}));
    CHECK(w.get_value().equals(ones<float>({2, 3})));
}

TEST_CASE("call errors: outputs of call_into, empty functions") {
    const auto x = vector<float>("x");
    const auto w = shared(Array(0.0f), "w");
    const std::vector<Expr> results{x * 2, sum(x)};
    const int line = __LINE__ + 1;
    const Function f = function({.inputs = {x}, .outputs = results, .updates = {{w, w + 1}}});
    const std::vector<Array> in{counting({3})};
    std::vector<Array> out{Array(DType::F32, {3})};
    fails<ArgumentError>(
        line, [&] { f.call_into(out, in); }, "function 'function': 1 outputs given, it has 2");
    out.push_back(Array(DType::F64, {}));
    fails<ArgumentError>(
        line, [&] { f.call_into(out, in); },
        "function 'function': output 2 is f32[], the array given for it is f64[]");
    out[1] = Array(DType::F32, {1});
    fails<ArgumentError>(
        line, [&] { f.call_into(out, in); },
        "function 'function': output 2 is f32[], the array given for it is f32[1]");
    out = {Array(DType::F32, {4}), Array(DType::F32, {})};
    fails<ArgumentError>(
        line, [&] { f.call_into(out, in); },
        "function 'function': output 1 is f32[3], the array given for it is f32[4]");
    CHECK(w.get_value().item<float>() == 0);
    out[0] = Array(DType::F32, {3});
    f.call_into(out, in);
    CHECK(out[0].equals(Array(Floats{0, 2, 4})));
    CHECK(out[1].item<float>() == 3);
    CHECK(w.get_value().item<float>() == 1);

    const Function none;
    CHECK_THROWS_WITH_AS(none(), "call of an empty Function", ArgumentError);
    CHECK_THROWS_WITH_AS(none(1.0f), "call of an empty Function", ArgumentError);
    CHECK_THROWS_WITH_AS(none.call_into(out, in), "call of an empty Function", ArgumentError);
    CHECK_THROWS_AS(none.name(), ArgumentError);
    CHECK_THROWS_AS(none.stats(), ArgumentError);
}

TEST_CASE("call errors: a bad call changes nothing in what is compiled") {
    const auto x = vector<float>("x"), y = vector<float>("y");
    const auto w = shared(Array(0.0f), "w");
    const Function f =
        function({.inputs = {x, y}, .outputs = {x + y}, .updates = {{w, w + sum(x)}}});
    for (int k = 0; k < 3; ++k) {
        CHECK_THROWS_AS(f(counting({3}), counting({4})), GraphError);
        CHECK_THROWS_AS(f(counting({3})), ArgumentError);
    }
    CHECK(f.stats().specialisations == 0);
    CHECK(w.get_value().item<float>() == 0);
    CHECK(f(counting({3}), counting({3}))[0].as_double(2) == 4);
    CHECK(f.stats().specialisations == 1);
    CHECK(w.get_value().item<float>() == 3);
}

TEST_CASE("call errors: sizes of images that turn out not to fit their filters") {
    const auto x = tensor4<float>("x"), w = tensor4<float>("w", {4, 2, 3, 3});
    const int line = __LINE__ + 1;
    const Function plain = function({.inputs = {x, w}, .outputs = {conv2d(x, w)}}),
                   grouped =
                       function({.inputs = {x, w}, .outputs = {conv2d(x, w, {.num_groups = 2})}});
    const Array filters = counting({4, 2, 3, 3});
    CHECK(plain(counting({1, 2, 3, 4}), filters)[0].shape() == Sizes{1, 4, 1, 2});
    CHECK(grouped(counting({1, 4, 3, 4}), filters)[0].shape() == Sizes{1, 4, 1, 2});
    fails<GraphError>(
        line,
        [&] {
            plain(counting({1, 3, 5, 5}), filters);
        },
        "conv2d: numbers of channels differ: x is f32[1,3,5,5], w is f32[4,2,3,3]");
    fails<GraphError>(
        line,
        [&] {
            plain(counting({1, 2, 5, 2}), filters);
        },
        "conv2d: the image is smaller than the filter: x is f32[1,2,5,2], w is f32[4,2,3,3]");
    fails<GraphError>(
        line + 2,
        [&] {
            grouped(counting({1, 5, 5, 5}), filters);
        },
        "reshape: x is f32[1,5,5,5] has not the number of elements of [1,2,2,5,5]");
    const int dilated_line = __LINE__ + 2;
    const Function dilated = function(
        {.inputs = {x, w}, .outputs = {conv2d(x, w, {.filter_dilation = {3, 3}})}});
    fails<GraphError>(
        dilated_line,
        [&] {
            dilated(counting({1, 2, 9, 4}), filters);
        },
        "conv2d: the image is smaller than the filter: the filter spans 7 columns, the padded "
        "image has 4: 9x4 pixels, filters of 3x3");
}

TEST_CASE("call errors: numbers beside an axis that turns out too short, and an index known late") {
    const auto x = matrix<float>("x");
    const auto i = scalar<std::int64_t>("i");
    const int line = __LINE__ + 1;
    const Expr a = x(8, i), b = x(slice(8, none, -5), i), c = x(slice(7, 9), slice(i, i + 2));
    const std::vector<Expr> picked{a, b, c};
    for (std::size_t k = 0; k < picked.size(); ++k) {
        CAPTURE(k);
        const Function f = function({.inputs = {x, i}, .outputs = {picked[k]}});
        CHECK(f(counting({9, 3}), std::int64_t{1})[0].as_double() == (k == 2 ? 22 : 25));
        fails<GraphError>(
            line,
            [&] {
                f(counting({8, 3}), std::int64_t{1});
            },
            k == 1 ? "dynamic_slice: 2 elements from 8 in steps of -5 leave axis 0: x is f32[8,3]"
            : k == 0
                ? "dynamic_slice: 1 elements from 8 in steps of 1 leave axis 0: x is f32[8,3]"
                : "dynamic_slice: 2 elements from 7 in steps of 1 leave axis 0: x is f32[8,3]");
    }
}

TEST_CASE("call errors: an index into an axis that turns out empty reads nothing") {
    const auto x = matrix<float>("x");
    const auto i = vector<std::int64_t>("i");
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::debug, Mode::interpret}) {
        const Function f = function({.inputs = {x, i},
                                     .outputs = {take(x, i, 1), exp(x)(arange(i.shape(0)), i),
                                                 -log(softmax(x))(arange(i.shape(0)), i)},
                                     .mode = mode});
        // There is no memory behind a view of nothing.
        const Array none = Array::view(static_cast<float*>(nullptr), {2, 0});
        CHECK_THROWS_AS(f(none, Array(std::vector<std::int64_t>{0, 0})), RangeError);
        const auto rows = f(Array::view(static_cast<float*>(nullptr), {0, 3}),
                            Array(DType::I64, {0}));
        CHECK(rows[0].shape() == Sizes{0, 0});
    }
}

// Sizes that no memory has, sizes that are none, and axes that turn out to be empty.
#include <limits>

#include <doctest/doctest.h>

#include "compiler/ops/movement.h"
#include "frontend/datasets.h"
#include "tests/support.h"

using namespace arete;
using arete::test::message_of;

namespace {

constexpr std::int64_t k31 = std::int64_t{1} << 31, k40 = std::int64_t{1} << 40;
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr Mode modes[] = {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug};

// `f` throws E with this text, at this line of this file where it is not 0.
template <class E, class F>
void fails(int line, std::string_view text, F&& f) {
    CAPTURE(text);
    CHECK_THROWS_AS(f(), E);
    const std::string m = message_of(f);
    CAPTURE(m);
    CHECK(m.find(text) != std::string::npos);
    if (line) CHECK(m.find(fmt::format("test_sizes.cpp:{}: ", line)) == 0);
}

}  // namespace

TEST_CASE("sizes: arrays that no memory has") {
    for (const Sizes& s : {Sizes{k31, k31}, Sizes{k31, k31, 2}, Sizes{k40, k40}, Sizes{most, most},
                           Sizes{k31, k31, 4}, Sizes{0, k40, k40}, Sizes{k40, 0, k40}, Sizes{most},
                           Sizes{1, most, 2}}) {
        CAPTURE(fmt::format("{}", fmt::join(s, ",")));
        fails<ArgumentError>(0, "too large", [&] { zeros<float>(s); });
        fails<ArgumentError>(0, "too large", [&] { zeros(DType::F64, s); });
        fails<ArgumentError>(0, "too large", [&] { ones<std::uint8_t>(s); });
        float element = 0;
        fails<ArgumentError>(0, "too large", [&] { Array::view(&element, s); });
        fails<ArgumentError>(0, "", [&] { zeros<float>({0}).reshaped(s); });
        fails<ArgumentError>(0, "", [&] { Generator(1).uniform(s, 0, 1); });
    }
    fails<ArgumentError>(0, "negative", [&] { zeros<float>({2, -3}); });
    fails<ArgumentError>(0, "negative", [&] { zeros<float>({6}).reshaped({-2, -3}); });
    fails<ArgumentError>(0, "", [&] { Generator(1).permutation(-1); });
    fails<ArgumentError>(0, "", [&] { Generator(1).permutation(most); });
    CHECK_THROWS_AS(count({k40, k40}), ArgumentError);
    CHECK(zeros<float>({0, k31}).bytes() == 0);
    // Possible sizes, and no machine has the memory.
    fails<MemoryError>(0, "no memory for u8[36028797018963968]",
                       [&] { Array(DType::U8, {std::int64_t{1} << 55}); });
}

TEST_CASE("sizes: results that no memory has are refused where they are written") {
    const auto x = vector<float>("x"), one = vector<float>("one", {1});
    const auto n = scalar<std::int64_t>("n");
    const auto m = matrix<float>("m");
    int line = __LINE__ + 2;
    fails<GraphError>(line, "f32[2147483648,2147483648], which is too large", [&] {
        full({k31, k31}, 0, DType::F32);
    });
    line = __LINE__ + 1;
    fails<GraphError>(line, "broadcast_to", [&] { broadcast_to(one, {k40, k40}); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "broadcast_to", [&] { broadcast_to(one, {0, k40, k40}); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "", [&] { reshape(one, {k40, k40}); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "negative", [&] { full({3, -2}, 0, DType::F32); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "negative", [&] { broadcast_to(one, {-2}); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "pad2d", [&] { pad2d(m, most, most); });
    line = __LINE__ + 1;
    fails<GraphError>(line, "", [&] { arange(std::numeric_limits<std::int64_t>::min(), most); });
    line = __LINE__ + 2;
    fails<GraphError>(line, "", [&] {
        concatenate({full({k40 * 4096}, 0, DType::F64), full({k40 * 4096}, 0, DType::F64),
                     full({k40 * 4096}, 0, DType::F64)});
    });
    // Known at the call.
    for (const Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const auto v = vector<double>("v");
        line = __LINE__ + 1;
        const Expr grid = full({n, n}, 1.5, DType::F64) + v;
        const auto w = shared(full(Sizes{3}, 1.0), "w");
        const Function f =
            function({.inputs = {n, v}, .outputs = {grid}, .updates = {{w, w + 1}}, .mode = mode});
        for (const std::int64_t size : {k31, k40, most, std::int64_t{-1}, std::int64_t{-3}})
            fails<GraphError>(line, "broadcast_to", [&] { f(size, full(Sizes{1}, 1.0)); });
        CHECK(w.get_value().equals(full(Sizes{3}, 1.0)));
        CHECK(f(2, full(Sizes{2}, 1.0))[0].equals(full(Sizes{2, 2}, 2.5)));
        CHECK(w.get_value().equals(full(Sizes{3}, 2.0)));
    }
    // Through chains of views, and by the values of scalars.
    const auto k = scalar<std::int64_t>("k");
    line = __LINE__ + 1;
    const Expr r = reshape(x, {n * k, -1});
    const Function g = function({.inputs = {x, n, k}, .outputs = {r}});
    for (const std::int64_t size : {k31, k40, most})
        fails<GraphError>(line, "reshape", [&] { g(full(Sizes{6}, 1.0f), size, size); });
    fails<GraphError>(line, "reshape", [&] { g(full(Sizes{6}, 1.0f), 0, 1); });
    fails<GraphError>(line, "reshape", [&] { g(full(Sizes{6}, 1.0f), 4, 1); });
    CHECK(g(full(Sizes{6}, 1.0f), 3, 1)[0].shape() == Sizes{3, 2});
}

TEST_CASE("sizes: counting to what is not above zero is counting nothing") {
    const auto n = scalar<std::int64_t>("n");
    for (const Mode mode : modes) {
        const Function f =
            function({.inputs = {n},
                      .outputs = {arange(n), sum(arange(2, n, 3)), arange(n, -4, -2)},
                      .mode = mode});
        for (const std::int64_t value : {-5, -4, -1, 0, 1, 2, 3, 6}) {
            const auto out = f(value);
            std::vector<std::int64_t> up, down;
            std::int64_t total = 0;
            for (std::int64_t i = 0; i < value; ++i) up.push_back(i);
            for (std::int64_t i = 2; i < value; i += 3) total += i;
            for (std::int64_t i = value; i > -4; i -= 2) down.push_back(i);
            CHECK(out[0].equals(Array(up)));
            CHECK(out[1].as_int() == total);
            CHECK(out[2].equals(Array(down)));
        }
    }
}

TEST_CASE("sizes: the largest of no elements") {
    using Build = Expr (*)(const Operand&, const Axes&, bool);
    const Build extremes[] = {max, min, argmax, argmin};
    for (const Mode mode : modes)
        for (const Build build : extremes)
            for (const DType t : {DType::F32, DType::F64, DType::I32, DType::I64, DType::U8}) {
                const Expr x = tensor(t, 2, "x");
                const int line = __LINE__ + 1;
                const Expr rows = build(x, 0, false), all = build(Operand(x), {}, true);
                const Function f = function({.inputs = {x}, .outputs = {rows}, .mode = mode});
                const Function g = function({.inputs = {x}, .outputs = {all}, .mode = mode});
                fails<GraphError>(line, "no elements along axis 0: x is", [&] {
                    f(zeros(t, {0, 4}));
                });
                fails<GraphError>(line, "no elements along axis 0: x is", [&] {
                    f(zeros(t, {0, 0}));
                });
                fails<GraphError>(line, "no elements along axis", [&] { g(zeros(t, {3, 0})); });
                CHECK(f(zeros(t, {3, 0}))[0].shape() == Sizes{0});
                CHECK(f(zeros(t, {3, 4}))[0].shape() == Sizes{4});
            }
    // Sums have a value for no elements, and so do any and all.
    const auto x = matrix<float>("x");
    const Function f =
        function({.inputs = {x}, .outputs = {sum(x, 0), prod(x, 0), any(x, 0), all(x, 0)}});
    const auto out = f(zeros<float>({0, 2}));
    CHECK(out[0].equals(zeros<float>({2})));
    CHECK(out[1].equals(ones<float>({2})));
    CHECK(out[2].equals(full(Sizes{2}, false)));
    CHECK(out[3].equals(full(Sizes{2}, true)));
}

TEST_CASE("sizes: steps of slices as wide as numbers are") {
    const auto x = vector<float>("x", {5}), u = vector<float>("u");
    const Array v(std::vector<float>{1, 2, 3, 4, 5});
    const std::int64_t least = std::numeric_limits<std::int64_t>::min();
    const Function f = function(
        {.inputs = {x},
         .outputs = {x(slice(none, none, most)), x(slice(none, none, least)), x(slice(least, most)),
                     x(slice(most, least, -1)), x(slice(1, none, k40))}});
    const auto out = f(v);
    CHECK(out[0].equals(Array(std::vector<float>{1})));
    CHECK(out[1].equals(Array(std::vector<float>{5})));
    CHECK(out[2].equals(v));
    CHECK(out[3].equals(Array(std::vector<float>{5, 4, 3, 2, 1})));
    CHECK(out[4].equals(Array(std::vector<float>{2})));
    const Function g = function(
        {.inputs = {u}, .outputs = {u(slice(none, none, most)), u(slice(none, none, -k40))}});
    CHECK(g(v)[0].equals(out[0]));
    CHECK(g(v)[1].equals(out[1]));
    // A slice that fits nowhere is refused before it runs.
    const auto i = scalar<std::int64_t>("i");
    int line = __LINE__ + 1;
    fails<GraphError>(line, "leave axis 0", [&] { x(slice(i, i + 9, 4)); });
}

TEST_CASE("sizes: an axis that is dropped must have size 1, also beside an empty one") {
    const auto x = matrix<float>("x");
    const int line = __LINE__ + 1;
    const Expr s = squeeze(x, {0});
    const Function f = function({.inputs = {x}, .outputs = {s, grad(sum(s), x)}});
    CHECK(f(ones<float>({1, 3}))[0].equals(ones<float>({3})));
    CHECK(f(ones<float>({1, 3}))[1].equals(ones<float>({1, 3})));
    fails<GraphError>(line, "axis 0", [&] { f(ones<float>({2, 3})); });
    fails<GraphError>(line, "axis 0", [&] { f(ones<float>({2, 0})); });
}

TEST_CASE("sizes: headers of data files") {
    const auto file = [](std::vector<std::uint32_t> sizes, std::size_t bytes) {
        std::vector<std::byte> out{std::byte{0}, std::byte{0}, std::byte{0x0e},
                                   static_cast<std::byte>(sizes.size())};
        for (const std::uint32_t s : sizes)
            for (int k = 3; k >= 0; --k) out.push_back(static_cast<std::byte>(s >> (8 * k) & 0xff));
        out.resize(out.size() + bytes);
        return out;
    };
    const auto read = [&](const std::vector<std::uint32_t>& sizes, std::size_t bytes) {
        const auto b = file(sizes, bytes);
        return read_idx(std::span<const std::byte>(b), "f", 0);
    };
    const std::uint32_t half = 0x80000000u, whole = 0xffffffffu;
    for (const auto& sizes : {std::vector<std::uint32_t>{half, half},
                              {half, half, 4},
                              {whole, whole, whole, whole},
                              {0, whole, whole, whole},
                              {whole, whole, 0},
                              std::vector<std::uint32_t>(255, whole)})
        for (const std::size_t bytes : {0, 8, 64})
            fails<DataError>(0, "f: corrupt: the header says f64[", [&] { read(sizes, bytes); });
    CHECK(read({0, 3}, 0).shape() == Sizes{0, 3});
    CHECK(read({2, 1}, 16).shape() == Sizes{2, 1});
}

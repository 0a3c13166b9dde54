// Comparisons of elements with C++ numbers, against exact arithmetic: a literal is compared as what
// it is, in range of the dtype or not. Arithmetic with what a dtype cannot hold is an error.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

// Holds every i64, u64, f32 and f64 exactly.
using Exact = long double;
static_assert(std::numeric_limits<Exact>::digits >= 64);

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<T> elements() {
    using L = std::numeric_limits<T>;
    if constexpr (std::is_same_v<T, bool>) {
        return {false, true};
    } else if constexpr (std::is_floating_point_v<T>) {
        std::vector<T> out;
        for (T v : {T(0), T(0.5), T(1), T(255), T(256), T(16777216), T(16777218), T(2147483648.0),
                    T(5e9), T(9007199254740992.0), T(9223372036854775807.0),
                    T(18446744073709551615.0), L::max(), L::denorm_min(), L::infinity(), T(0.1)})
            out.insert(out.end(), {v, -v});
        out.push_back(L::quiet_NaN());
        return out;
    } else {
        std::vector<T> out{L::min(),        L::max(),        T(0),  T(1), T(2),
                           T(L::max() - 1), T(L::min() + 1), T(100)};
        for (std::int64_t v : {std::int64_t{-1}, std::int64_t{16777216}, std::int64_t{16777217},
                               (std::int64_t{1} << 53) + 1, std::int64_t{1} << 53})
            if (v >= static_cast<std::int64_t>(L::min()) &&
                v <= static_cast<std::int64_t>(L::max()))
                out.push_back(static_cast<T>(v));
        return out;
    }
}

const auto literals = std::make_tuple(
    0, 1, -1, 2, 100, 255, 256, 300, -5, 2147483647, INT32_MIN, std::int64_t{2147483648},
    std::int64_t{-2147483649}, std::int64_t{5000000000}, std::int64_t{16777217},
    (std::int64_t{1} << 53) + 1, INT64_MAX, INT64_MIN, std::uint64_t{9223372036854775808u},
    UINT64_MAX, std::uint8_t{200}, std::int8_t{-100}, true, false, 0.0, -0.0, 0.5, -0.5, 1.0, 254.5,
    255.0, 255.5, 2147483647.5, -2147483648.5, 9007199254740992.0, 9223372036854775807.0, 1e19,
    1e300, -1e300, 1e-300, -1e-300, infinity, -infinity, std::numeric_limits<double>::quiet_NaN(),
    0.25f, 1e30f, std::numeric_limits<float>::infinity());

// What the literal is beside elements of type T: a float literal that rounds to a number of a
// float type is that number.
template <class T, class L>
Exact meant(L literal) {
    if constexpr (std::is_same_v<T, float> && std::is_floating_point_v<L>) {
        const auto r = static_cast<float>(literal);
        if (std::isfinite(r) && (r != 0 || literal == 0)) return r;
    }
    return static_cast<Exact>(literal);
}

template <class T, class L>
void check(L literal) {
    const Expr x = tensor(dtype_of<T>, 1, "x", {static_cast<std::int64_t>(elements<T>().size())});
    const std::vector<Expr> outputs{
        x<literal, x <= literal, x> literal, x >= literal, eq(x, literal), neq(x, literal),
        literal<x, literal <= x, literal> x, literal >= x, eq(literal, x), neq(literal, x)};
    Array in(dtype_of<T>, {static_cast<std::int64_t>(elements<T>().size())});
    for (std::size_t k = 0; k < elements<T>().size(); ++k) in.data<T>()[k] = elements<T>()[k];
    const Exact b = meant<T>(literal);
    for (Mode mode : {Mode::interpret, Mode::fast_run}) {
        const std::vector<Array> got =
            function({.inputs = {x}, .outputs = outputs, .mode = mode}).call({&in, 1});
        for (std::size_t k = 0; k < elements<T>().size(); ++k) {
            const Exact a = static_cast<Exact>(elements<T>()[k]);
            const bool want[] = {a<b, a <= b, a> b, a >= b, a == b, a != b,
                                 b<a, b <= a, b> a, b >= a, b == a, b != a};
            for (std::size_t r = 0; r < std::size(want); ++r)
                CHECK_MESSAGE(got[r].data<bool>()[k] == want[r], name(dtype_of<T>), " element ",
                              static_cast<double>(elements<T>()[k]), ", literal ",
                              static_cast<double>(literal), ", relation ", r);
        }
    }
}

std::string error_of(const std::function<void()>& f) {
    return message_of(f);
}

}  // namespace

TEST_CASE_TEMPLATE("comparisons with literals are exact", T, bool, std::uint8_t, std::int32_t,
                   std::int64_t, float, double) {
    std::apply([](auto... l) { (check<T>(l), ...); }, literals);
}

TEST_CASE("comparisons of two literals") {
    CHECK(eq(16777217, 16777216.0).eval().item<bool>() == false);
    CHECK(eq(UINT64_MAX, -1).eval().item<bool>() == false);
    CHECK(neq(0.1, 0.1).eval().item<bool>() == false);
    CHECK(eq(NAN, NAN).eval().item<bool>() == false);
    CHECK(eq(3, 3.0).eval().item<bool>() == true);
}

TEST_CASE("the shape of a comparison that is always true is that of its operand") {
    const auto x = matrix<std::uint8_t>("x");
    const Function f =
        function({.inputs = {x}, .outputs = {x > -1, x < -1, x * cast(x < 300, DType::U8)}});
    const auto got = f.call(std::vector<Array>{full<std::uint8_t>({2, 3}, 7)});
    CHECK(got[0].equals(full<bool>({2, 3}, true)));
    CHECK(got[1].equals(full<bool>({2, 3}, false)));
    CHECK(got[2].equals(full<std::uint8_t>({2, 3}, 7)));
    CHECK(f.call(std::vector<Array>{zeros<std::uint8_t>({0, 3})})[0].shape() == Sizes{0, 3});
}

TEST_CASE("arithmetic with literals that the dtype cannot hold is an error") {
    const auto u = vector<std::uint8_t>("u");
    const auto i = vector<std::int32_t>("i");
    const auto l = vector<std::int64_t>("l");
    const auto f = vector<float>("f");
    const auto b = vector<bool>("b");
    const std::int64_t large = 3000000000;
    const std::function<void()> wrong[] = {
        [&] { u + 300; },
        [&] { 300 - u; },
        [&] { u * -1; },
        [&] { maximum(u, -5); },
        [&] { minimum(256, u); },
        [&] { floordiv(u, 256); },
        [&] { mod(u, -1); },
        [&] { where(b, u, -1); },
        [&] { where(b, 1000, u); },
        [&] { i + large; },
        [&] { i - INT64_MAX; },
        [&] { i* UINT64_MAX; },
        [&] { l + UINT64_MAX; },
        [&] { f * 1e300; },
        [&] { f + 1e39; },
        [&] { i * 1e300; },
        [&] { maximum(f, -1e300); },
        [&] { where(b, f, 1e40); },
        [&] { pow(f, 1e300); },
        [&] { f / 1e300; },
        [&] { logaddexp(f, 1e300); },
        [&] {
            stack({sum(f), 1e300});
        },
        [&] { full(Shape{Dim(2)}, 300, DType::U8); },
        [&] { full(Shape{Dim(2)}, 1e300, DType::F32); },
        [&] { b + UINT64_MAX; },
        [&] { dot(l, UINT64_MAX); },
        [&] { relu(UINT64_MAX); },
    };
    for (std::size_t k = 0; k < std::size(wrong); ++k) {
        INFO("case ", k);
        CHECK_THROWS_AS(wrong[k](), GraphError);
        CHECK(error_of(wrong[k]).find("test_literals.cpp:") == 0);
    }
    const auto s = shared(Array(std::uint8_t{3}), "s");
    CHECK_THROWS_AS(function({.updates = {{s, 300}}}), GraphError);
    CHECK_THROWS_AS(function({.inputs = {u}, .outputs = {u}, .givens = {{u(0), 256}}}), GraphError);
}

TEST_CASE("literals beside dtypes that hold them") {
    const auto u = vector<std::uint8_t>("u");
    const auto i = vector<std::int32_t>("i");
    const auto b = vector<bool>("b");
    const auto d = scalar<double>("d");
    const std::int64_t large = 3000000000;
    const Function f = function(
        {.inputs = {u, i, b, d},
         .outputs = {u / 300, u + 255, pow(u, -1), i / large, b + large, i * 0.5, stack({d, 0.1}),
                     cast(0.1, DType::F64), dot(u, 300), cast(300, DType::U8), where(b, 1e300, 0.0),
                     cast(UINT64_MAX, DType::F64)}});
    const auto got = f(std::vector<std::uint8_t>{150, 3}, std::vector<std::int32_t>{5, -6},
                       Array(DType::Bool, {2}), 2.5);
    CHECK(got[0].equals(Array(std::vector<float>{0.5f, 0.01f})));
    CHECK(got[1].equals(Array(std::vector<std::uint8_t>{149, 2})));
    CHECK(got[2].data<float>()[1] == doctest::Approx(1.0 / 3));
    CHECK(got[3].data<float>()[0] == 5.0f / 3e9f);
    CHECK(got[4].dtype() == DType::I64);
    CHECK(got[5].equals(Array(std::vector<float>{2.5f, -3.0f})));
    CHECK(got[6].equals(Array(std::vector<double>{2.5, 0.1})));
    CHECK(got[7].item<double>() == 0.1);
    CHECK(got[8].equals(Array(std::vector<std::int64_t>{45000, 900})));
    CHECK(got[9].item<std::uint8_t>() == 44);
    CHECK(got[10].dtype() == DType::F64);
    CHECK(got[11].item<double>() == 0x1p64);
}

// floordiv and mod: Python's and NumPy's answers, of every pair of corner values, at every vector
// level and in the interpreter.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tests/ops/levels.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

template <class T>
struct Divided {
    T quotient, remainder;
};

// As CPython and NumPy do it, in the type itself, on C's fmod.
template <class T>
Divided<T> divided(T a, T b) {
    T r = std::fmod(a, b);
    if (b == 0) return {a / b, r};
    T q = (a - r) / b;
    if (r != 0) {
        if ((b < 0) != (r < 0)) {
            r += b;
            q -= 1;
        }
    } else {
        r = std::copysign(T(0), b);
    }
    T f = std::copysign(T(0), a / b);
    if (q != 0) {
        f = std::floor(q);
        if (q - f > T(0.5)) f += 1;
    }
    return {f, r};
}

// Integers: the same in more bits; 0 where the divisor is.
template <class T>
Divided<T> divided_integer(T a, T b) {
    if (b == 0) return {0, 0};
    __extension__ using Wide = __int128;
    const Wide x = a, y = b;
    Wide q = x / y;
    if (x % y != 0 && (x < 0) != (y < 0)) --q;
    return {static_cast<T>(q), static_cast<T>(x - q * y)};
}

template <class T>
std::vector<T> corners() {
    using L = std::numeric_limits<T>;
    std::vector<T> out;
    if constexpr (std::is_floating_point_v<T>) {
        for (T v : {T(0),
                    T(1),
                    T(0.1),
                    T(0.3),
                    T(0.7),
                    T(2),
                    T(3),
                    T(5),
                    T(7),
                    T(10),
                    T(1e-3),
                    T(1e20),
                    T(1e30),
                    L::max(),
                    L::min(),
                    L::denorm_min(),
                    3 * L::denorm_min(),
                    L::min() - L::denorm_min(),
                    L::epsilon(),
                    1 + L::epsilon(),
                    1 - L::epsilon() / 2,
                    1 / L::epsilon(),
                    2 / L::epsilon(),
                    1 / L::epsilon() - 1,
                    2 / L::epsilon() - 1,
                    4 / L::epsilon() + 4,
                    L::infinity()}) {
            out.push_back(v);
            out.push_back(-v);
        }
        out.push_back(L::quiet_NaN());
    } else {
        for (T v : {L::min(), T(L::min() + 1), L::max(), T(L::max() - 1), T(0), T(1), T(2), T(3),
                    T(7), T(10), T(L::max() / 2)}) {
            out.push_back(v);
            out.push_back(T(0 - v));
        }
    }
    return out;
}

template <class T>
void pairs(std::vector<T>& a, std::vector<T>& b) {
    const std::vector<T> values = corners<T>();
    for (T x : values)
        for (T y : values) {
            a.push_back(x);
            b.push_back(y);
        }
    std::mt19937_64 random(3);
    if constexpr (std::is_floating_point_v<T>) {
        // Quotients near integers, of every size around the limit of the short way, and beyond.
        std::uniform_real_distribution<T> unit(1, 2);
        const int bits = std::numeric_limits<T>::digits;
        for (int k = 0; k < 4000; ++k) {
            const T y = std::ldexp(unit(random), k % 90 - 45);
            T x = y * std::floor(std::ldexp(unit(random), k % (bits + 12)));
            for (int step = k / 3 % 3; step > 0; --step)
                x = std::nextafter(x, k % 2 ? T(0) : std::numeric_limits<T>::infinity());
            a.push_back(k % 5 ? x : -x);
            b.push_back(k % 7 ? y : -y);
        }
        using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
        for (int k = 0; k < 4000; ++k) {
            a.push_back(std::bit_cast<T>(static_cast<Bits>(random())));
            b.push_back(std::bit_cast<T>(static_cast<Bits>(random())));
        }
    } else {
        for (int k = 0; k < 1000; ++k) {
            a.push_back(static_cast<T>(random()));
            b.push_back(static_cast<T>(random() >> random() % 64));
        }
    }
}

template <class T>
bool same_number(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
        return a == b && std::signbit(a) == std::signbit(b);
    } else {
        return a == b;
    }
}

template <class T>
void check(const Function& f, const std::vector<T>& a, const std::vector<T>& b,
           const std::string& where) {
    const std::vector<Array> got = f(a, b);
    for (std::size_t k = 0; k < a.size(); ++k) {
        Divided<T> want{};
        if constexpr (std::is_floating_point_v<T>)
            want = divided(a[k], b[k]);
        else
            want = divided_integer(a[k], b[k]);
        const T q = got[0].data<T>()[k], r = got[1].data<T>()[k];
        if (same_number(q, want.quotient) && same_number(r, want.remainder)) continue;
        FAIL_CHECK(fmt::format("{}: {} by {}: {} rest {}, not {} rest {}", where, a[k], b[k], q, r,
                               want.quotient, want.remainder));
        return;
    }
}

}  // namespace

TEST_CASE_TEMPLATE("floordiv and mod of every pair of corners" *
                       doctest::test_suite(every_level_suite),
                   T, float, double, std::uint8_t, std::int32_t, std::int64_t) {
    std::vector<T> a, b;
    pairs<T>(a, b);
    const auto x = vector<T>("x"), y = vector<T>("y");
    const auto build = [&](Mode mode, const Options& o) {
        return function(
            {.inputs = {x, y}, .outputs = {floordiv(x, y), mod(x, y)}, .mode = mode, .options = o});
    };
    for (const Options& o : every_level()) {
        check(build(Mode::fast_run, o), a, b, o.cpu);
        const Function f = build(Mode::fast_run, o);
        for (std::size_t n = 1; n <= 20; ++n)
            check(f, std::vector<T>(a.end() - static_cast<std::ptrdiff_t>(n), a.end()),
                  std::vector<T>(b.end() - static_cast<std::ptrdiff_t>(n), b.end()), o.cpu);
        check(build(Mode::fast_compile, o), a, b, "fast_compile, " + o.cpu);
    }
    check(build(Mode::interpret, Options::from_environment()), a, b, "interpreter");
}

TEST_CASE_TEMPLATE("floordiv and mod of constants are folded to the same", T, float, double,
                   std::int32_t) {
    const std::vector<T> values = corners<T>();
    std::vector<T> a, b;
    for (std::size_t k = 0; k < values.size(); ++k) {
        a.push_back(values[k]);
        b.push_back(values[values.size() - 1 - k]);
    }
    const Array first(a), second(b);
    const Function f = function({.outputs = {floordiv(first, second), mod(first, second)}});
    const std::vector<Array> got = f();
    for (std::size_t k = 0; k < a.size(); ++k) {
        Divided<T> want{};
        if constexpr (std::is_floating_point_v<T>)
            want = divided(a[k], b[k]);
        else
            want = divided_integer(a[k], b[k]);
        INFO(a[k], " by ", b[k]);
        CHECK(same_number(got[0].data<T>()[k], want.quotient));
        CHECK(same_number(got[1].data<T>()[k], want.remainder));
    }
}

TEST_CASE("floordiv and mod give what Python prints") {
    constexpr double inf = std::numeric_limits<double>::infinity();
    struct Row {
        double a, b, quotient, remainder;
    };
    const Row rows[] = {
        {1.0, 0.1, 9.0, 0.09999999999999995},
        {-1.0, 0.1, -10.0, 5.551115123125783e-17},
        {1.0, -0.1, -10.0, -5.551115123125783e-17},
        {5.0, inf, 0.0, 5.0},
        {-5.0, inf, -1.0, inf},
        {5.0, -inf, -1.0, -inf},
        {1e+20, 3.0, 3.333333333333333e+19, 1.0},
        {-1e+20, 3.0, -3.333333333333333e+19, 2.0},
        {1e+20, -3.0, -3.333333333333333e+19, -2.0},
        {0.0, -3.0, -0.0, -0.0},
        {-0.0, 3.0, -0.0, 0.0},
        {6.0, 3.0, 2.0, 0.0},
        {-6.0, 3.0, -2.0, 0.0},
        {1e+308, 1e-308, inf, 3.498445546245627e-309},
        {5e-324, 1.0, 0.0, 5e-324},
        {-5e-324, 1.0, -1.0, 1.0},
        {1.7976931348623157e+308, 5e-324, inf, 0.0},
        {0.3, 0.1, 2.0, 0.09999999999999998},
        {9007199254740992.0, 0.7, 1.2867427506772846e+16, 0.37142857142857144},
        {7.0, 0.7, 10.0, 4.440892098500626e-16},
    };
    const auto x = scalar<double>("x"), y = scalar<double>("y");
    const Function f = function({.inputs = {x, y}, .outputs = {floordiv(x, y), mod(x, y)}});
    for (const Row& r : rows) {
        INFO(r.a, " by ", r.b);
        const auto got = f(r.a, r.b);
        CHECK(same_number(got[0].item<double>(), r.quotient));
        CHECK(same_number(got[1].item<double>(), r.remainder));
    }
    // Zeros as in NumPy.
    CHECK(f(1.0, 0.0)[0].item<double>() == inf);
    CHECK(f(-1.0, 0.0)[0].item<double>() == -inf);
    CHECK(f(1.0, -0.0)[0].item<double>() == -inf);
    CHECK(std::isnan(f(0.0, 0.0)[0].item<double>()));
    CHECK(std::isnan(f(1.0, 0.0)[1].item<double>()));
    CHECK(std::isnan(f(inf, 2.0)[1].item<double>()));
}

TEST_CASE("sizes and positions that are quotients by zero or of the least integer") {
    const auto n = scalar<std::int64_t>("n"), m = scalar<std::int64_t>("m");
    const auto v = vector<float>("v");
    const Function counts = function({.inputs = {n, m}, .outputs = {arange(floordiv(n, m))}});
    CHECK(counts(std::int64_t{10}, std::int64_t{3})[0].size() == 3);
    CHECK(counts(std::int64_t{10}, std::int64_t{0})[0].size() == 0);
    CHECK(counts(std::int64_t{-4}, std::int64_t{-1})[0].size() == 4);
    const Function picks =
        function({.inputs = {v, n}, .outputs = {v(floordiv(n, 0)), v(mod(n, 0))}});
    const auto picked = picks(std::vector<float>{7, 8}, std::int64_t{3});
    CHECK(picked[0].item<float>() == 7);
    CHECK(picked[1].item<float>() == 7);
    const Expr least = constant(Array(std::int64_t{INT64_MIN}));
    CHECK(floordiv(least, -1).eval().item<std::int64_t>() == INT64_MIN);
    CHECK(mod(least, -1).eval().item<std::int64_t>() == 0);
    // Bytes wrap, sizes do not: such a size is not known.
    CHECK_THROWS_AS(v(slice(0, cast(v.shape(0), DType::U8))), GraphError);
    CHECK_THROWS_AS(arange(scalar<std::uint8_t>("u") + 200), GraphError);
    CHECK(arange(scalar<std::uint8_t>("u")).rank() == 1);
}

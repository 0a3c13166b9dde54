// The error of sums, means, variances and products that are sums does not grow with their length:
// in every direction, at every vector level, with the same bits for every number of threads.
// Compared with long double.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/ops/levels.h"
#include "tests/support.h"

using namespace arete;

namespace {

constexpr double f32_unit = 1.0 / (1 << 24), f64_unit = f32_unit * f32_unit / 32;
template <class T>
constexpr double unit = sizeof(T) == 4 ? f32_unit : f64_unit;

template <class T>
Array filled(Sizes sizes, const std::function<double(std::int64_t)>& element) {
    Array a(dtype_of<T>, std::move(sizes));
    T* p = a.data<T>();
    for (std::int64_t i = 0; i < a.size(); ++i) p[i] = static_cast<T>(element(i));
    return a;
}

/// From 0 to 1, in an order without pattern.
double scattered(std::int64_t i) {
    return static_cast<double>((i * 2654435761) % 1000003) / 1000003.0;
}

/// A function's results on this processor's levels; with two threads each, which must agree.
std::vector<Array> on_all_levels(const std::vector<Expr>& inputs, const Expr& output,
                                 const std::vector<Array>& values) {
    static const std::vector<Options> levels = test::every_level();
    std::vector<Array> out;
    for (Options options : levels) {
        CAPTURE(options.cpu);
        std::vector<Array> both;
        for (int threads : {1, 2}) {
            options.num_threads = threads;
            both.push_back(function({.inputs = inputs, .outputs = {output}, .options = options})
                               .call(values)[0]);
        }
        CHECK(both[0].equals(both[1]));
        out.push_back(both[0]);
    }
    REQUIRE(!out.empty());
    return out;
}

/// The largest error in units of `scale` of an element.
double worst_error(const std::vector<Array>& results, const std::vector<long double>& right,
                   const std::vector<long double>& scale) {
    double worst = 0;
    for (const Array& r : results) {
        REQUIRE(r.size() == static_cast<std::int64_t>(right.size()));
        for (std::size_t k = 0; k < right.size(); ++k) {
            const long double got = r.dtype() == DType::F32
                                        ? static_cast<long double>(r.data<float>()[k])
                                        : static_cast<long double>(r.data<double>()[k]);
            worst = std::max(worst, static_cast<double>(std::fabs(got - right[k]) / scale[k]));
        }
    }
    return worst;
}

/// Sums of x [a, b, c] over some of its axes, and of absolute values.
struct Sums {
    std::vector<long double> sum, absolute;
};
template <class T>
Sums sums_of(const Array& x, const std::vector<int>& axes,
             const std::function<long double(long double)>& f) {
    const std::int64_t a = x.shape()[0], b = x.shape()[1], c = x.shape()[2];
    std::int64_t kept[3] = {a, b, c};
    for (int k : axes) kept[k] = 1;
    const auto n = static_cast<std::size_t>(kept[0] * kept[1] * kept[2]);
    Sums out{std::vector<long double>(n), std::vector<long double>(n)};
    std::vector<long double> lost(n);
    const T* p = x.data<T>();
    for (std::int64_t i = 0; i < a; ++i)
        for (std::int64_t j = 0; j < b; ++j)
            for (std::int64_t k = 0; k < c; ++k) {
                const auto at = static_cast<std::size_t>(
                    ((kept[0] > 1 ? i : 0) * kept[1] + (kept[1] > 1 ? j : 0)) * kept[2] +
                    (kept[2] > 1 ? k : 0));
                const long double v = f(static_cast<long double>(*p++));
                const long double old = out.sum[at], now = old + v, of_v = now - old;
                lost[at] += (old - (now - of_v)) + (v - of_v);
                out.sum[at] = now;
                out.absolute[at] += std::fabs(v);
            }
    for (std::size_t k = 0; k < n; ++k) out.sum[k] += lost[k];
    return out;
}

// What docs/architecture.md promises, in rounding errors of the sum of the absolute values: 2^-24
// or 2^-53 of it. Beyond it, the rounding of squares and roots.
constexpr double sum_bound = 20, product_bound = 520;
template <class T>
constexpr double mean_bound = sizeof(T) == 4 ? 1.01 : 4.01;

template <class T>
void check_direction(const Sizes& sizes, const std::vector<int>& axes) {
    INFO("float of ", 8 * sizeof(T), " bits [", sizes[0], ",", sizes[1], ",", sizes[2], "] over ",
         axes.size(), " axes from ", axes[0]);
    const Expr x = tensor(dtype_of<T>, 3, "x");
    const Axes over(Ints(axes.begin(), axes.end()));
    const double u = unit<T>;
    // Equal numbers are rounded in one direction again and again: the worst that is natural.
    for (const bool equal : {true, false}) {
        const Array v =
            filled<T>(sizes, [&](std::int64_t i) { return equal ? 0.1 : scattered(i) - 0.25; });
        const auto check = [&](const char* what, const Expr& e, const Sums& right, double bound) {
            const std::string of = std::string(what) + (equal ? " of equal numbers" : "");
            INFO(of);
            CHECK(worst_error(on_all_levels({x}, e, {v}), right.sum, right.absolute) <= bound * u);
        };
        const Sums plain = sums_of<T>(v, axes, [](long double e) { return e; });
        const Sums squares = sums_of<T>(v, axes, [](long double e) { return e * e; });
        check("sum", sum(x, over), plain, sum_bound);
        check("sum of squares", sum(sqr(x), over), squares, sum_bound + 1);
        Sums mean_of = plain;
        const auto n =
            static_cast<long double>(count(sizes)) / static_cast<long double>(plain.sum.size());
        for (auto* all : {&mean_of.sum, &mean_of.absolute})
            for (long double& e : *all) e /= n;
        check("mean", mean(x, over), mean_of, mean_bound<T>);
        Sums norm = squares;
        for (auto* all : {&norm.sum, &norm.absolute})
            for (long double& e : *all) e = std::sqrt(e);
        check("norm", sqrt(sum(sqr(x), over)), norm, sum_bound + 2);
    }
}

const std::vector<std::vector<int>>& directions() {
    static const std::vector<std::vector<int>> all = {{0},    {1},    {2},      {0, 1},
                                                      {1, 2}, {0, 2}, {0, 1, 2}};
    return all;
}

}  // namespace

TEST_CASE("sums: a small error in every direction" * doctest::test_suite(test::every_level_suite)) {
    for (const auto& axes : directions()) {
        check_direction<float>({13, 17, 19}, axes);
        check_direction<double>({13, 17, 19}, axes);
    }
    // Long axes one at a time, beside short ones, primes among them.
    for (const Sizes& sizes : {Sizes{100003, 1, 3}, Sizes{1, 100003, 5}, Sizes{3, 2, 100003},
                               Sizes{2, 65536, 1}, Sizes{4097, 3, 33}, Sizes{7, 33, 4095}})
        for (const auto& axes : directions()) check_direction<float>(sizes, axes);
    for (const auto& axes : directions()) check_direction<double>({5, 20011, 3}, axes);
}

TEST_CASE("sums: lengths from 10^3 to 10^7" * doctest::test_suite(test::every_level_suite)) {
    for (const std::int64_t n : {1000, 10000, 100000, 1000000, 10000000}) {
        check_direction<float>({n / 10, 10, 1}, {0, 1, 2});
        if (n > 100000) check_direction<float>({n / 100, 1, 100}, {0});
        if (n > 100000) check_direction<float>({100, 1, n / 100}, {2});
    }
}

// 400 MB; run with --no-skip.
TEST_CASE("sums: of 10^8 numbers" * doctest::skip()) {
    check_direction<float>({1000000, 1, 100}, {0});
    check_direction<float>({1000000, 1, 100}, {2});
    check_direction<float>({100000000, 1, 1}, {0});
}

TEST_CASE("sums: the mean of equal numbers is that number") {
    const auto check = [](auto number, const Sizes& sizes, const Axes& axes) {
        using T = decltype(number);
        const Expr x = tensor(dtype_of<T>, static_cast<int>(sizes.size()), "x");
        const Array v = filled<T>(sizes, [&](std::int64_t) { return number; });
        for (const Mode mode : {Mode::fast_run, Mode::fast_compile}) {
            const Array got =
                function({.inputs = {x}, .outputs = {mean(x, axes)}, .mode = mode})(v)[0];
            std::int64_t wrong = 0;
            for (std::int64_t k = 0; k < got.size(); ++k)
                wrong += !(got.data<T>()[k] == number ||
                           (std::isnan(number) && std::isnan(got.data<T>()[k])));
            INFO(number, " ", count(sizes), " times");
            CHECK(wrong == 0);
        }
    };
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (const float v : {0.1f, 1.0f / 3, 1.9999999f, 16777213.0f, 1e-40f, 1e-45f, -3e38f,
                          std::numeric_limits<float>::max(), 0.0f, inf, -inf, NAN})
        for (const std::int64_t n : {1, 2, 3, 5, 7, 10, 13, 100, 127, 1000, 12345, 300007}) {
            check(v, {n}, 0);
            check(v, {n, 3}, 0);
            check(v, {3, n}, 1);
        }
    for (const double v : {0.1, 1.0 / 3, 1.9999999999999998, 5e-324, -1e300})
        for (const std::int64_t n : {1, 3, 7, 10, 100, 12345, 300007}) {
            check(v, {n}, 0);
            check(v, {n, 3}, 0);
            check(v, {3, n}, 1);
            check(v, {2, n, 2}, {0, 1});
        }
    check(0.1f, {10, 77, 19}, {0, 2});
    check(0.1f, {2, 3, 5, 7}, Axes());
    check(0.1f, {33554435}, 0);  // more than a float's digits can count
}

TEST_CASE("sums: infinities and NaN stay what they are" *
          doctest::test_suite(test::every_level_suite)) {
    const auto x = vector<float>("x");
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (const std::int64_t n : {5, 40, 1000, 70000}) {
        Array v = filled<float>({n}, scattered);
        const auto at = [&](const Expr& e) {
            std::vector<float> out;
            for (const Array& r : on_all_levels({x}, e, {v})) out.push_back(r.data<float>()[0]);
            return out;
        };
        for (const float special : {inf, -inf}) {
            v.data<float>()[n / 2] = special;
            for (float r : at(sum(x))) CHECK(r == special);
            for (float r : at(mean(x))) CHECK(r == special);
        }
        v.data<float>()[n / 3] = inf;
        for (float r : at(sum(x))) CHECK(std::isnan(r));
        for (float r : at(mean(x))) CHECK(std::isnan(r));
    }
}

TEST_CASE("sums: variance of small noise on a large offset" *
          doctest::test_suite(test::every_level_suite)) {
    const auto x = matrix<float>("x");
    for (const std::int64_t n : {2, 10, 1000, 1000000})
        for (const double noise : {1.0, 0.01}) {
            const Array v = filled<float>(
                {2, n}, [&](std::int64_t i) { return 1e4 + noise * (scattered(7 * i) - 0.5); });
            std::vector<long double> right(2);
            for (std::int64_t row = 0; row < 2; ++row) {
                const float* p = v.data<float>() + row * n;
                long double m = 0, s = 0;
                for (std::int64_t i = 0; i < n; ++i) m += static_cast<long double>(p[i]);
                m /= static_cast<long double>(n);
                for (std::int64_t i = 0; i < n; ++i) {
                    const long double d = static_cast<long double>(p[i]) - m;
                    s += d * d;
                }
                right[row] = s / static_cast<long double>(n);
            }
            INFO("noise ", noise, " on ", n);
            CHECK(worst_error(on_all_levels({x}, var(x, 1), {v}), right, right) < 4 * f32_unit);
            const Array turned = function({.inputs = {x}, .outputs = {x.T()}})(v)[0];
            CHECK(worst_error(on_all_levels({x}, var(x, 0), {turned}), right, right) <
                  4 * f32_unit);
        }
    // Of equal numbers it is 0, whatever they are.
    for (const std::int64_t n : {3, 10, 12345}) {
        const Array v = filled<float>({2, n}, [](std::int64_t) { return 0.1; });
        for (const Array& r : on_all_levels({x}, var(x, 1), {v})) {
            CHECK(r.data<float>()[0] == 0);
            CHECK(r.data<float>()[1] == 0);
        }
    }
}

TEST_CASE("sums: products of matrices with a long inner axis" *
          doctest::test_suite(test::every_level_suite)) {
    for (const std::int64_t n : {1000, 65537, 300007}) {
        const std::int64_t rows = 5, columns = 9;
        for (const bool equal : {true, false}) {
            const auto value = [&](std::int64_t i) { return equal ? 0.1 : scattered(i); };
            const Array a = filled<float>({rows, n}, value),
                        b = filled<float>({n, columns},
                                          [&](std::int64_t i) { return value(3 * i + 1); });
            std::vector<long double> right, first, last;
            for (std::int64_t i = 0; i < rows; ++i)
                for (std::int64_t j = 0; j < columns; ++j) {
                    long double s = 0;
                    for (std::int64_t k = 0; k < n; ++k)
                        s += static_cast<long double>(a.data<float>()[i * n + k]) *
                             b.data<float>()[k * columns + j];
                    right.push_back(s);
                }
            const auto x = matrix<float>("x"), y = matrix<float>("y");
            const auto v = vector<float>("v");
            const std::string kind = equal ? " equal terms" : " terms";
            INFO(n, kind);
            const double bound = product_bound * f32_unit;
            CHECK(worst_error(on_all_levels({x, y}, dot(x, y), {a, b}), right, right) <= bound);
            const Array at = function({.inputs = {x}, .outputs = {x.T()}})(a)[0],
                        bt = function({.inputs = {x}, .outputs = {x.T()}})(b)[0];
            CHECK(worst_error(on_all_levels({x, y}, dot(x.T(), y), {at, b}), right, right) <=
                  bound);
            CHECK(worst_error(on_all_levels({x, y}, dot(x, y.T()), {a, bt}), right, right) <=
                  bound);
            const auto p = tensor3<float>("p"), q = tensor3<float>("q");
            CHECK(
                worst_error(on_all_levels({p, q}, batched_dot(p, q),
                                          {a.reshaped({1, rows, n}), b.reshaped({1, n, columns})}),
                            right, right) <= bound);
            const Array row = bt.reshaped({columns * n});  // its first n elements: a column of b
            const auto z = vector<float>("z");
            first.assign(right.begin(), right.begin() + 1);
            CHECK(worst_error(on_all_levels({x, z}, dot(x(0), z(slice(0, n))), {a, row}), first,
                              first) <= bound);
            for (std::int64_t i = 0; i < rows; ++i) last.push_back(right[i * columns]);
            CHECK(worst_error(on_all_levels({x, z}, dot(x, z(slice(0, n))), {a, row}), last,
                              last) <= bound);
        }
    }
}

TEST_CASE("sums: gradients over long axes" * doctest::test_suite(test::every_level_suite)) {
    // Filters: over images and pixels. Biases: the same. All pixels are alike, so that the gradient
    // is known.
    const auto x = tensor4<float>("x"), w = tensor4<float>("w");
    const auto b = vector<float>("b");
    const std::int64_t images = 40, side = 40, out = 36;
    const Array v = filled<float>({images, 2, side, side}, [](std::int64_t) { return 0.1; }),
                filters = filled<float>({3, 2, 5, 5}, [](std::int64_t) { return 0.25; }),
                bias = filled<float>({3}, [](std::int64_t) { return 0.7; });
    const Expr y = conv2d(x, w) + expand_dims(expand_dims(expand_dims(b, 1), 1), 0);
    const Expr cost = sum(sqr(y));
    const long double pixel = static_cast<long double>(0.1f),
                      value = 50 * pixel / 4 + static_cast<long double>(0.7f),
                      terms = images * out * out;
    std::vector<long double> right(150, 2 * value * pixel * terms);
    const double bound = product_bound * f32_unit;
    CHECK(worst_error(on_all_levels({x, w, b}, grad(cost, w), {v, filters, bias}), right, right) <=
          bound);
    right.assign(3, 2 * value * terms);
    CHECK(worst_error(on_all_levels({x, w, b}, grad(cost, b), {v, filters, bias}), right, right) <=
          bound);
    // A row that is read very often.
    const auto table = matrix<float>("table");
    const auto index = vector<std::int64_t>("index");
    const std::int64_t n = 300000;
    Array at(DType::I64, {n});
    for (std::int64_t i = 0; i < n; ++i) at.data<std::int64_t>()[i] = i % 3 == 0 ? 1 : 2;
    const Array rows = filled<float>({4, 2}, [](std::int64_t) { return 0.1; });
    const Expr taken = grad(sum(sqr(take(table, index))), table);
    const long double one = 2 * static_cast<long double>(0.1f);
    for (const Array& r : on_all_levels({table, index}, taken, {rows, at})) {
        CHECK(r.data<float>()[0] == 0);
        CHECK(std::fabs(r.data<float>()[2] / (one * n / 3) - 1) < 4 * f32_unit);
        CHECK(std::fabs(r.data<float>()[5] / (one * 2 * n / 3) - 1) < 4 * f32_unit);
    }
}

TEST_CASE("sums: denominators of softmax" * doctest::test_suite(test::every_level_suite)) {
    const auto x = matrix<float>("x");
    const std::int64_t n = 300007;
    const Array v = filled<float>({2, n}, [](std::int64_t i) { return 2 * scattered(i); });
    std::vector<long double> right;
    for (std::int64_t row = 0; row < 2; ++row) {
        long double s = 0;
        for (std::int64_t i = 0; i < n; ++i)
            s += std::exp(static_cast<long double>(v.data<float>()[row * n + i]));
        right.push_back(std::log(s));
    }
    CHECK(worst_error(on_all_levels({x}, logsumexp(x, 1), {v}), right, right) < 8 * f32_unit);
    const std::vector<long double> one(2, 1);
    CHECK(worst_error(on_all_levels({x}, sum(softmax(x), 1), {v}), one, one) < 8 * f32_unit);
}

TEST_CASE("sums: over two axes, where vectors leave a remainder of the outer one") {
    // Of ones, so that each of the n k products counts.
    for (const DType t : {DType::F32, DType::F64})
        for (const std::int64_t n : {5, 7, 9, 11, 13, 17, 19, 23, 33, 35, 49})
            for (const std::int64_t k : {3, 17, 40, 300})
                for (const Mode mode : {Mode::fast_compile, Mode::fast_run}) {
                    const Expr x = tensor(t, 2, "x", {n, 1}), y = tensor(t, 2, "y", {1, k}),
                               z = tensor(t, 2, "z", {n, k});
                    for (const char* cpu : {"avx512", "avx2", "baseline"}) {
                        Options options;
                        options.cpu = cpu;
                        options.cache_dir.clear();
                        CAPTURE(n);
                        CAPTURE(k);
                        CAPTURE(cpu);
                        CAPTURE(name(t));
                        try {
                            const auto got = function(
                                {.inputs = {x, y, z},
                                 .outputs = {sum(x * y), sum(x * y * z), sum(exp(z - x), {0, 1})},
                                 .mode = mode,
                                 .options = options})(full<double>({n, 1}, 1).astype(t),
                                                      full<double>({1, k}, 1).astype(t),
                                                      full<double>({n, k}, 1).astype(t));
                            for (const Array& a : got)
                                CHECK(a.as_double(0) == static_cast<double>(n * k));
                        } catch (const ArgumentError&) {
                            continue;  // no such level on this processor
                        }
                    }
                }
}

// Conversions between all pairs of dtypes: over the whole range of each, at every length and vector
// level, in the interpreter, folded, and by Array::astype.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/ops/levels.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

// Written anew: to integers through integers that hold everything, to floats by C++.
template <class To, class From>
To expected(From v) {
    if constexpr (std::is_same_v<To, bool>) {
        return v != 0;
    } else if constexpr (std::is_floating_point_v<To> || !std::is_floating_point_v<From>) {
        return static_cast<To>(v);
    } else {
        if (v != v) return 0;
        const double least = static_cast<double>(std::numeric_limits<To>::min());
        const double limit = std::ldexp(1.0, std::numeric_limits<To>::digits);
        const double whole = std::trunc(static_cast<double>(v));
        if (whole < least) return std::numeric_limits<To>::min();
        if (whole >= limit) return std::numeric_limits<To>::max();
        return static_cast<To>(static_cast<std::int64_t>(whole));
    }
}

template <class T>
std::vector<T> corners() {
    std::vector<T> out;
    if constexpr (std::is_same_v<T, bool>) {
        return {false, true, true, false};
    } else if constexpr (std::is_same_v<T, std::uint8_t>) {
        for (int k = 0; k < 256; ++k) out.push_back(static_cast<T>(k));
    } else if constexpr (std::is_floating_point_v<T>) {
        using L = std::numeric_limits<T>;
        for (double power :
             {0.0, 7.0, 8.0, 16.0, 23.0, 24.0, 31.0, 32.0, 52.0, 53.0, 62.0, 63.0, 64.0}) {
            const T p = static_cast<T>(std::exp2(power));
            for (T v : {p, std::nextafter(p, T(0)), std::nextafter(p, L::infinity()), p - T(0.5),
                        p + T(0.5), p - 1, p + 1})
                out.insert(out.end(), {v, -v});
        }
        for (T v : {T(0), L::denorm_min(), L::min(), L::max(), L::infinity(), T(0.999), T(300.7),
                    T(1e10), T(1e20)})
            out.insert(out.end(), {v, -v});
        out.push_back(L::quiet_NaN());
        for (int k = 0; k < 260; ++k) out.push_back(static_cast<T>(k) + T(0.25));
    } else {
        for (int power = 0; power < std::numeric_limits<T>::digits; ++power)
            for (int off : {-1, 0, 1}) {
                const T v =
                    static_cast<T>((std::uint64_t{1} << power) + static_cast<std::uint64_t>(off));
                out.insert(out.end(), {v, static_cast<T>(0 - static_cast<std::uint64_t>(v))});
            }
        out.insert(out.end(), {std::numeric_limits<T>::min(), std::numeric_limits<T>::max()});
        // Halfway between floats.
        if constexpr (sizeof(T) == 8)
            for (std::int64_t v : {(1LL << 24) + 1, (1LL << 53) + 1, (1LL << 54) + 2,
                                   (1LL << 62) + (1LL << 37) + 1, (1LL << 62) + (1LL << 38)})
                out.insert(out.end(), {v, -v});
    }
    return out;
}

template <class T>
Array array_of(const std::vector<T>& values) {
    Array out(dtype_of<T>, {static_cast<std::int64_t>(values.size())});
    for (std::size_t k = 0; k < values.size(); ++k) out.data<T>()[k] = values[k];
    return out;
}

// `got` is `from` converted; both zeros of a float count as one, as do all NaN.
void check(const Array& from, const Array& got, const std::string& where) {
    visit(from.dtype(), [&](auto f) {
        visit(got.dtype(), [&](auto t) {
            using From = decltype(f);
            using To = decltype(t);
            for (std::int64_t k = 0; k < from.size(); ++k) {
                const From v = from.data<From>()[k];
                const To is = got.data<To>()[k], want = expected<To>(v);
                if (is == want || (is != is && want != want)) continue;
                FAIL_CHECK(fmt::format("{}: {} {} of {} to {}: {}, not {}", where,
                                       name(from.dtype()), v, from.size(), name(got.dtype()), is,
                                       want));
                return;
            }
        });
    });
}

// One function with all dtypes' inputs and all conversions of each.
Function all_casts(std::int64_t n, Mode mode, const Options& o) {
    FunctionOptions f;
    for (DType from : all_dtypes) {
        f.inputs.push_back(tensor(from, 1, std::string(name(from)), {n}));
        for (DType to : all_dtypes) f.outputs.push_back(cast(f.inputs.back(), to));
    }
    f.mode = mode;
    f.options = o;
    return function(std::move(f));
}

Array corner_array(DType t) {
    return visit(t, [](auto tag) { return array_of(corners<decltype(tag)>()); });
}

// n elements from `start` on, around the end.
Array part(const Array& all, std::int64_t start, std::int64_t n) {
    Array out(all.dtype(), {n});
    const std::size_t size = size_of(all.dtype());
    for (std::int64_t k = 0; k < n; ++k)
        std::memcpy(static_cast<char*>(out.raw()) + static_cast<std::size_t>(k) * size,
                    static_cast<const char*>(all.raw()) +
                        static_cast<std::size_t>((start + k) % all.size()) * size,
                    size);
    return out;
}

void check_all(const Function& f, std::int64_t n, const std::string& where) {
    std::vector<Array> corner;
    std::int64_t longest = 0;
    for (DType t : all_dtypes) {
        corner.push_back(corner_array(t));
        longest = std::max(longest, corner.back().size());
    }
    for (std::int64_t start = 0; start < longest; start += n) {
        std::vector<Array> inputs;
        for (const Array& c : corner) inputs.push_back(part(c, start, n));
        const std::vector<Array> got = f.call(inputs);
        for (std::size_t k = 0; k < got.size(); ++k)
            check(inputs[k / std::size(all_dtypes)], got[k], where);
    }
}

}  // namespace

TEST_CASE("casts between all dtypes at every length and vector level" *
          doctest::test_suite(every_level_suite)) {
    for (const Options& o : every_level())
        for (std::int64_t n = 1; n <= 40; n += n < 20 || n > 30 ? 1 : 3)
            check_all(all_casts(n, Mode::fast_run, o), n, fmt::format("{}, length {}", o.cpu, n));
    const Options o = Options::from_environment();
    check_all(all_casts(16, Mode::interpret, o), 16, "interpreter");
    check_all(all_casts(16, Mode::fast_compile, o), 16, "fast_compile");
}

TEST_CASE("casts of constants, and astype") {
    for (DType from : all_dtypes)
        for (DType to : all_dtypes) {
            const Array values = corner_array(from);
            check(values, values.astype(to), "astype");
            check(values, cast(values, to).eval(), "folded");
        }
    // A conversion of a conversion is two.
    const auto x = vector<std::int32_t>("x");
    const Function f = function(
        {.inputs = {x}, .outputs = {cast(cast(x, DType::F64), DType::U8), cast(x, DType::U8)}});
    const auto got = f(std::vector<std::int32_t>{300, -1, 255, 1 << 30});
    CHECK(got[0].equals(Array(std::vector<std::uint8_t>{255, 0, 255, 255})));
    CHECK(got[1].equals(Array(std::vector<std::uint8_t>{44, 255, 255, 0})));
}

TEST_CASE("casts of f32 and f64 over their whole range" * doctest::test_suite(every_level_suite)) {
    constexpr std::int64_t n = 1 << 16;
    Array singles(DType::F32, {n}), doubles(DType::F64, {n});
    for (std::int64_t k = 0; k < n; ++k) {
        singles.data<float>()[k] = std::bit_cast<float>(static_cast<std::uint32_t>(k * 65537));
        doubles.data<double>()[k] =
            std::bit_cast<double>((static_cast<std::uint64_t>(k) << 48) +
                                  static_cast<std::uint64_t>(k) * 0x5851f42d4c95u);
    }
    for (const Options& o : every_level())
        for (const Array& in : {singles, doubles}) {
            const Expr x = tensor(in.dtype(), 1, "x", {n});
            FunctionOptions f{.inputs = {x}, .options = o};
            for (DType t : all_dtypes) f.outputs.push_back(cast(x, t));
            for (const Array& got : function(std::move(f)).call({&in, 1})) check(in, got, o.cpu);
        }
}

// Ops whose results are exact or rounded once, of every pair of corner values, bit for bit against
// C++ at every vector level, in each mode, for lengths around the vectors' own.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/ops/levels.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

template <class T>
std::vector<T> corners() {
    using L = std::numeric_limits<T>;
    std::vector<T> out;
    if constexpr (std::is_floating_point_v<T>) {
        for (T v : {T(0), T(0.5), T(1), T(1.5), T(2.5), T(3), T(0.1), T(1) - L::epsilon() / 2,
                    T(0.5) - L::epsilon() / 4, L::max(), L::min(), L::denorm_min(), L::infinity(),
                    1 / L::epsilon(), 1 / L::epsilon() + 1, T(0.5) / L::epsilon() + T(0.5),
                    T(0x1p31), T(0x1p62), T(4e9)})
            out.insert(out.end(), {v, -v});
        out.push_back(L::quiet_NaN());
    } else {
        for (T v : {L::min(), L::max(), T(0), T(1), T(2), T(7), T(L::max() / 2), T(L::min() + 1)})
            out.insert(out.end(), {v, static_cast<T>(0 - static_cast<std::uint64_t>(v))});
    }
    return out;
}

template <class T>
T wrapped(std::uint64_t v) {
    return static_cast<T>(v);
}

template <class T>
T negative(T a) {
    if constexpr (std::is_floating_point_v<T>)
        return -a;
    else
        return wrapped<T>(0 - static_cast<std::uint64_t>(a));
}

template <class T>
T larger(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
        if (a == b) return std::signbit(a) ? b : a;
    }
    return a > b ? a : b;
}

template <class T>
struct Case {
    const char* name;
    Expr (*build)(const Expr&, const Expr&);
    T (*value)(T, T);
};

template <class T>
std::vector<Case<T>> cases() {
    using U = std::uint64_t;
    constexpr bool real = std::is_floating_point_v<T>;
    std::vector<Case<T>> out{
        {"add", [](const Expr& a, const Expr& b) { return a + b; },
         [](T a, T b) {
             if constexpr (real)
                 return a + b;
             else
                 return wrapped<T>(U(a) + U(b));
         }},
        {"sub", [](const Expr& a, const Expr& b) { return a - b; },
         [](T a, T b) {
             if constexpr (real)
                 return a - b;
             else
                 return wrapped<T>(U(a) - U(b));
         }},
        {"mul", [](const Expr& a, const Expr& b) { return a * b; },
         [](T a, T b) {
             if constexpr (real)
                 return a * b;
             else
                 return wrapped<T>(U(a) * U(b));
         }},
        {"neg", [](const Expr& a, const Expr&) { return -a; }, [](T a, T) { return negative(a); }},
        {"abs", [](const Expr& a, const Expr&) { return abs(a); },
         [](T a, T) {
             if constexpr (real)
                 return std::fabs(a);
             else
                 return a < 0 ? negative(a) : a;
         }},
        {"sign", [](const Expr& a, const Expr&) { return sign(a); },
         [](T a, T) { return a > 0   ? T(1)
                             : a < 0 ? T(-1)
                                     : a; }},
        {"sqr", [](const Expr& a, const Expr&) { return sqr(a); },
         [](T a, T) {
             if constexpr (real)
                 return a * a;
             else
                 return wrapped<T>(U(a) * U(a));
         }},
        {"maximum", [](const Expr& a, const Expr& b) { return maximum(a, b); },
         [](T a, T b) { return larger(a, b); }},
        {"minimum", [](const Expr& a, const Expr& b) { return minimum(a, b); },
         [](T a, T b) {
             if constexpr (real)
                 return T(-larger<T>(-a, -b));
             else
                 return a < b ? a : b;
         }},
        {"floor", [](const Expr& a, const Expr&) { return floor(a); },
         [](T a, T) {
             if constexpr (real)
                 return std::floor(a);
             else
                 return a;
         }},
        {"ceil", [](const Expr& a, const Expr&) { return ceil(a); },
         [](T a, T) {
             if constexpr (real)
                 return std::ceil(a);
             else
                 return a;
         }},
        {"round", [](const Expr& a, const Expr&) { return round(a); },
         [](T a, T) {
             if constexpr (real)
                 return std::nearbyint(a);
             else
                 return a;
         }},
        {"where", [](const Expr& a, const Expr& b) { return where(a < b, a, b); },
         [](T a, T b) { return a < b ? a : b; }},
        {"relu", [](const Expr& a, const Expr&) { return relu(a); },
         [](T a, T) { return a < 0 ? T(0) : a; }},
        {"eq", [](const Expr& a, const Expr& b) { return cast(eq(a, b), dtype_of<T>); },
         [](T a, T b) { return T(a == b); }},
        {"neq", [](const Expr& a, const Expr& b) { return cast(neq(a, b), dtype_of<T>); },
         [](T a, T b) { return T(a != b); }},
        {"le", [](const Expr& a, const Expr& b) { return cast(a <= b, dtype_of<T>); },
         [](T a, T b) { return T(a <= b); }},
        {"gt", [](const Expr& a, const Expr& b) { return cast(a > b, dtype_of<T>); },
         [](T a, T b) { return T(a > b); }},
        {"logic", [](const Expr& a, const Expr& b) { return cast((a && b) || !a, dtype_of<T>); },
         [](T a, T b) { return T((a != 0 && b != 0) || a == 0); }},
        {"xor", [](const Expr& a, const Expr& b) { return cast(logical_xor(a, b), dtype_of<T>); },
         [](T a, T b) { return T((a != 0) != (b != 0)); }},
    };
    if constexpr (real) {
        out.push_back({"div", [](const Expr& a, const Expr& b) { return a / b; },
                       [](T a, T b) { return a / b; }});
        out.push_back({"sqrt", [](const Expr& a, const Expr&) { return sqrt(a); },
                       [](T a, T) { return std::sqrt(a); }});
    }
    return out;
}

template <class T>
bool same_bits(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
        return a == b && std::signbit(a) == std::signbit(b);
    }
    return a == b;
}

}  // namespace

TEST_CASE_TEMPLATE("exact ops of every pair of corners" * doctest::test_suite(every_level_suite), T,
                   float, double, std::uint8_t, std::int32_t, std::int64_t) {
    const std::vector<Case<T>> all = cases<T>();
    std::vector<T> as, bs;
    for (T a : corners<T>())
        for (T b : corners<T>()) {
            as.push_back(a);
            bs.push_back(b);
        }
    const auto check = [&](const Options& o, Mode mode, std::size_t n) {
        const auto x = vector<T>("x"), y = vector<T>("y");
        FunctionOptions f{.inputs = {x, y}, .mode = mode, .options = o};
        for (const Case<T>& c : all) f.outputs.push_back(c.build(x, y));
        const Function compiled = function(std::move(f));
        for (std::size_t start = 0; start + n <= as.size(); start += n) {
            const auto at = static_cast<std::ptrdiff_t>(start),
                       end = static_cast<std::ptrdiff_t>(start + n);
            const auto got = compiled(std::vector<T>(as.begin() + at, as.begin() + end),
                                      std::vector<T>(bs.begin() + at, bs.begin() + end));
            for (std::size_t c = 0; c < all.size(); ++c)
                for (std::size_t k = 0; k < n; ++k) {
                    const T a = as[start + k], b = bs[start + k], is = got[c].template data<T>()[k];
                    const T want = all[c].value(a, b);
                    CHECK_MESSAGE(same_bits(is, want), o.cpu, ": ", all[c].name, " of ", a, " and ",
                                  b, ": ", is, ", not ", want, ", length ", n);
                }
        }
    };
    const Options native = Options::from_environment();
    check(native, Mode::interpret, as.size());
    for (const Options& o : every_level()) {
        check(o, Mode::fast_run, as.size());
        check(o, Mode::fast_compile, as.size());
        for (std::size_t n : {1, 3, 13, 19}) check(o, Mode::fast_run, n);
    }
}

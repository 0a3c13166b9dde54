// Sizes as polynomials: the normal form, divisions, and binding.
#include <random>

#include <doctest/doctest.h>

#include "compiler/core/dim.h"
#include "compiler/core/error.h"

using namespace arete;

namespace {

Dim sym(std::uint64_t id, const char* label, int axis = 0) {
    return Dim::symbol({id, axis}, label);
}

/// A random expression and its value where n = values[0], m = values[1], k = values[2].
struct Pair {
    Dim d;
    std::int64_t v;
};
class Random {
  public:
    Random(std::uint64_t seed, const std::int64_t* values) : random_(seed), values_(values) {}
    Pair make(int depth) {
        if (depth == 0 || below(5) == 0) {
            if (below(3) == 0) {
                const std::int64_t c = below(13) - 4;
                return {Dim(c), c};
            }
            static const char* labels[] = {"n", "m", "k"};
            const int s = below(3);
            return {sym(static_cast<std::uint64_t>(s + 1), labels[s]), values_[s]};
        }
        const Pair a = make(depth - 1), b = make(depth - 1);
        switch (below(5)) {
            case 0: return {a.d + b.d, a.v + b.v};
            case 1: return {a.d - b.d, a.v - b.v};
            case 2: return {a.d * b.d, a.v * b.v};
            case 3: {
                const std::int64_t by = 1 + below(6);
                return {floordiv(a.d, Dim(by)), floor(a.v, by)};
            }
            default: return b.v == 0 ? a : Pair{floordiv(a.d, b.d), floor(a.v, b.v)};
        }
    }
    static std::int64_t floor(std::int64_t a, std::int64_t b) {
        const std::int64_t q = a / b;
        return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
    }

  private:
    int below(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
    std::mt19937_64 random_;
    const std::int64_t* values_;
};

}  // namespace

TEST_CASE("dim: equal polynomials are equal") {
    const Dim n = sym(1, "n"), m = sym(2, "m"), i = sym(3, "i", -1);
    CHECK((i + 1) * 10 - i * 10 == Dim(10));
    CHECK((n + m) * (n - m) == n * n - m * m);
    CHECK((n + 1) * (n + 1) == n * n + 2 * n + 1);
    CHECK(n * m == m * n);
    CHECK(n - n == Dim(0));
    CHECK((n - n).is_const());
    CHECK(!(n == m));
    CHECK(!(n == Dim(3)));
    CHECK(!(sym(1, "n", 0) == sym(1, "n", 1)));
    CHECK(sym(1, "n") == sym(1, "another label"));
    CHECK_THROWS_AS(n.value(), InternalError);
}

TEST_CASE("dim: sizes of broadcast axes") {
    const Dim n = sym(1, "n"), m = sym(2, "m"), k = sym(3, "k");
    CHECK(broadcast(n, n) == n);
    CHECK(broadcast(n, Dim(1)) == n);
    CHECK(broadcast(Dim(1), n) == n);
    CHECK(broadcast(n, Dim(3)) == Dim(3));
    CHECK(broadcast(Dim(0), n) == Dim(0));
    CHECK(broadcast(n, m) == broadcast(m, n));
    CHECK(broadcast(broadcast(n, m), broadcast(k, n)) == broadcast(m, broadcast(k, n)));
    CHECK(broadcast(broadcast(n, m), m) == broadcast(n, m));
    CHECK(!(broadcast(n, m) == n));
    CHECK(broadcast(m, n + 1).str() == "broadcast(n+1, m)");
    const auto at = [&](std::int64_t a, std::int64_t b, std::int64_t c) {
        return broadcast(broadcast(n, m), k).bind([=](DimSymbol s) -> std::optional<Dim> {
            return s.variable == 1 ? a : s.variable == 2 ? b : c;
        });
    };
    CHECK(at(1, 1, 1) == Dim(1));
    CHECK(at(1, 5, 1) == Dim(5));
    CHECK(at(5, 1, 5) == Dim(5));
    CHECK(at(0, 1, 0) == Dim(0));
    // What does not go together is no size, whatever stands between.
    for (const Dim& d : {at(2, 3, 1), at(2, 3, 2), at(3, 2, 3), at(2, 2, 3), at(0, 2, 1)}) {
        CHECK(!d.is_const());
        CHECK(!(d == Dim(2)));
    }
    // In part.
    const Dim some = broadcast(n, m).bind([](DimSymbol s) -> std::optional<Dim> {
        return s.variable == 1 ? std::optional<Dim>(1) : std::nullopt;
    });
    CHECK(some == m);
}

TEST_CASE("dim: not negative") {
    const Dim n = sym(1, "n"), i = sym(2, "i", -1);
    CHECK(not_negative(Dim(-3)) == Dim(0));
    CHECK(not_negative(Dim(4)) == Dim(4));
    CHECK(not_negative(2 * n * n + 1) == 2 * n * n + 1);
    CHECK(not_negative(floordiv(n, Dim(2))) == floordiv(n, Dim(2)));
    CHECK(not_negative(i).str() == "not_negative(i)");
    const auto with = [](std::int64_t v) {
        return [v](DimSymbol) { return std::optional<Dim>(v); };
    };
    CHECK(not_negative(n - 3).bind(with(1)) == Dim(0));
    CHECK(not_negative(n - 3).bind(with(7)) == Dim(4));
}

TEST_CASE("dim: what 64 bits do not hold is no size") {
    const Dim n = sym(1, "n");
    const Dim large(std::int64_t{1} << 40), most(INT64_MAX), least(INT64_MIN);
    for (const Dim& d :
         {large * large, most + 1, least - 1, least * Dim(-1), large * (large * n),
          most * n + most * n, large * large + 1, large * large * n, floordiv(least, Dim(-1))}) {
        CAPTURE(d.str());
        CHECK(!d.is_const());
        const Dim bound = d.bind([](DimSymbol) { return std::optional<Dim>(2); });
        CHECK(!bound.is_const());
        CHECK(!(bound == Dim(0)));
    }
    CHECK((large * n).bind([](DimSymbol) { return std::optional<Dim>(4); }) ==
          Dim(std::int64_t{1} << 42));
    CHECK(!(large * n).bind([&](DimSymbol) { return std::optional<Dim>(large); }).is_const());
    // As the op, whose quotients by zero are zero.
    CHECK(floordiv(n, n - n) == Dim(0));
    CHECK(floordiv(Dim(0), Dim(0)) == Dim(0));
    CHECK(floordiv(5 * n, sym(2, "m")).bind([](DimSymbol) { return std::optional<Dim>(0); }) ==
          Dim(0));
}

TEST_CASE("dim: text") {
    const Dim n = sym(1, "n"), m = sym(2, "m");
    CHECK((2 * n * m - m + 3).str() == "2*n*m-m+3");
    CHECK((Dim(0) - n - 1).str() == "-n-1");
    CHECK(floordiv(n + 1, Dim(2)).str() == "floordiv(n+1, 2)");
    CHECK(to_string(Shape{64, n}) == "[64,n]");
    CHECK(to_string(Shape{}) == "[]");
    CHECK(size_of(Shape{2, n, n}).str() == "2*n*n");
    CHECK(size_of(Shape{}) == Dim(1));
    CHECK(is_static({2, 3}));
    CHECK(!is_static({2, n}));
    CHECK(concrete({2, 3}) == std::vector<std::int64_t>{2, 3});
}

TEST_CASE("dim: floor divisions that are exact, and that are not") {
    const Dim n = sym(1, "n"), m = sym(2, "m");
    CHECK(floordiv(Dim(7), Dim(2)) == Dim(3));
    CHECK(floordiv(Dim(-7), Dim(2)) == Dim(-4));
    CHECK(floordiv(Dim(7), Dim(-2)) == Dim(-4));
    CHECK(floordiv(4 * n + 6, Dim(2)) == 2 * n + 3);
    CHECK(floordiv(4 * n + 7, Dim(2)) == 2 * n + 3);
    CHECK(floordiv(4 * n - 1, Dim(4)) == n - 1);
    CHECK(floordiv(n * m, m) == n);
    CHECK(floordiv(6 * n * m, 2 * n) == 3 * m);
    CHECK(floordiv(n, n) == Dim(1));
    CHECK(floordiv(n, Dim(0)) == Dim(0));
    CHECK(floordiv(2 * n + 3, Dim(-1)) == -2 * n - 3);
    CHECK(floordiv(n + 1, Dim(2)) == floordiv(1 + n, Dim(2)));
    CHECK(!(floordiv(n, Dim(2)) == floordiv(m, Dim(2))));
    CHECK(!(floordiv(n, Dim(2)) * 2 == n));
    CHECK(floordiv(n, Dim(2)) - floordiv(n, Dim(2)) == Dim(0));
    // Same labels, other symbols.
    CHECK(!(floordiv(sym(1, "n"), Dim(2)) == floordiv(sym(5, "n"), Dim(2))));
}

TEST_CASE("dim: binding gives the value, for random expressions") {
    const std::int64_t values[] = {7, 3, 12};
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        const Pair p = Random(seed, values).make(4);
        CAPTURE(seed);
        CAPTURE(p.d.str());
        const Dim bound = p.d.bind(
            [&](DimSymbol s) -> std::optional<Dim> { return Dim(values[s.variable - 1]); });
        REQUIRE(bound.is_const());
        CHECK(bound.value() == p.v);
        // In two goes, and by way of other symbols.
        const Dim renamed = p.d.bind([&](DimSymbol s) -> std::optional<Dim> {
            if (s.variable == 2) return std::nullopt;
            return sym(s.variable + 10, "r") + 1;
        });
        const Dim again = renamed.bind([&](DimSymbol s) -> std::optional<Dim> {
            return s.variable == 2 ? Dim(3) : Dim(values[s.variable - 11] - 1);
        });
        REQUIRE(again.is_const());
        CHECK(again.value() == p.v);
    }
}

TEST_CASE("dim: symbols, nested ones too") {
    const Dim d = sym(1, "n") * floordiv(sym(2, "m") + 1, sym(3, "k", -1)) + 4;
    std::vector<std::uint64_t> seen;
    d.for_each_symbol([&](DimSymbol s) { seen.push_back(s.variable); });
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::uint64_t>{1, 2, 3});
    Dim(5).for_each_symbol([](DimSymbol) { FAIL("a constant has no symbols"); });
}

// Quasi-affine index expressions, checked by brute force over all values of their variables.
#include <functional>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/loops/index.h"

using namespace arete::loops;

namespace {

Index var(int number) {
    return Index::var(Var(number));
}

/// The value of an expression, by substituting constants.
std::int64_t value(const Index& e, const std::vector<std::int64_t>& at) {
    std::int64_t sum = e.constant();
    for (const Index::Term& t : e.terms()) {
        std::int64_t v = 0;
        switch (t.kind) {
            case Index::Kind::Var: v = at[t.var().index()]; break;
            case Index::Kind::Value: v = 0; break;
            case Index::Kind::Div:
            case Index::Kind::Mod: {
                const std::int64_t x = value(*t.inner, at),
                                   m = ((x % t.divisor) + t.divisor) % t.divisor;
                v = t.kind == Index::Kind::Mod ? m : (x - m) / t.divisor;
            }
        }
        sum += t.coefficient * v;
    }
    return sum;
}

void for_all(const std::vector<std::int64_t>& extents,
             const std::function<void(const std::vector<std::int64_t>&)>& f) {
    std::vector<std::int64_t> at(extents.size(), 0);
    for (;;) {
        f(at);
        std::size_t k = extents.size();
        while (k > 0 && ++at[k - 1] == extents[k - 1]) at[--k] = 0;
        if (k == 0) return;
    }
}

std::string text(const Index& e) {
    return e.str([](const Index::Term& t) {
        return (t.kind == Index::Kind::Var ? "v" : "x") + std::to_string(t.number);
    });
}

}  // namespace

TEST_CASE("index: sums have one form") {
    const Index i = var(0), j = var(1);
    CHECK(i + j == j + i);
    CHECK(i * 3 + i * 2 == i * 5);
    CHECK(i - i == Index(0));
    CHECK((i + 4) * 2 == i * 2 + 8);
    CHECK((i * 0).is_const());
    CHECK(!(i == j));
    CHECK(!(i == Index::value(ValueId(0))));
    CHECK((i * 3 + j).coefficient(Var(0)) == 3);
    CHECK((i * 3 + j).coefficient(Var(2)) == 0);
}

TEST_CASE("index: divisions and remainders that vanish") {
    const std::vector<std::int64_t> extents{8, 5};
    const Index i = var(0), j = var(1);
    CHECK(floordiv(i * 5 + j, 5, extents) == i);
    CHECK(mod(i * 5 + j, 5, extents) == j);
    CHECK(floordiv(i, 8, extents) == Index(0));
    CHECK(mod(i, 8, extents) == i);
    CHECK(mod(i, 1, extents) == Index(0));
    CHECK(floordiv(i, 1, extents) == i);
    CHECK(floordiv(i * 6, 3, extents) == i * 2);
    const Index q = floordiv(i, 3, extents), r = mod(i, 3, extents);
    CHECK(q.uses_nested(Var(0)));
    CHECK(q.uses(Var(0)));
    CHECK(!q.uses(Var(1)));
    CHECK(q * 3 + r == i);
    CHECK(q * 6 + r * 2 + j == i * 2 + j);
    CHECK(r + j + q * 3 == i + j);
    CHECK(floordiv(Index(-7), 2, extents) == Index(-4));
    CHECK(mod(Index(-7), 2, extents) == Index(1));
}

TEST_CASE("index: linear and delinear undo each other") {
    const std::vector<std::int64_t> shapes[] = {{4, 6},     {2, 3, 4}, {24},
                                                {1, 24, 1}, {3, 1, 8}, {24, 1}};
    for (const auto& from : shapes) {
        const std::vector<std::int64_t>& extents = from;
        std::vector<Index> vars;
        for (std::size_t k = 0; k < from.size(); ++k)
            vars.push_back(from[k] == 1 ? Index(0) : var(static_cast<int>(k)));
        const Index address = linear(vars, from);
        const auto same = delinear(address, from, extents);
        for (std::size_t k = 0; k < from.size(); ++k) CHECK(same[k] == vars[k]);
        for (const auto& to : shapes) {
            const auto index = delinear(address, to, extents);
            // A chain of reshapes costs nothing: the address is what it was.
            CHECK_MESSAGE(linear(index, to) == address, text(linear(index, to)), " is not ",
                          text(address));
            for_all(extents, [&](const auto& at) {
                for (std::size_t k = 0; k < to.size(); ++k) {
                    REQUIRE(value(index[k], at) >= 0);
                    REQUIRE(value(index[k], at) < to[k]);
                }
                REQUIRE(value(linear(index, to), at) == value(address, at));
            });
        }
    }
}

TEST_CASE("index: random expressions keep their value, and stay in their range") {
    std::mt19937_64 random(17);
    const auto below = [&](int n) {
        return static_cast<int>(random() % static_cast<std::uint64_t>(n));
    };
    for (int round = 0; round < 3000; ++round) {
        std::vector<std::int64_t> extents;
        for (int k = 0; k < 3; ++k) extents.push_back(1 + below(7));
        Index e = Index(below(9) - 4);
        using Eval = std::function<std::int64_t(const std::vector<std::int64_t>&)>;
        const std::int64_t start = e.constant();
        Eval expected = [start](const auto&) { return start; };
        for (int k = 0; k < 6; ++k) {
            const Eval before = expected;
            const int v = below(3);
            const std::int64_t c = below(13) - 6, d = 1 + below(8);
            switch (below(4)) {
                case 0:
                    e = e + var(v) * c;
                    expected = [=](const auto& at) {
                        return before(at) + c * at[static_cast<std::size_t>(v)];
                    };
                    break;
                case 1:
                    e = floordiv(e, d, extents);
                    expected = [=](const auto& at) {
                        const std::int64_t x = before(at), m = ((x % d) + d) % d;
                        return (x - m) / d;
                    };
                    break;
                case 2:
                    e = mod(e, d, extents);
                    expected = [=](const auto& at) { return ((before(at) % d) + d) % d; };
                    break;
                default:
                    e = e * d + mod(e, d, extents);
                    expected = [=](const auto& at) {
                        const std::int64_t x = before(at);
                        return x * d + ((x % d) + d) % d;
                    };
            }
        }
        CAPTURE(round);
        CAPTURE(text(e));
        const Range range = e.range(extents);
        // Substitution by itself plus a constant, as tiling does it: v0 = 2 * v3 + v4.
        std::vector<std::int64_t> wider = extents;
        wider.push_back((extents[0] + 1) / 2);
        wider.push_back(2);
        const Index tiled = e.substitute(
            [](const Index::Term& t) {
                return t.number == 0 ? var(3) * 2 + var(4) : Index::var(t.var());
            },
            wider);
        for_all(extents, [&](const auto& at) {
            const std::int64_t want = expected(at);
            REQUIRE(value(e, at) == want);
            REQUIRE(range.low <= want);
            REQUIRE(want <= range.high);
            REQUIRE(value(tiled, {0, at[1], at[2], at[0] / 2, at[0] % 2}) == want);
        });
    }
}

TEST_CASE("index: run-time values") {
    const std::vector<std::int64_t> extents{4};
    const Index e = Index::value(ValueId(7)) * 4 + var(0);
    ValueId seen;
    e.for_each_value([&](ValueId v) { seen = v; });
    CHECK(seen == ValueId(7));
    CHECK(floordiv(e, 4, extents) == Index::value(ValueId(7)));
    CHECK(mod(e, 4, extents) == var(0));
    CHECK(e.range(extents).high > (std::int64_t{1} << 40));
    CHECK(!e.is_const());
    const Index shifted = e.substitute(
        [](const Index::Term& t) {
            return t.kind == Index::Kind::Value ? Index(3) : Index::var(t.var());
        },
        extents);
    CHECK(shifted == var(0) + 12);
    CHECK(text(floordiv(Index::value(ValueId(7)), 4, extents)).find("x7") != std::string::npos);
}

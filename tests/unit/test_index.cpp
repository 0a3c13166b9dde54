// Quasi-affine index expressions, checked by brute force over all values of their variables.
#include <algorithm>
#include <functional>
#include <optional>
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
            CHECK_MESSAGE(linear(index, to).simplified(extents) == address, text(linear(index, to)),
                          " is not ", text(address));
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
                    expected = [=](const auto& at) { return before(at) + c * at[v]; };
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

namespace {

/// Is f affine over the box? Then its coefficients, the constant last.
std::optional<std::vector<std::int64_t>> affine(
    const std::vector<std::int64_t>& extents,
    const std::function<std::int64_t(const std::vector<std::int64_t>&)>& f) {
    std::vector<std::int64_t> at(extents.size(), 0), out;
    const std::int64_t base = f(at);
    for (std::size_t k = 0; k < extents.size(); ++k) {
        at[k] = extents[k] > 1 ? 1 : 0;
        out.push_back(f(at) - base);
        at[k] = 0;
    }
    out.push_back(base);
    bool holds = true;
    for_all(extents, [&](const std::vector<std::int64_t>& p) {
        std::int64_t want = base;
        for (std::size_t k = 0; k < p.size(); ++k) want += out[k] * p[k];
        holds = holds && want == f(p);
    });
    if (!holds) return std::nullopt;
    return out;
}

bool divides_somewhere(const Index& e) {
    for (const Index::Term& t : e.terms())
        if (t.inner) return true;
    return false;
}

/// A tensor seen through views: its sizes, and where an element of them lies in the first one.
struct Seen {
    std::vector<std::int64_t> sizes;
    std::function<std::int64_t(const std::vector<std::int64_t>&)> place;
    std::function<Index(std::span<const Index>, Extents)> index;
};

std::int64_t number_of(const std::vector<std::int64_t>& at,
                       const std::vector<std::int64_t>& sizes) {
    std::int64_t out = 0;
    for (std::size_t k = 0; k < sizes.size(); ++k) out = out * sizes[k] + at[k];
    return out;
}

/// One more view, drawn at random.
Seen viewed(const Seen& s, std::mt19937& random) {
    const auto sizes = s.sizes;
    const std::size_t rank = sizes.size();
    switch (random() % 4) {
        case 0: {  // reshape: the factors of all sizes, dealt anew
            std::int64_t count = 1;
            for (std::int64_t n : sizes) count *= n;
            std::vector<std::int64_t> fresh{1};
            for (std::int64_t p = 2; count > 1;) {
                if (count % p) {
                    ++p;
                    continue;
                }
                count /= p;
                if (random() % 2 && fresh.size() < 4) fresh.push_back(1);
                fresh[random() % fresh.size()] *= p;
            }
            Seen out{fresh, {}, {}};
            out.place = [s, fresh](const std::vector<std::int64_t>& at) {
                std::int64_t n = number_of(at, fresh);
                std::vector<std::int64_t> inner(s.sizes.size());
                for (std::size_t k = s.sizes.size(); k-- > 0; n /= s.sizes[k])
                    inner[k] = n % s.sizes[k];
                return s.place(inner);
            };
            out.index = [s, fresh](std::span<const Index> at, Extents extents) {
                return s.index(delinear(linear(at, fresh), s.sizes, extents), extents);
            };
            return out;
        }
        case 1: {  // transposition
            std::vector<std::size_t> order(rank);
            for (std::size_t k = 0; k < rank; ++k) order[k] = k;
            std::shuffle(order.begin(), order.end(), random);
            Seen out;
            for (std::size_t k : order) out.sizes.push_back(sizes[k]);
            out.place = [s, order](const std::vector<std::int64_t>& at) {
                std::vector<std::int64_t> inner(at.size());
                for (std::size_t k = 0; k < at.size(); ++k) inner[order[k]] = at[k];
                return s.place(inner);
            };
            out.index = [s, order](std::span<const Index> at, Extents extents) {
                std::vector<Index> inner(at.size());
                for (std::size_t k = 0; k < at.size(); ++k) inner[order[k]] = at[k];
                return s.index(inner, extents);
            };
            return out;
        }
        default: {  // a slice, forwards or backwards
            Seen out{sizes, {}, {}};
            const std::size_t axis = random() % rank;
            const std::int64_t n = sizes[axis], step = std::int64_t(1 + random() % 2),
                               start = std::int64_t(random() % std::uint64_t(n));
            const bool back = random() % 3 == 0;
            out.sizes[axis] = back ? start / step + 1 : (n - start - 1) / step + 1;
            const std::int64_t by = back ? -step : step;
            out.place = [=](std::vector<std::int64_t> at) {
                at[axis] = start + by * at[axis];
                return s.place(at);
            };
            out.index = [=](std::span<const Index> at, Extents extents) {
                std::vector<Index> inner(at.begin(), at.end());
                inner[axis] = inner[axis] * by + start;
                return s.index(inner, extents);
            };
            return out;
        }
    }
}

}  // namespace

TEST_CASE("index: chains of views are right, and leave no division that numbers could remove") {
    std::mt19937 random(3);
    int affine_ones = 0, divided = 0, left = 0;
    for (int round = 0; round < 4000; ++round) {
        Seen s;
        const std::size_t rank = 1 + random() % 3;
        for (std::size_t k = 0; k < rank; ++k)
            s.sizes.push_back(std::vector<std::int64_t>{2, 3, 4, 6, 8}[random() % 5]);
        s.place = [sizes = s.sizes](const std::vector<std::int64_t>& at) {
            return number_of(at, sizes);
        };
        s.index = [sizes = s.sizes](std::span<const Index> at, Extents) {
            return linear(at, sizes);
        };
        for (int views = 1 + int(random() % 5); views > 0; --views) s = viewed(s, random);
        arete::IdVector<Var, std::int64_t> extents;
        std::vector<Index> at;
        for (std::size_t k = 0; k < s.sizes.size(); ++k) {
            extents.push_back(s.sizes[k]);
            at.push_back(s.sizes[k] == 1 ? Index(0) : var(int(k)));
        }
        const Index whole = s.index(at, extents), e = whole.simplified(extents);
        // What is known of where it lies is not lost.
        CHECK(e.range(extents).low >= whole.range(extents).low);
        CHECK(e.range(extents).high <= whole.range(extents).high);
        CAPTURE(text(e));
        bool right = true;
        for_all(s.sizes, [&](const std::vector<std::int64_t>& p) {
            right = right && value(e, p) == s.place(p);
        });
        CHECK(right);
        if (affine(s.sizes, s.place)) {
            ++affine_ones;
            left += divides_somewhere(e);
        } else {
            ++divided;
        }
    }
    MESSAGE(affine_ones, " affine, ", divided, " not, of the former ", left, " with a division");
    CHECK(affine_ones > 3000);
    // floor(i / 3) + floor((2 - i) / 3) is 0 for i < 4, and the like.
    CHECK(1000 * left < affine_ones);
    CHECK(divided > 200);
}

TEST_CASE("index: addresses of elements of a transposition are known to be inside") {
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{3, 4, 5}, {2, 3, 4}, {5, 4, 2}, {2, 2, 7}, {4, 4, 4}}) {
        std::vector<std::size_t> order{0, 1, 2};
        do {
            const std::int64_t n = sizes[0] * sizes[1] * sizes[2];
            arete::IdVector<Var, std::int64_t> extents;
            extents.add(n);
            const std::int64_t strides[] = {sizes[1] * sizes[2], sizes[2], 1};
            Index address, left = var(0);
            for (std::size_t k = 3; k-- > 0;) {
                const std::int64_t size = sizes[order[k]];
                address = address + mod(left, size, extents) * strides[order[k]];
                left = floordiv(left, size, extents);
            }
            const Index found = address.simplified(extents);
            const Range r = found.range(extents);
            CHECK_MESSAGE((r.low >= 0 && r.high < n), text(address), " became ", text(found));
            for_all({n}, [&](const auto& at) { CHECK(value(found, at) == value(address, at)); });
        } while (std::next_permutation(order.begin(), order.end()));
    }
}

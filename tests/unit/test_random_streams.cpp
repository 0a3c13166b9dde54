// Streams of random numbers: of any two seeds, draws, calls and copies, independent.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/ops/random.h"

using namespace arete;

namespace {

constexpr std::uint64_t two32 = std::uint64_t{1} << 32;

// Seeds that any sloppy use of their halves confuses.
std::vector<std::uint64_t> seeds() {
    std::vector<std::uint64_t> out{0x8000000000000000u, ~std::uint64_t{0},   ~std::uint64_t{0} - 1,
                                   0x0000000100000001u, 0xffffffff00000000u, 0x00000000ffffffffu,
                                   0x0100000000000000u, 0x0100000000000001u, 0x00ffffff00000000u};
    for (std::uint64_t low = 0; low < 6; ++low)
        for (std::uint64_t high = 0; high < 6; ++high) out.push_back(high * two32 + low);
    for (int bit = 0; bit < 64; ++bit) out.push_back(std::uint64_t{1} << bit);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

std::vector<Array> run(const std::vector<Expr>& draws, int calls) {
    Options options = Options::from_environment();
    options.cache_dir.clear();
    const Function f = function({.outputs = draws, .mode = Mode::interpret, .options = options});
    std::vector<Array> out;
    for (int k = 0; k < calls; ++k)
        for (Array& a : f()) out.push_back(std::move(a));
    return out;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
    const auto n = static_cast<double>(a.size());
    double ma = 0, mb = 0, ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) ma += a[i] / n, mb += b[i] / n;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += (a[i] - ma) * (b[i] - mb);
        aa += (a[i] - ma) * (a[i] - ma);
        bb += (b[i] - mb) * (b[i] - mb);
    }
    return ab / std::sqrt(aa * bb);
}

std::vector<double> numbers(const Array& a) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < a.size(); ++i) out.push_back(a.as_double(i));
    return out;
}

}  // namespace

TEST_CASE("random streams: no seed, draw or call repeats numbers of another") {
    // 53 bits a number: among some thousands no two are equal by chance.
    std::set<double> seen;
    std::size_t count = 0;
    for (const std::uint64_t seed : seeds()) {
        RandomStream random(seed);
        std::vector<Expr> draws;
        for (int k = 0; k < 6; ++k) draws.push_back(random.uniform({3}, 0, 1, DType::F64));
        for (const Array& a : run(draws, 3))
            for (std::int64_t i = 0; i < 3; ++i, ++count) seen.insert(a.as_double(i));
    }
    CHECK(seen.size() == count);
}

TEST_CASE("random streams: copies draw on, and a new one of the same seed draws again") {
    RandomStream a(7), again(7);
    RandomStream b = a, c(0);
    c = b;
    std::vector<RandomStream> more{a, b};
    RandomStream moved = std::move(more[0]);
    const auto layer = [](RandomStream r) { return r.uniform({4}, 0, 1, DType::F64); };
    std::vector<Expr> draws;
    for (RandomStream* r : {&a, &b, &c, &moved, &more[0], &more[1], &a})
        draws.push_back(r->uniform({4}, 0, 1, DType::F64));
    draws.push_back(layer(a));
    draws.push_back(layer(a));
    std::set<double> seen;
    const auto out = run(draws, 2);
    for (const Array& d : out)
        for (std::int64_t i = 0; i < 4; ++i) seen.insert(d.as_double(i));
    CHECK(seen.size() == out.size() * 4);
    // The same numbers again, in the order of drawing.
    std::vector<Expr> repeated;
    for (std::size_t k = 0; k < draws.size(); ++k)
        repeated.push_back(again.uniform({4}, 0, 1, DType::F64));
    const auto same = run(repeated, 2);
    for (std::size_t k = 0; k < out.size(); ++k) CHECK(same[k].equals(out[k]));
}

TEST_CASE("random streams: small seeds give what they always gave") {
    // The first words of Philox 4x32-10 for the key (seed, stream) and the counter 0.
    for (const auto& [seed, stream, word] :
         {std::tuple<std::uint64_t, int, std::uint32_t>{0, 0, 0x6627e8d5}}) {
        RandomStream random(seed);
        Expr draw;
        for (int k = 0; k <= stream; ++k) draw = random.uniform({1});
        CHECK(run({draw}, 1)[0].as_double() == static_cast<double>(word >> 8) * 0x1p-24);
    }
}

TEST_CASE("random streams: neighbours are not correlated") {
    const std::int64_t n = 20000;
    // Of independent numbers the coefficient has a deviation of 0.007; of 40, none is beyond 5.
    const double most = 5 / std::sqrt(static_cast<double>(n));
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{41}, two32 - 1, two32,
                                     3 * two32 + 7, ~std::uint64_t{0} - 1}) {
        CAPTURE(seed);
        RandomStream one(seed), next(seed + 1), high(seed ^ two32);
        const Expr a = one.uniform({n}), b = one.uniform({n});
        const auto out = run({a, b, next.uniform({n}), high.uniform({n})}, 2);
        const std::vector<double> first = numbers(out[0]);
        for (std::size_t k = 1; k < out.size(); ++k) {
            CAPTURE(k);  // another draw, another seed, another half, and the same in the next call
            CHECK(std::fabs(correlation(first, numbers(out[k]))) < most);
        }
        for (const std::size_t lag : {1, 2, 3, 4, 16, 64}) {
            CAPTURE(lag);
            CHECK(std::fabs(correlation(
                      {first.begin(), first.end() - static_cast<std::ptrdiff_t>(lag)},
                      {first.begin() + static_cast<std::ptrdiff_t>(lag), first.end()})) <
                  most * 1.01);
        }
        double mean = 0, square = 0;
        for (double v : first) {
            mean += v / static_cast<double>(n);
            square += (v - 0.5) * (v - 0.5) / static_cast<double>(n);
        }
        CHECK(std::fabs(mean - 0.5) < 5 * std::sqrt(1.0 / 12 / static_cast<double>(n)));
        CHECK(square == doctest::Approx(1.0 / 12).epsilon(0.03));
    }
    // First numbers of a thousand seeds in a row are as uniform as those of one.
    std::vector<double> firsts;
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        RandomStream random(seed * two32 + 5);
        firsts.push_back(run({random.uniform({1})}, 1)[0].as_double());
    }
    CHECK(std::fabs(correlation({firsts.begin(), firsts.end() - 1},
                                {firsts.begin() + 1, firsts.end()})) < 5 / std::sqrt(1000.0));
    std::vector<int> tenths(10);
    for (double v : firsts) ++tenths[static_cast<std::size_t>(v * 10)];
    double chi = 0;
    for (int t : tenths) chi += (t - 100) * (t - 100) / 100.0;
    CHECK(chi < 40);  // 9 degrees of freedom: beyond 40 in one of 130,000 cases
}

TEST_CASE("random streams: a source has streams from 0 to 2^24") {
    CHECK_THROWS_AS(random_uniform(Shape{3}, {1, 0, -1}), GraphError);
    CHECK_THROWS_AS(random_uniform(Shape{3}, {1, 0, 1 << 24}), GraphError);
    CHECK(random_uniform(Shape{3}, {1, 0, (1 << 24) - 1}).rank() == 1);
}

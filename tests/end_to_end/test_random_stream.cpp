// Random draws in compiled functions.
#include <cmath>
#include <cstdint>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "compiler/ops/philox.h"
#include "compiler/ops/random.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/schedule.h"

using namespace arete;

namespace {

std::vector<Array> draw_all(std::uint64_t seed, int threads, Mode mode, int calls) {
    RandomStream random(seed);
    Options options = Options::from_environment();
    options.num_threads = threads;
    const Function draw = function({.inputs = {},
                                    .outputs = {random.uniform({300, 70}), random.normal({300, 70}),
                                                random.bernoulli({300, 70}, 0.25)},
                                    .name = "draw",
                                    .mode = mode,
                                    .options = options});
    std::vector<Array> all;
    for (int i = 0; i < calls; ++i)
        for (const Array& a : draw()) all.push_back(a);
    return all;
}

double mean_of(const Array& a) {
    double sum = 0;
    for (const float v : a.values<float>()) sum += v;
    return sum / static_cast<double>(a.size());
}

}  // namespace

TEST_CASE("random stream: the same bits on any number of threads and in the interpreter") {
    const auto first = draw_all(5, 1, Mode::fast_run, 2);
    const auto threaded = draw_all(5, 2, Mode::fast_run, 2);
    const auto interpreted = draw_all(5, 1, Mode::interpret, 2);
    const auto other = draw_all(6, 1, Mode::fast_run, 2);
    // Without the instruction native code rounds products that sums read: the logarithm of a
    // normal.
    const bool fused = host_machine(Options::from_environment().cpu).fused_muladd;
    for (std::size_t i = 0; i < first.size(); ++i) {
        CAPTURE(i);
        CHECK(first[i].equals(threaded[i]));
        CHECK(!first[i].equals(other[i]));
        const bool normal = i % 3 == 1;
        if (fused || !normal) {
            CHECK(first[i].equals(interpreted[i]));
            continue;
        }
        for (std::int64_t k = 0; k < first[i].size(); ++k)
            CHECK(first[i].as_double(k) ==
                  doctest::Approx(interpreted[i].as_double(k)).epsilon(1e-6));
    }
}

TEST_CASE("random stream: every call and every draw has numbers of its own") {
    const auto a = draw_all(5, 1, Mode::fast_run, 2);
    for (std::size_t i = 0; i < 3; ++i) CHECK(!a[i].equals(a[i + 3]));
    CHECK(mean_of(a[0]) == doctest::Approx(0.5).epsilon(0.02));
    CHECK(std::abs(mean_of(a[1])) < 0.03);
    CHECK(mean_of(a[2]) == doctest::Approx(0.25).epsilon(0.04));

    // Two masks of one shape do not coincide.
    RandomStream random(1);
    const Expr one = random.bernoulli({1000}), two = random.bernoulli({1000});
    const Function both = function({.inputs = {}, .outputs = {sum(one), sum(one * two)}});
    const auto sums = both();
    CHECK(sums[1].as_double() > 180);
    CHECK(sums[1].as_double() < 320);
}

TEST_CASE("random stream: one draw is one set of numbers within a call") {
    RandomStream random(1);
    const Expr u = random.uniform({1000});
    const auto out = function({.inputs = {}, .outputs = {u, u * 2.0, sum(u - u)}})();
    CHECK(out[2].item<float>() == 0);
    for (std::int64_t i = 0; i < 1000; ++i)
        CHECK(out[1].as_double(i) == doctest::Approx(2 * out[0].as_double(i)));
}

TEST_CASE("random draws: every element has the words of Philox that random.h promises") {
    const std::uint64_t key = 0x123456789abcdef0, counter = 0x0fedcba987654321;
    const std::int64_t stream = 77;
    const Shape shape{3, 150};
    // Word k of block b.
    auto word = [&](std::int64_t b, std::int64_t k) {
        std::uint32_t c[] = {
            static_cast<std::uint32_t>(b),
            static_cast<std::uint32_t>(b >> 32) ^ (static_cast<std::uint32_t>(key >> 32) << 8),
            static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32)};
        const std::uint32_t keys[] = {
            static_cast<std::uint32_t>(key),
            static_cast<std::uint32_t>(key >> 32) ^ static_cast<std::uint32_t>(stream)};
        philox4x32(c, keys);
        return c[k];
    };
    // Word k of those that belong to element e, which needs n.
    auto of_element = [&](std::int64_t e, std::int64_t n, std::int64_t k) {
        const std::int64_t share = 4 / n, q = e / (16 * share), p = e / 16 % share, r = e % 16;
        return word(16 * q + r, n * p + k);
    };
    const RandomSource source{static_cast<std::int64_t>(key), static_cast<std::int64_t>(counter),
                              stream};
    for (Mode mode : {Mode::fast_run, Mode::interpret}) {
        const Function f = function({.inputs = {},
                                     .outputs = {random_uniform(shape, source),
                                                 random_uniform(shape, source, 0, 1, DType::F64),
                                                 random_bernoulli(shape, source, 0.25),
                                                 random_normal(shape, source, 0, 1, DType::F32)},
                                     .mode = mode});
        const auto out = f();
        for (std::int64_t e = 0; e < 450; ++e) {
            CAPTURE(e);
            const std::uint32_t w = of_element(e, 1, 0);
            CHECK(out[0].data<float>()[e] == static_cast<float>(w >> 8) * 0x1p-24f);
            CHECK(out[2].data<float>()[e] == (w < 0x40000000 ? 1.0f : 0.0f));
            const std::uint64_t bits =
                (std::uint64_t{of_element(e, 2, 0) >> 5} << 26) | (of_element(e, 2, 1) >> 6);
            CHECK(out[1].data<double>()[e] == static_cast<double>(bits) * 0x1p-53);
            const double radius =
                std::sqrt(-2 * std::log(((of_element(e, 2, 0) >> 8) + 1.0) * 0x1p-24));
            const double angle = 6.283185307179586 * (of_element(e, 2, 1) >> 8) * 0x1p-24;
            CHECK(out[3].data<float>()[e] ==
                  doctest::Approx(radius * std::cos(angle)).epsilon(1e-5));
        }
    }
}

TEST_CASE("random draws: kernels make four numbers of each block, however wide vectors are") {
    RandomStream random(1);
    const auto x = matrix<float>("x", {100, 30});
    // Elementwise work that walks other operands otherwise has a kernel of its own.
    const Expr u = random.uniform({100, 30}), y = x * u + mean(x, 0);
    const Graph graph({y});
    const Fusion fusion = fuse(graph, graph.outputs());
    CHECK(fusion.stored(u));
    const loops::Nest nest = lower_nest(
                                 {&u, 1}, [&](const Expr& e) { return fusion.stored(e); }, "draw")
                                 .nest;
    for (int bytes : {16, 32, 64}) {
        CAPTURE(bytes);
        Machine machine;
        machine.vector_bytes = bytes;
        const std::string tiling = schedule(nest, machine).comment;
        CHECK_MESSAGE((tiling.find(" 64 at a time") != std::string::npos ||
                       tiling.find(" 128 at a time") != std::string::npos),
                      tiling);
    }
}

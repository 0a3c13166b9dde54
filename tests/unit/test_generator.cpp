// The host-side generator: Philox against its published vectors, and what is drawn from it.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/ops/philox.h"
#include "frontend/random.h"

using namespace arete;

namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::array<std::uint32_t, 2> key) {
    philox4x32(counter.data(), key.data());
    return counter;
}

/// Mean and deviation.
std::array<double, 2> moments(const Array& a) {
    double sum = 0, squares = 0;
    for (const float v : a.values<float>()) {
        sum += v;
        squares += static_cast<double>(v) * v;
    }
    const auto n = static_cast<double>(a.size());
    return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

}  // namespace

TEST_CASE("philox 4x32-10: the vectors that its authors published") {
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    constexpr std::uint32_t f = 0xffffffff;
    CHECK(philox({f, f, f, f}, {f, f}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("generator: the seed decides everything") {
    CHECK(Generator(1).normal({100}, 0, 1).equals(Generator(1).normal({100}, 0, 1)));
    CHECK(!Generator(1).normal({100}, 0, 1).equals(Generator(2).normal({100}, 0, 1)));
    Generator g(1);
    CHECK(!g.normal({100}, 0, 1).equals(g.normal({100}, 0, 1)));
    CHECK(!Generator(1).uniform({100}, 0, 1).equals(Generator(1ull << 32 | 1).uniform({100}, 0, 1)));
}

TEST_CASE("generator: moments and bounds") {
    Generator g(3);
    const auto normal = moments(g.normal({200001}, 2, 0.5));
    CHECK(normal[0] == doctest::Approx(2).epsilon(0.005));
    CHECK(normal[1] == doctest::Approx(0.5).epsilon(0.01));

    const Array u = g.uniform({100, 2000}, -1, 3);
    CHECK(u.shape() == Sizes{100, 2000});
    const auto uniform = moments(u);
    CHECK(uniform[0] == doctest::Approx(1).epsilon(0.01));
    CHECK(uniform[1] == doctest::Approx(4 / std::sqrt(12)).epsilon(0.01));
    const auto values = u.values<float>();
    CHECK(*std::min_element(values.begin(), values.end()) >= -1);
    CHECK(*std::max_element(values.begin(), values.end()) < 3);
}

TEST_CASE("generator: a permutation has every number once and favours none") {
    Generator g(4);
    CHECK(g.permutation(0).empty());
    CHECK(g.permutation(1) == std::vector<std::int64_t>{0});
    auto order = g.permutation(1000);
    CHECK(!std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < 1000; ++i) CHECK(order[i] == i);

    std::array<int, 5> firsts{};
    for (int round = 0; round < 10000; ++round) ++firsts[g.permutation(5)[0]];
    for (const int count : firsts) CHECK(std::abs(count - 2000) < 200);
}

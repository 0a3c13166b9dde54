// The arena's plan: values alive at once do not overlap, and little is wasted.
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/program/memory.h"

using namespace arete;

namespace {

std::vector<LiveRange> random_ranges(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::int64_t n) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
    };
    std::vector<LiveRange> ranges;
    const std::int64_t count = below(60), steps = 1 + below(40);
    for (std::int64_t k = 0; k < count; ++k) {
        const int first = static_cast<int>(below(steps));
        const std::int64_t life = below(4) ? below(3) : below(steps);
        ranges.push_back(
            {below(5) ? below(5000) : below(64), first, first + static_cast<int>(life), -1});
    }
    return ranges;
}

std::int64_t padded(std::int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

}  // namespace

TEST_CASE("memory: simultaneously live values never overlap") {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        std::vector<LiveRange> ranges = random_ranges(seed);
        const std::vector<LiveRange> before = ranges;
        const std::int64_t total = pack(ranges);
        REQUIRE(ranges.size() == before.size());
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            const LiveRange& a = ranges[i];
            REQUIRE(a.bytes == before[i].bytes);
            REQUIRE(a.first == before[i].first);
            REQUIRE(a.offset >= 0);
            REQUIRE(a.offset % 64 == 0);
            REQUIRE(a.offset + a.bytes <= total);
            for (std::size_t j = 0; j < i; ++j) {
                const LiveRange& b = ranges[j];
                const bool together = a.first <= b.last && b.first <= a.last;
                const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
                REQUIRE(!(together && overlap));
            }
        }
        CHECK(total >= live_bytes(ranges));
        CHECK(static_cast<double>(total) <= 1.15 * static_cast<double>(live_bytes(ranges)));
    }
}

TEST_CASE("memory: on average the arena is near the most bytes alive") {
    double used = 0, needed = 0;
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        std::vector<LiveRange> ranges = random_ranges(seed);
        used += static_cast<double>(pack(ranges));
        needed += static_cast<double>(live_bytes(ranges));
    }
    CHECK(used <= 1.01 * needed);
}

TEST_CASE("memory: small plans") {
    std::vector<LiveRange> none;
    CHECK(pack(none) == 0);
    CHECK(live_bytes(none) == 0);
    // A chain, each value alive for two steps: two buffers do.
    std::vector<LiveRange> chain;
    for (int k = 0; k < 10; ++k) chain.push_back({256, k, k + 1, -1});
    CHECK(live_bytes(chain) == 512);
    CHECK(pack(chain) == 512);
    // Not alive at once: the same place, though one is smaller.
    std::vector<LiveRange> apart{{100, 0, 1, -1}, {1000, 2, 3, -1}};
    CHECK(pack(apart) == padded(1000));
    CHECK(apart[0].offset == 0);
    CHECK(apart[1].offset == 0);
    // Largest first would put the last value on top of the others: 2048 bytes.
    std::vector<LiveRange> moved{{1024, 0, 2, -1}, {256, 1, 4, -1},  {256, 1, 6, -1},
                                 {256, 2, 5, -1},  {1024, 5, 6, -1}, {256, 4, 6, -1}};
    CHECK(live_bytes(moved) == 1792);
    CHECK(pack(moved) == 1792);
    std::vector<LiveRange> touching{{100, 0, 1, -1}, {1000, 1, 3, -1}};
    CHECK(pack(touching) == padded(100) + padded(1000));
}

// What schedules know of the graphics card they are made for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace arete::cuda {

/// A description of a card, from which tiles and numbers of threads are derived. Rates are the
/// published peaks at boost clocks.
struct Card {
    std::string name;                       ///< "h100"
    int major = 8, minor = 0;               ///< compute capability
    std::int64_t processors = 108;          ///< streaming multiprocessors
    double clock_ghz = 1.41;                ///< boost
    std::int64_t fp32_lanes = 64;           ///< fused multiply-adds of f32 a processor and cycle
    double fp64_lanes = 32;                 ///< the same of f64
    std::int64_t threads = 2048;            ///< that a processor holds
    std::int64_t blocks = 32;               ///< that a processor holds
    std::int64_t registers = 65536;         ///< of a processor, 32 bits each
    std::int64_t shared_bytes = 164 << 10;  ///< of a processor
    std::int64_t block_shared_bytes = 48 << 10;  ///< of a block, without being asked for
    std::int64_t l2_bytes = 40 << 20;
    double l2_gb_s = 4000;
    double memory_gb_s = 2039;
    double launch_us = 2;        ///< from one kernel of a graph to the next
    double grid_barrier_us = 2;  ///< that all blocks of a cooperative kernel wait for each other

    /// Cycles of one processor in so many microseconds, and the other way.
    double cycles(double us) const { return us * 1e3 * clock_ghz; }
    double us(double cycles) const { return cycles / (1e3 * clock_ghz); }
    /// "sm_90": the name that compilers of CUDA take.
    std::string architecture() const;

    friend bool operator==(const Card&, const Card&) = default;
};

/// What a driver tells of a card; 0 where it does not.
struct CardFacts {
    std::string name;
    int major = 0, minor = 0;
    std::int64_t processors = 0, clock_khz = 0, memory_clock_khz = 0, memory_bus_bits = 0;
    std::int64_t l2_bytes = 0, threads = 0, blocks = 0, registers = 0, shared_bytes = 0;
    std::int64_t block_shared_bytes = 0;
};
/// A card by these facts; what they do not say is as in the described card of the nearest compute
/// capability.
Card card_of(const CardFacts& facts);

/// a100, h100, h200, rtx4090, b200.
const std::vector<Card>& described_cards();

/// The card of a name. An ArgumentError lists the names where it is none of them.
const Card& described_card(std::string_view name);

}  // namespace arete::cuda

// Cards by their published figures.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/machine.h"

namespace arete::cuda {

namespace {

constexpr std::int64_t operator""_mb(unsigned long long n) {
    return static_cast<std::int64_t>(n) << 20;
}

// Threads, blocks, registers and shared memory of a processor by compute capability: CUDA C++
// Programming Guide, "Technical Specifications per Compute Capability"; arithmetic a cycle: the
// same, "Arithmetic Instructions". Bandwidths of the second cache are no published figures: they
// are what microbenchmarks commonly find, rounded down. So are latencies of launches inside of a
// graph and of barriers of a grid, which PERFORMANCE notes of the project put at 1.5 to 2.5 us.

// NVIDIA A100 Tensor Core GPU Architecture (white paper, 2020), table 4; A100 80GB data sheet for
// the memory's 2039 GB/s.
Card a100() {
    Card c;
    c.name = "a100";
    return c;
}

// NVIDIA H100 Tensor Core GPU Architecture (white paper, 2022), SXM5: 132 processors, 50 MB, 67
// TFLOPS of f32 and 34 of f64, 3.35 TB/s; 228 KB of shared memory a processor.
Card h100() {
    Card c;
    c.name = "h100";
    c.major = 9;
    c.processors = 132;
    c.clock_ghz = 1.98;
    c.fp32_lanes = 128;
    c.fp64_lanes = 64;
    c.shared_bytes = 228 << 10;
    c.l2_bytes = 50_mb;
    c.l2_gb_s = 5500;
    c.memory_gb_s = 3350;
    return c;
}

// NVIDIA H200 data sheet (2023): an H100 with 4.8 TB/s.
Card h200() {
    Card c = h100();
    c.name = "h200";
    c.memory_gb_s = 4800;
    return c;
}

// NVIDIA Ada GPU Architecture (white paper, 2022), table 1: 128 processors at 2.52 GHz, 72 MB,
// 1008 GB/s; f64 at 1/64 of the rate of f32.
Card rtx4090() {
    Card c;
    c.name = "rtx4090";
    c.minor = 9;
    c.processors = 128;
    c.clock_ghz = 2.52;
    c.fp32_lanes = 128;
    c.fp64_lanes = 2;
    c.threads = 1536;
    c.blocks = 24;
    c.shared_bytes = 100 << 10;
    c.l2_bytes = 72_mb;
    c.l2_gb_s = 5000;
    c.memory_gb_s = 1008;
    return c;
}

// NVIDIA DGX B200 data sheet (2024): 8 TB/s, 75 TFLOPS of f32 and 37 of f64 a card, which 148
// processors do at 1.965 GHz.
Card b200() {
    Card c = h100();
    c.name = "b200";
    c.major = 10;
    c.processors = 148;
    c.clock_ghz = 1.965;
    c.l2_bytes = 126_mb;
    c.l2_gb_s = 8000;
    c.memory_gb_s = 8000;
    return c;
}

}  // namespace

std::string Card::architecture() const {
    return fmt::format("sm_{}{}", major, minor);
}

Card card_of(const CardFacts& f) {
    // The last one that is not newer.
    Card c = described_cards().front();
    for (const Card& d : {a100(), rtx4090(), h100(), b200()})
        if (10 * d.major + d.minor <= 10 * f.major + f.minor) c = d;
    const Card like = c;
    c.name = f.name;
    c.major = f.major;
    c.minor = f.minor;
    const auto take = [](auto& to, std::int64_t told) {
        if (told > 0) to = told;
    };
    take(c.processors, f.processors);
    take(c.threads, f.threads);
    take(c.blocks, f.blocks);
    take(c.registers, f.registers);
    take(c.shared_bytes, f.shared_bytes);
    take(c.block_shared_bytes, f.block_shared_bytes);
    take(c.l2_bytes, f.l2_bytes);
    if (f.clock_khz > 0) c.clock_ghz = static_cast<double>(f.clock_khz) * 1e-6;
    if (f.memory_clock_khz > 0 && f.memory_bus_bits > 0)  // two transfers a cycle
        c.memory_gb_s = static_cast<double>(f.memory_clock_khz) * 2e-6 *
                        static_cast<double>(f.memory_bus_bits) / 8;
    c.l2_gb_s *= static_cast<double>(c.processors) * c.clock_ghz /
                 (static_cast<double>(like.processors) * like.clock_ghz);
    // Consumer's cards of the newest generation compute in f64 as those before do.
    if (f.major >= 12) c.fp64_lanes = rtx4090().fp64_lanes;
    return c;
}

const std::vector<Card>& described_cards() {
    static const std::vector<Card> all{a100(), h100(), h200(), rtx4090(), b200()};
    return all;
}

const Card& described_card(std::string_view name) {
    const auto& all = described_cards();
    const auto it =
        std::find_if(all.begin(), all.end(), [&](const Card& c) { return c.name == name; });
    if (it != all.end()) return *it;
    std::vector<std::string> names;
    for (const Card& c : all) names.push_back(c.name);
    fail<ArgumentError>({}, "card '{}': there is no description of it; there are {}", name,
                        fmt::join(names, ", "));
}

}  // namespace arete::cuda

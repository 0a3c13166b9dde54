// What schedules know of the processor they are made for.
#pragma once

#include <cstdint>
#include <string>

namespace arete {

/// A description from which tile sizes are derived. Throughputs are per core and cycle, cache sizes
/// what one core can reach.
struct Machine {
    std::string triple;          ///< LLVM's name of the target; empty: that of this process
    std::string cpu = "x86-64";  ///< LLVM's name of the processor
    std::string features;        ///< LLVM's feature string
    int vector_bytes = 16;       ///< width of a vector register
    int vector_registers = 16;
    bool masked_memory = false;  ///< masked loads and stores are instructions
    bool fused_muladd = true;    ///< a * b + c, rounded once, is an instruction
    bool scales = false;         ///< a * 2^b, rounded once, is an instruction: AVX-512's scalef
    double fma_per_cycle = 2;    ///< vector fused multiply-adds
    double loads_per_cycle = 2;  ///< vector loads
    int fma_latency = 4;         ///< cycles
    std::int64_t l1_bytes = 32 << 10;
    std::int64_t l2_bytes = 1 << 20;
    std::int64_t l3_bytes = 16 << 20;
    double l2_bytes_per_cycle = 32;  ///< that a core reads from there
    double l3_bytes_per_cycle = 16;
    double memory_bytes_per_cycle = 8;
    /// That one more kernel costs each core which runs a block of it.
    double launch_cycles = 0;
    /// What one block of a kernel may keep to itself, on a thread's stack.
    std::int64_t scratch_bytes = 384 << 10;

    friend bool operator==(const Machine&, const Machine&) = default;
};

}  // namespace arete

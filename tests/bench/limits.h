// What this processor can do at most, measured: the yardstick of the benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/targets/cpu/machine.h"
#include "runtime/cpu/jit.h"

namespace arete {

/// Peak rates of one core. The kernels that measure them are loops of the loop IR, compiled as any
/// other, so that they use the vectors that `machine` allows.
class Limits {
  public:
    explicit Limits(const Machine& machine);

    /// f32 fused multiply-adds on registers alone, in GFLOP/s (two operations each). Measures anew
    /// at each call, in about 2 ms: the clock and the neighbours of a shared machine change.
    double fma_gflops() const;

    /// GB/s of reading `bytes` over and over: from the first-level cache, ..., from memory.
    /// Measured at the first use.
    double read_gbytes(std::int64_t bytes);

    /// The least time in seconds for so many operations at `fma_gflops` on so many bytes.
    double least_seconds(double flops, double bytes, double fma_gflops);

    struct Level {
        const char* name;
        std::int64_t bytes;  ///< the largest footprint that it holds
        double gbytes;       ///< per second
    };
    const std::vector<Level>& levels();

  private:
    Machine machine_;
    std::unique_ptr<NativeProgram> fma_;
    double flops_ = 0;  ///< of a run of fma_
    std::vector<float> registers_;
    std::vector<Level> levels_;
};

/// A plain sum of floats, as fast as they can be read: each lane of eight vectors adds up what it
/// meets, in f32, without regard to rounding.
class PlainSum {
  public:
    /// Of about so many bytes, which it holds.
    PlainSum(const Machine& machine, std::int64_t bytes);

    /// Seconds of this thread that one pass over the bytes takes.
    double seconds();
    /// What a pass reads.
    double bytes() const;

  private:
    std::unique_ptr<NativeProgram> program_;
    std::vector<float> in_, out_;
    std::int64_t passes_ = 1;  ///< of a run, so that a short one can be timed
};

}  // namespace arete

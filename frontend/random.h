// Random numbers inside functions (RandomStream) and on the host (Generator).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "compiler/ops/op.h"

namespace arete {

/// Draws for compiled functions, counter-based (Philox 4x32-10): the same seed gives the same bits
/// on every device and number of threads. Every draw has a stream of its own, so two draws of one
/// RandomStream are independent, and a counter that advances with each call of a function. Streams
/// of different seeds are independent, whatever 64-bit numbers these are. A copy is another handle
/// to the same RandomStream: no draw of one repeats a draw of the other. (To have the same numbers
/// again, make a RandomStream of the same seed.)
class RandomStream {
  public:
    explicit RandomStream(std::uint64_t seed) : state_(std::make_shared<State>(seed)) {}
    // Moving copies, so that none is ever empty.
    RandomStream(const RandomStream&) = default;
    RandomStream& operator=(const RandomStream&) = default;

    /// f32 or f64 in [low, high).
    Expr uniform(const Shape& shape, double low = 0, double high = 1, DType dtype = DType::F32);
    /// N(mean, deviation^2).
    Expr normal(const Shape& shape, double mean = 0, double deviation = 1,
                DType dtype = DType::F32);
    /// 1 with probability p, else 0.
    Expr bernoulli(const Shape& shape, double p = 0.5, DType dtype = DType::F32);

  private:
    struct Draw {
        Expr key, counter;
        std::int64_t stream;
    };
    Draw next();

    struct State {
        explicit State(std::uint64_t seed) : seed(seed) {}
        const std::uint64_t seed;
        std::atomic<std::int64_t> streams{0};
    };
    std::shared_ptr<State> state_;
};

/// Host-side draws for initial values, from the same generator.
class Generator {
  public:
    explicit Generator(std::uint64_t seed) : seed_(seed) {}
    /// f32[sizes] from N(mean, deviation^2), uniform in [low, high), and a permutation of 0..n-1.
    Array normal(Sizes sizes, double mean, double deviation);
    Array uniform(Sizes sizes, double low, double high);
    std::vector<std::int64_t> permutation(std::int64_t n);

  private:
    std::uint32_t bits();
    std::uint64_t seed_;
    std::uint64_t counter_ = 0;
    std::uint32_t block_[4] = {};
    int used_ = 4;
};

}  // namespace arete

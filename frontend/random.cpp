#include "frontend/random.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "compiler/ops/operand.h"
#include "compiler/ops/philox.h"
#include "compiler/ops/random.h"
#include "frontend/shared.h"
#include "runtime/shared_value.h"

namespace arete {

RandomStream::Draw RandomStream::next() {
    const std::int64_t stream = state_->streams++;
    const Shared counter = shared(Array(std::int64_t{0}), fmt::format("draw{}", stream));
    shared_value(counter.node()).set_default_increment(1);
    const Expr key = constant(Array(static_cast<std::int64_t>(state_->seed)));
    return {key, counter, stream};
}

Expr RandomStream::uniform(const Shape& shape, double low, double high, DType dtype) {
    const Draw d = next();
    return random_uniform(shape, {d.key, d.counter, d.stream}, low, high, dtype);
}

Expr RandomStream::normal(const Shape& shape, double mean, double deviation, DType dtype) {
    const Draw d = next();
    return random_normal(shape, {d.key, d.counter, d.stream}, mean, deviation, dtype);
}

Expr RandomStream::bernoulli(const Shape& shape, double p, DType dtype) {
    const Draw d = next();
    return random_bernoulli(shape, {d.key, d.counter, d.stream}, p, dtype);
}

std::uint32_t Generator::bits() {
    if (used_ == 4) {
        // Draws inside functions count from 0 in the two upper words: they never meet these.
        block_[0] = static_cast<std::uint32_t>(counter_);
        block_[1] = static_cast<std::uint32_t>(counter_ >> 32);
        block_[2] = block_[3] = 0xffffffff;
        const std::uint32_t key[2] = {static_cast<std::uint32_t>(seed_),
                                      static_cast<std::uint32_t>(seed_ >> 32)};
        philox4x32(block_, key);
        ++counter_;
        used_ = 0;
    }
    return block_[used_++];
}

Array Generator::uniform(Sizes sizes, double low, double high) {
    Array out(DType::F32, std::move(sizes));
    float* p = out.data<float>();
    // 24 bits, so that the fraction is exact in f32 and never 1.
    for (std::int64_t i = 0, n = out.size(); i < n; ++i)
        p[i] = static_cast<float>(low + (high - low) * std::ldexp(bits() >> 8, -24));
    return out;
}

Array Generator::normal(Sizes sizes, double mean, double deviation) {
    Array out(DType::F32, std::move(sizes));
    float* p = out.data<float>();
    // Box and Muller: two uniform numbers, the first in (0, 1], give two normal ones.
    for (std::int64_t i = 0, n = out.size(); i < n; i += 2) {
        const double u = std::ldexp(static_cast<double>(bits()) + 1, -32);
        const double v = std::ldexp(static_cast<double>(bits()), -32);
        const double r = deviation * std::sqrt(-2 * std::log(u));
        const double angle = 2 * std::numbers::pi * v;
        p[i] = static_cast<float>(mean + r * std::cos(angle));
        if (i + 1 < n) p[i + 1] = static_cast<float>(mean + r * std::sin(angle));
    }
    return out;
}

std::vector<std::int64_t> Generator::permutation(std::int64_t n) {
    // As an Array, so that a number that cannot be is refused.
    const Array sized(DType::I64, {n});
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    for (std::uint64_t left = order.size(); left > 1; --left) {
        // Numbers beyond the last whole multiple of `left` are drawn again: no position is
        // favoured.
        const std::uint64_t end = UINT64_MAX - UINT64_MAX % left;
        std::uint64_t r = 0;
        do {
            r = static_cast<std::uint64_t>(bits()) << 32;
            r |= bits();
        } while (r >= end);
        std::swap(order[r % left], order[left - 1]);
    }
    return order;
}

}  // namespace arete

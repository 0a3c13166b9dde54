// Random draws: pure functions of a key, a counter and the element's position.
#pragma once

#include "compiler/ops/dims.h"

namespace arete {

/// Where a draw comes from. Block b of a draw is the four words of Philox 4x32-10 (ops/philox.h)
/// for the counter (low32(b), high32(b) ^ low32(high32(key) << 8), low32(counter), high32(counter))
/// under the key (low32(key), high32(key) ^ stream). So no two of key, stream below 2^24, counter
/// and block below 2^40 share their words. Elements that need n words, 1, 2 or 4, share a block by
/// 4 / n: of the row-major element e = 16 (4 / n) q + 16 p + r, with p < 4 / n and r < 16, the
/// words are those of block 16 q + r from word n p on. So a draw does not depend on the device or
/// on the number of threads; equal sources give equal numbers.
struct RandomSource {
    Operand key;              ///< i64 scalar: the seed
    Operand counter;          ///< i64 scalar: grows by one from draw to draw
    std::int64_t stream = 0;  ///< tells apart the draws of one key; in [0, 2^24)
};

/// Uniform in [low, high) (rounding may reach high), f32 or f64. The fraction has 24 bits of one
/// word in f32, 53 bits of two words in f64.
Expr random_uniform(const ShapeArg& shape, const RandomSource& source, double low = 0,
                    double high = 1, DType dtype = DType::F32);
/// Normal, f32 or f64: the cosine branch of Box and Muller's method, of two such fractions.
Expr random_normal(const ShapeArg& shape, const RandomSource& source, double mean = 0,
                   double deviation = 1, DType dtype = DType::F32);
/// 1 with probability p (to 32 bits), otherwise 0; any dtype.
Expr random_bernoulli(const ShapeArg& shape, const RandomSource& source, double p = 0.5,
                      DType dtype = DType::F32);

}  // namespace arete

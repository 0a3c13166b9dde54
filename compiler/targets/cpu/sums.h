// How float sums add up, so that their error does not grow with their length.
#pragma once

#include "compiler/loops/nest.h"
#include "compiler/targets/cpu/tiling.h"

namespace arete {

/// The order in which one lane of a tile adds its elements. It follows from the nest and its sizes.
/// Short sums are one chain of additions. Long ones add up in parts, which go to a second
/// accumulator: a chain each, or, of a mean, an element each. Where there may be many, that one has
/// twice the precision: floats add up as doubles, and of doubles what rounding loses is kept beside
/// the sum.
struct SumOrder {
    bool in_parts = false;   ///< is there a second accumulator?
    bool exact = false;      ///< of twice the precision?
    std::int64_t chain = 0;  ///< additions of a chain; 0: there is none
    /// Are the vectors of a block, where lanes are partial sums, added pairwise before?
    bool pairs = false;
};

/// `cut` of `cut_size` steps: a reduction axis of which a block runs for all tiles before the next,
/// or -1.
SumOrder order_of_sums(const loops::Nest& nest, const Tiling& tiling, loops::Var cut = {},
                       std::int64_t cut_size = 1);

}  // namespace arete

// A sum over an axis in two steps: sums over pieces of it, and their sum.
#pragma once

#include <optional>

#include "compiler/program/program.h"

namespace arete {

/// A part whose sum is cut in two.
struct PartialSums {
    Part pieces;       ///< stores a sum for each piece of the axis
    loops::Var piece;  ///< the axis of `pieces` that tells which
    Part total;        ///< adds them up, and goes on as the whole part did
    Sizes sizes;       ///< of what is handed on between them, outermost the pieces
};

/// Cuts the sum of a part over a reduction axis into `count` equal pieces, whose sums go through
/// `slot`. Nothing where the part is no single sum, or has no other axis to sum over. Rounding
/// depends on the number of pieces.
std::optional<PartialSums> cut_sum(const Part& part, loops::Var axis, std::int64_t count,
                                   SlotId slot);

}  // namespace arete

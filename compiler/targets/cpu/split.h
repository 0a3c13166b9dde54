// An axis a little longer than whole vectors, in two parts.
#pragma once

#include <optional>
#include <utility>

#include "compiler/targets/cpu/machine.h"
#include "compiler/targets/cpu/tiling.h"

namespace arete {

/// The nest for `size` steps of an axis from `start` on.
loops::Nest take_range(const loops::Nest& nest, loops::Var axis, std::int64_t start,
                       std::int64_t size);

/// Whole vectors of the axis along which results lie, and the few elements beyond them, where the
/// tiling of all together wastes lanes on these; they are then scheduled apart.
std::optional<std::pair<loops::Nest, loops::Nest>> split_remainder(const loops::Nest& nest,
                                                                   const Tiling& whole,
                                                                   const Machine& machine);

}  // namespace arete

// Operands copied to local memory in the order in which vectors read them.
#pragma once

#include <vector>

#include "compiler/schedule/blocking.h"
#include "compiler/schedule/machine.h"
#include "compiler/schedule/tiling.h"

namespace arete {

/// The axis that an operand lies along in memory, if lanes along `lanes` would gather its elements
/// one by one and it can be copied so that they lie side by side; -1 otherwise.
loops::Var packed_along(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes);

/// Cycles to copy one element into a panel.
double packing_cycles(int lanes);

/// Elements that an operand's panel has where the axes from 0 on run over this many steps.
double panel_elements(const loops::Instr& load, const Tiling& tiling,
                      const std::vector<std::int64_t>& steps);

/// The nest as it reads its panels: for estimates of what moves between the caches.
loops::Nest with_panels(const loops::Nest& nest, const Tiling& tiling);

}  // namespace arete

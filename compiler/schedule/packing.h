// Operands copied to local memory in the order in which vectors read them.
#pragma once

#include <vector>

#include "compiler/schedule/blocking.h"
#include "compiler/schedule/machine.h"
#include "compiler/schedule/tiling.h"

namespace arete {

/// Whether lanes along `lanes` would gather an operand's elements one by one, and it can be copied
/// so that they lie side by side.
bool can_pack(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes);

/// The axis along which an operand lies in memory: it is copied by rows of that, transposed. -1
/// where there is none: then element by element.
loops::Var packed_along(const loops::Nest& nest, const loops::Instr& load);

/// Cycles to copy one element of an operand into a panel.
double packing_cycles(const loops::Nest& nest, const loops::Instr& load, int lanes);

/// Elements that an operand's panel has where the nest's axes, by variable, run over this many
/// steps.
double panel_elements(const loops::Nest& nest, const loops::Instr& load, const Tiling& tiling,
                      const std::vector<std::int64_t>& steps);

/// The nest as it reads its panels: for estimates of what moves between the caches.
loops::Nest with_panels(const loops::Nest& nest, const Tiling& tiling);

}  // namespace arete

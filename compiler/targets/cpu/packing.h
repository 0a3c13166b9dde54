// Operands copied to local memory in the order in which vectors read them.
#pragma once

#include <vector>

#include "compiler/targets/cpu/blocking.h"
#include "compiler/targets/cpu/machine.h"
#include "compiler/targets/cpu/tiling.h"

namespace arete {

/// Whether an operand can be copied so that lanes along `lanes` find their elements side by side,
/// and would gather them one by one otherwise, or fetch them from rows that push each other out of
/// the caches: those a multiple of a power of two apart, which share few of a cache's sets.
bool can_pack(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes);

/// Whether an operand lies along the lanes and no other axis, but its rows do not begin at whole
/// vectors, so that every other vector is in two lines of a cache, and it can be copied to where
/// they do.
bool can_align(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes, int width);

/// The axis, other than that of the lanes, along which an operand lies in memory: it is copied by
/// rows of that, transposed. -1 where there is none: then as it lies.
loops::Var packed_along(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes);

/// Cycles to copy one element of an operand into a panel, `width` lanes at a time.
double packing_cycles(const loops::Nest& nest, const loops::Instr& load, loops::Var lanes,
                      int width);

/// Elements that an operand's panel has where the nest's axes, by variable, run over this many
/// steps.
double panel_elements(const loops::Nest& nest, const loops::Instr& load, const Tiling& tiling,
                      const loops::Box& steps);

/// The nest as it reads its panels: for estimates of what moves between the caches.
loops::Nest with_panels(const loops::Nest& nest, const Tiling& tiling);

}  // namespace arete

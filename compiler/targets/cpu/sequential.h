// Nests whose iterations depend on each other.
#pragma once

#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/machine.h"

namespace arete {

/// A sequential nest's kernel: loops in the order of its axes, the last one by vectors where its
/// iterations never meet, as in sums of rows at places that are read.
loops::Kernel schedule_sequential(const loops::Nest& nest, const Machine& machine);

}  // namespace arete

// From a nest to scheduled loops: vectors, register tiles, parallel loops.
#pragma once

#include "compiler/loops/kernel.h"
#include "compiler/schedule/machine.h"

namespace arete {

/// Schedules a nest whose transcendental instructions have been expanded. The result computes the
/// same elements; the order of a reduction may differ from the nest's, but depends on its sizes and
/// the machine alone, never on the number of threads.
loops::Kernel schedule(const loops::Nest& nest, const Machine& machine);

/// Merges neighbouring axes that every access walks as one, so that loops are long and few.
loops::Nest collapse_axes(const loops::Nest& nest);

}  // namespace arete

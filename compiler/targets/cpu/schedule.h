// From a nest to scheduled loops: vectors, register tiles, parallel loops.
#pragma once

#include "compiler/loops/collapse.h"
#include "compiler/loops/kernel.h"
#include "compiler/program/program.h"
#include "compiler/targets/cpu/machine.h"

namespace arete {

/// Schedules a nest whose transcendental instructions have been expanded. The result computes the
/// same elements; the order of a reduction may differ from the nest's, but depends on its sizes and
/// the machine alone, never on the number of threads.
/// Where `block` names a variable, a loop around the kernel binds it: it is the kernel's variable
/// 0.
loops::Kernel schedule(const loops::Nest& nest, const Machine& machine, loops::Var block = {});

/// The kernel of a step: of its one part, or of all its parts under the loop over its blocks.
loops::Kernel schedule(const KernelStep& step, const Program& program, const Machine& machine);

/// Estimated cycles of a nest, scheduled, on one core.
double estimated_cycles(const loops::Nest& nest, const Machine& machine);

/// Below this estimate a fork-join costs more than it saves.
constexpr double parallel_cycles = 32000;

}  // namespace arete

// Kernels of independent nests side by side in one launch.
#pragma once

#include "compiler/program/program.h"
#include "compiler/targets/cuda/machine.h"

namespace arete::cuda {

/// Merges kernels that no step between them lets wait for each other: one launch runs the blocks of
/// all, each block those of its part. Steps are put into an order by levels, so that each comes
/// after what it waits for; a kernel that may wait goes where a launch has room for it. What is
/// merged is scheduled, too; kernels of one part are left to `schedule`.
void merge_independent(Program& program, const Card& card);

}  // namespace arete::cuda

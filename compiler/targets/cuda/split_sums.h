// Sums that too few blocks would add up.
#pragma once

#include "compiler/program/program.h"
#include "compiler/targets/cuda/machine.h"

namespace arete::cuda {

/// Cuts sums along a reduction axis (split-K) where that is faster by the estimates: a kernel adds
/// up pieces, a second one the pieces' sums, in an order that is always the same. Adds slots for
/// these.
void split_sums(Program& program, const Card& card);

}  // namespace arete::cuda

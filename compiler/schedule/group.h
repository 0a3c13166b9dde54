// Which steps of a program become parts of one kernel.
#pragma once

#include <string>

#include "compiler/schedule/machine.h"
#include "compiler/schedule/program.h"

namespace arete {

/// Merges steps of one nest each into kernels of several, so that a value is used while it is still
/// in the cache nearest to the core, and the program has few barriers. Two ways:
/// - *By blocks*: nests that hand values on along a common axis (the images of a batch) run one
///   after another for each iteration of it. What no other kernel needs is never stored whole: a
///   block of it lives in scratch. Only where every value they share is read and written in the
///   block's own slice, and where fixing the axis does not spoil the nests' own tiles.
/// - *In a row*: nests too small to be split over threads, whose data fits the cache together.
/// The order of conflicting steps is kept, checks stay apart from what they guard, and nothing
/// depends on the number of threads. Decided by accesses, sizes and estimated cycles alone.
void group_steps(Program& program, const Machine& machine);

/// Throws an InternalError where a kernel's parts could see each other's values in the wrong state:
/// a value shared across blocks, scratch that another kernel uses, a check beside what it guards.
void verify_groups(const Program& program);

/// Kernels with their parts, and the reason for each boundary, for ARETE_DUMP=fusion.
std::string groups_text(const Program& program);

}  // namespace arete

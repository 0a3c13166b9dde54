// Which steps of a program become parts of one kernel.
#pragma once

#include <functional>
#include <string>

#include "compiler/program/program.h"

namespace arete {

/// What grouping has to know of a machine: what kernels cost, and what stays close to a core
/// between two nests that run there one after the other.
struct GroupingModel {
    /// Estimated cycles of a nest by itself, on one core.
    std::function<double(const loops::Nest&)> cycles;
    /// Nests estimated at more are cut over the machine's cores.
    double split_cycles = 0;
    /// What one more kernel costs each core that runs a block of it.
    double launch_cycles = 0;
    /// Fewer blocks than these would leave cores idle.
    std::int64_t least_blocks = 1;
    /// What one block of a kernel may keep to itself.
    std::int64_t scratch_bytes = 0;
    /// What a core still holds near it when the next nest runs, and at what rate it moves that;
    /// and the rate beyond.
    std::int64_t near_bytes = 0;
    double near_bytes_per_cycle = 1, far_bytes_per_cycle = 1;
};

/// Merges steps of one nest each into kernels of several, so that a value is used while it is still
/// near the core that made it, and the program has few kernels. Two ways:
/// - *By blocks*: nests that hand values on along a common axis (the images of a batch) run one
///   after another for each iteration of it. What no other kernel needs is never stored whole: a
///   block of it lives in scratch. Only where every value they share is read and written in the
///   block's own slice, and where fixing the axis does not spoil the nests' own tiles.
/// - *In a row*: nests too small to be split over cores, whose data stays near one of them.
/// The order of conflicting steps is kept, checks stay apart from what they guard, and nothing
/// depends on how many cores there are. Decided by accesses, sizes and estimated cycles alone.
void group_steps(Program& program, const GroupingModel& model);

/// Throws an InternalError where a kernel's parts could see each other's values in the wrong state:
/// a value shared across blocks, scratch that another kernel uses, a check beside what it guards.
void verify_groups(const Program& program);

/// Kernels with their parts, and the reason for each boundary, for ARETE_DUMP=fusion.
std::string groups_text(const Program& program);

}  // namespace arete

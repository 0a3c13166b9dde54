// Where intermediate values live: one arena a specialisation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace arete {

struct Program;

/// A value that is live from step `first` to step `last`, both included.
struct LiveRange {
    std::int64_t bytes = 0;
    int first = 0, last = 0;
    std::int64_t offset = 0;  ///< set by pack
};

/// Places ranges so that those alive at once do not overlap; 64-byte aligned. Each at the lowest
/// offset that is free for its lifetime (the usual greedy strip packing), the best of several
/// orders: largest first, largest area of size times lifetime first, longest first, in order of
/// time, each improved by moving what ends at the top to the front. More than a thousand ranges are
/// placed in the order of time only, each in the smallest gap. Returns the size of the arena.
std::int64_t pack(std::vector<LiveRange>& ranges);

/// The most bytes alive at any one step: no packing needs less.
std::int64_t live_bytes(const std::vector<LiveRange>& ranges);

/// An intermediate value in the arena.
struct PlannedBuffer {
    std::string name;         ///< of the op that computes it
    std::string type;         ///< "f32[10,20,12,12]"
    std::int64_t bytes = 0;   ///< without padding
    std::int64_t offset = 0;  ///< in the arena
    int first = 0, last = 0;  ///< steps that use it: numbers in MemoryPlan::steps
};

/// Where a specialisation's intermediates live, and when.
struct MemoryPlan {
    std::string function;          ///< with the number of the specialisation, from the second on
    std::int64_t arena_bytes = 0;  ///< allocated once a specialisation
    std::int64_t live_bytes = 0;   ///< the most alive at any step: no plan needs less
    /// Bytes copied to or from shared variables by each call, because they could not be updated
    /// in place.
    std::int64_t shared_copied_bytes = 0;
    std::vector<std::string> steps;  ///< kernels, "copy", "fill"
    std::vector<PlannedBuffer> buffers;
};

/// The plan of a finished program: lifetimes are read off its steps.
MemoryPlan memory_plan(const Program& program);
/// A table of the buffers in the order of time.
std::string to_string(const MemoryPlan& plan);

}  // namespace arete

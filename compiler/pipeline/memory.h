// Where intermediate values live: one arena a specialisation.
#pragma once

#include <cstdint>
#include <vector>

namespace arete {

/// A value that is live from step `first` to step `last`, both included.
struct LiveRange {
    std::int64_t bytes = 0;
    int first = 0, last = 0;
    std::int64_t offset = 0;  ///< set by pack
};

/// Places ranges so that those alive at once do not overlap; 64-byte aligned. Largest first, each
/// at the lowest offset that is free for its lifetime (the usual greedy strip packing). Returns the
/// size of the arena.
std::int64_t pack(std::vector<LiveRange>& ranges);

/// The most bytes alive at any one step: no packing needs less.
std::int64_t live_bytes(const std::vector<LiveRange>& ranges);

}  // namespace arete

// The loops around a register tile: their order, and their blocks for the caches.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/targets/cpu/tiling.h"

namespace arete {

/// The loops around a register tile, outermost first. The reduction runs inside all of them, unless
/// it is cut: then a block of it runs for all tiles of the loops from `cut_at` on before the next
/// block does, and their accumulators wait in scratch memory meanwhile.
struct Blocking {
    enum class Part : std::uint8_t {
        Whole,    ///< all tiles of an axis
        Chunks,   ///< an axis in chunks of `chunk` elements; a later loop is InChunk
        InChunk,  ///< the tiles of one chunk
    };
    struct Loop {
        loops::Var axis;
        Part part = Part::Whole;
    };
    std::vector<Loop> loops;
    std::int64_t chunk = 0;     ///< a multiple of the tile's size along that axis
    loops::Var cut;             ///< a reduction axis that is no vector; or none
    std::int64_t cut_size = 0;  ///< steps of it in a block
    std::size_t cut_at = 0;
    /// Operands that the tiling packs are packed before this loop, for each iteration of those
    /// around it, or, where the reduction is cut, for each block of it.
    std::size_t pack_at = 0;
    double cycles = 0;  ///< the estimate, with the traffic between the caches
};

/// "x in chunks of 256; blocks of 125 k", or "" where nothing is blocked.
std::string to_string(const Blocking& blocking, const loops::Nest& nest);

/// Whether a reduction's operands do not all fit in the nearest cache, so that blocks may pay.
bool outgrows_nearest_cache(const loops::Nest& nest, const Machine& machine);

/// The order of the loops, and the blocks where operands larger than a cache would be read again
/// and again, or in short pieces far apart, without them. Follows from footprints and cache sizes.
Blocking choose_blocking(const loops::Nest& nest, const Tiling& tiling, const Machine& machine);

/// The same for a tiling that packs operands: where in the loops, so that what is copied stays near
/// until it has been used; nothing where there is no such place.
std::optional<Blocking> choose_packing(const loops::Nest& nest, const Tiling& tiling,
                                       const Machine& machine);

}  // namespace arete

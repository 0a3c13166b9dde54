// The choice of vector axis and register tile, by estimated cycles.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "compiler/loops/nest.h"
#include "compiler/targets/cpu/machine.h"

namespace arete {

/// Of a cache's line.
inline constexpr std::int64_t line_bytes = 64;

/// How a nest is cut. Lanes of a vector run along `inner`, or along rows of (`outer`, `inner`)
/// joined end to end: rows shorter than a vector, or that do not divide by it, still fill it.
struct Tiling {
    struct Tile {
        loops::Var axis;
        std::int64_t size = 1;
    };
    int lanes = 1;                ///< vector width in elements; 1: no vectors
    loops::Var inner;             ///< axis of the lanes
    loops::Var outer;             ///< axis whose rows are joined, or none
    bool over_reduction = false;  ///< lanes are partial sums, combined at the end
    std::int64_t block = 1;       ///< elements of `inner` (or rows of `outer`) to a register tile
    static constexpr std::size_t most_tiles = 2;
    std::vector<Tile> tiles;  ///< axes unrolled into registers besides the vectors
    /// Of partial sums: what follows the reduction runs in vectors along the last tiled axis.
    bool vector_finish = false;
    loops::Var unroll;  ///< innermost reduction axis, unrolled; or none
    /// Loads that read a copy of their operand in which a vector's elements lie side by side.
    std::vector<loops::ValueId> packed;
    double cycles = 0;   ///< the estimate
    double packing = 0;  ///< of it, what copies take if each is made once

    /// Do lanes run along this axis, by itself or joined with another?
    bool is_vector(loops::Var v) const { return lanes > 1 && (v == inner || v == outer); }
    bool packs(loops::ValueId load) const {
        return std::find(packed.begin(), packed.end(), load) != packed.end();
    }
};

/// What unrolling may make of a nest, in instructions: LLVM's time grows faster than the code, and
/// so does the code's own where it outgrows the instruction cache. What takes more even without any
/// unrolling is not unrolled.
constexpr double most_instructions = 6000;

/// Whether a reduction is written out instead of looped over: `steps` of it in all vectors of a
/// tile, each of `size` instructions.
constexpr bool written_out(std::int64_t steps, std::size_t size) {
    constexpr std::int64_t most_steps = 40, most = 600;
    return steps <= most_steps && steps * static_cast<std::int64_t>(size) <= most;
}

/// "16 lanes of x, joined rows of y, 4 to a block; tile co 5; 1200 cycles".
std::string to_string(const Tiling& tiling, const loops::Nest& nest);

/// The tilings of least estimated cost where all operands come from the nearest cache: some that
/// read them where they are, and a few that pack some, if that may be worth it. Cheapest first.
struct Tilings {
    std::vector<Tiling> plain, packed;
    const Tiling& best() const {
        const bool packs = !packed.empty() && packed.front().cycles < plain.front().cycles;
        return packs ? packed.front() : plain.front();
    }
};

/// As many plain ones as are asked for, if there are. Tile sizes follow from the machine's
/// registers, ports and latencies and from the nest's strides; nothing is specific to an op.
Tilings choose_tiling(const loops::Nest& nest, const Machine& machine, std::size_t most = 1);

}  // namespace arete

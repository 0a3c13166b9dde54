#include "compiler/schedule/tiling.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "compiler/schedule/tile_cost.h"

namespace arete {

using namespace loops;

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

// Tries vector spaces, blocks and tiles, and keeps the best.
class Search {
  public:
    Search(const Nest& nest, const Machine& machine)
        : nest_(nest), m_(machine), cost_(nest, machine), lanes_(cost_.lanes()) {}

    Tilings best() {
        // Checks run element by element, so that the first failure is the one reported.
        if (nest_.checks.empty()) {
            consider_spaces(nest_.axes, false);
            if (!cost_.positions()) consider_spaces(nest_.reduce_axes, true);
        }
        consider(Tiling{});  // scalar
        Tilings out{best_, {}};
        if (best_packed_.cycles < best_.cycles) out.packed = best_packed_;
        auto finish = [&](Tiling& t) {
            t.unroll = cost_.reduction_to_unroll(t);
            t.vector_finish = cost_.finishes_in_vectors(t);
        };
        finish(out.plain);
        if (out.packed) finish(*out.packed);
        return out;
    }

  private:
    std::int64_t extent(Var v) const { return nest_.extents[static_cast<std::size_t>(v)]; }

    void consider_spaces(const std::vector<Var>& axes, bool over_reduction) {
        for (std::size_t i = 0; i < axes.size(); ++i) {
            Tiling t;
            t.lanes = lanes_;
            t.inner = axes[i];
            t.over_reduction = over_reduction;
            consider_blocks(t);
            t.packed = cost_.worth_packing(t.inner);
            if (!t.packed.empty()) {
                consider_blocks(t);
                t.packed.clear();
            }
            if (i == 0 || extent(t.inner) >= 4 * lanes_) continue;
            t.outer = axes[i - 1];
            for (std::int64_t rows = 1; rows <= std::min<std::int64_t>(extent(t.outer), 32);
                 ++rows) {
                if (ceil_div(rows * extent(t.inner), lanes_) > 10) break;
                t.block = rows;
                consider_tiles(t);
            }
        }
    }

    void consider_blocks(Tiling t) {
        for (std::int64_t vectors : {1, 2, 3, 4, 5, 6, 8, 16}) {
            if (vectors == 16 && (!cost_.quotients() || lanes_ > 4))
                break;  // needless code otherwise
            t.block = vectors * lanes_;
            if (vectors > 1 && t.block > extent(t.inner) + lanes_ - 1) break;
            consider_tiles(t);
        }
    }

    // Register tiles over the spatial axes along which some operand is reused.
    void consider_tiles(Tiling t) {
        consider(t);
        if (nest_.accumulators.empty()) return;
        std::vector<Var> reused;
        for (Var v : nest_.axes)
            if (v != t.inner && v != t.outer && extent(v) > 1 &&
                std::any_of(cost_.loads_inside().begin(), cost_.loads_inside().end(),
                            [&](const Walk& e) { return !e.uses(v); }))
                reused.push_back(v);
        // With nothing to reuse, more sums at a time still hide the latency of an addition.
        if (reused.empty() && cost_.guarded() && !t.over_reduction)
            for (Var v : nest_.axes)
                if (v != t.inner && v != t.outer && extent(v) > 1) reused.push_back(v);
        static constexpr std::int64_t sizes[] = {2, 3, 4, 5, 6, 7, 8, 10, 12};
        std::int64_t vectors = t.over_reduction ? 1 : cost_.vectors_of(t, t.block);
        for (std::size_t i = 0; i < reused.size(); ++i)
            for (std::int64_t a : sizes) {
                if (a > extent(reused[i]) || a * vectors > m_.vector_registers) break;
                t.tiles = {{reused[i], a}};
                consider(t);
                for (std::size_t j = i + 1; j < reused.size(); ++j)
                    for (std::int64_t b : sizes) {
                        if (b > extent(reused[j]) || a * b * vectors > m_.vector_registers) break;
                        t.tiles = {{reused[i], a}, {reused[j], b}};
                        consider(t);
                    }
            }
    }

    void consider(const Tiling& t) {
        Tiling& best = t.packed.empty() ? best_ : best_packed_;
        double cycles = cost_.cycles(t, best.cycles), packing = 0;
        if (cycles >= best.cycles) return;
        if (!t.packed.empty()) {
            packing = cost_.packing(t, cycles);
            cycles += packing;
            if (cycles >= best.cycles) return;
        }
        best = t;
        best.cycles = cycles;
        best.packing = packing;
    }

    static Tiling none() {
        Tiling t;
        t.cycles = std::numeric_limits<double>::infinity();
        return t;
    }

    const Nest& nest_;
    const Machine& m_;
    TileCost cost_;
    int lanes_;
    Tiling best_ = none(), best_packed_ = none();
};

}  // namespace

std::string to_string(const Tiling& t, const Nest& nest) {
    auto name = [&](Var v) { return nest.var_names[static_cast<std::size_t>(v)]; };
    std::string out = "scalar";
    if (t.lanes > 1) {
        out = fmt::format("{} lanes of {}{}", t.lanes, t.over_reduction ? "partial sums over " : "",
                          name(t.inner));
        out += t.outer >= 0 ? fmt::format(", {} rows of {} joined", t.block, name(t.outer))
                            : fmt::format(", {} at a time", t.block);
    }
    for (const Tiling::Tile& tile : t.tiles)
        out += fmt::format("; tile {} by {}", name(tile.axis), tile.size);
    for (ValueId id : t.packed) {
        const Instr& i = nest.values[static_cast<std::size_t>(id)];
        out += "; packs " + nest.buffers[static_cast<std::size_t>(i.target)].name;
    }
    return out + fmt::format("; about {:.0f} cycles", t.cycles);
}

Tilings choose_tiling(const Nest& nest, const Machine& machine) {
    return Search(nest, machine).best();
}

}  // namespace arete

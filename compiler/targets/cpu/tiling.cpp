#include "compiler/targets/cpu/tiling.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "compiler/core/integers.h"
#include "compiler/targets/cpu/tile_cost.h"

namespace arete {

using namespace loops;

namespace {

// Tries vector spaces, blocks and tiles, and keeps the best.
class Search {
  public:
    Search(const Nest& nest, const Machine& machine, std::size_t most)
        : nest_(nest), m_(machine), cost_(nest, machine), lanes_(cost_.lanes()), most_(most) {}

    Tilings best() {
        // Checks run element by element, so that the first failure is the one reported.
        if (nest_.checks.empty()) {
            consider_spaces(nest_.axes, false);
            if (!cost_.positions()) consider_spaces(nest_.reduce_axes, true);
        }
        consider(Tiling{});  // scalar
        Tilings out{std::move(best_), {}};
        // Rows are copied for the sake of the caches, of which these estimates know nothing.
        constexpr double far = 1.1;
        const double plain = out.plain.front().cycles;
        for (Tiling& t : best_rows_)
            if (t.cycles < far * plain) out.packed.push_back(std::move(t));
        for (Tiling& t : best_turned_)
            if (t.cycles < plain) out.packed.push_back(std::move(t));
        std::stable_sort(out.packed.begin(), out.packed.end(),
                         [](const Tiling& a, const Tiling& b) { return a.cycles < b.cycles; });
        auto finish = [&](Tiling& t) {
            t.unroll = cost_.reduction_to_unroll(t);
            t.vector_finish = cost_.finishes_in_vectors(t);
        };
        for (Tiling& t : out.plain) finish(t);
        for (Tiling& t : out.packed) finish(t);
        return out;
    }

  private:
    // Does it pack operands as they lie?
    bool in_rows(const Tiling& t) const {
        return std::all_of(t.packed.begin(), t.packed.end(), [&](ValueId id) {
            return nest_.values[id].index.coefficient(t.inner) == 1;
        });
    }

    std::int64_t extent(Var v) const { return nest_.extents[v]; }

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
            if (extent(t.inner) >= 4 * lanes_) continue;
            for (std::size_t j = 0; j < axes.size(); ++j)
                if (j + 1 == i || (j != i && !over_reduction && follow(axes[j], axes[i]))) {
                    t.outer = axes[j];
                    consider_rows(t);
                }
        }
    }

    // Rows that some operand has end to end, though they are no neighbours in the result.
    bool follow(Var outer, Var inner) const {
        return std::any_of(
            cost_.loads_inside().begin(), cost_.loads_inside().end(), [&](const Walk& e) {
                return e.coefficient(inner) == 1 && e.coefficient(outer) == extent(inner) &&
                       !e.uses_nested(inner) && !e.uses_nested(outer);
            });
    }

    void consider_rows(Tiling t) {
        for (std::int64_t rows = 1; rows <= std::min<std::int64_t>(extent(t.outer), 32); ++rows) {
            if (ceil_div(rows * extent(t.inner), lanes_) > 10) break;
            t.block = rows;
            consider_tiles(t);
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

    // Of tilings that differ in the block alone, or in the order of the tiles, the best is enough.
    static bool alike(const Tiling& a, const Tiling& b) {
        return a.lanes == b.lanes && a.inner == b.inner && a.outer == b.outer &&
               a.over_reduction == b.over_reduction && a.tiles.size() == b.tiles.size() &&
               std::is_permutation(a.tiles.begin(), a.tiles.end(), b.tiles.begin(),
                                   [](const Tiling::Tile& x, const Tiling::Tile& y) {
                                       return x.axis == y.axis && x.size == y.size;
                                   });
    }

    void consider(const Tiling& t) {
        const double size = cost_.instructions(t);
        const bool least = t.tiles.empty() && (t.lanes == 1 || cost_.vectors_of(t, t.block) == 1);
        if (size > most_instructions && !least) return;
        constexpr std::size_t most_rows = 14, most_turned = 2;
        const bool plain = t.packed.empty(), rows = !plain && in_rows(t);
        std::vector<Tiling>& best = plain ? best_ : rows ? best_rows_ : best_turned_;
        const std::size_t most = plain || most_ == 1 ? most_ : rows ? most_rows : most_turned;
        // Far from the best, no blocks for the caches make up for it.
        constexpr double too_far = 1.4;
        double limit = std::numeric_limits<double>::infinity();
        if (!best.empty()) limit = (most > 1 ? too_far : 1) * best.front().cycles;
        if (best.size() == most) limit = std::min(limit, best.back().cycles);
        double cycles = cost_.cycles(t, limit);
        // Of two that are about equal, the one with less code, where it is much.
        constexpr double much = 2000, cost = 2e-6;
        if (size > much) cycles *= 1 + cost * (size - much);
        if (cycles >= limit) return;
        const double packing = plain ? 0 : cost_.packing(t, cycles);
        cycles += packing;
        if (cycles >= limit) return;
        const auto same =
            std::find_if(best.begin(), best.end(), [&](const Tiling& b) { return alike(b, t); });
        if (same != best.end()) {
            if (cycles >= same->cycles) return;
            best.erase(same);
        } else if (best.size() == most) {
            best.pop_back();
        }
        const auto at = std::find_if(best.begin(), best.end(),
                                     [&](const Tiling& b) { return cycles < b.cycles; });
        Tiling& kept = *best.insert(at, t);
        kept.cycles = cycles;
        kept.packing = packing;
    }

    const Nest& nest_;
    const Machine& m_;
    TileCost cost_;
    int lanes_;
    std::size_t most_;
    std::vector<Tiling> best_, best_rows_, best_turned_;  // cheapest first
};

}  // namespace

std::string to_string(const Tiling& t, const Nest& nest) {
    auto name = [&](Var v) { return nest.var_names[v]; };
    std::string out = "scalar";
    if (t.lanes > 1) {
        out = fmt::format("{} lanes of {}{}", t.lanes, t.over_reduction ? "partial sums over " : "",
                          name(t.inner));
        out += t.outer ? fmt::format(", {} rows of {} joined", t.block, name(t.outer))
                       : fmt::format(", {} at a time", t.block);
    }
    for (const Tiling::Tile& tile : t.tiles)
        out += fmt::format("; tile {} by {}", name(tile.axis), tile.size);
    for (ValueId id : t.packed) {
        const Instr& i = nest.values[id];
        out += "; packs " + nest.buffers[i.buffer].name;
    }
    return out + fmt::format("; about {:.0f} cycles", t.cycles);
}

Tilings choose_tiling(const Nest& nest, const Machine& machine, std::size_t most) {
    return Search(nest, machine, most).best();
}

}  // namespace arete

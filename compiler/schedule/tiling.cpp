#include "compiler/schedule/tiling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <unordered_map>

#include <fmt/format.h>

#include "compiler/loops/kernel.h"
#include "compiler/schedule/packing.h"
#include "compiler/schedule/schedule.h"
#include "compiler/schedule/walk.h"

namespace arete {

using namespace loops;

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

// A run of equal tiles along an axis: the main part, or the rest.
struct Segment {
    double count;
    std::int64_t size;
};

std::vector<Segment> segments(std::int64_t extent, std::int64_t tile) {
    std::vector<Segment> out;
    if (extent / tile) out.push_back({static_cast<double>(extent / tile), tile});
    if (extent % tile) out.push_back({1, extent % tile});
    return out;
}

constexpr double line_bytes = 64;  // of a cache

class Search {
  public:
    Search(const Nest& nest, const Machine& machine) : nest_(nest), m_(machine) {
        for (const Accumulator& a : nest.accumulators) {
            positions_ |= a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin;
            inside_roots_.push_back(a.element);
        }
        std::vector<ValueId> outside_roots;
        for (const StoreTo& s : nest.stores) outside_roots.push_back(s.value);
        collect(inside_roots_, inside_, inside_work_);
        find_conditions();
        collect(outside_roots, outside_, outside_work_);
        outside_ids_ = needed(nest_, outside_roots);
        for (ValueId id : outside_ids_) {
            const Instr& i = nest_.values[static_cast<std::size_t>(id)];
            for (Var v : nest_.axes) quotients_ |= i.op == Op::IndexOf && i.index.uses_nested(v);
        }
        for (const StoreTo& s : nest.stores) stores_.emplace_back(-1, s.index, nest.extents.size());
        // Lanes follow the widest type that is stored or accumulated; bytes are computed wider.
        std::size_t widest = 4;
        for (const StoreTo& s : nest.stores)
            widest =
                std::max(widest, size_of(nest.buffers[static_cast<std::size_t>(s.buffer)].dtype));
        for (const Accumulator& a : nest.accumulators)
            widest =
                std::max(widest, size_of(nest.values[static_cast<std::size_t>(a.element)].dtype));
        lanes_ = static_cast<int>(static_cast<std::size_t>(m_.vector_bytes) / widest);
    }

    Tilings best() {
        // Checks run element by element, so that the first failure is the one reported.
        if (nest_.checks.empty()) {
            consider_spaces(nest_.axes, false);
            if (!positions_) consider_spaces(nest_.reduce_axes, true);
        }
        consider(Tiling{});  // scalar
        Tilings out{best_, {}};
        if (found_packed_ && best_packed_.cycles < best_.cycles) out.packed = best_packed_;
        auto finish = [&](Tiling& t) {
            t.unroll = reduction_to_unroll(t);
            t.vector_finish = finishes_in_vectors(t);
        };
        finish(out.plain);
        if (out.packed) finish(*out.packed);
        return out;
    }

  private:
    std::int64_t extent(Var v) const { return nest_.extents[static_cast<std::size_t>(v)]; }

    void collect(const std::vector<ValueId>& roots, std::vector<Walk>& loads, double& work) {
        for (ValueId id : needed(nest_, roots)) {
            const Instr& i = nest_.values[static_cast<std::size_t>(id)];
            if (i.op == Op::Load || i.op == Op::LoadIf)
                loads.emplace_back(id, i.index, nest_.extents.size());
            if (arity(i.op) > 0) work += i.op == Op::Div || i.op == Op::Sqrt ? 8 : 1;
        }
    }

    // Conditions of guarded loads cost what the lanes make of them: those of a whole vector next to
    // nothing, those that are known when code is made nothing. So they are not counted as work.
    void find_conditions() {
        std::vector<ValueId> guards;
        for (ValueId id : needed(nest_, inside_roots_))
            if (const Instr& i = nest_.values[static_cast<std::size_t>(id)]; i.op == Op::LoadIf) {
                guards.push_back(i.args[0]);
                inside_work_ -= 1;
            }
        for (ValueId id : needed(nest_, guards)) {
            const Instr& g = nest_.values[static_cast<std::size_t>(id)];
            if (g.op != Op::And && g.op != Op::Le && g.op != Op::Lt) continue;
            inside_work_ -= 1;
            for (std::size_t k : {0, 1})
                if (const Instr& a = nest_.values[static_cast<std::size_t>(g.args[k])];
                    a.op == Op::IndexOf &&
                    std::none_of(conditions_.begin(), conditions_.end(),
                                 [&](const Walk& c) { return c.index() == a.index; }))
                    conditions_.emplace_back(-1, a.index, nest_.extents.size());
        }
    }

    // Whether a condition's lanes are on or off in a way that is known when code is made.
    bool known(const Tiling& t, const Walk& condition) const {
        if (extent(t.outer >= 0 ? t.outer : t.inner) > t.block) return false;
        const Var unrolled = reduction_to_unroll(t);
        for (const auto* axes : {&nest_.axes, &nest_.reduce_axes})
            for (Var v : *axes)
                if (v != t.inner && v != t.outer && v != unrolled && condition.uses(v))
                    return false;
        return true;
    }

    // Instructions a step for conditions; `copies` tells how often a tile has an access.
    template <class Copies>
    double work_of_conditions(const Tiling& t, const Copies& copies) const {
        constexpr double mask_registers = 6;
        double work = 0, masks = 0;
        for (const Walk& c : conditions_) {
            if (in_vectors(t, c)) {
                if (!known(t, c)) work += 4 * copies(c);
            } else {
                work += 2 * copies(c);
                if (t.lanes > 1) masks += copies(c);
            }
        }
        return work + std::max(0.0, masks - mask_registers) * 3;
    }

    void consider_spaces(const std::vector<Var>& axes, bool over_reduction) {
        for (std::size_t i = 0; i < axes.size(); ++i) {
            Tiling t;
            t.lanes = lanes_;
            t.inner = axes[i];
            t.over_reduction = over_reduction;
            consider_blocks(t);
            t.packed = worth_packing(t.inner);
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
            if (vectors == 16 && (!quotients_ || lanes_ > 4)) break;  // needless code otherwise
            t.block = vectors * lanes_;
            if (vectors > 1 && t.block > extent(t.inner) + lanes_ - 1) break;
            consider_tiles(t);
        }
    }

    // Loads whose elements lanes along this axis would gather, if to copy them costs clearly less
    // than what is done with them.
    std::vector<ValueId> worth_packing(Var inner) const {
        std::vector<ValueId> out;
        if (nest_.accumulators.empty() || lanes_ == 1) return out;
        double all = 1, copies = 0;
        for (std::int64_t n : nest_.extents) all *= static_cast<double>(n);
        for (const Walk& e : inside_) {
            const Instr& i = nest_.values[static_cast<std::size_t>(e.load())];
            if (!can_pack(nest_, i, inner) || size_of(i.dtype) * static_cast<std::size_t>(lanes_) !=
                                                  static_cast<std::size_t>(m_.vector_bytes))
                continue;
            double elements = 1;
            for (Var v = 0; v < static_cast<int>(nest_.extents.size()); ++v)
                if (e.uses(v)) elements *= static_cast<double>(extent(v));
            copies += elements * packing_cycles(nest_, i, lanes_);
            out.push_back(e.load());
        }
        if (copies > 0.7 * all / (lanes_ * m_.fma_per_cycle)) out.clear();
        return out;
    }

    // To copy what is packed, once, or for each of a few pieces of the work where threads share it
    // along an axis that the operand does not have.
    double packing(const Tiling& t, double cycles) const {
        double sum = 0;
        for (ValueId id : t.packed) {
            const Instr& i = nest_.values[static_cast<std::size_t>(id)];
            double pieces = 1;
            for (Var v : nest_.axes)
                if (i.index.uses(v)) pieces *= static_cast<double>(ceil_div(extent(v), step(t, v)));
            const double times = cycles > parallel_cycles ? std::max(1.0, 4 / pieces) : 1;
            sum += times * panel_elements(i, t, nest_.extents) * packing_cycles(nest_, i, lanes_);
        }
        return sum;
    }

    // Elements of an axis in one register tile.
    std::int64_t step(const Tiling& t, Var v) const {
        if (v == t.inner && t.lanes > 1 && !t.over_reduction) return t.block;
        for (const Tiling::Tile& x : t.tiles)
            if (x.axis == v) return x.size;
        return 1;
    }

    // Register tiles over the spatial axes along which some operand is reused.
    void consider_tiles(Tiling t) {
        consider(t);
        if (nest_.accumulators.empty()) return;
        std::vector<Var> reused;
        for (Var v : nest_.axes)
            if (v != t.inner && v != t.outer && extent(v) > 1 &&
                std::any_of(inside_.begin(), inside_.end(),
                            [&](const Walk& e) { return !e.uses(v); }))
                reused.push_back(v);
        // With nothing to reuse, more sums at a time still hide the latency of an addition.
        if (reused.empty() && !conditions_.empty() && !t.over_reduction)
            for (Var v : nest_.axes)
                if (v != t.inner && v != t.outer && extent(v) > 1) reused.push_back(v);
        static constexpr std::int64_t sizes[] = {2, 3, 4, 5, 6, 7, 8, 10, 12};
        std::int64_t vectors = t.over_reduction ? 1 : vectors_of(t, t.block);
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

    // Vectors in a block of this many elements or rows.
    std::int64_t vectors_of(const Tiling& t, std::int64_t block) const {
        if (t.lanes == 1) return 1;
        return ceil_div(t.outer >= 0 ? block * extent(t.inner) : block, t.lanes);
    }

    // Cache lines that a vector's consecutive elements touch, on average over the places where it
    // can begin: those that all strides and the offset have as a common divisor.
    double crossings(const Tiling& t, const Index& e) const {
        std::int64_t step = std::gcd(e.constant(), t.lanes);
        for (const Index::Term& term : e.terms())
            if (!(term.kind == Index::Kind::Var && (term.id == t.inner || term.id == t.outer)))
                step = std::gcd(step, term.coefficient);
        const double unaligned = 1 - static_cast<double>(step) / static_cast<double>(t.lanes);
        return 1 + unaligned * std::min(1.0, m_.vector_bytes / line_bytes);
    }

    // Cycles to read (or write) one vector's worth of an access.
    double access_cycles(const Tiling& t, const Walk& e, bool store) const {
        const double port = 1 / m_.loads_per_cycle;
        if (t.lanes == 1 || (!t.packed.empty() && e.load() >= 0 && t.packs(e.load()))) return port;
        bool in = e.uses(t.inner), out = t.outer >= 0 && e.uses(t.outer);
        if (!in && !out) return port;
        double per_lane = store ? 1.5 : 2;
        if (e.uses_nested(t.inner) || (out && e.uses_nested(t.outer))) {
            // A quotient of the lane is a shuffle of one load; anything else is a gather.
            return store ? t.lanes * per_lane : 4 * port;
        }
        std::int64_t stride = std::abs(e.coefficient(t.inner));
        if (stride > 4) return t.lanes * per_lane;
        if (stride == 0) return 3 * port;
        if (stride > 1) return store ? t.lanes * per_lane : 2 * static_cast<double>(stride) * port;
        if (t.outer < 0 || e.coefficient(t.outer) == extent(t.inner))
            return t.over_reduction ? port * crossings(t, e.index()) : port;
        double runs = std::max(
            1.0, static_cast<double>(t.lanes) / static_cast<double>(extent(t.inner)) + 0.5);
        return port * (2 * runs - 1);
    }

    // access_cycles of the loads inside the reduction, which tiles do not change.
    const std::vector<double>& loads_inside(const Tiling& t) const {
        const Var inner = t.lanes > 1 ? t.inner : -1;
        if (inner != loads_inner_ || t.outer != loads_outer_ ||
            t.over_reduction != loads_over_reduction_ || t.packed != loads_packed_) {
            loads_.clear();
            for (const Walk& e : inside_) loads_.push_back(access_cycles(t, e, false));
            loads_inner_ = inner;
            loads_outer_ = t.outer;
            loads_over_reduction_ = t.over_reduction;
            loads_packed_ = t.packed;
        }
        return loads_;
    }

    bool in_vectors(const Tiling& t, const Walk& e) const {
        return t.lanes > 1 && (e.uses(t.inner) || (t.outer >= 0 && e.uses(t.outer)));
    }

    // Instructions outside of reductions that one vector of a block costs. Where values depend on
    // quotients of the lanes' axis, as random numbers do, the vectors of a block may have them in
    // common: what is the same for two vectors is computed once.
    double work_of_vector(const Tiling& t, std::int64_t vectors) const {
        if (!quotients_ || t.lanes == 1 || t.outer >= 0 || t.over_reduction || vectors < 2 ||
            extent(t.inner) < vectors * t.lanes)
            return outside_work_;
        std::vector<std::int64_t> extents = nest_.extents;
        const Var block = static_cast<Var>(extents.size()), lane = block + 1;
        extents.push_back(extent(t.inner) / (vectors * t.lanes));
        extents.push_back(t.lanes);
        // By value: for each vector the first one with the same.
        std::unordered_map<ValueId, std::vector<std::int64_t>> first;
        double work = 0;
        for (ValueId id : outside_ids_) {
            const Instr& i = nest_.values[static_cast<std::size_t>(id)];
            std::vector<Index> at;
            if (i.op == Op::Load || i.op == Op::LoadIf || i.op == Op::IndexOf)
                for (std::int64_t v = 0; v < vectors; ++v)
                    at.push_back(i.index.substitute(
                        [&](Index::Kind kind, int n) {
                            if (kind == Index::Kind::Value) return Index::value(n);
                            if (n != t.inner) return Index::var(n);
                            return Index::var(block) * (vectors * t.lanes) + Index::var(lane) +
                                   Index(v * t.lanes);
                        },
                        extents));
            std::vector<std::int64_t>& own = first[id];
            double distinct = 0;
            for (std::int64_t v = 0; v < vectors; ++v) {
                auto same = [&](std::int64_t u) {
                    if (!at.empty() &&
                        !(at[static_cast<std::size_t>(u)] == at[static_cast<std::size_t>(v)]))
                        return false;
                    bool equal = true;
                    auto compare = [&](ValueId arg) {
                        const auto it = first.find(arg);
                        equal = equal &&
                                (it == first.end() || it->second[static_cast<std::size_t>(u)] ==
                                                          it->second[static_cast<std::size_t>(v)]);
                    };
                    for (int k = 0; k < arity(i.op); ++k)
                        compare(i.args[static_cast<std::size_t>(k)]);
                    i.index.for_each_value(compare);
                    return equal;
                };
                std::int64_t u = 0;
                while (u < v && !same(u)) ++u;
                own.push_back(u);
                distinct += u == v;
            }
            if (arity(i.op) > 0)
                work += (i.op == Op::Div || i.op == Op::Sqrt ? 8 : 1) * distinct /
                        static_cast<double>(vectors);
        }
        return work;
    }

    // Cycles of one register tile: `block` of the vector space, `sizes` of the tiled axes.
    double tile_cycles(const Tiling& t, std::int64_t block,
                       const std::vector<std::int64_t>& sizes) const {
        const double vectors = static_cast<double>(vectors_of(t, block));
        double tile = 1;
        for (std::int64_t s : sizes) tile *= static_cast<double>(s);
        auto copies = [&](const Walk& e) {
            double n = in_vectors(t, e) ? vectors : 1;
            for (std::size_t k = 0; k < sizes.size(); ++k)
                if (e.uses(t.tiles[k].axis)) n *= static_cast<double>(sizes[k]);
            return n;
        };
        double total = 0;
        if (!nest_.accumulators.empty()) {
            double load = 0;
            const std::vector<double>& each_load = loads_inside(t);
            for (std::size_t k = 0; k < inside_.size(); ++k)
                load += copies(inside_[k]) * each_load[k];
            const double count = static_cast<double>(nest_.accumulators.size());
            // A product that feeds a sum is one instruction with it.
            double arithmetic = tile * vectors * std::max(count, inside_work_ + count - 1) +
                                work_of_conditions(t, copies);
            double chain = m_.fma_latency * (t.over_reduction ? vectors : 1);
            double step = std::max({arithmetic / m_.fma_per_cycle, load, chain, 1.0}) + 0.3;
            // Where both factors are vectors, they arrive late now and then: few loads are better.
            if (t.over_reduction) step += 0.25 * load;
            double steps = 1;
            for (Var v : nest_.reduce_axes) {
                if (t.over_reduction && v == t.inner)
                    steps *= t.outer >= 0 ? 1 : static_cast<double>(ceil_div(extent(v), block));
                else if (t.over_reduction && v == t.outer)
                    steps *= static_cast<double>(ceil_div(extent(v), block));
                else
                    steps *= static_cast<double>(extent(v));
            }
            total += steps * step;
            // Registers beyond the machine's spill: one store and one load a step each.
            // Masked loads are no operands of an addition: they pass through registers.
            double live =
                tile * (t.over_reduction ? 1 : vectors) * count + (conditions_.empty() ? 2 : 8);
            double reused = 0;
            for (const Walk& e : inside_) {
                if (!in_vectors(t, e) || copies(e) >= tile * vectors) continue;
                // Of two factors that are vectors, all of one are held while the other's pass.
                const double held =
                    t.over_reduction ? copies(e) / vectors : std::min(copies(e), vectors * 2);
                reused = !t.over_reduction || reused == 0 ? std::max(reused, held)
                                                          : std::min(reused, held);
            }
            double over = live + reused - m_.vector_registers;
            if (over > 0) total += steps * over * 3 * (t.over_reduction ? vectors : 1);
        }
        double outside = tile * (t.over_reduction ? 1 : vectors);
        double each = 2 + work_of_vector(t, vectors_of(t, block)) / m_.fma_per_cycle;
        Tiling after = t;
        if (t.over_reduction) {
            total += 3 * outside;  // folding the lanes
            after.over_reduction = false;
            after.outer = -1;
            if (finishes_in_vectors(t)) {
                after.inner = t.tiles.back().axis;
                outside /= static_cast<double>(std::min<std::int64_t>(sizes.back(), t.lanes));
            } else {
                after.lanes = 1;
            }
        }
        for (const Walk& e : outside_) each += access_cycles(after, e, false);
        for (const Walk& e : stores_) each += access_cycles(after, e, true);
        return total + outside * each;
    }

    // The last tiled axis walks the results one by one.
    bool finishes_in_vectors(const Tiling& t) const {
        return t.over_reduction && !t.tiles.empty() && t.tiles.back().size > 2 &&
               std::all_of(stores_.begin(), stores_.end(), [&](const Walk& e) {
                   Var v = t.tiles.back().axis;
                   return e.coefficient(v) == 1 && !e.uses_nested(v);
               });
    }

    void consider(const Tiling& candidate) {
        Tiling t = candidate;
        std::vector<Segment> blocks{{1, t.block}};
        if (t.lanes > 1 && !t.over_reduction)
            blocks = segments(extent(t.outer >= 0 ? t.outer : t.inner), t.block);
        double rest = 1;
        for (Var v : nest_.axes) {
            bool tiled = (t.lanes > 1 && (v == t.inner || v == t.outer)) ||
                         std::any_of(t.tiles.begin(), t.tiles.end(),
                                     [&](const Tiling::Tile& x) { return x.axis == v; });
            if (!tiled) rest *= static_cast<double>(extent(v));
        }
        double cycles = 0, variants = 0;
        std::vector<std::int64_t> sizes(t.tiles.size());
        std::function<void(std::size_t, double)> each_tile = [&](std::size_t k, double times) {
            if (k < t.tiles.size()) {
                for (const Segment& s : segments(extent(t.tiles[k].axis), t.tiles[k].size)) {
                    sizes[k] = s.size;
                    each_tile(k + 1, times * s.count);
                }
                return;
            }
            for (const Segment& s : blocks) {
                cycles += times * s.count * tile_cycles(t, s.size, sizes);
                ++variants;
            }
        };
        each_tile(0, rest);
        // Each further copy of the tile's code costs compile time and instruction cache.
        t.cycles = cycles * (1 + 0.01 * (variants - 1));
        if (!t.packed.empty()) {
            t.packing = packing(t, t.cycles);
            t.cycles += t.packing;
            if (!found_packed_ || t.cycles < best_packed_.cycles) best_packed_ = t;
            found_packed_ = true;
            return;
        }
        if (!found_ || t.cycles < best_.cycles) best_ = t;
        found_ = true;
    }

    // The innermost reduction loop is unrolled where it is short.
    Var reduction_to_unroll(const Tiling& t) const {
        double tile = static_cast<double>(vectors_of(t, t.block));
        for (const Tiling::Tile& x : t.tiles) tile *= static_cast<double>(x.size);
        for (auto it = nest_.reduce_axes.rbegin(); it != nest_.reduce_axes.rend(); ++it) {
            if (t.over_reduction && (*it == t.inner || *it == t.outer)) continue;
            bool fits = extent(*it) <= 8 && static_cast<double>(extent(*it)) * tile <= 160;
            return fits ? *it : -1;
        }
        return -1;
    }

    const Nest& nest_;
    const Machine& m_;
    int lanes_ = 1;
    bool positions_ = false;
    bool quotients_ = false;            // of an axis, among the values outside
    std::vector<ValueId> outside_ids_;  // what the stores need, operands first
    std::vector<ValueId> inside_roots_;
    std::vector<Walk> inside_, outside_, stores_;
    std::vector<Walk> conditions_;  // of the guarded loads inside
    // loads_inside of the last vector space asked for
    mutable std::vector<double> loads_;
    mutable Var loads_inner_ = -2, loads_outer_ = -2;
    mutable bool loads_over_reduction_ = false;
    mutable std::vector<ValueId> loads_packed_;
    double inside_work_ = 0, outside_work_ = 0;
    Tiling best_, best_packed_;
    bool found_ = false, found_packed_ = false;
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

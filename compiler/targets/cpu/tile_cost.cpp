#include "compiler/targets/cpu/tile_cost.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "compiler/core/integers.h"
#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/packing.h"
#include "compiler/targets/cpu/schedule.h"

namespace arete {

using namespace loops;

namespace {

// An axis in equal tiles: the main part, and the rest.
struct Segments {
    struct {
        double count;
        std::int64_t size;
    } part[2];
    int parts = 0;

    Segments(std::int64_t extent, std::int64_t tile) {
        if (extent / tile) part[parts++] = {static_cast<double>(extent / tile), tile};
        if (extent % tile) part[parts++] = {1, extent % tile};
    }
};

}  // namespace

TileCost::TileCost(const Nest& nest, const Machine& machine) : nest_(nest), m_(machine) {
    for (const Accumulator& a : nest.accumulators) {
        positions_ |= a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin;
        inside_roots_.push_back(a.element);
    }
    const std::vector<ValueId> outside_roots = stored(nest);
    collect(inside_roots_, inside_, inside_work_);
    find_conditions();
    collect(outside_roots, outside_, outside_work_);
    outside_ids_ = needed(nest_, outside_roots);
    outside_size_ = outside_ids_.size();
    inside_size_ = needed(nest_, inside_roots_).size();
    for (ValueId id : outside_ids_) {
        const Instr& i = nest_.values[id];
        for (Var v : nest_.axes) quotients_ |= i.op == Op::IndexOf && i.index.uses_nested(v);
    }
    for (const StoreTo& s : nest.stores) stores_.emplace_back(nest, ValueId(), s.index);
    // Lanes follow the widest type that is stored or accumulated; bytes are computed wider.
    std::size_t widest = 4;
    for (const StoreTo& s : nest.stores)
        widest = std::max(widest, size_of(nest.buffers[s.buffer].dtype));
    for (const Accumulator& a : nest.accumulators)
        widest = std::max(widest, size_of(nest.values[a.element].dtype));
    lanes_ = static_cast<int>(static_cast<std::size_t>(m_.vector_bytes) / widest);
    Tiling t;
    sums_[0] = order_of_sums(nest, t);
    t.lanes = lanes_;
    t.over_reduction = true;
    sums_[1] = order_of_sums(nest, t);
}

void TileCost::collect(const std::vector<ValueId>& roots, std::vector<Walk>& loads, double& work) {
    const std::vector<ValueId> all = needed(nest_, roots);
    // What only addresses need is no work for vectors.
    IdVector<ValueId, char> direct(nest_.values.size(), 0);
    for (ValueId id : roots) direct[id] = 1;
    for (auto id = all.rbegin(); id != all.rend(); ++id) {
        const Instr& i = nest_.values[*id];
        if (i.op == Op::Load || i.op == Op::LoadIf) loads.emplace_back(nest_, *id, i.index);
        if (!direct[*id]) continue;
        for (ValueId a : operands(i)) direct[a] = 1;
        if (arity(i.op) > 0) work += i.op == Op::Div || i.op == Op::Sqrt ? 8 : 1;
    }
    std::reverse(loads.begin(), loads.end());
}

// Conditions of guarded loads cost what the lanes make of them: those of a whole vector next to
// nothing, those that are known when code is made nothing. So they are not counted as work.
void TileCost::find_conditions() {
    std::vector<ValueId> guards;
    for (ValueId id : needed(nest_, inside_roots_))
        if (const Instr& i = nest_.values[id]; i.op == Op::LoadIf) {
            guards.push_back(i.args[0]);
            inside_work_ -= 1;
        }
    for (ValueId id : needed(nest_, guards)) {
        const Instr& g = nest_.values[id];
        if (g.op != Op::And && g.op != Op::Le && g.op != Op::Lt) continue;
        inside_work_ -= 1;
        for (std::size_t k : {0, 1})
            if (const Instr& a = nest_.values[g.args[k]];
                a.op == Op::IndexOf &&
                std::none_of(conditions_.begin(), conditions_.end(),
                             [&](const Walk& c) { return c.index() == a.index; }))
                conditions_.emplace_back(nest_, ValueId(), a.index);
    }
}

// Whether a condition's lanes are on or off in a way that is known when code is made.
bool TileCost::known(const Tiling& t, const Walk& condition) const {
    if (extent(t.outer ? t.outer : t.inner) > t.block) return false;
    const Var unrolled = reduction_to_unroll(t);
    for (const auto* axes : {&nest_.axes, &nest_.reduce_axes})
        for (Var v : *axes)
            if (v != t.inner && v != t.outer && v != unrolled && condition.uses(v)) return false;
    return true;
}

// Instructions a step for conditions; `copies` tells how often a tile has an access.
template <class Copies>
double TileCost::work_of_conditions(const Tiling& t, const Copies& copies) const {
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

bool TileCost::fills_vectors(const Instr& i) const {
    return size_of(i.dtype) * static_cast<std::size_t>(lanes_) ==
           static_cast<std::size_t>(m_.vector_bytes);
}

std::vector<ValueId> TileCost::worth_packing(Var inner) const {
    std::vector<ValueId> out;
    if (lanes_ == 1) return out;
    if (nest_.accumulators.empty()) {
        // Each element is used once: worth it where squares of them are turned in registers.
        for (const Walk& e : outside_) {
            const Instr& i = nest_.values[e.load()];
            const Var along = packed_along(nest_, i, inner);
            if (can_pack(nest_, i, inner) && fills_vectors(i) && along &&
                extent(along) >= lanes_ / 2 && extent(inner) >= lanes_ / 2)
                out.push_back(e.load());
        }
        return out;
    }
    double all = 1, copies = 0;
    for (const auto* axes : {&nest_.axes, &nest_.reduce_axes})
        for (Var v : *axes) all *= static_cast<double>(extent(v));
    for (const Walk& e : inside_) {
        const Instr& i = nest_.values[e.load()];
        if (!can_pack(nest_, i, inner) || !fills_vectors(i)) continue;
        double elements = 1;
        for (const auto* axes : {&nest_.axes, &nest_.reduce_axes})
            for (Var v : *axes)
                if (e.uses(v)) elements *= static_cast<double>(extent(v));
        copies += elements * packing_cycles(nest_, i, inner, lanes_);
        out.push_back(e.load());
    }
    const double work = all / (lanes_ * m_.fma_per_cycle);
    if (copies > 0.7 * work) out.clear();
    if (out.empty() && reduces(inner)) align(inner, work, out);
    return out;
}

// Of two factors that are both vectors, the one that is read again and again, where its rows do not
// begin at whole vectors and to copy it costs next to nothing.
void TileCost::align(Var inner, double work, std::vector<ValueId>& out) const {
    for (const Walk& e : inside_) {
        const Instr& i = nest_.values[e.load()];
        if (!can_align(nest_, i, inner, lanes_) || !fills_vectors(i)) continue;
        const double elements = panel_elements(nest_, i, Tiling{}, nest_.extents);
        if (elements * packing_cycles(nest_, i, inner, lanes_) < 0.01 * work)
            out.push_back(e.load());
    }
}

// To copy what is packed, once, or for each of a few pieces of the work where threads share it
// along an axis that the operand does not have.
double TileCost::packing(const Tiling& t, double cycles) const {
    double sum = 0;
    for (ValueId id : t.packed) {
        const Instr& i = nest_.values[id];
        double pieces = 1;
        for (Var v : nest_.axes)
            if (i.index.uses(v)) pieces *= static_cast<double>(ceil_div(extent(v), step(t, v)));
        const double times = cycles > parallel_cycles ? std::max(1.0, 4 / pieces) : 1;
        sum += times * panel_elements(nest_, i, t, nest_.extents) *
               packing_cycles(nest_, i, t.inner, lanes_);
    }
    return sum;
}

// Elements of an axis in one register tile.
std::int64_t TileCost::step(const Tiling& t, Var v) const {
    if (v == t.inner && t.lanes > 1 && !t.over_reduction) return t.block;
    for (const Tiling::Tile& x : t.tiles)
        if (x.axis == v) return x.size;
    return 1;
}

// Vectors in a block of this many elements or rows.
std::int64_t TileCost::vectors_of(const Tiling& t, std::int64_t block) const {
    if (t.lanes == 1) return 1;
    return ceil_div(t.outer ? block * extent(t.inner) : block, t.lanes);
}

// Cache lines that a vector's consecutive elements touch, on average over the places where it
// can begin: those that all strides and the offset have as a common divisor.
double TileCost::crossings(const Tiling& t, const Index& e) const {
    std::int64_t step = std::gcd(e.constant(), t.lanes);
    for (const Index::Term& term : e.terms())
        if (!(term.kind == Index::Kind::Var && (term.var() == t.inner || term.var() == t.outer)))
            step = std::gcd(step, term.coefficient);
    const double unaligned = 1 - static_cast<double>(step) / static_cast<double>(t.lanes);
    return 1 + unaligned * std::min(1.0, m_.vector_bytes / double{line_bytes});
}

// Cycles to read (or write) one vector's worth of an access.
double TileCost::access_cycles(const Tiling& t, const Walk& e, bool store) const {
    const double port = 1 / m_.loads_per_cycle;
    if (t.lanes == 1 || (!t.packed.empty() && e.load() && t.packs(e.load()))) return port;
    bool in = e.uses(t.inner), out = t.outer && e.uses(t.outer);
    if (!in && !out) return port;
    double per_lane = store ? 1.5 : 2;
    if ((in && e.by_value(t.inner)) || (out && e.by_value(t.outer))) return t.lanes * per_lane;
    if (e.uses_nested(t.inner) || (out && e.uses_nested(t.outer))) {
        // A quotient of the lane is a shuffle of one load; anything else is a gather.
        return store ? t.lanes * per_lane : 4 * port;
    }
    std::int64_t stride = std::abs(e.coefficient(t.inner));
    if (stride > 4) return t.lanes * per_lane;
    if (stride == 0) return 3 * port;
    if (stride > 1) return store ? t.lanes * per_lane : 2 * static_cast<double>(stride) * port;
    if (!t.outer || e.coefficient(t.outer) == extent(t.inner))
        return t.over_reduction || e.by_value() ? port * crossings(t, e.index()) : port;
    double runs =
        std::max(1.0, static_cast<double>(t.lanes) / static_cast<double>(extent(t.inner)) + 0.5);
    return port * (1.25 * runs - 0.25);
}

void TileCost::set_loads(const Tiling& t) {
    const Var inner = t.lanes > 1 ? t.inner : Var();
    if (has_loads_ && inner == loads_inner_ && t.outer == loads_outer_ &&
        t.over_reduction == loads_over_reduction_ && t.packed == loads_packed_)
        return;
    loads_.clear();
    for (const Walk& e : inside_) loads_.push_back(access_cycles(t, e, false));
    has_loads_ = true;
    loads_inner_ = inner;
    loads_outer_ = t.outer;
    loads_over_reduction_ = t.over_reduction;
    loads_packed_ = t.packed;
}

// Instructions outside of reductions that one vector of a block costs. Where values depend on
// quotients of the lanes' axis, as random numbers do, the vectors of a block may have them in
// common: what is the same for two vectors is computed once.
double TileCost::work_of_vector(const Tiling& t, std::int64_t vectors) const {
    if (!quotients_ || t.lanes == 1 || t.outer || t.over_reduction || vectors < 2 ||
        extent(t.inner) < vectors * t.lanes)
        return outside_work_;
    Box extents = nest_.extents;
    const Var block = extents.add(extent(t.inner) / (vectors * t.lanes)),
              lane = extents.add(t.lanes);
    // By value: for each vector the first one with the same.
    std::unordered_map<ValueId, std::vector<std::int64_t>> first;
    double work = 0;
    for (ValueId id : outside_ids_) {
        const Instr& i = nest_.values[id];
        std::vector<Index> at;
        if (i.op == Op::Load || i.op == Op::LoadIf || i.op == Op::IndexOf)
            for (std::int64_t v = 0; v < vectors; ++v)
                at.push_back(i.index.substitute(
                    [&](const Index::Term& old) {
                        if (old.kind == Index::Kind::Value) return Index::value(old.value());
                        if (old.var() != t.inner) return Index::var(old.var());
                        return Index::var(block) * (vectors * t.lanes) + Index::var(lane) +
                               Index(v * t.lanes);
                    },
                    extents));
        std::vector<std::int64_t>& own = first[id];
        double distinct = 0;
        for (std::int64_t v = 0; v < vectors; ++v) {
            auto same = [&](std::int64_t u) {
                if (!at.empty() && !(at[u] == at[v])) return false;
                bool equal = true;
                auto compare = [&](ValueId arg) {
                    const auto it = first.find(arg);
                    equal = equal && (it == first.end() || it->second[u] == it->second[v]);
                };
                for (ValueId a : operands(i)) compare(a);
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

TileCost::Fixed TileCost::fixed(const Tiling& t) const {
    Fixed out{t, finishes_in_vectors(t), 0};
    auto add = [&](const Tiling& after) {
        for (const Walk& e : outside_) out.accesses += access_cycles(after, e, false);
        for (const Walk& e : stores_) out.accesses += access_cycles(after, e, true);
    };
    if (!t.over_reduction) {
        add(t);
        return out;
    }
    Tiling after;
    if (out.finishes) {
        after.lanes = t.lanes;
        after.inner = t.tiles.back().axis;
    }
    add(after);
    return out;
}

// Cycles of one register tile: `block` of the vector space, `sizes` of the tiled axes.
double TileCost::tile_cycles(const Fixed& fixed, std::int64_t block,
                             const std::int64_t (&sizes)[Tiling::most_tiles]) const {
    const Tiling& t = fixed.t;
    const double vectors = static_cast<double>(vectors_of(t, block));
    double tile = 1;
    for (std::size_t k = 0; k < t.tiles.size(); ++k) tile *= static_cast<double>(sizes[k]);
    auto copies = [&](const Walk& e) {
        double n = in_vectors(t, e) ? vectors : 1;
        for (std::size_t k = 0; k < t.tiles.size(); ++k)
            if (e.uses(t.tiles[k].axis)) n *= static_cast<double>(sizes[k]);
        return n;
    };
    double total = 0;
    if (!nest_.accumulators.empty()) {
        double load = 0;
        for (std::size_t k = 0; k < inside_.size(); ++k) {
            const double n = copies(inside_[k]);
            load += n * loads_[k];
            if (inside_[k].by_value())  // a computed address for all vectors of a run
                load += (in_vectors(t, inside_[k]) ? n / vectors : n) / m_.loads_per_cycle;
        }
        const double count = static_cast<double>(nest_.accumulators.size());
        // A product that feeds a sum is one instruction with it.
        const SumOrder& sums = sums_[t.over_reduction];
        double work = std::max(count, inside_work_ + count - 1);
        if (sums.pairs) work = inside_work_ + count;
        double arithmetic = tile * vectors * work + work_of_conditions(t, copies);
        double chain = m_.fma_latency * (t.over_reduction && !sums.pairs ? vectors : 1);
        // To add elements as doubles.
        if (sums.in_parts && sums.chain == 0)
            arithmetic += 4 * count * tile * (sums.pairs ? 1 : vectors);
        double step = std::max({arithmetic / m_.fma_per_cycle, load, chain, 1.0}) + 0.3;
        // Operands arrive late now and then, more so where both are vectors: few loads are better.
        step += (t.over_reduction ? 0.25 : 0.1) * load;
        double steps = 1;
        for (Var v : nest_.reduce_axes) {
            if (t.over_reduction && v == t.inner)
                steps *= t.outer ? 1 : static_cast<double>(ceil_div(extent(v), block));
            else if (t.over_reduction && v == t.outer)
                steps *= static_cast<double>(ceil_div(extent(v), block));
            else
                steps *= static_cast<double>(extent(v));
        }
        total += steps * step;
        // Registers beyond the machine's spill: one store and one load a step each.
        // LLVM moves a few of the next step's loads up. Masked loads are no operands of an addition:
        // they pass through registers.
        const double ahead = conditions_.empty() ? m_.vector_registers / 8 : 8;
        double live = tile * (t.over_reduction ? 1 : vectors) * count + ahead;
        double reused = 0;
        for (const Walk& e : inside_) {
            if (!in_vectors(t, e) || copies(e) >= tile * vectors) continue;
            // Of two factors that are vectors, all of one are held while the other's pass.
            const double held =
                t.over_reduction ? copies(e) / vectors : std::min(copies(e), vectors * 2);
            reused =
                !t.over_reduction || reused == 0 ? std::max(reused, held) : std::min(reused, held);
        }
        double over = live + reused - m_.vector_registers;
        if (over > 0) total += steps * over * 3 * (t.over_reduction ? vectors : 1);
    }
    double outside = tile * (t.over_reduction ? 1 : vectors);
    if (t.over_reduction) {
        total += 3 * outside;  // folding the lanes
        if (fixed.finishes)
            outside /=
                static_cast<double>(std::min<std::int64_t>(sizes[t.tiles.size() - 1], t.lanes));
    }
    const double work = work_of_vector(t, vectors_of(t, block)) / m_.fma_per_cycle;
    return total + outside * (2 + work + fixed.accesses);
}

double TileCost::cycles(const Tiling& t, double limit) {
    set_loads(t);
    const Fixed same = fixed(t);
    const bool blocks_cut = t.lanes > 1 && !t.over_reduction;
    const Segments blocks(blocks_cut ? extent(t.outer ? t.outer : t.inner) : t.block, t.block);
    double rest = 1;
    for (Var v : nest_.axes) {
        const bool tiled =
            t.is_vector(v) || std::any_of(t.tiles.begin(), t.tiles.end(),
                                          [&](const Tiling::Tile& x) { return x.axis == v; });
        if (!tiled) rest *= static_cast<double>(extent(v));
    }
    const Segments none(1, 1);
    const auto segments = [&](std::size_t k) {
        return k < t.tiles.size() ? Segments(extent(t.tiles[k].axis), t.tiles[k].size) : none;
    };
    const Segments first = segments(0), second = segments(1);
    double cycles = 0, variants = 0;
    for (int a = 0; a < first.parts; ++a)
        for (int b = 0; b < second.parts; ++b)
            for (int c = 0; c < blocks.parts; ++c) {
                const std::int64_t sizes[Tiling::most_tiles] = {first.part[a].size,
                                                                second.part[b].size};
                cycles += rest * first.part[a].count * second.part[b].count * blocks.part[c].count *
                          tile_cycles(same, blocks.part[c].size, sizes);
                ++variants;
                if (cycles > limit) return cycles;
            }
    // Each further copy of the tile's code costs compile time and instruction cache.
    return cycles * (1 + 0.01 * (variants - 1));
}

double TileCost::instructions(const Tiling& t) const {
    const std::int64_t vectors = vectors_of(t, t.block);
    double tile = 1, variants = 1;
    const auto rest = [&](std::int64_t size, std::int64_t step) {
        if (size > step && size % step != 0) variants *= 2;  // one for what is left over
    };
    for (const Tiling::Tile& x : t.tiles) {
        tile *= static_cast<double>(x.size);
        rest(extent(x.axis), x.size);
    }
    if (t.lanes > 1) rest(extent(t.outer ? t.outer : t.inner), t.block);
    const double spatial = t.over_reduction ? tile : tile * static_cast<double>(vectors);
    double steps = spatial;
    if (t.over_reduction) steps *= static_cast<double>(vectors);
    std::int64_t window = vectors;
    for (Var v : nest_.reduce_axes) window *= extent(v);
    if (t.tiles.empty() && !t.over_reduction && written_out(window, inside_size_))
        steps = static_cast<double>(window);
    else if (const Var v = reduction_to_unroll(t); v)
        steps *= static_cast<double>(extent(v));
    return variants * (steps * static_cast<double>(inside_size_) +
                       spatial * static_cast<double>(outside_size_));
}

// The last tiled axis walks the results one by one.
bool TileCost::finishes_in_vectors(const Tiling& t) const {
    return t.over_reduction && !t.tiles.empty() && t.tiles.back().size > 2 &&
           std::all_of(stores_.begin(), stores_.end(), [&](const Walk& e) {
               Var v = t.tiles.back().axis;
               return e.coefficient(v) == 1 && !e.uses_nested(v);
           });
}

// The innermost reduction loop is unrolled where it is short.
Var TileCost::reduction_to_unroll(const Tiling& t) const {
    double tile = static_cast<double>(vectors_of(t, t.block));
    for (const Tiling::Tile& x : t.tiles) tile *= static_cast<double>(x.size);
    for (auto it = nest_.reduce_axes.rbegin(); it != nest_.reduce_axes.rend(); ++it) {
        if (t.over_reduction && (*it == t.inner || *it == t.outer)) continue;
        const double steps = static_cast<double>(extent(*it)) * tile;
        const bool fits = extent(*it) <= 8 && steps <= 160 &&
                          steps * static_cast<double>(inside_size_) <= most_instructions / 4;
        return fits ? *it : Var();
    }
    return {};
}

}  // namespace arete

#include "compiler/targets/cpu/blocking.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/core/integers.h"
#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/packing.h"
#include "compiler/targets/cpu/schedule.h"
#include "compiler/targets/cpu/traffic.h"

namespace arete {

using namespace loops;

namespace {

// Accumulators that wait are on the stack of the thread that runs the kernel.
constexpr std::int64_t scratch_limit = 128 << 10;

// Axes along which the largest operand moves go outermost: it is then read once, while the
// smaller ones stay in cache. Without a reduction the order of the result is kept, lanes last.
std::vector<Var> default_order(const Nest& nest, const Tiling& t) {
    std::vector<Var> axes;
    for (Var v : nest.axes)
        if (!(t.outer && v == t.inner && !t.over_reduction)) axes.push_back(v);
    // Elements of an operand that the nest reads: of one block, where a loop around it has others.
    auto walked = [&](const Instr& i) {
        std::int64_t n = 1;
        for (const auto* all : {&nest.axes, &nest.reduce_axes})
            for (Var v : *all)
                if (i.index.uses(v)) n *= nest.extents[v];
        return std::min(n, nest.buffers[i.buffer].elements());
    };
    auto weight = [&](Var v) -> std::int64_t {
        if (nest.accumulators.empty()) return t.is_vector(v) ? 0 : 1;
        std::int64_t largest = 0;
        for (const Instr& i : nest.values)
            if (i.buffer && i.index.uses(v)) largest = std::max(largest, walked(i));
        return largest;
    };
    std::stable_sort(axes.begin(), axes.end(), [&](Var a, Var b) { return weight(a) > weight(b); });
    return axes;
}

// About `target` steps: as many as divide the axis where there is such a number nearby.
std::int64_t even_block(std::int64_t extent, std::int64_t target) {
    for (std::int64_t d = 0; 3 * d <= target; ++d)
        for (const std::int64_t size : {target + d, target - d})
            if (size > 0 && extent % size == 0) return size;
    const std::int64_t blocks = ceil_div(extent, target);
    return ceil_div(extent, blocks);
}

}  // namespace

std::string to_string(const Blocking& b, const Nest& nest) {
    if (!b.cut) return "";
    auto name = [&](Var v) { return nest.var_names[v]; };
    std::string out;
    for (const Blocking::Loop& l : b.loops)
        if (l.part == Blocking::Part::Chunks)
            out += fmt::format("{} in chunks of {}; ", name(l.axis), b.chunk);
    out += fmt::format("blocks of {} {}", b.cut_size, name(b.cut));
    for (std::size_t k = b.cut_at; k < b.loops.size(); ++k)
        out += fmt::format("{}{}", k == b.cut_at ? " around " : ", ", name(b.loops[k].axis));
    return out;
}

bool outgrows_nearest_cache(const Nest& nest, const Machine& machine) {
    if (nest.accumulators.empty() || nest.reduce_axes.empty() || !nest.checks.empty()) return false;
    for (const Accumulator& a : nest.accumulators)
        if (a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin) return false;
    // What runs nothing moves nothing, whatever its operands hold.
    for (const std::vector<Var>* axes : {&nest.axes, &nest.reduce_axes})
        for (Var v : *axes)
            if (nest.extents[v] == 0) return false;
    return Traffic(nest, Tiling{}, machine).all_bytes() > static_cast<double>(machine.l1_bytes);
}

Blocking choose_blocking(const Nest& nest, const Tiling& t, const Machine& machine) {
    Blocking plain;
    const std::vector<Var> order = default_order(nest, t);
    for (Var v : order) plain.loops.push_back({v, Blocking::Part::Whole});
    plain.cycles = t.cycles;
    if (order.empty() || !outgrows_nearest_cache(nest, machine)) return plain;
    const Traffic traffic(nest, t, machine);
    const Var cut = nest.reduce_axes.front();
    if (traffic.all_bytes() < static_cast<double>(machine.l2_bytes) / 2 &&
        traffic.cycles(plain) <= 1.05 * plain.cycles)
        return plain;
    if (t.is_vector(cut) || cut == t.unroll) {
        plain.cycles = traffic.cycles(plain);
        return plain;
    }
    Blocking best = plain;
    // Of the outermost loop that runs more than once, before the reduction is cut: all, and the
    // elements of a rest, which runs after it on one thread.
    auto iterations = [&](const Blocking& b) {
        const std::size_t end = b.cut ? b.cut_at : b.loops.size();
        for (std::size_t k = 0; k < end; ++k) {
            const Blocking::Loop& l = b.loops[k];
            const std::int64_t size =
                l.part == Blocking::Part::Chunks ? b.chunk : traffic.tile_size(l.axis);
            const std::int64_t extent = nest.extents[l.axis];
            if (extent > size)
                return std::pair{ceil_div(extent, size),
                                 static_cast<double>(extent % size) / static_cast<double>(extent)};
        }
        return std::pair{std::int64_t{1}, 0.0};
    };
    // Few iterations are shared unevenly; not what matters where threads wait for memory.
    auto unevenness = [&](const Blocking& b) {
        const auto [count, rest] = iterations(b);
        return 1 + rest + (traffic.from_memory() ? 0 : 0.25 / static_cast<double>(count));
    };
    best.cycles = traffic.cycles(plain) * unevenness(plain);
    auto consider = [&](Blocking b) {
        // A few iterations for the threads: four, or as many as there are without blocks. Room for
        // accumulators that wait, for a block and for the next.
        if (b.cut && (iterations(b).first < std::min<std::int64_t>(4, iterations(plain).first) ||
                      traffic.waiting_bytes(b) > scratch_limit ||
                      2 * traffic.ahead_bytes(b) > 0.4 * static_cast<double>(machine.l2_bytes)))
            return;
        // Pieces of a matrix that the last cache holds come in time without being asked for early.
        if (b.cut && traffic.ahead_bytes(b) > 0 && !traffic.from_memory()) return;
        b.cycles = traffic.cycles(b) * unevenness(b);
        // Blocks cost code: they must be worth it.
        if (b.cycles * (!best.cut ? 1.03 : 1) < best.cycles) best = b;
    };
    const std::int64_t extent = nest.extents[cut];
    for (std::size_t first = 0; first < order.size(); ++first) {
        Blocking b = plain;
        std::rotate(b.loops.begin(), b.loops.begin() + static_cast<std::ptrdiff_t>(first),
                    b.loops.begin() + static_cast<std::ptrdiff_t>(first) + 1);
        if (first > 0) consider(b);
        b.cut = cut;
        for (const std::int64_t target : {1, 2, 4, 8, 16, 32, 64, 128, 256}) {
            b.cut_size = even_block(extent, target);
            if (2 * b.cut_size > extent) break;
            for (b.cut_at = 1; b.cut_at <= b.loops.size(); ++b.cut_at) consider(b);
            // The axis of the lanes in two loops, one around the blocks and one inside.
            if (b.loops.front().axis != t.inner || t.over_reduction || t.outer || t.lanes == 1)
                continue;
            const std::int64_t tiles = traffic.tiles(t.inner);
            for (const std::int64_t wanted : {4, 5, 6, 7, 8, 10, 12, 16, 20, 25, 32}) {
                const std::int64_t chunks = ceil_div(tiles, wanted);
                Blocking c = b;
                c.chunk = ceil_div(tiles, chunks) * t.block;
                c.loops.front().part = Blocking::Part::Chunks;
                c.loops.insert(c.loops.begin() + 1, {t.inner, Blocking::Part::InChunk});
                c.cut_at = 1;
                consider(c);
            }
        }
    }
    return best;
}

// Without a reduction: the vectors of one block along all of the axes that panels have besides.
static std::optional<Blocking> pack_by_blocks(const Nest& nest, const Tiling& t,
                                              const Machine& machine) {
    Blocking out;
    std::vector<Blocking::Loop> inside;
    Box box = nest.extents;
    for (Var v : default_order(nest, t)) {
        if (v == t.inner) continue;
        const bool in_panels = std::any_of(t.packed.begin(), t.packed.end(), [&](ValueId id) {
            return packed_along(nest, nest.values[id], t.inner) == v;
        });
        (in_panels ? inside : out.loops).push_back({v, Blocking::Part::Whole});
        if (!in_panels) box[v] = 1;
    }
    out.loops.push_back({t.inner, Blocking::Part::Whole});
    out.pack_at = out.loops.size();
    out.loops.insert(out.loops.end(), inside.begin(), inside.end());
    box[t.inner] = t.block;
    double bytes = 0;
    for (ValueId id : t.packed) {
        const Instr& i = nest.values[id];
        bytes += panel_elements(nest, i, t, box) * static_cast<double>(size_of(i.dtype));
    }
    if (bytes > static_cast<double>(machine.l2_bytes) / 8) return {};
    out.cycles = t.cycles;
    return out;
}

std::optional<Blocking> choose_packing(const Nest& nest, const Tiling& t, const Machine& machine) {
    if (nest.accumulators.empty()) return pack_by_blocks(nest, t, machine);
    const Nest seen = with_panels(nest, t);
    Tiling without = t;
    without.cycles -= t.packing;
    const Traffic traffic(seen, without, machine);
    const std::vector<Var> order = default_order(nest, t);
    const bool parallel = t.cycles > parallel_cycles;
    const auto steps = [&](const Blocking& b, std::size_t k) {
        return b.loops[k].part == Blocking::Part::Chunks ? b.chunk
                                                         : traffic.tile_size(b.loops[k].axis);
    };
    const auto trips = [&](const Blocking& b, std::size_t k) {
        const std::int64_t all =
            b.loops[k].part == Blocking::Part::InChunk ? b.chunk : nest.extents[b.loops[k].axis];
        return ceil_div(all, steps(b, k));
    };
    std::int64_t most = 1;
    for (Var v : order) most = std::max(most, traffic.tiles(v));
    std::optional<Blocking> best;
    auto consider = [&](Blocking b) {
        if (parallel && trips(b, 0) < std::min<std::int64_t>(4, most)) return;
        Box box = nest.extents;
        double times = 1;
        for (std::size_t k = 0; k < b.pack_at; ++k) {
            box[b.loops[k].axis] = steps(b, k);
            times *= static_cast<double>(trips(b, k));
        }
        if (b.cut) {
            box[b.cut] = b.cut_size;
            times *= static_cast<double>(ceil_div(nest.extents[b.cut], b.cut_size));
            if (traffic.waiting_bytes(b) > scratch_limit) return;
        }
        double copies = 0, bytes = 0;
        for (ValueId id : t.packed) {
            const Instr& i = nest.values[id];
            const double n = panel_elements(nest, i, t, box);
            copies += n * packing_cycles(nest, i, t.inner, t.lanes);
            bytes += n * static_cast<double>(size_of(i.dtype));
        }
        if (bytes > static_cast<double>(std::min(machine.l2_bytes / 2, 2 * machine.scratch_bytes)))
            return;
        b.cycles = traffic.cycles(b) + times * copies;
        if (!best || b.cycles < best->cycles) best = b;
    };
    auto places = [&](Blocking b) {
        for (b.pack_at = parallel ? 1 : 0; b.pack_at <= b.loops.size(); ++b.pack_at) {
            b.cut = {};
            consider(b);
            if (nest.reduce_axes.empty()) continue;  // a sum of one term
            const Var cut = nest.reduce_axes.front();
            const std::int64_t extent = nest.extents[cut];
            if (t.is_vector(cut) || cut == t.unroll) continue;
            for (const std::int64_t target : {128, 256, 512}) {
                if (2 * target > extent || b.pack_at == b.loops.size()) break;
                b.cut = cut;
                b.cut_size = even_block(extent, target);
                b.cut_at = b.pack_at;
                consider(b);
            }
        }
    };
    for (std::size_t first = 0; first < order.size(); ++first) {
        Blocking b;
        for (Var v : order) b.loops.push_back({v, Blocking::Part::Whole});
        std::rotate(b.loops.begin(), b.loops.begin() + static_cast<std::ptrdiff_t>(first),
                    b.loops.begin() + static_cast<std::ptrdiff_t>(first) + 1);
        places(b);
        // The first axis in a few pieces, with all others inside of each.
        const Var v = b.loops.front().axis;
        for (const std::int64_t pieces : {2, 4, 8}) {
            if (traffic.tiles(v) < 2 * pieces) break;
            Blocking c = b;
            c.chunk = ceil_div(traffic.tiles(v), pieces) * traffic.tile_size(v);
            c.loops.front().part = Blocking::Part::Chunks;
            c.loops.push_back({v, Blocking::Part::InChunk});
            places(c);
        }
    }
    return best;
}

}  // namespace arete

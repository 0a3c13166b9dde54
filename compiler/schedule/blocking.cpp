#include "compiler/schedule/blocking.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "compiler/core/integers.h"
#include "compiler/loops/kernel.h"
#include "compiler/schedule/packing.h"
#include "compiler/schedule/schedule.h"

namespace arete {

using namespace loops;

namespace {

constexpr std::int64_t line_bytes = 64;
// Pieces shorter than this, one row apart, are too short for the processor's own prefetching.
constexpr std::int64_t long_run = 1024;
// Places of a cache for one address, as in most.
constexpr std::int64_t ways = 8;
// Bytes that take long enough to work on for the next as many to come from memory.
constexpr double enough_ahead = 64 << 10;
// Accumulators that wait are on the stack of the thread that runs the kernel.
constexpr std::int64_t scratch_limit = 128 << 10;

bool is_vector(const Tiling& t, Var v) {
    return t.lanes > 1 && (v == t.inner || v == t.outer);
}

// Axes along which the largest operand moves go outermost: it is then read once, while the
// smaller ones stay in cache. Without a reduction the order of the result is kept, lanes last.
std::vector<Var> default_order(const Nest& nest, const Tiling& t) {
    std::vector<Var> axes;
    for (Var v : nest.axes)
        if (!(t.outer >= 0 && v == t.inner && !t.over_reduction)) axes.push_back(v);
    // Elements of an operand that the nest reads: of one block, where a loop around it has others.
    auto walked = [&](const Instr& i) {
        std::int64_t n = 1;
        for (const auto* all : {&nest.axes, &nest.reduce_axes})
            for (Var v : *all)
                if (i.index.uses(v)) n *= nest.extents[static_cast<std::size_t>(v)];
        return std::min(n, nest.buffers[static_cast<std::size_t>(i.target)].elements());
    };
    auto weight = [&](Var v) -> std::int64_t {
        if (nest.accumulators.empty()) return is_vector(t, v) ? 0 : 1;
        std::int64_t largest = 0;
        for (const Instr& i : nest.values)
            if (i.target >= 0 && i.op != Op::Acc && i.index.uses(v))
                largest = std::max(largest, walked(i));
        return largest;
    };
    std::stable_sort(axes.begin(), axes.end(), [&](Var a, Var b) { return weight(a) > weight(b); });
    return axes;
}

// Estimates the bytes that move between the caches.
class Traffic {
  public:
    Traffic(const Nest& nest, const Tiling& tiling, const Machine& machine)
        : nest_(nest), t_(tiling), m_(machine), whole_(nest.extents.size(), 1) {
        // What a loop around the kernel walks stands still here.
        for (const auto* axes : {&nest.axes, &nest.reduce_axes})
            for (Var v : *axes) whole_[static_cast<std::size_t>(v)] = extent(v);
        std::vector<ValueId> roots;
        for (const Accumulator& a : nest.accumulators) roots.push_back(a.element);
        for (ValueId id : needed(nest, roots)) {
            const Instr& i = nest.values[static_cast<std::size_t>(id)];
            if (i.op == Op::Load || i.op == Op::LoadIf) operands_.push_back(&i);
        }
        for (const Instr* i : operands_) all_bytes_ += footprint(*i, whole_);
    }

    double all_bytes() const { return all_bytes_; }

    /// What is much smaller than the last cache is still there since the call before.
    bool from_memory() const { return all_bytes_ > static_cast<double>(m_.l3_bytes) / 8; }

    /// Elements of `v` in one register tile.
    std::int64_t tile_size(Var v) const {
        if (!t_.over_reduction && t_.lanes > 1) {
            if (v == t_.outer || (v == t_.inner && t_.outer < 0)) return t_.block;
            if (v == t_.inner) return extent(v);
        }
        for (const Tiling::Tile& x : t_.tiles)
            if (x.axis == v) return x.size;
        return 1;
    }

    /// Tiles along `v`.
    std::int64_t tiles(Var v) const { return ceil_div(extent(v), tile_size(v)); }

    /// Vectors of accumulators that wait while another block of the reduction runs, for all tiles
    /// of the loops from b.cut_at on.
    std::int64_t waiting(const Blocking& b) const {
        std::int64_t n = 1;
        for (const Tiling::Tile& x : t_.tiles) n *= x.size;
        if (t_.lanes > 1 && !t_.over_reduction)
            n *= ceil_div(t_.outer >= 0 ? t_.block * extent(t_.inner) : t_.block, t_.lanes);
        for (std::size_t k = b.cut_at; k < b.loops.size(); ++k) {
            const Var v = b.loops[k].axis;
            n *= b.loops[k].part == Blocking::Part::InChunk ? b.chunk / tile_size(v) : tiles(v);
        }
        return n;
    }

    std::int64_t waiting_bytes(const Blocking& b) const {
        std::int64_t bytes = 0;
        for (const Accumulator& a : nest_.accumulators)
            bytes += waiting(b) * std::max(1, t_.lanes) *
                     static_cast<std::int64_t>(
                         size_of(nest_.values[static_cast<std::size_t>(a.element)].dtype));
        return bytes;
    }

    bool asks_ahead(const Blocking& b) const {
        return b.cut >= 0 && b.cut == nest_.reduce_axes.back();
    }

    /// Bytes of the next block, which are asked for while this one is worked on.
    double ahead_bytes(const Blocking& b) const {
        double bytes = 0;
        if (!asks_ahead(b)) return bytes;
        for (const Instr* i : operands_)
            if (walks_far(nest_, t_, *i, b.cut)) bytes += footprint(*i, block_of(b));
        return bytes;
    }

    double cycles(const Blocking& b) const {
        const std::vector<Step> steps = steps_of(b);
        std::vector<std::vector<std::int64_t>> boxes{whole_};
        for (const Step& s : steps) {
            boxes.push_back(boxes.back());
            boxes.back()[static_cast<std::size_t>(s.axis)] = s.to;
        }
        const double waiting = b.cut >= 0 ? static_cast<double>(waiting_bytes(b)) : 0;
        const double l2 = static_cast<double>(m_.l2_bytes), l3 = static_cast<double>(m_.l3_bytes);
        const double near =
            misses(steps, boxes, 0.75 * static_cast<double>(m_.l1_bytes), b, false) /
            m_.l2_bytes_per_cycle;
        // What half of the second cache holds is there already.
        double far = 0;
        if (2 * all_bytes_ > l2)
            far = misses(steps, boxes, std::max(0.1 * l2, 0.6 * l2 - waiting - ahead_bytes(b)), b,
                         false) /
                  m_.l3_bytes_per_cycle;
        if (from_memory())
            far += misses(steps, boxes, 0.75 * l3, b, true) / m_.memory_bytes_per_cycle;
        // Arithmetic hides what is moved, the better the nearer it comes from.
        double cycles = std::max({t_.cycles, near, far}) + 0.15 * near + 0.3 * far;
        if (b.cut >= 0) {
            // Accumulators are read and written once a block.
            double repeats = static_cast<double>(ceil_div(extent(b.cut), b.cut_size));
            for (std::size_t k = 0; k < b.cut_at; ++k)
                repeats *= static_cast<double>(b.loops[k].part == Blocking::Part::Chunks
                                                   ? ceil_div(extent(b.loops[k].axis), b.chunk)
                                                   : tiles(b.loops[k].axis));
            cycles += 1.5 * repeats * static_cast<double>(this->waiting(b)) *
                      static_cast<double>(nest_.accumulators.size());
        }
        return cycles;
    }

  private:
    // A loop that leaves `to` elements of an axis to the loops inside it.
    struct Step {
        Var axis;
        std::int64_t to;
        double trips;
    };

    std::int64_t extent(Var v) const { return nest_.extents[static_cast<std::size_t>(v)]; }

    std::vector<Step> steps_of(const Blocking& b) const {
        std::vector<Step> steps;
        std::vector<std::int64_t> left = whole_;
        auto add = [&](Var v, std::int64_t to) {
            std::int64_t& now = left[static_cast<std::size_t>(v)];
            to = std::min(to, now);
            steps.push_back(
                {v, to, static_cast<double>(ceil_div(now, std::max<std::int64_t>(to, 1)))});
            now = to;
        };
        for (std::size_t k = 0; k <= b.loops.size(); ++k) {
            if (b.cut >= 0 && k == b.cut_at) add(b.cut, b.cut_size);
            if (k == b.loops.size()) break;
            const Blocking::Loop& l = b.loops[k];
            add(l.axis, l.part == Blocking::Part::Chunks ? b.chunk : tile_size(l.axis));
        }
        for (Var v : nest_.reduce_axes) {
            if (t_.over_reduction && t_.outer >= 0 && v == t_.inner) continue;
            add(v, t_.over_reduction && is_vector(t_, v) ? t_.block : 1);
        }
        return steps;
    }

    // Steps along an operand's address by their distance, and how many there are in a box: the
    // steps of two axes along one direction (a pixel and a filter's tap) overlap.
    std::map<std::int64_t, std::int64_t> directions(const Instr& load,
                                                    const std::vector<std::int64_t>& box) const {
        std::map<std::int64_t, std::int64_t> counts;
        for (const Index::Term& term : load.index.terms()) {
            auto add = [&](Var v, std::int64_t distance) {
                auto [at, added] = counts.emplace(distance, 1);
                at->second += box[static_cast<std::size_t>(v)] - 1;
            };
            if (term.kind == Index::Kind::Var) {
                add(term.id, std::abs(term.coefficient));
            } else if (term.kind != Index::Kind::Value) {
                // A quotient or remainder: at most one element for each value of its axes. Of a
                // number that is read, all that it can be.
                for (Var v = 0; v < static_cast<int>(box.size()); ++v)
                    if (term.inner->uses(v)) add(v, -1 - v);
                if (const std::int64_t n = values_of(term); n > 1)
                    counts.emplace(std::abs(term.coefficient), 1).first->second += n - 1;
            }
        }
        return counts;
    }

    // How many integers a term can be that depends on numbers which are read, where they are few.
    static std::int64_t values_of(const Index::Term& term) {
        bool reads = false;
        term.inner->for_each_value([&](ValueId) { reads = true; });
        if (!reads) return 1;
        constexpr std::int64_t few = 64;
        Index one = term.kind == Index::Kind::Div ? floordiv(*term.inner, term.divisor, {})
                                                  : mod(*term.inner, term.divisor, {});
        const Range r = one.range({});
        return r.low >= 0 && r.high < few ? r.high - r.low + 1 : 1;
    }

    // Bytes of the cache lines that an operand touches in a box. `occupied`: of the cache that they
    // take. Rows a multiple of a large power of two apart share few of a cache's sets, and push
    // each other out while the rest of it is empty.
    double footprint(const Instr& load, const std::vector<std::int64_t>& box,
                     bool occupied = false) const {
        const Buffer& b = nest_.buffers[static_cast<std::size_t>(load.target)];
        const auto size = static_cast<std::int64_t>(size_of(b.dtype));
        const std::map<std::int64_t, std::int64_t> counts = directions(load, box);
        const auto run = counts.find(1);
        std::int64_t elements = run == counts.end() ? 1 : run->second;
        // What moves by less than a run makes it longer.
        const auto overlaps = [&](std::int64_t distance) {
            return distance > 1 && distance <= elements;
        };
        for (const auto& [distance, n] : counts)
            if (overlaps(distance)) elements += distance * (n - 1);
        const auto lines = static_cast<double>(ceil_div(elements * size, line_bytes) * line_bytes);
        double rows = 1, taken = lines, span = lines;
        for (const auto& [distance, n] : counts) {
            if (distance == 1 || n == 1 || overlaps(distance)) continue;
            rows *= static_cast<double>(n);
            const auto apart = static_cast<double>(distance * size);
            if (distance > 0 && apart > 2 * span)
                taken = std::max(
                    taken, static_cast<double>(std::gcd(distance * size, m_.l2_bytes / ways)));
            taken *= static_cast<double>(n);
            span = std::max(span, apart * static_cast<double>(n));
        }
        if (occupied) return taken;
        return std::min(rows * lines, static_cast<double>(b.elements() * size));
    }

    // Bytes that a cache of this capacity has to fetch. The outermost loop whose body's data fit
    // keeps them; the loops around it fetch again what moves with them or with a loop in between.
    double misses(const std::vector<Step>& steps,
                  const std::vector<std::vector<std::int64_t>>& boxes, double capacity,
                  const Blocking& b, bool memory) const {
        std::size_t level = 0;
        auto all = [&](const std::vector<std::int64_t>& box) {
            double sum = 0;
            for (const Instr* i : operands_) sum += footprint(*i, box, true);
            return sum;
        };
        while (level < steps.size() && all(boxes[level]) > capacity) ++level;
        // One step's data fit, be it barely: lines are not fetched again for each of their
        // elements.
        if (level == steps.size() && level > 0 && all(boxes[level]) > capacity &&
            all(boxes[level]) <= capacity / 0.75)
            --level;
        double total = 0;
        for (const Instr* i : operands_) {
            double bytes = footprint(*i, boxes[level]);
            bool moved = false;
            for (std::size_t k = level; k-- > 0;) {
                moved = moved || i->index.uses(steps[k].axis);
                if (moved) bytes *= steps[k].trips;
            }
            total += memory ? bytes * slowness(*i, b) : bytes;
        }
        return total;
    }

    // Memory gives a fraction of its bandwidth to short pieces far apart. In blocks, the pieces of
    // the next block are asked for while this one is worked on, which must take a while.
    double slowness(const Instr& load, const Blocking& b) const {
        if (!walks_far(nest_, t_, load, nest_.reduce_axes.back())) return 1;
        if (!asks_ahead(b)) return 3;
        const std::vector<std::int64_t> box = block_of(b);
        const auto size = static_cast<std::int64_t>(
            size_of(nest_.buffers[static_cast<std::size_t>(load.target)].dtype));
        const double bytes = static_cast<double>(box[static_cast<std::size_t>(t_.inner)] * size);
        if (bytes < static_cast<double>(long_run) || footprint(load, box) < enough_ahead)
            return 1.5;
        return 1 + 0.25 * static_cast<double>(long_run) / bytes;
    }

    // What one block of the cut reduction runs over.
    std::vector<std::int64_t> block_of(const Blocking& b) const {
        std::vector<std::int64_t> box = whole_;
        box[static_cast<std::size_t>(b.cut)] = b.cut_size;
        for (std::size_t k = 0; k < b.cut_at; ++k)
            box[static_cast<std::size_t>(b.loops[k].axis)] =
                b.loops[k].part == Blocking::Part::Chunks ? b.chunk : tile_size(b.loops[k].axis);
        return box;
    }

    const Nest& nest_;
    const Tiling& t_;
    const Machine& m_;
    std::vector<std::int64_t> whole_;  // extents, by variable
    std::vector<const Instr*> operands_;
    double all_bytes_ = 0;
};

// About `target` steps: as many as divide the axis where there is such a number nearby.
std::int64_t even_block(std::int64_t extent, std::int64_t target) {
    for (std::int64_t d = 0; 3 * d <= target; ++d)
        for (const std::int64_t size : {target + d, target - d})
            if (size > 0 && extent % size == 0) return size;
    const std::int64_t blocks = ceil_div(extent, target);
    return ceil_div(extent, blocks);
}

}  // namespace

bool walks_far(const Nest& nest, const Tiling& t, const Instr& load, Var axis) {
    if (load.op != Op::Load || t.lanes == 1 || t.over_reduction || t.outer >= 0) return false;
    if (!load.index.uses(t.inner) || load.index.uses_nested(axis)) return false;
    for (const Tiling::Tile& x : t.tiles)
        if (load.index.uses(x.axis)) return false;
    const auto size = static_cast<std::int64_t>(
        size_of(nest.buffers[static_cast<std::size_t>(load.target)].dtype));
    return std::abs(load.index.coefficient(axis)) * size >= long_run && t.block * size < long_run;
}

std::string to_string(const Blocking& b, const Nest& nest) {
    if (b.cut < 0) return "";
    auto name = [&](Var v) { return nest.var_names[static_cast<std::size_t>(v)]; };
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
    if (is_vector(t, cut) || cut == t.unroll) {
        plain.cycles = traffic.cycles(plain);
        return plain;
    }
    Blocking best = plain;
    // Of the outermost loop that runs more than once, before the reduction is cut: all, and the
    // elements of a rest, which runs after it on one thread.
    auto iterations = [&](const Blocking& b) {
        const std::size_t end = b.cut >= 0 ? b.cut_at : b.loops.size();
        for (std::size_t k = 0; k < end; ++k) {
            const Blocking::Loop& l = b.loops[k];
            const std::int64_t size =
                l.part == Blocking::Part::Chunks ? b.chunk : traffic.tile_size(l.axis);
            const std::int64_t extent = nest.extents[static_cast<std::size_t>(l.axis)];
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
        if (b.cut >= 0 &&
            (iterations(b).first < std::min<std::int64_t>(4, iterations(plain).first) ||
             traffic.waiting_bytes(b) > scratch_limit ||
             2 * traffic.ahead_bytes(b) > 0.4 * static_cast<double>(machine.l2_bytes)))
            return;
        // Pieces of a matrix that the last cache holds come in time without being asked for early.
        if (b.cut >= 0 && traffic.ahead_bytes(b) > 0 && !traffic.from_memory()) return;
        b.cycles = traffic.cycles(b) * unevenness(b);
        // Blocks cost code: they must be worth it.
        if (b.cycles * (best.cut < 0 ? 1.03 : 1) < best.cycles) best = b;
    };
    const std::int64_t extent = nest.extents[static_cast<std::size_t>(cut)];
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
            if (b.loops.front().axis != t.inner || t.over_reduction || t.outer >= 0 || t.lanes == 1)
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
    std::vector<std::int64_t> box = nest.extents;
    for (Var v : default_order(nest, t)) {
        if (v == t.inner) continue;
        const bool in_panels = std::any_of(t.packed.begin(), t.packed.end(), [&](ValueId id) {
            return packed_along(nest, nest.values[static_cast<std::size_t>(id)], t.inner) == v;
        });
        (in_panels ? inside : out.loops).push_back({v, Blocking::Part::Whole});
        if (!in_panels) box[static_cast<std::size_t>(v)] = 1;
    }
    out.loops.push_back({t.inner, Blocking::Part::Whole});
    out.pack_at = out.loops.size();
    out.loops.insert(out.loops.end(), inside.begin(), inside.end());
    box[static_cast<std::size_t>(t.inner)] = t.block;
    double bytes = 0;
    for (ValueId id : t.packed) {
        const Instr& i = nest.values[static_cast<std::size_t>(id)];
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
        const std::int64_t all = b.loops[k].part == Blocking::Part::InChunk
                                     ? b.chunk
                                     : nest.extents[static_cast<std::size_t>(b.loops[k].axis)];
        return ceil_div(all, steps(b, k));
    };
    std::int64_t most = 1;
    for (Var v : order) most = std::max(most, traffic.tiles(v));
    std::optional<Blocking> best;
    auto consider = [&](Blocking b) {
        if (parallel && trips(b, 0) < std::min<std::int64_t>(4, most)) return;
        std::vector<std::int64_t> box = nest.extents;
        double times = 1;
        for (std::size_t k = 0; k < b.pack_at; ++k) {
            box[static_cast<std::size_t>(b.loops[k].axis)] = steps(b, k);
            times *= static_cast<double>(trips(b, k));
        }
        if (b.cut >= 0) {
            box[static_cast<std::size_t>(b.cut)] = b.cut_size;
            times *= static_cast<double>(
                ceil_div(nest.extents[static_cast<std::size_t>(b.cut)], b.cut_size));
            if (traffic.waiting_bytes(b) > scratch_limit) return;
        }
        double copies = 0, bytes = 0;
        for (ValueId id : t.packed) {
            const Instr& i = nest.values[static_cast<std::size_t>(id)];
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
            b.cut = -1;
            consider(b);
            const Var cut = nest.reduce_axes.front();
            const std::int64_t extent = nest.extents[static_cast<std::size_t>(cut)];
            if (is_vector(t, cut) || cut == t.unroll) continue;
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

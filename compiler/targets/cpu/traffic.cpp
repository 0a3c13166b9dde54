#include "compiler/targets/cpu/traffic.h"

#include <algorithm>
#include <numeric>

#include "compiler/loops/kernel.h"
#include "compiler/program/slices.h"
#include "compiler/targets/cpu/walk.h"

namespace arete {

using namespace loops;

namespace {

// Pieces shorter than this, one row apart, are too short for the processor's own prefetching.
constexpr std::int64_t long_run = 1024;
// Places of a cache for one address, as in most.
constexpr std::int64_t ways = 8;
// Bytes that take long enough to work on for the next as many to come from memory.
constexpr double enough_ahead = 64 << 10;

}  // namespace

Traffic::Traffic(const Nest& nest, const Tiling& tiling, const Machine& machine)
    : nest_(nest), t_(tiling), m_(machine), whole_(nest.extents.size(), 1) {
    // What a loop around the kernel walks stands still here.
    for (const auto* axes : {&nest.axes, &nest.reduce_axes})
        for (Var v : *axes) whole_[v] = extent(v);
    for (ValueId id : needed(nest, accumulated(nest))) {
        const Instr& i = nest.values[id];
        if (i.op == Op::Load || i.op == Op::LoadIf) operands_.push_back(&i);
    }
    for (const Instr* i : operands_) all_bytes_ += footprint(*i, whole_);
}

std::int64_t Traffic::tile_size(Var v) const {
    if (!t_.over_reduction && t_.lanes > 1) {
        if (v == t_.outer || (v == t_.inner && !t_.outer)) return t_.block;
        if (v == t_.inner) return extent(v);
    }
    for (const Tiling::Tile& x : t_.tiles)
        if (x.axis == v) return x.size;
    return 1;
}

std::int64_t Traffic::waiting(const Blocking& b) const {
    std::int64_t n = 1;
    for (const Tiling::Tile& x : t_.tiles) n *= x.size;
    if (t_.lanes > 1 && !t_.over_reduction)
        n *= ceil_div(t_.outer ? t_.block * extent(t_.inner) : t_.block, t_.lanes);
    for (std::size_t k = b.cut_at; k < b.loops.size(); ++k) {
        const Var v = b.loops[k].axis;
        n *= b.loops[k].part == Blocking::Part::InChunk ? b.chunk / tile_size(v) : tiles(v);
    }
    return n;
}

std::int64_t Traffic::waiting_bytes(const Blocking& b) const {
    std::int64_t bytes = 0;
    for (const Accumulator& a : nest_.accumulators)
        bytes += waiting(b) * std::max(1, t_.lanes) *
                 static_cast<std::int64_t>(size_of(nest_.values[a.element].dtype));
    return bytes;
}

bool Traffic::asks_ahead(const Blocking& b) const {
    return b.cut && b.cut == nest_.reduce_axes.back();
}

double Traffic::ahead_bytes(const Blocking& b) const {
    double bytes = 0;
    if (!asks_ahead(b)) return bytes;
    for (const Instr* i : operands_)
        if (walks_far(nest_, t_, *i, b.cut)) bytes += footprint(*i, block_of(b));
    return bytes;
}

double Traffic::cycles(const Blocking& b) const {
    const std::vector<Step> steps = steps_of(b);
    std::vector<Box> boxes{whole_};
    for (const Step& s : steps) {
        boxes.push_back(boxes.back());
        boxes.back()[s.axis] = s.to;
    }
    const double waiting = b.cut ? static_cast<double>(waiting_bytes(b)) : 0;
    const double l2 = static_cast<double>(m_.l2_bytes), l3 = static_cast<double>(m_.l3_bytes);
    // Where both operands are vectors, each step reads many lines and each is needed at once.
    const double room = t_.over_reduction ? 1 : 0.75, waits = t_.over_reduction ? 0.5 : 0.15;
    const double near = misses(steps, boxes, room * static_cast<double>(m_.l1_bytes), b, false) /
                        m_.l2_bytes_per_cycle;
    // What half of the second cache holds is there already.
    double far = 0;
    if (2 * all_bytes_ > l2)
        far = misses(steps, boxes, std::max(0.1 * l2, 0.6 * l2 - waiting - ahead_bytes(b)), b,
                     false) /
              m_.l3_bytes_per_cycle;
    if (from_memory()) far += misses(steps, boxes, 0.75 * l3, b, true) / m_.memory_bytes_per_cycle;
    // Arithmetic hides what is moved, the better the nearer it comes from.
    double cycles = std::max({t_.cycles, near, far}) + waits * near + 0.3 * far;
    if (b.cut) {
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

std::vector<Traffic::Step> Traffic::steps_of(const Blocking& b) const {
    std::vector<Step> steps;
    Box left = whole_;
    auto add = [&](Var v, std::int64_t to) {
        std::int64_t& now = left[v];
        to = std::min(to, now);
        steps.push_back({v, to, static_cast<double>(ceil_div(now, std::max<std::int64_t>(to, 1)))});
        now = to;
    };
    for (std::size_t k = 0; k <= b.loops.size(); ++k) {
        if (b.cut && k == b.cut_at) add(b.cut, b.cut_size);
        if (k == b.loops.size()) break;
        const Blocking::Loop& l = b.loops[k];
        add(l.axis, l.part == Blocking::Part::Chunks ? b.chunk : tile_size(l.axis));
    }
    for (Var v : nest_.reduce_axes) {
        if (t_.over_reduction && t_.outer && v == t_.inner) continue;
        add(v, t_.over_reduction && t_.is_vector(v) ? t_.block : 1);
    }
    return steps;
}

std::map<std::int64_t, std::int64_t> Traffic::directions(const Instr& load, const Box& box) const {
    std::map<std::int64_t, std::int64_t> counts;
    for (const Index::Term& term : load.index.terms()) {
        auto add = [&](Var v, std::int64_t distance) {
            auto [at, added] = counts.emplace(distance, 1);
            at->second += box[v] - 1;
        };
        if (term.kind == Index::Kind::Var) {
            add(term.var(), std::abs(term.coefficient));
        } else if (term.kind != Index::Kind::Value) {
            // A quotient or remainder: at most one element for each value of its axes. Of a
            // number that is read, all that it can be.
            for (Var v : box.ids())
                if (term.inner->uses(v)) add(v, -1 - v.number());
            if (const std::int64_t n = values_of(term); n > 1)
                counts.emplace(std::abs(term.coefficient), 1).first->second += n - 1;
        }
    }
    return counts;
}

std::int64_t Traffic::values_of(const Index::Term& term) {
    bool reads = false;
    term.inner->for_each_value([&](ValueId) { reads = true; });
    if (!reads) return 1;
    constexpr std::int64_t few = 64;
    Index one = term.kind == Index::Kind::Div ? floordiv(*term.inner, term.divisor, {})
                                              : mod(*term.inner, term.divisor, {});
    const Range r = one.range({});
    return r.low >= 0 && r.high < few ? r.high - r.low + 1 : 1;
}

double Traffic::footprint(const Instr& load, const Box& box, bool occupied) const {
    const Buffer& b = nest_.buffers[load.buffer];
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
            taken =
                std::max(taken, static_cast<double>(std::gcd(distance * size, m_.l2_bytes / ways)));
        taken *= static_cast<double>(n);
        span = std::max(span, apart * static_cast<double>(n));
    }
    if (occupied) return taken;
    return std::min(rows * lines, static_cast<double>(b.elements() * size));
}

double Traffic::misses(const std::vector<Step>& steps, const std::vector<Box>& boxes,
                       double capacity, const Blocking& b, bool memory) const {
    std::size_t level = 0;
    auto all = [&](const Box& box) {
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

double Traffic::slowness(const Instr& load, const Blocking& b) const {
    if (nest_.reduce_axes.empty() || !walks_far(nest_, t_, load, nest_.reduce_axes.back()))
        return 1;
    constexpr double not_asked = 3;
    if (!asks_ahead(b)) return not_asked;
    const Box box = block_of(b);
    const auto size = static_cast<std::int64_t>(size_of(nest_.buffers[load.buffer].dtype));
    const double bytes = static_cast<double>(box[t_.inner] * size),
                 pieces = 1 + 0.25 * static_cast<double>(long_run) / bytes;
    return std::clamp(pieces, footprint(load, box) < enough_ahead ? 1.5 : 1, not_asked);
}

Box Traffic::block_of(const Blocking& b) const {
    Box box = whole_;
    box[b.cut] = b.cut_size;
    for (std::size_t k = 0; k < b.cut_at; ++k)
        box[b.loops[k].axis] =
            b.loops[k].part == Blocking::Part::Chunks ? b.chunk : tile_size(b.loops[k].axis);
    return box;
}

Machine as_found_by(const Program& program, const Machine& machine) {
    IdVector<SlotId, std::int64_t> walked(program.slots.size(), 0);
    for (const arete::Step& s : program.steps) {
        if (!s.kernel()) continue;
        for (const Part& p : s.kernel()->parts)
            for (const Access& a : accesses(p.nest)) {
                std::int64_t n = 1;
                for (const auto* axes : {&p.nest.axes, &p.nest.reduce_axes})
                    for (Var v : *axes)
                        if (varies(p.nest, *a.index, v)) n *= p.nest.extents[v];
                const Buffer& b = p.nest.buffers[a.buffer];
                const auto bytes = static_cast<std::int64_t>(size_of(b.dtype));
                auto& most = walked[p.slots[a.buffer]];
                most = std::max(most, std::min(n, b.elements()) * bytes);
            }
    }
    Machine out = machine;
    if (std::accumulate(walked.begin(), walked.end(), std::int64_t{0}) > machine.l3_bytes)
        out.l3_bytes = std::max(machine.l2_bytes, machine.l3_bytes / 4);
    return out;
}

bool walks_far(const Nest& nest, const Tiling& t, const Instr& load, Var axis) {
    if (load.op != Op::Load || t.lanes == 1 || t.over_reduction || t.outer) return false;
    if (!load.index.uses(t.inner) || load.index.uses_nested(axis)) return false;
    for (const Tiling::Tile& x : t.tiles)
        if (load.index.uses(x.axis)) return false;
    const auto size = static_cast<std::int64_t>(size_of(nest.buffers[load.buffer].dtype));
    return std::abs(load.index.coefficient(axis)) * size >= long_run && t.block * size < long_run;
}

}  // namespace arete

#include "compiler/targets/cuda/schedule.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "compiler/core/integers.h"
#include "compiler/loops/collapse.h"

namespace arete::cuda {

namespace {

// Cycles from a load of the second cache to its value, and how many loads of a thread are on their
// way at a time where the next ones do not wait for it.
constexpr double load_cycles = 300, loads_in_flight = 4;

// To copy an element of a tile to shared memory: its address, a guard, a load and a store.
constexpr double copy_instructions = 12;

// What a nest does, as far as the estimates look.
struct Work {
    double outputs = 1, steps = 1;       // iterations of axes, and of the reduction
    double loads = 0, instructions = 0;  // of one step, or of an iteration without reduction
    double bytes = 0;                    // of memory, each buffer once
};

Work work_of(const Nest& nest) {
    Work w;
    w.outputs = static_cast<double>(iterations(nest, nest.axes));
    w.steps = static_cast<double>(std::max<std::int64_t>(1, reduced_elements(nest)));
    const std::vector<ValueId> of = nest.accumulators.empty() ? roots(nest) : accumulated(nest);
    for (ValueId id : needed(nest, of)) {
        const Instr& i = nest.values[id];
        if (i.op == Op::Load || i.op == Op::LoadIf) w.loads += 1;
        if (arity(i.op) > 0)
            w.instructions += (i.dtype == DType::F64 || i.dtype == DType::I64) ? 2 : 1;
        if (i.op == Op::Div || i.op == Op::Sqrt) w.instructions += 8;
    }
    for (const Buffer& b : nest.buffers)
        w.bytes += static_cast<double>(b.elements()) * static_cast<double>(size_of(b.dtype));
    return w;
}

// The least that memory takes.
double memory_us(const Work& w, const Card& card) {
    const double rate =
        w.bytes > static_cast<double>(card.l2_bytes) ? card.memory_gb_s : card.l2_gb_s;
    return w.bytes / rate / 1e3;
}

// That the card's processors and memory are busy with it, however it is spread.
double work_us(const Work& w, const Card& card) {
    const double steps = w.outputs * w.steps;
    const double lanes = static_cast<double>(card.processors * card.fp32_lanes);
    return std::max({card.us(steps * (w.instructions + 2 * w.loads + 4) / lanes),
                     steps * w.loads * 4 / card.l2_gb_s / 1e3 / 4, memory_us(w, card)});
}

// `threads` that each run `serial` steps after one another.
double threads_us(const Work& w, double threads, double serial, const Card& card) {
    const double steps = w.outputs * w.steps;
    const double busy =
        std::min<double>(threads, static_cast<double>(card.processors * card.fp32_lanes));
    const double arithmetic = steps * (w.instructions + 2 * w.loads + 4) / std::max(1.0, busy);
    const double latency = serial * load_cycles / loads_in_flight +
                           (w.loads > 0 ? load_cycles : 0) + serial * w.instructions * 4;
    const double fetched = steps * w.loads * 4 / card.l2_gb_s / 1e3 / 4;  // most of it from L1
    return std::max({card.us(arithmetic), card.us(latency), fetched, memory_us(w, card)});
}

double each_us(const Nest& nest, const Work& w, const Card& card) {
    double threads = w.outputs, serial = w.steps;
    if (nest.sequential) {
        // Whatever is not independent is counted as one thread.
        threads = 1;
        serial = w.outputs * w.steps;
    }
    return threads_us(w, threads, serial, card);
}

double team_us(const Work& w, const Team& t, const Card& card) {
    const double members = static_cast<double>(t.members);
    const double tree = 40 * std::log2(members) + 60;
    const double waves =
        std::ceil(w.outputs * members / static_cast<double>(card.processors * card.threads));
    return threads_us(w, w.outputs * members, std::ceil(w.steps / members), card) +
           card.us(waves * tree);
}

// How long tiles take, and how long all processors are busy with them.
struct TileTime {
    double us = 0, work_us = 0;
};
TileTime tile_time(const Product& p, const Tile& t, const Work& w, DType type, const Card& card) {
    const double blocks =
        static_cast<double>(ceil_div(p.m, t.rows()) * ceil_div(p.n, t.columns()) * p.batches);
    const double rate = type == DType::F64 ? card.fp64_lanes : static_cast<double>(card.fp32_lanes);
    // Loads from shared memory beside the multiply-adds: one for each operand. Elements that are
    // copied there cost an address and two accesses each.
    const double sums = static_cast<double>(t.each_m * t.each_n);
    const double fetches = static_cast<double>(t.each_m + t.each_n) * 1.5;
    const double cycles_a_step = static_cast<double>(t.threads()) * (sums + fetches) / rate;
    const double tiles = static_cast<double>(ceil_div(p.k, t.depth));
    const double copied = static_cast<double>((t.rows() + t.columns()) * t.depth);
    const double copy_cycles = copied * copy_instructions / static_cast<double>(card.fp32_lanes);
    // Without a second buffer a block waits for its tile; other blocks of the processor work
    // meanwhile.
    const double tile_cycles = cycles_a_step * static_cast<double>(t.depth) + copy_cycles;
    const double a_processor = std::ceil(blocks / static_cast<double>(card.processors));
    const double held = std::min<double>(
        a_processor, std::max<double>(1, static_cast<double>(card.threads / t.threads() / 2)));
    const double latency = (2 * load_cycles + tile_cycles) * std::ceil(a_processor / held);
    const double cycles = tiles * std::max(tile_cycles * a_processor, latency);
    const double fetched = blocks * static_cast<double>(p.k) *
                           static_cast<double>(t.rows() + t.columns()) * 4 / card.l2_gb_s / 1e3;
    const double busy = tiles * tile_cycles * blocks / static_cast<double>(card.processors);
    return {std::max({card.us(cycles), fetched, memory_us(w, card)}),
            std::max({card.us(busy), fetched, memory_us(w, card)})};
}

void add_teams(const Nest& nest, const Work& w, const Card& card, std::vector<Candidate>& out) {
    bool along_sum = nest.reduce_axes.empty();
    if (!nest.reduce_axes.empty() && !nest.axes.empty()) {
        int most = 0;
        for (Var v : nest.axes) most = std::max(most, neighbours_along(nest, v));
        along_sum = neighbours_along(nest, nest.reduce_axes.back()) * 2 >= most;
    } else {
        along_sum = true;
    }
    for (std::int64_t members = 8; members <= 1024; members *= 2) {
        if (static_cast<double>(members) >= 2 * w.steps) break;
        for (std::int64_t outputs : {1, 4, 8, 32}) {
            if (members * outputs < 32 || members * outputs > 1024) continue;
            if (outputs > 1 && static_cast<double>(outputs) > w.outputs) continue;
            const bool outputs_first = !along_sum && outputs >= 8;
            if (!along_sum && outputs < 8 && w.outputs >= 8) continue;
            const Team team{members, outputs, outputs_first};
            out.push_back(
                {fmt::format("team of {}, {} results", members, outputs), team_us(w, team, card),
                 [&nest, team](std::int64_t) { return thread_team(nest, team); }, members * outputs,
                 ceil_div(static_cast<std::int64_t>(w.outputs), outputs), 0, 64, work_us(w, card)});
        }
    }
}

void add_tiles(const Nest& nest, const Work& w, const Card& card, std::vector<Candidate>& out) {
    const std::optional<Product> p = as_product(nest);
    if (!p || p->m < 4 || p->n < 4 || p->k < 4) return;
    const DType type = nest.accumulators.front().dtype;
    static constexpr Tile tiles[] = {{16, 16, 8, 8, 8}, {16, 16, 4, 8, 8},  {16, 16, 4, 4, 16},
                                     {8, 16, 4, 4, 16}, {16, 8, 4, 4, 16},  {8, 8, 4, 4, 16},
                                     {8, 8, 2, 4, 16},  {16, 16, 2, 2, 16}, {8, 16, 2, 2, 16},
                                     {8, 8, 2, 2, 16},  {4, 16, 2, 4, 16},  {4, 16, 2, 2, 16},
                                     {8, 8, 1, 1, 32},  {4, 32, 1, 1, 16},  {8, 16, 1, 2, 64},
                                     {4, 32, 1, 1, 64}, {8, 8, 2, 4, 64},   {8, 16, 2, 2, 64}};
    for (const Tile& t : tiles) {
        // Of doubles a thread keeps half as many, or their totals would spill.
        if (type == DType::F64 && t.each_m * t.each_n > 16) continue;
        const TileTime time = tile_time(*p, t, w, type, card);
        out.push_back(
            {fmt::format("tiles of {} x {}{}", t.rows(), t.columns(), t.depth > 32 ? ", deep" : ""),
             time.us, [&nest, p = *p, t](std::int64_t) { return tiled_product(nest, p, t); },
             t.threads(), ceil_div(p->m, t.rows()) * ceil_div(p->n, t.columns()) * p->batches, 0,
             // A chain's sum, and a total of twice the precision, for each result.
             3 * t.each_m * t.each_n + 2 * (t.each_m + t.each_n) + 32, time.work_us});
    }
}

}  // namespace

std::vector<Candidate> candidates(const Nest& nest, const Card& card) {
    const Work w = work_of(nest);
    const std::int64_t all = spread_iterations(nest), threads = block_threads(all, card);
    std::vector<Candidate> out{{"a thread each", each_us(nest, w, card),
                                [&nest, &card](std::int64_t n) {
                                    return thread_each(nest, card, std::min<std::int64_t>(n, 256));
                                },
                                threads, ceil_div(all, threads), 256, 64, work_us(w, card)}};
    if (!nest.sequential && !nest.accumulators.empty() && w.outputs > 0) {
        add_teams(nest, w, card, out);
        add_tiles(nest, w, card, out);
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const Candidate& a, const Candidate& b) { return a.us < b.us; });
    return out;
}

Kernel schedule(const Nest& nest, const Card& card) {
    const Nest merged = collapse_axes(nest);
    const std::vector<Candidate> all = candidates(merged, card);
    Kernel k = all[0].make(0);
    k.comment += fmt::format("; about {:.2f} us on a {}", all[0].us + card.launch_us, card.name);
    return k;
}

namespace {

void rename_buffers(std::vector<Stmt>& body, const IdVector<BufferId, BufferId>& first) {
    for (Stmt& s : body) {
        if (auto* to = s.get_if<StoreTo>()) to->buffer = first[to->buffer];
        if (auto* l = s.get_if<Loop>()) rename_buffers(l->body, first);
        if (auto* i = s.get_if<If>()) rename_buffers(i->body, first);
    }
}

}  // namespace

void merge_aliases(Kernel& kernel, const IdVector<BufferId, SlotId>& slots) {
    IdVector<BufferId, BufferId> first;
    std::unordered_map<SlotId, BufferId> known;
    for (BufferId b : kernel.buffers.ids())
        first.push_back(slots.contains(b) ? known.try_emplace(slots[b], b).first->second : b);
    for (ValueId id : kernel.values.ids())
        if (Instr& i = kernel.values[id]; i.op == Op::Load || i.op == Op::LoadIf)
            i.buffer = first[i.buffer];
    rename_buffers(kernel.body, first);
}

double estimated_us(const Nest& nest, const Card& card) {
    const Nest merged = collapse_axes(nest);
    return candidates(merged, card)[0].us + card.launch_us;
}

}  // namespace arete::cuda

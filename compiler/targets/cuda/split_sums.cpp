#include "compiler/targets/cuda/split_sums.h"

#include "compiler/program/partial_sums.h"
#include "compiler/targets/cuda/schedule.h"

namespace arete::cuda {

namespace {

// No more pieces than that: what is handed on is written and read once more.
constexpr std::int64_t most_pieces = 128;
// What must be won, as estimates are no measurements.
constexpr double least_gain = 0.1;

struct Cut {
    PartialSums sums;
    double us = 0;
};

// The part with its only reduction axis as two, of which the outer one has so many iterations.
Part with_two_axes(const Part& part, std::int64_t outer) {
    const Nest& nest = part.nest;
    const Var axis = nest.reduce_axes[0];
    const std::int64_t size = nest.extents[axis] / outer;
    Part out{same_loops(nest), part.slots, part.axis, part.cycles};
    const Var inner = out.nest.add_var(nest.var_names[axis] + "_inner", size);
    out.nest.extents[axis] = outer;
    out.nest.reduce_axes.push_back(inner);
    IdVector<Var, Index> vars;
    for (Var v : nest.extents.ids()) vars.push_back(Index::var(v));
    vars[axis] = Index::var(axis) * size + Index::var(inner);
    clone_body(nest, out.nest, std::move(vars));
    return out;
}

std::optional<Cut> best_cut(const Part& part, SlotId slot, const Card& card) {
    const double whole = estimated_us(part.nest, card);
    std::optional<Cut> best;
    double least = (1 - least_gain) * whole;
    if (whole < 2 * card.launch_us) return best;  // a second launch would cost as much
    if (part.nest.accumulators.size() != 1 ||
        part.nest.accumulators.front().reduction != Reduction::Sum)
        return best;
    const bool one_axis = part.nest.reduce_axes.size() == 1;
    for (Var axis : part.nest.reduce_axes) {
        const std::int64_t all = part.nest.extents[axis];
        for (std::int64_t count = 2; count <= std::min(all, most_pieces); ++count) {
            if (all % count != 0) continue;
            std::optional<PartialSums> sums =
                cut_sum(one_axis ? with_two_axes(part, count) : part, axis, count, slot);
            if (!sums) return best;
            const double us =
                estimated_us(sums->pieces.nest, card) + estimated_us(sums->total.nest, card);
            if (us >= least) continue;
            least = us;
            best = Cut{*std::move(sums), us};
        }
    }
    return best;
}

}  // namespace

void split_sums(Program& program, const Card& card) {
    IdVector<StepId, Step> out;
    for (Step& step : program.steps) {
        KernelStep* kernel = step.kernel();
        std::optional<Cut> cut;
        if (kernel && kernel->parts.size() == 1)
            cut = best_cut(kernel->parts[0], SlotId(program.slots.size()), card);
        if (!cut) {
            out.push_back(std::move(step));
            continue;
        }
        Slot made;
        made.dtype = cut->sums.pieces.nest.accumulators.front().dtype;
        made.sizes = cut->sums.sizes;
        made.name = cut->sums.pieces.nest.name;
        program.slots.push_back(std::move(made));
        const auto step_of = [&](Part part) {
            Step s;
            KernelStep k;
            k.slots = part.slots;
            for (SlotId slot : part.slots)
                s.bytes += static_cast<double>(program.slots[slot].bytes());
            k.boundary = kernel->boundary;
            k.parts.push_back(std::move(part));
            s.action = std::move(k);
            s.lines = step.lines;
            return s;
        };
        Step pieces = step_of(std::move(cut->sums.pieces)),
             total = step_of(std::move(cut->sums.total));
        pieces.flops = step.flops;
        out.push_back(std::move(pieces));
        out.push_back(std::move(total));
    }
    program.steps = std::move(out);
}

}  // namespace arete::cuda

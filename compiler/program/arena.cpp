// Where values that live between steps lie.
#include <algorithm>
#include <unordered_map>

#include "compiler/program/memory.h"
#include "compiler/program/steps.h"

namespace arete {

namespace {

// Who watches a program compares a value with its operands once it is complete: what its pieces
// were made of is there until then.
void keep_operands_of_pieces(const Program& program, IdVector<SlotId, LiveRange>& used) {
    const auto written = [](const Step& step) {
        std::vector<SlotId> out;
        if (!step.kernel()) return out;
        for (const Part& part : step.kernel()->parts)
            for (const loops::StoreTo& store : part.nest.stores)
                out.push_back(part.slots[store.buffer]);
        return out;
    };
    std::unordered_map<SlotId, int> last;
    for (StepId t : program.steps.ids())
        for (SlotId slot : written(program.steps[t])) last[slot] = t.number();
    for (const Step& step : program.steps)
        for (SlotId slot : written(step))
            for (SlotId operand : step.slots()) {
                int& until = used[operand].last;
                until = std::max(until, last[slot]);
            }
}

// The arenas of a step's bodies, which do not run at the same time: how many bytes they need.
std::int64_t plan_bodies(Step& step) {
    std::int64_t most = 0;
    for (Program& body : step.bodies()) {
        plan_arena(body);
        most = std::max(most, body.arena_bytes);
    }
    return most;
}

}  // namespace

void plan_arena(Program& program) {
    for (Step& s : program.steps) {
        const std::int64_t bytes = plan_bodies(s);
        const auto size_workspace = [&](SlotId slot) { program.slots[slot].sizes = {bytes}; };
        if (const auto* loop = std::get_if<LoopStep>(&s.action)) size_workspace(loop->workspace);
        if (const auto* branch = std::get_if<BranchStep>(&s.action))
            size_workspace(branch->workspace);
    }
    IdVector<SlotId, LiveRange> used(program.slots.size(), LiveRange{0, -1, -1, 0});
    for (StepId t : program.steps.ids())
        for (SlotId slot : program.steps[t].slots()) {
            LiveRange& r = used[slot];
            if (r.first < 0) r.first = t.number();
            r.last = t.number();
        }
    if (program.observed) keep_operands_of_pieces(program, used);
    std::vector<LiveRange> ranges;
    std::vector<SlotId> slots;
    for (SlotId s : program.slots.ids()) {
        // Without steps it lives in the scratch of one kernel.
        if (program.slots[s].kind != Slot::Kind::Arena || used[s].first < 0) continue;
        used[s].bytes = static_cast<std::int64_t>(program.slots[s].bytes());
        ranges.push_back(used[s]);
        slots.push_back(s);
    }
    program.arena_bytes = pack(ranges);
    for (std::size_t i = 0; i < slots.size(); ++i)
        program.slots[slots[i]].offset = ranges[i].offset;
}

}  // namespace arete

// Where values that live between steps lie.
#include <algorithm>
#include <unordered_map>

#include "compiler/program/memory.h"
#include "compiler/program/steps.h"

namespace arete {

namespace {

// Who watches a program compares a value with its operands once it is complete: what its pieces
// were made of is there until then.
void keep_operands_of_pieces(const Program& program, std::vector<LiveRange>& used) {
    const auto written = [](const Step& step) {
        std::vector<int> out;
        if (!step.kernel()) return out;
        for (const Part& part : step.kernel()->parts)
            for (const loops::StoreTo& store : part.nest.stores)
                out.push_back(part.slots[static_cast<std::size_t>(store.buffer)]);
        return out;
    };
    std::unordered_map<int, int> last;
    for (std::size_t t = 0; t < program.steps.size(); ++t)
        for (int slot : written(program.steps[t])) last[slot] = static_cast<int>(t);
    for (const Step& step : program.steps)
        for (int slot : written(step))
            for (int operand : step.slots()) {
                int& until = used[static_cast<std::size_t>(operand)].last;
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
        const auto size_workspace = [&](int slot) {
            program.slots[static_cast<std::size_t>(slot)].sizes = {bytes};
        };
        if (const auto* loop = std::get_if<LoopStep>(&s.action)) size_workspace(loop->workspace);
        if (const auto* branch = std::get_if<BranchStep>(&s.action))
            size_workspace(branch->workspace);
    }
    std::vector<LiveRange> used(program.slots.size(), LiveRange{0, -1, -1, 0});
    for (std::size_t t = 0; t < program.steps.size(); ++t)
        for (int slot : program.steps[t].slots()) {
            LiveRange& r = used[static_cast<std::size_t>(slot)];
            if (r.first < 0) r.first = static_cast<int>(t);
            r.last = static_cast<int>(t);
        }
    if (program.observed) keep_operands_of_pieces(program, used);
    std::vector<LiveRange> ranges;
    std::vector<std::size_t> slots;
    for (std::size_t s = 0; s < program.slots.size(); ++s) {
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

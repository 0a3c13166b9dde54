// The memory plan as users see it.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/program/memory.h"
#include "compiler/program/program.h"

namespace arete {

MemoryPlan memory_plan(const Program& program) {
    MemoryPlan plan;
    plan.function = program.name;
    plan.arena_bytes = program.arena_bytes;
    const auto slot = [&](SlotId n) -> const Slot& { return program.slots[n]; };
    IdVector<SlotId, int> first(program.slots.size(), -1), last(program.slots.size(), -1);
    for (const Step& s : program.steps) {
        const int now = static_cast<int>(plan.steps.size());
        plan.steps.push_back(s.name());
        if (const auto* copy = std::get_if<CopyStep>(&s.action))
            if (slot(copy->from).kind == Slot::Kind::Shared ||
                slot(copy->to).kind == Slot::Kind::Shared)
                plan.shared_copied_bytes += static_cast<std::int64_t>(slot(copy->to).bytes());
        for (SlotId n : s.slots()) {
            int& f = first[n];
            if (f < 0) f = now;
            last[n] = now;
        }
    }
    std::vector<LiveRange> ranges;
    for (SlotId i : program.slots.ids()) {
        const Slot& s = program.slots[i];
        if (s.kind != Slot::Kind::Arena || first[i] < 0) continue;
        const auto bytes = static_cast<std::int64_t>(s.bytes());
        plan.buffers.push_back(
            {s.name, type_name(s.dtype, s.sizes), bytes, s.offset, first[i], last[i]});
        ranges.push_back({bytes, first[i], last[i], s.offset});
    }
    plan.live_bytes = live_bytes(ranges);
    std::stable_sort(plan.buffers.begin(), plan.buffers.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    return plan;
}

std::string to_string(const MemoryPlan& plan) {
    std::string out = fmt::format(
        "{}: {} bytes of arena, {} alive at most, {} steps, {} bytes of shared "
        "variables copied a call\n",
        plan.function, plan.arena_bytes, plan.live_bytes, plan.steps.size(),
        plan.shared_copied_bytes);
    out += fmt::format("{:>10} {:>10} {:>7} {:>7}  {:<24} {}\n", "offset", "bytes", "from", "to",
                       "value", "type");
    for (const PlannedBuffer& b : plan.buffers)
        out += fmt::format("{:>10} {:>10} {:>7} {:>7}  {:<24} {}\n", b.offset, b.bytes, b.first,
                           b.last, b.name, b.type);
    return out;
}

}  // namespace arete

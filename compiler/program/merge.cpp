#include "compiler/program/merge.h"

#include <algorithm>
#include <set>

namespace arete {

namespace {

void add_lines(std::string& lines, const std::string& more) {
    for (std::size_t at = 0; at < more.size();) {
        const std::size_t end = std::min(more.find(' ', at), more.size());
        const std::string one = more.substr(at, end - at);
        if ((" " + lines + " ").find(" " + one + " ") == std::string::npos)
            lines += (lines.empty() ? "" : " ") + one;
        at = end + 1;
    }
}

}  // namespace

Step merge_steps(Program& program, const std::vector<Member>& members, std::int64_t blocks,
                 const Dependences& dependences, std::int64_t scratch_bytes) {
    const auto step = [&](const Member& m) -> Step& { return program.steps[m.step]; };
    const auto slot = [&](SlotId s) -> const Slot& { return program.slots[s]; };
    Step out = std::move(step(members[0]));
    if (members.size() == 1) return out;
    KernelStep& kernel = *out.kernel();
    kernel.blocks = blocks;
    kernel.parts[0].axis = members[0].axis;
    for (std::size_t k = 1; k < members.size(); ++k) {
        Step& s = step(members[k]);
        kernel.checks = kernel.checks || s.checks();
        out.flops += s.flops;
        kernel.parts.push_back(std::move(s.kernel()->parts[0]));
        kernel.parts.back().axis = members[k].axis;
        add_lines(out.lines, s.lines);
    }
    std::set<SlotId> slots;
    for (const Member& m : members)
        for (const auto& [s, use] : dependences.uses[m.step]) slots.insert(s);
    const auto used_elsewhere = [&](SlotId s) {
        return dependences.used_elsewhere(s, [&](StepId i) {
            return std::any_of(members.begin(), members.end(),
                               [&](const Member& m) { return m.step == i; });
        });
    };
    std::vector<SlotId> inner;
    for (SlotId s : slots)
        if (slot(s).kind == Slot::Kind::Arena && blocks > 1 && !used_elsewhere(s))
            inner.push_back(s);
    std::stable_sort(inner.begin(), inner.end(),
                     [&](SlotId a, SlotId b) { return slot(a).bytes() < slot(b).bytes(); });
    std::int64_t left = scratch_bytes;
    for (SlotId s : inner) {
        const std::int64_t bytes = static_cast<std::int64_t>(slot(s).bytes()) / blocks;
        if (bytes > left) break;
        left -= bytes;
        kernel.scratch.push_back(s);
        slots.erase(s);
    }
    kernel.slots.assign(slots.begin(), slots.end());
    out.bytes = 0;
    for (SlotId s : kernel.slots) out.bytes += static_cast<double>(slot(s).bytes());
    return out;
}

}  // namespace arete

#include "compiler/program/program.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/core/cases.h"
#include "compiler/fuse/kernel_name.h"
#include "compiler/fuse/lower.h"
#include "compiler/ops/op.h"

namespace arete {

std::string_view name(Slot::Kind kind) {
    switch (kind) {
        case Slot::Kind::Input: return "input";
        case Slot::Kind::Shared: return "shared";
        case Slot::Kind::Output: return "output";
        case Slot::Kind::Constant: return "constant";
        case Slot::Kind::Bound: return "bound";
        case Slot::Kind::Arena: return "arena";
    }
    return {};
}

std::string KernelStep::name() const {
    if (parts.empty()) return kernel.name;
    std::vector<std::string> names;
    for (const Part& p : parts) names.push_back(p.nest.name);
    return joined_names(names);
}

std::string_view Step::kind() const {
    return std::visit(
        Cases{[](const KernelStep&) { return "kernel"; }, [](const CopyStep&) { return "copy"; },
              [](const FillStep&) { return "fill"; }, [](const LoopStep&) { return "loop"; },
              [](const BranchStep&) { return "branch"; }, [](const CallStep&) { return "call"; }},
        action);
}

std::string Step::name() const {
    return std::visit(Cases{[](const KernelStep& k) { return k.name(); },
                            [](const CopyStep&) { return std::string("copy"); },
                            [](const FillStep&) { return std::string("fill"); },
                            [](const LoopStep& l) { return l.label; },
                            [](const BranchStep& b) { return b.label; },
                            [](const CallStep& c) { return host_name(*c.node); }},
                      action);
}

namespace {

std::vector<SlotId> all_of(const SlotUses& uses) {
    std::vector<SlotId> out = uses.read;
    for (SlotId slot : uses.written)
        if (std::find(out.begin(), out.end(), slot) == out.end()) out.push_back(slot);
    return out;
}

void add(std::vector<SlotId>& list, SlotId slot) {
    if (slot && std::find(list.begin(), list.end(), slot) == list.end()) list.push_back(slot);
}
void add(SlotUses& to, const std::vector<Window>& windows) {
    for (const Window& w : windows) add(w.written ? to.written : to.read, w.of);
}

}  // namespace

SlotUses uses(const LoopStep& loop) {
    SlotUses out;
    add(out, loop.windows);
    for (const Carried& c : loop.carried) {
        add(out.read, c.initial);
        add(out.written, c.buffer);
        add(out.written, c.last);
    }
    // What trips hand on is written before it is read.
    std::erase_if(out.read, [&](SlotId slot) {
        return std::find(out.written.begin(), out.written.end(), slot) != out.written.end();
    });
    for (SlotId slot : {loop.workspace, loop.until, loop.count}) add(out.written, slot);
    return out;
}

SlotUses uses(const BranchStep& branch) {
    SlotUses out;
    add(out.read, branch.condition);
    for (const std::vector<Window>& windows : branch.windows) add(out, windows);
    add(out.written, branch.workspace);
    return out;
}

std::vector<SlotId> Step::slots() const {
    return std::visit(Cases{[](const KernelStep& k) {
                                return std::vector<SlotId>(k.slots.begin(), k.slots.end());
                            },
                            [](const CopyStep& c) { return std::vector{c.from, c.to}; },
                            [](const FillStep& f) { return std::vector{f.to}; },
                            [](const LoopStep& l) { return all_of(uses(l)); },
                            [](const BranchStep& b) { return all_of(uses(b)); },
                            [](const CallStep& c) {
                                return all_of({c.inputs, c.outputs});
                            }},
                      action);
}

std::span<Program> Step::bodies() {
    if (auto* loop = std::get_if<LoopStep>(&action)) return loop->body;
    if (auto* branch = std::get_if<BranchStep>(&action)) return branch->bodies;
    return {};
}

std::span<const Program> Step::bodies() const {
    return const_cast<Step*>(this)->bodies();
}

bool Step::checks() const {
    if (kernel()) return kernel()->checks;
    if (std::holds_alternative<CallStep>(action)) return true;
    for (const Program& body : bodies())
        for (const Step& s : body.steps)
            if (s.checks()) return true;
    return false;
}

loops::Failure run_call(const CallStep& call, const Program& program,
                        IdSpan<SlotId, void* const> table) {
    // Windows on the slots' memory, which owns them for as long as the call.
    const auto arrays = [&](const std::vector<SlotId>& slots) {
        std::vector<Array> out;
        for (SlotId s : slots) {
            const Slot& slot = program.slots[s];
            out.emplace_back(slot.dtype, slot.sizes,
                             std::shared_ptr<void>(std::shared_ptr<void>(), table[s]));
        }
        return out;
    };
    try {
        const std::vector<Array> inputs = arrays(call.inputs);
        std::vector<Array> outputs = arrays(call.outputs);
        def(*call.node).host(*call.node, inputs, outputs);
        return {};
    } catch (const std::exception& e) {
        loops::Failure failure{true, call.code, 0, e.what()};
        if (failure.message.empty()) failure.message = "it failed";
        return failure;
    }
}

int kernel_count(const Program& program) {
    int out = 0;
    for (const Step& s : program.steps) {
        out += s.kernel() != nullptr;
        for (const Program& body : s.bodies()) out += kernel_count(body);
    }
    return out;
}

}  // namespace arete

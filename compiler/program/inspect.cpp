#include "compiler/program/inspect.h"

#include <algorithm>
#include <unordered_set>

#include "compiler/core/cases.h"
#include "compiler/ops/subtensor.h"

namespace arete {

namespace {

bool has_slot(const std::vector<SlotValue>& list, SlotId slot) {
    return std::any_of(list.begin(), list.end(),
                       [&](const SlotValue& v) { return v.slot == slot; });
}

bool stores_to(const Step& step, SlotId slot) {
    const std::vector<SlotId> all = stored_slots(step);
    return std::find(all.begin(), all.end(), slot) != all.end();
}

// The kernels that store a slot: several where it is made piece by piece. Ascending.
std::vector<StepId> makers(const Compiled& compiled, SlotId slot) {
    std::vector<StepId> out;
    for (StepId k : compiled.program.steps.ids())
        if (stores_to(compiled.program.steps[k], slot)) out.push_back(k);
    return out;
}

bool is_made_later(const Compiled& compiled, StepId step, SlotId slot) {
    for (StepId k : compiled.program.steps.ids())
        if (k > step && stores_to(compiled.program.steps[k], slot)) return true;
    return false;
}

}  // namespace

std::vector<SlotId> stored_slots(const Step& step) {
    std::vector<SlotId> out;
    const auto add = [&](SlotId slot) {
        if (std::find(out.begin(), out.end(), slot) == out.end()) out.push_back(slot);
    };
    std::visit(Cases{[&](const KernelStep& k) {
                         for (const Part& part : k.parts)
                             for (const loops::StoreTo& store : part.nest.stores)
                                 add(part.slots[store.buffer]);
                     },
                     [](const CopyStep&) {}, [](const FillStep&) {},
                     [&](const LoopStep& l) {
                         for (SlotId slot : uses(l).written) add(slot);
                     },
                     [&](const BranchStep& b) {
                         for (SlotId slot : uses(b).written) add(slot);
                     },
                     [&](const CallStep& c) {
                         for (SlotId slot : c.outputs) add(slot);
                     }},
               step.action);
    return out;
}

std::vector<SlotValue> stored_by(const Compiled& compiled, StepId step) {
    std::vector<SlotValue> out;
    for (SlotId slot : stored_slots(compiled.program.steps[step])) {
        if (is_made_later(compiled, step, slot)) continue;
        const Expr& updated = compiled.new_values[slot];
        const Expr& value = updated.empty() ? compiled.slot_values[slot] : updated;
        // A loop's workspace is no value of the graph.
        // Beyond what is read of it, such a value is whatever was there.
        if (value.empty() || undefined_elsewhere(value)) continue;
        out.push_back({slot, value});
    }
    return out;
}

std::vector<SlotValue> read_by(const Compiled& compiled, StepId step) {
    const std::vector<SlotValue> stored = stored_by(compiled, step);
    if (stored.empty()) return {};
    std::vector<SlotValue> out;
    std::vector<SlotId> slots = compiled.program.steps[step].slots();
    if (!compiled.program.steps[step].bodies().empty())
        std::erase_if(slots, [&](SlotId slot) { return compiled.slot_values[slot].empty(); });
    for (const SlotValue& v : stored)
        for (StepId maker : makers(compiled, v.slot))
            if (maker != step) {
                const std::vector<SlotId> more = compiled.program.steps[maker].slots();
                slots.insert(slots.end(), more.begin(), more.end());
            }
    // What a scatter writes to began as a copy.
    for (StepId before(0); before < step; ++before)
        if (const auto* c = std::get_if<CopyStep>(&compiled.program.steps[before].action);
            c && has_slot(stored, c->to))
            slots.push_back(c->from);
    for (SlotId slot : slots) {
        if (has_slot(out, slot)) continue;
        const bool updates = has_slot(stored, slot);
        // A variable may have been updated before: its readers see the new value then.
        const bool shared = compiled.program.slots[slot].kind == Slot::Kind::Shared;
        if (updates && !shared) continue;
        bool changed = false;
        for (StepId before(0); !compiled.new_values[slot].empty() && before < step; ++before)
            changed = changed || has_slot(stored_by(compiled, before), slot);
        const Expr& value = changed ? compiled.new_values[slot] : compiled.slot_values[slot];
        if (!value.empty()) out.push_back({slot, value});
    }
    return out;
}

void name_pieces(Compiled& compiled, SlotId first) {
    const IdVector<SlotId, Slot>& slots = compiled.program.slots;
    compiled.slot_values.resize(slots.size());
    compiled.new_values.resize(slots.size());
    std::unordered_set<const Node*> stored;
    for (const auto* values : {&compiled.slot_values, &compiled.new_values})
        for (const Expr& e : *values)
            if (!e.empty()) stored.insert(&e.node());
    // The one reduction that is part of the value.
    const auto reduction = [&](const Expr& value) {
        std::vector<Expr> pending{value};
        for (std::size_t k = 0; k < pending.size(); ++k) {
            const Expr e = pending[k];
            if (k > 0 && stored.count(&e.node())) continue;
            if (e.node().op->has(Trait::Reduces)) return e;
            pending.insert(pending.end(), e.node().inputs.begin(), e.node().inputs.end());
        }
        return value;  // whose op sums without being a reduction
    };
    for (const Step& s : compiled.program.steps) {
        if (!s.kernel()) continue;
        for (const Part& total : s.kernel()->parts)
            for (loops::BufferId b : total.slots.ids()) {
                const SlotId pieces = total.slots[b];
                const loops::BufferId to = total.nest.stores[0].buffer;
                if (pieces < first || to == b) continue;
                const SlotId result = total.slots[to];
                const Expr& updated = compiled.new_values[result];
                compiled.slot_values[pieces] =
                    reduction(updated.empty() ? compiled.slot_values[result] : updated);
            }
    }
}

std::vector<std::shared_ptr<const Node>> nodes_of_step(const Compiled& compiled, StepId step) {
    const std::vector<SlotValue> read = read_by(compiled, step);
    const auto is_read = [&](const Expr& e) {
        return std::any_of(read.begin(), read.end(), [&](const SlotValue& v) {
            return !v.value.empty() && same(v.value, e);
        });
    };
    std::vector<Expr> roots;
    for (const SlotValue& v : stored_by(compiled, step)) roots.push_back(v.value);
    std::unordered_set<const Node*> inside;
    std::vector<Expr> pending = roots;
    while (!pending.empty()) {
        const Expr e = pending.back();
        pending.pop_back();
        if (is_read(e) || !inside.insert(&e.node()).second) continue;
        pending.insert(pending.end(), e.node().inputs.begin(), e.node().inputs.end());
    }
    std::vector<std::shared_ptr<const Node>> out;
    const Graph graph(roots);
    for (const auto& node : graph.nodes())
        if (inside.count(node.get())) out.push_back(node);
    return out;
}

namespace {

std::string windows_text(const std::vector<Window>& windows) {
    std::string out;
    for (const Window& w : windows) {
        out += fmt::format("{}{}: slot {} +{}", out.empty() ? "" : ", ", w.slot, w.of, w.start);
        if (w.stride) out += fmt::format(" + k * {}", w.stride);
        if (w.ring) out += fmt::format(" mod {}", w.ring);
    }
    return out;
}

std::string text_of(const Program& p, const std::string& indent);

std::string bodies_text(const Step& s, const std::string& indent) {
    std::string out;
    const auto body = [&](const Program& p, const std::vector<Window>& windows) {
        out += fmt::format("{}windows {}\n", indent, windows_text(windows)) + text_of(p, indent);
    };
    if (const auto* loop = std::get_if<LoopStep>(&s.action)) {
        out += fmt::format("{}{} trips", indent, loop->trips);
        for (const Carried& c : loop->carried)
            out += fmt::format(", {} rows of slot {} to slot {}", c.depth, c.initial, c.buffer) +
                   (c.last ? fmt::format(", a ring, at last to slot {}", c.last) : "");
        if (loop->until) out += fmt::format(", until slot {}", loop->until);
        out += "\n";
        body(loop->body[0], loop->windows);
    } else if (const auto* branch = std::get_if<BranchStep>(&s.action)) {
        for (std::size_t k = 0; k < branch->bodies.size(); ++k) {
            out +=
                fmt::format("{}{} slot {}:\n", indent, k == 0 ? "if" : "unless", branch->condition);
            body(branch->bodies[k], branch->windows[k]);
        }
    }
    return out;
}

std::string text_of(const Program& p, const std::string& indent) {
    std::string out;
    for (SlotId i : p.slots.ids()) {
        const Slot& s = p.slots[i];
        std::string where =
            s.kind == Slot::Kind::Arena ? fmt::format("+{}", s.offset) : std::to_string(s.number);
        out += fmt::format("{}slot {}: {} {} {} {}\n", indent, i, name(s.kind), where,
                           type_name(s.dtype, s.sizes), s.name);
    }
    for (const Step& s : p.steps) {
        out += fmt::format("{}{} {}({})\n", indent, s.kind(), s.name(), fmt::join(s.slots(), ", "));
        out += bodies_text(s, indent + "    ");
    }
    return out;
}

}  // namespace

std::string program_text(const Program& p) {
    return fmt::format("program {}: {} bytes of arena\n", p.name, p.arena_bytes) + text_of(p, "  ");
}

}  // namespace arete

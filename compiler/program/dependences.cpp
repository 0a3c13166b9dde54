#include "compiler/program/dependences.h"

#include <algorithm>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"

namespace arete {

namespace {

Dependences::Uses uses_of(const SlotUses& slots) {
    Dependences::Uses out;
    for (SlotId s : slots.read) out[s].read = true;
    for (SlotId s : slots.written) out[s].written = true;
    return out;
}

}  // namespace

Dependences::Dependences(const Program& program) {
    struct Last {
        StepId writer;
        std::vector<StepId> readers;
    };
    IdVector<SlotId, Last> last(program.slots.size());
    StepId check;
    after.resize(program.steps.size());
    for (StepId i : program.steps.ids()) {
        const Step& s = program.steps[i];
        Uses own;
        std::visit(Cases{[&](const KernelStep& k) { own = uses_of(k.parts[0]); },
                         [&](const CopyStep& c) {
                             own[c.to].written = true;
                             own[c.from].read = true;
                         },
                         [&](const FillStep& f) { own[f.to].written = true; },
                         [&](const LoopStep& l) { own = uses_of(arete::uses(l)); },
                         [&](const BranchStep& b) { own = uses_of(arete::uses(b)); },
                         [&](const CallStep& c) {
                             own = uses_of({c.inputs, c.outputs});
                         }},
                   s.action);
        bool changes_shared = false;
        for (const auto& [number, use] : own) {
            Last& l = last[number];
            if (l.writer) after[i].push_back(l.writer);
            if (use.written) {
                after[i].insert(after[i].end(), l.readers.begin(), l.readers.end());
                l = {i, {}};
                changes_shared |= program.slots[number].kind == Slot::Kind::Shared;
            } else {
                l.readers.push_back(i);
            }
        }
        if (check && (changes_shared || s.checks())) after[i].push_back(check);
        if (s.checks()) check = i;
        set(i, std::move(own));
    }
}

void Dependences::set(StepId step, Uses now) {
    if (!uses.contains(step)) uses.resize(step.index() + 1);
    for (const auto& [slot, use] : uses[step]) {
        std::erase(users[slot], step);
        std::erase(writers[slot], step);
    }
    for (const auto& [slot, use] : now) {
        users[slot].push_back(step);
        if (use.written) writers[slot].push_back(step);
    }
    uses[step] = std::move(now);
}

std::vector<StepId> Dependences::partners(StepId step) const {
    std::vector<StepId> out;
    for (const auto& [slot, use] : uses[step]) {
        const auto& all = use.written ? users : writers;
        if (const auto at = all.find(slot); at != all.end())
            for (StepId other : at->second)
                if (other != step) out.push_back(other);
    }
    return out;
}

std::vector<SlotId> Dependences::handed_on(StepId a, StepId b) const {
    const Uses &x = uses[a], &y = uses[b];
    std::vector<SlotId> out;
    for (const auto& [number, use] : y) {
        const auto at = x.find(number);
        if (at != x.end() && (use.written || at->second.written)) out.push_back(number);
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<StepId> Dependences::checks_first(const Program& program) const {
    const IdRange<StepId> all = program.steps.ids();
    std::vector<StepId> out(all.begin(), all.end());
    IdVector<StepId, char> early(program.steps.size(), 0);
    for (auto at = out.rbegin(); at != out.rend(); ++at) {
        const StepId i = *at;
        early[i] |= program.steps[i].checks();
        if (early[i])
            for (StepId before : after[i]) early[before] = 1;
    }
    std::stable_partition(out.begin(), out.end(), [&](StepId i) { return early[i] != 0; });
    return out;
}

void Dependences::check(const Program& program, const std::vector<StepId>& order) const {
    ARETE_CHECK(order.size() == program.steps.size(), "{}: steps were lost", program.name);
    IdVector<StepId, std::size_t> position(program.steps.size());
    for (std::size_t k = 0; k < order.size(); ++k) position[order[k]] = k;
    for (StepId i : after.ids())
        for (StepId before : after[i])
            ARETE_CHECK(position[before] < position[i], "{}: {} runs before {}", program.name,
                        program.steps[i].name(), program.steps[before].name());
}

}  // namespace arete

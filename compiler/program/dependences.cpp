#include "compiler/program/dependences.h"

#include <algorithm>
#include <numeric>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"

namespace arete {

namespace {

Dependences::Uses uses_of(const SlotUses& slots) {
    Dependences::Uses out;
    for (int s : slots.read) out[s].read = true;
    for (int s : slots.written) out[s].written = true;
    return out;
}

}  // namespace

Dependences::Dependences(const Program& program) {
    struct Last {
        int writer = -1;
        std::vector<int> readers;
    };
    std::vector<Last> last(program.slots.size());
    int check = -1;
    after.resize(program.steps.size());
    for (std::size_t i = 0; i < program.steps.size(); ++i) {
        const Step& s = program.steps[i];
        const int me = static_cast<int>(i);
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
            Last& l = last[static_cast<std::size_t>(number)];
            if (l.writer >= 0) after[i].push_back(l.writer);
            if (use.written) {
                after[i].insert(after[i].end(), l.readers.begin(), l.readers.end());
                l = {me, {}};
                changes_shared |=
                    program.slots[static_cast<std::size_t>(number)].kind == Slot::Kind::Shared;
            } else {
                l.readers.push_back(me);
            }
        }
        if (check >= 0 && (changes_shared || s.checks())) after[i].push_back(check);
        if (s.checks()) check = me;
        set(me, std::move(own));
    }
}

void Dependences::set(int step, Uses now) {
    const auto k = static_cast<std::size_t>(step);
    if (uses.size() <= k) uses.resize(k + 1);
    for (const auto& [slot, use] : uses[k]) {
        std::erase(users[slot], step);
        std::erase(writers[slot], step);
    }
    for (const auto& [slot, use] : now) {
        users[slot].push_back(step);
        if (use.written) writers[slot].push_back(step);
    }
    uses[k] = std::move(now);
}

std::vector<int> Dependences::partners(int step) const {
    std::vector<int> out;
    for (const auto& [slot, use] : uses[static_cast<std::size_t>(step)]) {
        const auto& all = use.written ? users : writers;
        if (const auto at = all.find(slot); at != all.end())
            for (int other : at->second)
                if (other != step) out.push_back(other);
    }
    return out;
}

std::vector<int> Dependences::handed_on(int a, int b) const {
    const Uses &x = uses[static_cast<std::size_t>(a)], &y = uses[static_cast<std::size_t>(b)];
    std::vector<int> out;
    for (const auto& [number, use] : y) {
        const auto at = x.find(number);
        if (at != x.end() && (use.written || at->second.written)) out.push_back(number);
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<int> Dependences::checks_first(const Program& program) const {
    const std::size_t n = program.steps.size();
    std::vector<char> early(n, 0);
    for (std::size_t i = n; i-- > 0;) {
        early[i] |= program.steps[i].checks();
        if (early[i])
            for (int before : after[i]) early[static_cast<std::size_t>(before)] = 1;
    }
    std::vector<int> out(n);
    std::iota(out.begin(), out.end(), 0);
    std::stable_partition(out.begin(), out.end(),
                          [&](int i) { return early[static_cast<std::size_t>(i)] != 0; });
    return out;
}

void Dependences::check(const Program& program, const std::vector<int>& order) const {
    ARETE_CHECK(order.size() == program.steps.size(), "{}: steps were lost", program.name);
    std::vector<std::size_t> position(program.steps.size());
    for (std::size_t k = 0; k < order.size(); ++k) position[static_cast<std::size_t>(order[k])] = k;
    for (std::size_t i = 0; i < after.size(); ++i)
        for (int before : after[i])
            ARETE_CHECK(position[static_cast<std::size_t>(before)] < position[i],
                        "{}: {} runs before {}", program.name, program.steps[i].name(),
                        program.steps[static_cast<std::size_t>(before)].name());
}

}  // namespace arete

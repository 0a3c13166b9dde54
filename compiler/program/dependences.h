// Which steps of a program wait for which.
#pragma once

#include <unordered_map>
#include <vector>

#include "compiler/program/program.h"
#include "compiler/program/slices.h"

namespace arete {

/// What steps do to slots, and the order that this asks for. A slot's readers wait for its writer,
/// its next writer for them; and what changes a shared variable waits for all checks before it.
/// Kernels have one part each.
struct Dependences {
    using Uses = std::unordered_map<SlotId, Use>;

    explicit Dependences(const Program& program);

    IdVector<StepId, Uses> uses;                  ///< by step, then by slot; changed by `set` alone
    IdVector<StepId, std::vector<StepId>> after;  ///< the earlier ones that it must come after
    std::unordered_map<SlotId, std::vector<StepId>> users;    ///< the steps that use it
    std::unordered_map<SlotId, std::vector<StepId>> writers;  ///< those that write it

    /// Says what a step uses, from now on; of a step behind the last, too.
    void set(StepId step, Uses now);
    /// Steps other than `step` that it shares a slot with, which one of them writes; some twice.
    std::vector<StepId> partners(StepId step) const;
    /// Whether a step that is not among these uses the slot.
    template <class Among>
    bool used_elsewhere(SlotId slot, const Among& among) const {
        const auto at = users.find(slot);
        if (at == users.end()) return false;
        for (StepId step : at->second)
            if (!among(step)) return true;
        return false;
    }

    /// Slots that two steps share and that one of them writes, ascending.
    std::vector<SlotId> handed_on(StepId a, StepId b) const;
    /// The steps in an order in which checks and what they need come first: a call that fails does
    /// so early, and what follows is not cut in two by them.
    std::vector<StepId> checks_first(const Program& program) const;
    /// An InternalError where a step does not come after one that it must come after. `order` has
    /// every step once.
    void check(const Program& program, const std::vector<StepId>& order) const;
};

}  // namespace arete

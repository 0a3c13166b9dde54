// The kernel of several nests: each scheduled for one block, then put under the loop over blocks.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/program/blocks.h"
#include "compiler/targets/cpu/schedule.h"

namespace arete {

using namespace loops;

namespace {

// Puts the parts' kernels into one.
class Splicer {
  public:
    Splicer(const KernelStep& step, const Program& program, const Machine& machine)
        : step_(step), program_(program), machine_(machine) {}

    Kernel run() {
        k_.name = step_.name();
        for (SlotId slot : step_.slots) add_buffer(slot, false);
        for (SlotId slot : step_.scratch) add_buffer(slot, true);
        Var block;
        if (step_.blocks > 1) block = k_.add_var("block", step_.blocks);
        if (block) block_ = Index::var(block);
        std::vector<Stmt> body;
        double cycles = 0;
        for (const Part& p : step_.parts) {
            for (Stmt& s : part(p, cycles)) body.push_back(std::move(s));
        }
        if (!block) {
            k_.body = std::move(body);
            return std::move(k_);
        }
        const bool parallel = cycles > parallel_cycles;
        k_.body.push_back(
            Loop{block, parallel ? LoopKind::Parallel : LoopKind::Serial, std::move(body)});
        return std::move(k_);
    }

  private:
    void add_buffer(SlotId slot, bool scratch) {
        const Slot& s = program_.slots[slot];
        Buffer b{s.name, s.dtype, s.sizes, scratch ? Space::Private : Space::Parameter};
        if (scratch) b.sizes = {count(s.sizes) / step_.blocks};
        slots_.push_back(slot);
        k_.add_buffer(std::move(b));
    }

    // The kernel's buffer for a slot. None for one that no part reads or writes: a nest keeps the
    // parameter of a value that simplifying its code has left without a use, the kernel does not.
    BufferId parameter(SlotId slot) const {
        for (BufferId b : slots_.ids())
            if (slots_[b] == slot) return b;
        return {};
    }

    // Parts run one after the other: what one of them no longer needs serves the next, so that the
    // stack holds the panels of one part, not of all. Small locals are registers.
    BufferId add_local(const Part& p, Buffer local, const IdVector<BufferId, BufferId>& in_use) {
        constexpr std::int64_t large = 4096;
        if (local.elements() >= large)
            for (BufferId b : large_locals_) {
                Buffer& old = k_.buffers[b];
                if (old.dtype != local.dtype || old.space != local.space ||
                    std::find(in_use.begin(), in_use.end(), b) != in_use.end())
                    continue;
                old.sizes = {std::max(old.elements(), local.elements())};
                return b;
            }
        const bool keep = local.elements() >= large;
        local.name = fmt::format("{}_{}", p.nest.name, local.name);
        const BufferId added = k_.add_buffer(std::move(local));
        if (keep) large_locals_.push_back(added);
        return added;
    }

    std::vector<Stmt> part(const Part& p, double& cycles) {
        const bool cut{p.axis};
        const Nest nest = cut ? take_block(p.nest, p.axis, step_.blocks) : p.nest;
        const Var block = cut ? Var(nest.extents.size() - 1) : Var();
        const Kernel from = schedule(nest, machine_, block);
        cycles += p.cycles;
        k_.comment +=
            fmt::format("{}{}: {}", k_.comment.empty() ? "" : "; ", p.nest.name, from.comment);
        Cloner clone(from, k_);
        clone.vars.resize(from.extents.size());
        if (cut) clone.vars[Var(0)] = block_;
        for (BufferId b : from.buffers.ids()) {
            Index shift;
            if (!from.buffers[b].is_parameter()) {
                clone.buffers.push_back(add_local(p, from.buffers[b], clone.buffers));
            } else {
                const BufferId to = parameter(p.slots.at(b));
                clone.buffers.push_back(to);
                if (to && !k_.buffers[to].is_parameter())
                    shift = block_ * -k_.buffers[to].elements();
            }
            clone.shift.push_back(shift);
        }
        std::vector<Stmt> out;
        for (const Stmt& s : from.body) out.push_back(statement(s, clone, from));
        return out;
    }

    Stmt statement(const Stmt& s, Cloner& clone, const Kernel& from) {
        return std::visit(Cases{[&](const Loop& l) -> Stmt {
                                    const Var v = l.var;
                                    const Var own = k_.add_var(from.var_names[v], from.extents[v]);
                                    clone.vars[v] = Index::var(own);
                                    std::vector<Stmt> body;
                                    for (const Stmt& inner : l.body)
                                        body.push_back(statement(inner, clone, from));
                                    // The loop over blocks is the one that is cut over threads.
                                    const LoopKind kind =
                                        l.kind == LoopKind::Parallel ? LoopKind::Serial : l.kind;
                                    return Loop{own, kind, std::move(body), l.lanes, l.dimension};
                                },
                                [&](const If& i) -> Stmt {
                                    std::vector<Stmt> body;
                                    for (const Stmt& inner : i.body)
                                        body.push_back(statement(inner, clone, from));
                                    return If{clone.value(i.condition).id, std::move(body)};
                                },
                                [](const Barrier& b) -> Stmt { return b; },
                                [&](const StoreTo& store) -> Stmt { return clone.store(store); },
                                [&](const CheckThat& check) -> Stmt { return clone.check(check); },
                                [&](FoldLanes f) -> Stmt {
                                    f.from = clone.buffer(f.from);
                                    f.to = clone.buffer(f.to);
                                    if (f.from_error) {
                                        f.from_error = clone.buffer(f.from_error);
                                        f.to_error = clone.buffer(f.to_error);
                                    }
                                    return f;
                                },
                                [&](TransposeTile t) -> Stmt {
                                    t.at = clone.index(t.at) + clone.shift[t.from];
                                    t.from = clone.buffer(t.from);
                                    t.place = clone.index(t.place);
                                    t.to = clone.buffer(t.to);
                                    return t;
                                },
                                [&](PrefetchAt p) -> Stmt {
                                    p.index = clone.index(p.index) + clone.shift[p.buffer];
                                    p.buffer = clone.buffer(p.buffer);
                                    return p;
                                }},
                          s);
    }

    const KernelStep& step_;
    const Program& program_;
    const Machine& machine_;
    Kernel k_;
    IdVector<BufferId, SlotId> slots_;  // of the kernel's buffers, scratch included
    std::vector<BufferId> large_locals_;
    Index block_;
};

}  // namespace

Kernel schedule(const KernelStep& step, const Program& program, const Machine& machine) {
    if (step.parts.size() == 1) return schedule(step.parts[0].nest, machine);
    return Splicer(step, program, machine).run();
}

}  // namespace arete

#include "compiler/program/interpret.h"

#include <cstring>
#include <tuple>

#include "compiler/core/cases.h"

namespace arete {

namespace {

void* at(IdSpan<SlotId, void* const> table, SlotId slot) {
    return table[slot];
}
void* at(IdSpan<SlotId, void* const> table, SlotId slot, std::int64_t byte) {
    return static_cast<char*>(at(table, slot)) + byte;
}
void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes && to != from) std::memcpy(to, from, bytes);
}

// A body's table in trip k: bound slots in memory of the program around it, the others in its
// workspace.
void fill_table(IdVector<SlotId, void*>& inner, const Program& body,
                std::span<const Window> windows, SlotId workspace,
                IdSpan<SlotId, void* const> outer, std::int64_t k) {
    inner.resize(body.slots.size());
    for (SlotId s : inner.ids())
        if (body.slots[s].kind == Slot::Kind::Arena)
            inner[s] = !workspace ? nullptr : at(outer, workspace, body.slots[s].offset);
    for (const Window& w : windows) {
        std::int64_t byte = w.start + k * w.stride;
        if (w.ring) byte %= w.ring;
        inner[w.slot] = at(outer, w.of, byte);
    }
}

}  // namespace

ProgramInterpreter::ProgramInterpreter(const Program& program, Loops loops,
                                       loops::InterpretOptions options)
    : program_(program), options_(options) {
    for (const Step& s : program.steps) {
        std::vector<Run>& runs = runs_.emplace_back();
        std::vector<ProgramInterpreter>& bodies = bodies_.emplace_back();
        for (const Program& body : s.bodies()) bodies.emplace_back(body, loops, options);
        const KernelStep* kernel = s.kernel();
        if (!kernel) continue;
        if (loops == Loops::Scheduled) {
            runs.push_back({kernel->kernel, kernel->slots});
            continue;
        }
        for (const Part& part : kernel->parts) runs.push_back({naive(part.nest), part.slots});
    }
}

loops::Failure ProgramInterpreter::run_kernels(StepId step,
                                               IdSpan<SlotId, void* const> table) const {
    loops::Failure failed;
    for (const Run& r : runs_[step]) {
        IdVector<loops::BufferId, void*> pointers;
        for (SlotId slot : r.slots) pointers.push_back(at(table, slot));
        pointers.resize(r.kernel.buffers.size(), nullptr);
        const loops::Failure f = interpret(r.kernel, pointers, options_);
        if (f.failed &&
            (!failed.failed || std::tie(f.code, f.element) < std::tie(failed.code, failed.element)))
            failed = f;
    }
    return failed;
}

// The steps of a body, with whoever watches called behind each.
loops::Failure ProgramInterpreter::run_body(const ProgramInterpreter& body,
                                            IdSpan<SlotId, void* const> table, Watch* watch,
                                            std::int64_t trip) const {
    if (!watch) return body.run(table);
    watch->trips.push_back(trip);
    for (StepId k : body.program_.steps.ids()) {
        if (const loops::Failure f = body.run_one(k, table, watch); f.failed) return f;
        if (watch->ended) return {};
        watch->ended = !watch->after({body.program_, k, table, watch->trips});
        if (watch->ended) return {};
    }
    watch->trips.pop_back();
    return {};
}

loops::Failure ProgramInterpreter::run_loop(StepId step, const LoopStep& loop,
                                            IdSpan<SlotId, void* const> table, Watch* watch) const {
    for (const Carried& c : loop.carried)
        copy(at(table, c.buffer), at(table, c.initial),
             static_cast<std::size_t>(c.depth * c.row_bytes));
    IdVector<SlotId, void*> inner;
    std::int64_t ran = 0;
    for (bool done = false; ran < loop.trips && !done; ++ran) {
        fill_table(inner, loop.body[0], loop.windows, loop.workspace, table, ran);
        if (const loops::Failure f = run_body(bodies_[step][0], inner, watch, ran); f.failed)
            return f;
        if (watch && watch->ended) return {};
        done = loop.until && *static_cast<const std::uint8_t*>(at(table, loop.until)) != 0;
    }
    for (const Stacked& s : loop.stacked)
        for (std::int64_t k = std::max<std::int64_t>(ran, 1); k < loop.trips && ran > 0; ++k)
            copy(at(table, s.slot, (s.first + k) * s.row_bytes),
                 at(table, s.slot, (s.first + k - 1) * s.row_bytes),
                 static_cast<std::size_t>(s.row_bytes));
    for (const Carried& c : loop.carried)
        for (std::int64_t i = 0; c.last && i < c.depth; ++i)
            copy(at(table, c.last, i * c.row_bytes),
                 at(table, c.buffer, (ran + i) % (c.depth + 1) * c.row_bytes),
                 static_cast<std::size_t>(c.row_bytes));
    if (loop.count) *static_cast<std::int64_t*>(at(table, loop.count)) = ran;
    return {};
}

loops::Failure ProgramInterpreter::run_branch(StepId step, const BranchStep& branch,
                                              IdSpan<SlotId, void* const> table,
                                              Watch* watch) const {
    const bool yes = *static_cast<const std::uint8_t*>(at(table, branch.condition)) != 0;
    const std::size_t which = yes ? 0 : 1;
    IdVector<SlotId, void*> inner;
    fill_table(inner, branch.bodies[which], branch.windows[which], branch.workspace, table, 0);
    return run_body(bodies_[step][which], inner, watch, 0);
}

loops::Failure ProgramInterpreter::run_one(StepId k, IdSpan<SlotId, void* const> table,
                                           Watch* watch) const {
    loops::Failure failed;
    std::visit(
        Cases{[&](const KernelStep&) { failed = run_kernels(k, table); },
              [&](const CopyStep& c) { copy(at(table, c.to), at(table, c.from), bytes(c.to)); },
              [&](const FillStep& f) {
                  if (bytes(f.to)) std::memset(at(table, f.to), 0, bytes(f.to));
              },
              [&](const LoopStep& l) { failed = run_loop(k, l, table, watch); },
              [&](const BranchStep& b) { failed = run_branch(k, b, table, watch); },
              [&](const CallStep& c) { failed = run_call(c, program_, table); }},
        program_.steps[k].action);
    return failed;
}

loops::Failure ProgramInterpreter::run(IdSpan<SlotId, void* const> table,
                                       const std::function<bool(StepId)>& after_step) const {
    for (StepId k : program_.steps.ids()) {
        if (const loops::Failure failed = run_one(k, table, nullptr); failed.failed) return failed;
        if (after_step && !after_step(k)) break;
    }
    return {};
}

void ProgramInterpreter::run_watched(StepId step, IdSpan<SlotId, void* const> table,
                                     const AfterBodyStep& after) const {
    Watch watch{after, {}, false};
    (void)run_one(step, table, &watch);
}

}  // namespace arete

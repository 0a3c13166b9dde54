#include "runtime/cuda/gpu_program.h"

#include <algorithm>
#include <chrono>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"

namespace arete::cuda {

namespace {

// As in the prelude.
struct Status {
    std::int32_t lock = 0, failed = 0;
    std::int64_t code = 0, element = 0;
};

void* at(IdSpan<SlotId, void* const> table, SlotId slot, std::int64_t byte = 0) {
    return static_cast<char*>(table[slot]) + byte;
}

// A body's table in trip k, as in the interpreter of programs.
IdVector<SlotId, void*> body_table(const Program& body, std::span<const Window> windows,
                                   SlotId workspace, IdSpan<SlotId, void* const> outer,
                                   std::int64_t k) {
    IdVector<SlotId, void*> inner(body.slots.size());
    for (SlotId s : inner.ids())
        if (body.slots[s].kind == Slot::Kind::Arena && workspace)
            inner[s] = at(outer, workspace, body.slots[s].offset);
    for (const Window& w : windows) {
        std::int64_t byte = w.start + k * w.stride;
        if (w.ring) byte %= w.ring;
        inner[w.slot] = at(outer, w.of, byte);
    }
    return inner;
}

}  // namespace

GpuProgram::GpuProgram(const Program& program, const Source& source,
                       std::shared_ptr<GpuDriver> driver)
    : GpuProgram(program, source, driver, std::shared_ptr<GpuModule>(driver->load(source)), 0) {}

GpuProgram::GpuProgram(const Program& program, const Source& source,
                       std::shared_ptr<GpuDriver> driver, std::shared_ptr<GpuModule> module,
                       std::size_t first)
    : program_(program),
      entries_(source.kernels),
      driver_(std::move(driver)),
      module_(std::move(module)),
      first_(first) {
    std::size_t next = 0;
    steps_ = steps_of(program, source, next);
    if (next != source.steps.size()) fail<CompileError>({}, "a source of another program");
    ticks_.resize(program.profile ? program.steps.size() : 0);
    written_.resize(program.slots.size());
    find_written(program, steps_);
    allocate();
}

GpuProgram::Steps GpuProgram::steps_of(const Program& program, const Source& source,
                                       std::size_t& next) {
    Steps out;
    for (const Step& s : program.steps) {
        if (next >= source.steps.size()) fail<CompileError>({}, "a source of another program");
        const LaunchId kernel = source.steps[next++];
        const bool fits =
            s.kernel() ? kernel && source.kernels[kernel].writes.size() == s.kernel()->slots.size()
                       : !kernel;
        if (!fits) fail<CompileError>({}, "a source of another program");
        out.kernels.push_back(kernel);
        std::vector<Steps>& bodies = out.bodies.emplace_back();
        for (const Program& body : s.bodies()) bodies.push_back(steps_of(body, source, next));
    }
    return out;
}

void GpuProgram::find_written(const Program& program, const Steps& steps) {
    for (StepId k : program.steps.ids()) {
        const Step& s = program.steps[k];
        const std::vector<SlotId> slots = s.slots();
        for (std::size_t i = 0; i < slots.size(); ++i)
            if (!s.kernel() || entries_[steps.kernels[k]].writes[i] == '1') written_[slots[i]] = 1;
    }
}

void GpuProgram::allocate() {
    table_.resize(program_.slots.size());
    void* arena = nullptr;
    if (!driver_->separate() && program_.arena_bytes > 0) {
        memory_.emplace_back(*driver_, static_cast<std::size_t>(program_.arena_bytes),
                             "intermediate values");
        arena = memory_.back().get();
    }
    for (SlotId s : table_.ids()) {
        const Slot& slot = program_.slots[s];
        if (arena && slot.kind == Slot::Kind::Arena) {
            table_[s] = static_cast<char*>(arena) + slot.offset;
            continue;
        }
        memory_.emplace_back(*driver_, std::max<std::size_t>(bytes(s), 1), slot.name);
        table_[s] = memory_.back().get();
    }
    if (std::any_of(entries_.begin(), entries_.end(), [](const auto& e) { return e.status; })) {
        memory_.emplace_back(*driver_, sizeof(Status), "the status of checks");
        status_ = memory_.back().get();
        driver_->clear(status_, sizeof(Status));
    }
}

void GpuProgram::copy(void* to, const void* from, std::size_t n) {
    if (n && to != from) driver_->copy(to, from, n);
}

void GpuProgram::upload(IdSpan<SlotId, void* const> table) {
    for (SlotId s : table_.ids()) {
        if (bytes(s) == 0) continue;
        switch (program_.slots[s].kind) {
            case Slot::Kind::Input:
            case Slot::Kind::Shared: driver_->copy_in(table_[s], table[s], bytes(s)); break;
            case Slot::Kind::Constant:
                if (!constants_ready_) driver_->copy_in(table_[s], table[s], bytes(s));
                break;
            case Slot::Kind::Output:
            case Slot::Kind::Bound:
            case Slot::Kind::Arena: break;
        }
    }
    constants_ready_ = true;
}

void GpuProgram::download(IdSpan<SlotId, void* const> table) {
    for (SlotId s : table_.ids()) {
        const Slot::Kind kind = program_.slots[s].kind;
        const bool back =
            kind == Slot::Kind::Output || (kind == Slot::Kind::Shared && written_[s] != 0);
        if (back && bytes(s) > 0) driver_->copy_out(table[s], table_[s], bytes(s));
    }
}

loops::Failure GpuProgram::run(IdSpan<SlotId, void*> table) {
    return run(table, {});
}

loops::Failure GpuProgram::run(IdSpan<SlotId, void*> table,
                               const std::function<bool(StepId)>& after_step) {
    upload(table);
    std::function<bool(StepId)> watched;
    if (after_step)
        watched = [&](StepId step) {
            for (SlotId s : program_.steps[step].slots()) {
                // What has no memory on the host, nobody looks at.
                if (bytes(s) > 0 && table[s] && program_.slots[s].kind != Slot::Kind::Constant)
                    driver_->copy_out(table[s], table_[s], bytes(s));
            }
            return after_step(step);
        };
    const loops::Failure failed = run_steps(program_, steps_, table_, watched);
    if (!failed.failed) download(table);
    return failed;
}

loops::Failure GpuProgram::launch(const KernelStep& step, LaunchId kernel,
                                  IdSpan<SlotId, void* const> table) {
    const LaunchEntry& e = entries_[kernel];
    if (e.grid[0] * e.grid[1] * e.grid[2] == 0) return {};
    std::vector<void*> arguments;
    for (SlotId slot : step.slots) arguments.push_back(at(table, slot));
    if (e.status) arguments.push_back(status_);
    module_->launch(first_ + kernel.index(), arguments);
    if (!e.status) return {};
    Status status;
    driver_->copy_out(&status, status_, sizeof status);
    if (!status.failed) return {};
    driver_->clear(status_, sizeof status);
    return {true, static_cast<int>(status.code), status.element, {}};
}

bool GpuProgram::is_true(const void* flag) {
    std::uint8_t value = 0;
    driver_->copy_out(&value, flag, 1);
    return value != 0;
}

loops::Failure GpuProgram::run_loop(const LoopStep& loop, const Steps& body,
                                    IdSpan<SlotId, void* const> table) {
    for (const Carried& c : loop.carried)
        copy(at(table, c.buffer), at(table, c.initial),
             static_cast<std::size_t>(c.depth * c.row_bytes));
    std::int64_t ran = 0;
    for (bool done = false; ran < loop.trips && !done; ++ran) {
        const IdVector<SlotId, void*> inner =
            body_table(loop.body[0], loop.windows, loop.workspace, table, ran);
        if (const loops::Failure f = run_steps(loop.body[0], body, inner, {}); f.failed) return f;
        done = loop.until && is_true(at(table, loop.until));
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
    if (loop.count) driver_->copy_in(at(table, loop.count), &ran, sizeof ran);
    return {};
}

loops::Failure GpuProgram::run_branch(const BranchStep& branch, const std::vector<Steps>& bodies,
                                      IdSpan<SlotId, void* const> table) {
    const std::size_t which = is_true(at(table, branch.condition)) ? 0 : 1;
    const IdVector<SlotId, void*> inner =
        body_table(branch.bodies[which], branch.windows[which], branch.workspace, table, 0);
    return run_steps(branch.bodies[which], bodies[which], inner, {});
}

// The function runs on the host, on copies.
loops::Failure GpuProgram::call(const CallStep& call, const Program& program,
                                IdSpan<SlotId, void* const> table) {
    IdVector<SlotId, std::vector<std::byte>> host(program.slots.size());
    IdVector<SlotId, void*> pointers(program.slots.size());
    const auto room = [&](SlotId s) {
        host[s].resize(std::max<std::size_t>(program.slots[s].bytes(), 1));
        pointers[s] = host[s].data();
    };
    for (SlotId s : call.inputs) {
        room(s);
        if (program.slots[s].bytes())
            driver_->copy_out(pointers[s], table[s], program.slots[s].bytes());
    }
    for (SlotId s : call.outputs) room(s);
    const loops::Failure failed = run_call(call, program, pointers);
    if (failed.failed) return failed;
    for (SlotId s : call.outputs) {
        if (program.slots[s].bytes())
            driver_->copy_in(table[s], pointers[s], program.slots[s].bytes());
    }
    return {};
}

loops::Failure GpuProgram::run_steps(const Program& program, const Steps& steps,
                                     IdSpan<SlotId, void* const> table,
                                     const std::function<bool(StepId)>& after_step) {
    using Clock = std::chrono::steady_clock;
    const bool timed = &program == &program_ && !ticks_.empty();
    const auto slot_bytes = [&](SlotId s) { return program.slots[s].bytes(); };
    for (StepId k : program.steps.ids()) {
        const auto start = timed ? Clock::now() : Clock::time_point();
        loops::Failure failed;
        std::visit(
            Cases{[&](const KernelStep& s) { failed = launch(s, steps.kernels[k], table); },
                  [&](const CopyStep& c) {
                      copy(at(table, c.to), at(table, c.from), slot_bytes(c.to));
                  },
                  [&](const FillStep& f) {
                      if (slot_bytes(f.to)) driver_->clear(at(table, f.to), slot_bytes(f.to));
                  },
                  [&](const LoopStep& l) { failed = run_loop(l, steps.bodies[k][0], table); },
                  [&](const BranchStep& b) { failed = run_branch(b, steps.bodies[k], table); },
                  [&](const CallStep& c) { failed = call(c, program, table); }},
            program.steps[k].action);
        if (timed) ticks_[k] += (Clock::now() - start).count();
        if (failed.failed) return failed;
        if (after_step && !after_step(k)) break;
    }
    return {};
}

}  // namespace arete::cuda

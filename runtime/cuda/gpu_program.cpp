#include "runtime/cuda/gpu_program.h"

#include <algorithm>
#include <chrono>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "runtime/cuda/status.h"

namespace arete::cuda {

namespace {

// What is larger is copied piece by piece.
constexpr std::size_t most_staged = std::size_t{64} << 20;

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
    advance_ = source.advance;
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
        const bool copies = std::holds_alternative<CopyStep>(s.action);
        const std::size_t slots = s.kernel() ? s.kernel()->slots.size() : 2;
        const bool fits =
            kernel ? (s.kernel() || copies) && source.kernels[kernel].writes.size() == slots
                   : !s.kernel();
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
    staged_at_.resize(program_.slots.size());
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
        if (slot.kind == Slot::Kind::Input || slot.kind == Slot::Kind::Output ||
            slot.kind == Slot::Kind::Shared)
            continue;
        memory_.emplace_back(*driver_, std::max<std::size_t>(bytes(s), 1), slot.name);
        table_[s] = memory_.back().get();
    }
    std::size_t host_bytes = 0;
    allocate_staged(Slot::Kind::Input, host_bytes);
    allocate_staged(Slot::Kind::Output, host_bytes);
    if (status_) driver_->clear(status_, sizeof(Status));
    staged_ = host_bytes <= most_staged;
    if (staged_ && host_bytes > 0)
        host_ = HostMemory(*driver_, host_bytes, "arguments and results");
}

// One piece of memory for all slots of a kind, or one for each. Behind outputs the status.
void GpuProgram::allocate_staged(Slot::Kind kind, std::size_t& host_bytes) {
    std::vector<Staged>& pieces = kind == Slot::Kind::Input ? in_ : out_;
    std::vector<SlotId> slots;
    for (SlotId s : table_.ids())
        if (program_.slots[s].kind == kind) slots.push_back(s);
    const bool status =
        kind == Slot::Kind::Output &&
        std::any_of(entries_.begin(), entries_.end(), [](const auto& e) { return e.status; });
    const auto rounded = [](std::size_t n) { return (n + 255) / 256 * 256; };
    const auto begin = [&](std::size_t all, std::string_view what) {
        memory_.emplace_back(*driver_, std::max<std::size_t>(all, 1), what);
        pieces.push_back({memory_.back().get(), host_bytes, 0});
    };
    if (!driver_->separate() && (!slots.empty() || status)) {
        std::size_t all = status ? sizeof(Status) : 0;
        for (SlotId s : slots) all += rounded(bytes(s));
        begin(all, kind == Slot::Kind::Input ? "arguments" : "results");
    }
    const auto place = [&](std::size_t size, std::size_t& at) {
        at = host_bytes;
        void* device = static_cast<char*>(pieces.back().device) + (at - pieces.back().host);
        pieces.back().bytes = at - pieces.back().host + size;
        host_bytes += rounded(size);
        return device;
    };
    for (SlotId s : slots) {
        if (driver_->separate()) begin(bytes(s), program_.slots[s].name);
        table_[s] = place(bytes(s), staged_at_[s]);
    }
    if (!status) return;
    if (driver_->separate()) begin(sizeof(Status), "the status of checks");
    status_ = place(sizeof(Status), status_at_);
}

void GpuProgram::copy(void* to, const void* from, std::size_t n) {
    if (n && to != from) driver_->copy(to, from, n);
}

// ---- shared variables

namespace {

class GpuValue final : public DeviceValue {
  public:
    GpuValue(std::shared_ptr<GpuDriver> driver, std::size_t bytes, const std::string& name)
        : driver_(std::move(driver)),
          bytes_(bytes),
          memory_(*driver_, std::max<std::size_t>(bytes, 1), "shared variable '" + name + "'") {}

    const std::string& device() const override { return driver_->name(); }
    const void* identity() const override { return driver_.get(); }
    void* memory() const override { return memory_.get(); }
    void from_host(const void* host) override {
        if (bytes_) driver_->copy_in(memory_.get(), host, bytes_);
    }
    void to_host(void* host) const override {
        if (bytes_) driver_->copy_out(host, memory_.get(), bytes_);
    }

  private:
    std::shared_ptr<GpuDriver> driver_;
    std::size_t bytes_;
    DeviceMemory memory_;
};

}  // namespace

bool GpuProgram::takes_shared(std::span<SharedValue* const> values) {
    shared_.assign(values.begin(), values.end());
    return bound_ = true;
}

// Where the shared variables are now; true where one is not where it was.
bool GpuProgram::find_shared(IdSpan<SlotId, void* const> table) {
    bool moved = false;
    for (SlotId s : table_.ids()) {
        const Slot& slot = program_.slots[s];
        if (slot.kind != Slot::Kind::Shared) continue;
        void* now = table_[s];
        if (bound_) {
            now = shared_[static_cast<std::size_t>(slot.number)]
                      ->on_device(
                          driver_.get(),
                          [&] { return std::make_shared<GpuValue>(driver_, bytes(s), slot.name); })
                      .memory();
        } else {
            if (!now) {
                memory_.emplace_back(*driver_, std::max<std::size_t>(bytes(s), 1), slot.name);
                now = memory_.back().get();
            }
            if (bytes(s)) driver_->copy_in(now, table[s], bytes(s));
        }
        moved |= std::exchange(table_[s], now) != now;
    }
    return moved;
}

void GpuProgram::tell_written() {
    if (!bound_) return;
    for (SlotId s : table_.ids())
        if (program_.slots[s].kind == Slot::Kind::Shared && written_[s])
            shared_[static_cast<std::size_t>(program_.slots[s].number)]->device_written();
}

void GpuProgram::copy_constants(IdSpan<SlotId, void* const> table) {
    if (constants_ready_) return;
    for (SlotId s : table.ids())
        if (program_.slots[s].kind == Slot::Kind::Constant && bytes(s))
            driver_->copy_in(table_[s], table[s], bytes(s));
    constants_ready_ = true;
}

void GpuProgram::upload(IdSpan<SlotId, void* const> table) {
    for (SlotId s : table.ids())
        if (program_.slots[s].kind == Slot::Kind::Input && bytes(s))
            driver_->copy_in(table_[s], table[s], bytes(s));
}

void GpuProgram::download(IdSpan<SlotId, void* const> table) {
    for (SlotId s : table.ids()) {
        const Slot::Kind kind = program_.slots[s].kind;
        const bool back =
            kind == Slot::Kind::Output || (kind == Slot::Kind::Shared && is_mine(s) && written_[s]);
        if (back && bytes(s) > 0) driver_->copy_out(table[s], table_[s], bytes(s));
    }
}

// ---- runs

// Whatever goes wrong on the device is said with the kernels that may have done it.
loops::Failure GpuProgram::naming_kernels(const std::function<loops::Failure()>& run) {
    running_.clear();
    try {
        return run();
    } catch (const DeviceFault& e) {
        constexpr std::size_t most = 40;
        std::vector<std::string> names;
        for (const Step* s : running_) {
            std::string name = "'" + s->name() + "'";
            if (!s->lines.empty()) name += " (" + s->lines + ")";
            if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        }
        const bool more = names.size() > most;
        if (more) names.resize(most);
        if (names.empty()) throw;
        if (names.size() == 1) fail<DeviceFault>(e.loc(), "{}; in kernel {}", e.what(), names[0]);
        fail<DeviceFault>(e.loc(),
                          "{}; in one of the kernels {}{}. With ARETE_CUDA_CHECK=1 they run one by "
                          "one, and the error names the one",
                          e.what(), fmt::join(names, ", "), more ? ", ..." : "");
    }
}

void GpuProgram::is_running(const Step& step) {
    if (!step.kernel()) return;
    if (driver_->one_by_one()) running_.clear();
    running_.push_back(&step);
}

loops::Failure GpuProgram::status() {
    Status status;
    driver_->copy_out(&status, status_, sizeof status);
    running_.clear();
    if (!status.failed) return {};
    driver_->clear(status_, sizeof status);
    return {true, static_cast<int>(status.code), status.element, {}};
}

loops::Failure GpuProgram::run(IdSpan<SlotId, void*> table) {
    return run(table, {});
}

loops::Failure GpuProgram::run(IdSpan<SlotId, void*> table,
                               const std::function<bool(StepId)>& after_step) {
    return naming_kernels([&]() -> loops::Failure {
        if (find_shared(table)) {
            pieces_.clear();
            many_.clear();
        }
        copy_constants(table);
        if (!after_step && ticks_.empty() && !driver_->one_by_one()) return run_graphs(table);
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
        tell_written();
        loops::Failure failed =
            run_steps(program_, steps_, table_, StepId(0), StepId(program_.steps.size()), watched);
        if (status_ && !failed.failed) failed = status();
        if (!failed.failed) download(table);
        return failed;
    });
}

loops::Failure GpuProgram::launch(const Step& step, std::span<const SlotId> slots, LaunchId kernel,
                                  IdSpan<SlotId, void* const> table) {
    const LaunchEntry& e = entries_[kernel];
    if (e.grid[0] * e.grid[1] * e.grid[2] == 0) return {};
    std::vector<void*> arguments;
    for (SlotId slot : slots) arguments.push_back(at(table, slot));
    if (e.status) arguments.push_back(status_);
    is_running(step);
    module_->launch(first_ + kernel.index(), arguments);
    return e.checks ? status() : loops::Failure();
}

bool GpuProgram::is_true(const void* flag) {
    std::uint8_t value = 0;
    driver_->copy_out(&value, flag, 1);
    running_.clear();
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
        if (const loops::Failure f = run_steps(loop.body[0], body, inner, StepId(0),
                                               StepId(loop.body[0].steps.size()), {});
            f.failed)
            return f;
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
    return run_steps(branch.bodies[which], bodies[which], inner, StepId(0),
                     StepId(branch.bodies[which].steps.size()), {});
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
                                     IdSpan<SlotId, void* const> table, StepId first, StepId last,
                                     const std::function<bool(StepId)>& after_step) {
    using Clock = std::chrono::steady_clock;
    const bool timed = &program == &program_ && !ticks_.empty();
    const auto slot_bytes = [&](SlotId s) { return program.slots[s].bytes(); };
    for (StepId k = first; k < last; ++k) {
        const Step& step = program.steps[k];
        const auto start = timed ? Clock::now() : Clock::time_point();
        loops::Failure failed;
        std::visit(
            Cases{[&](const KernelStep& s) {
                      failed = launch(step, s.slots, steps.kernels[k], table);
                  },
                  [&](const CopyStep& c) {
                      const SlotId slots[] = {c.from, c.to};
                      if (steps.kernels[k]) {
                          failed = launch(step, slots, steps.kernels[k], table);
                          return;
                      }
                      copy(at(table, c.to), at(table, c.from), slot_bytes(c.to));
                  },
                  [&](const FillStep& f) {
                      if (slot_bytes(f.to)) driver_->clear(at(table, f.to), slot_bytes(f.to));
                  },
                  [&](const LoopStep& l) { failed = run_loop(l, steps.bodies[k][0], table); },
                  [&](const BranchStep& b) { failed = run_branch(b, steps.bodies[k], table); },
                  [&](const CallStep& c) { failed = call(c, program, table); }},
            step.action);
        if (timed) {
            driver_->finish();
            running_.clear();
            ticks_[k] += (Clock::now() - start).count();
        }
        if (failed.failed) return failed;
        if (after_step && !after_step(k)) break;
    }
    return {};
}

}  // namespace arete::cuda

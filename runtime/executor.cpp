#include "runtime/executor.h"

#include <algorithm>
#include <chrono>

#include "runtime/program_cache.h"
#include "runtime/shared_value.h"

namespace arete {

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// A scheduled program in the form that the device loads.
std::string translate(Compiled& compiled, const CompileRequest& request) {
    Translation watch;
    watch.verify = request.options.verify;
    watch.threads = request.options.num_threads;
    watch.dumps = [&](Stage stage) { return request.options.dumps(stage); };
    watch.passed = [&](std::string_view pass, double ms) {
        compiled.passes.push_back({std::string(pass), ms});
    };
    watch.dump = [&](std::string_view pass, std::string_view extension, std::string_view text) {
        write_dump(request.options, compiled.dumped++, compiled.program.name, pass, extension,
                   text);
    };
    return request.target->translate(compiled.program, watch);
}

}  // namespace

Executable::Executable(Compiled compiled, std::string_view translated, const Device& device)
    : compiled_(std::move(compiled)) {
    const Program& program = compiled_.program;
    loaded_ = device.load(program, translated);
    try {
        arena_ = allocate_bytes(static_cast<std::size_t>(program.arena_bytes));
    } catch (const MemoryError&) {
        fail<MemoryError>({}, "no memory for {} bytes of intermediate values", program.arena_bytes);
    }
    table_.resize(program.slots.size());
    for (SlotId i : table_.ids()) {
        const Slot& s = program.slots[i];
        if (s.kind == Slot::Kind::Arena) table_[i] = static_cast<char*>(arena_.get()) + s.offset;
        if (s.kind == Slot::Kind::Constant) table_[i] = compiled_.constants[s.number].raw();
    }
    std::vector<SharedValue*> values;
    for (const Expr& e : compiled_.shared) values.push_back(&shared_value(e.node()));
    takes_shared_ = loaded_->takes_shared(values);
    updated_.assign(values.size(), 1);
}

void Executable::find_updated(const CompileRequest& request) {
    for (std::size_t k = 0; k < updated_.size(); ++k)
        updated_[k] =
            std::any_of(request.updates.begin(), request.updates.end(), [&](const auto& u) {
                return u.first.node().storage == compiled_.shared[k].node().storage;
            });
}

std::unique_ptr<Executable> Executable::make(const CompileRequest& request, const Device& device) {
    ARETE_CHECK(request.target == device.target(), "compiled for another device");
    const ProgramCache cache(request);
    if (std::optional<ProgramCache::Entry> found = cache.load()) try {
            auto out =
                std::make_unique<Executable>(std::move(found->compiled), found->object, device);
            out->from_cache_ = true;
            out->find_updated(request);
            return out;
        } catch (const CompileError&) {
            // What cannot be loaded is as good as nothing.
        }
    Compiled compiled = compile(request);
    const std::string translated = request.target ? translate(compiled, request) : std::string();
    auto out = std::make_unique<Executable>(std::move(compiled), translated, device);
    out->find_updated(request);
    cache.store(out->compiled(), translated);
    return out;
}

int Executable::kernels() const {
    return kernel_count(compiled_.program);
}

void Executable::fill_table(std::span<void* const> inputs, std::span<void* const> outputs) {
    for (SlotId i : table_.ids()) {
        const Slot& s = compiled_.program.slots[i];
        const auto n = static_cast<std::size_t>(s.number);
        switch (s.kind) {
            case Slot::Kind::Input: table_[i] = inputs[n]; break;
            case Slot::Kind::Output: table_[i] = outputs[n]; break;
            case Slot::Kind::Shared: {
                SharedValue& value = shared_value(compiled_.shared[n].node());
                table_[i] = takes_shared_ ? value.host_room() : value.host_memory(updated_[n]);
                break;
            }
            case Slot::Kind::Constant:
            case Slot::Kind::Bound:
            case Slot::Kind::Arena: break;
        }
    }
}

void Executable::raise(const loops::Failure& failure) const {
    if (!failure.failed) return;
    const CheckSite& site = compiled_.checks[failure.code];
    if (!failure.message.empty())
        throw CallError(site.loc, fmt::format("{}: {}", site.message, failure.message));
    site.raise(failure.element);
}

void Executable::run(std::span<void* const> inputs, std::span<void* const> outputs) {
    fill_table(inputs, outputs);
    if (!compiled_.program.profile) return raise(loaded_->run(table_));
    const auto start = Clock::now();
    const loops::Failure failure = loaded_->run(table_);
    ms_ += ms_since(start);
    ++calls_;
    raise(failure);
}

void Executable::run_many(std::int64_t first, std::int64_t count, std::span<void* const> stacks) {
    const IdVector<SlotId, Slot>& slots = compiled_.program.slots;
    ManyRuns runs{first, count, {}, {}};
    DType dtype = DType::I64;
    for (SlotId i : slots.ids()) {
        if (slots[i].kind == Slot::Kind::Output)
            runs.stacks.emplace_back(i, stacks[static_cast<std::size_t>(slots[i].number)]);
        if (slots[i].kind == Slot::Kind::Input) {
            runs.input = i;
            dtype = slots[i].dtype;
        }
    }
    Array argument = Array(first).astype(dtype);
    void* input = argument.raw();
    std::vector<void*> outputs(stacks.begin(), stacks.end());
    if (count > 0) fill_table({&input, 1}, outputs);
    if (const auto failure = count > 0 && runs.input && !compiled_.program.profile
                                 ? loaded_->run_many(table_, runs)
                                 : std::nullopt)
        return raise(*failure);
    for (std::int64_t k = 0; k < count; ++k) {
        argument = Array(first + k).astype(dtype);
        input = argument.raw();
        run({&input, 1}, outputs);
        for (const auto& [slot, stack] : runs.stacks) {
            const Slot& s = slots[slot];
            auto& at = outputs[static_cast<std::size_t>(s.number)];
            at = static_cast<char*>(at) + s.bytes();
        }
    }
}

bool Executable::run_observed(std::span<void* const> inputs, std::span<void* const> outputs,
                              const std::function<bool(StepId)>& after_step) {
    ARETE_CHECK(compiled_.program.observed, "the program was compiled to run unobserved");
    fill_table(inputs, outputs);
    bool stopped = false;
    raise(loaded_->run(table_, [&](StepId step) {
        stopped = !after_step(step);
        return !stopped;
    }));
    return !stopped;
}

IdVector<StepId, StepCost> Executable::costs() const {
    // The steps fill a call but for its entry and exit, so their ticks add up to its time.
    const IdSpan<StepId, const std::int64_t> ticks = loaded_->ticks();
    std::int64_t all = 0;
    for (std::int64_t t : ticks) all += t;
    IdVector<StepId, StepCost> out;
    for (StepId i : ticks.ids())
        out.push_back({&compiled_.program.steps[i], calls_,
                       all ? ms_ * static_cast<double>(ticks[i]) / static_cast<double>(all) : 0});
    return out;
}

}  // namespace arete

#include "runtime/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <tuple>

#include "runtime/program_cache.h"

namespace arete {

namespace {

void run_parallel(StepContext* context, void (*body)(void*, std::int64_t), void* table,
                  std::int64_t chunks) {
    static_cast<ThreadPool*>(context->pool)->run(body, table, chunks);
}

void keep_lowest(StepContext* c, std::int64_t code, std::int64_t element) {
    // Failures are rare: one lock serves all programs.
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (c->failed && std::tie(c->code, c->element) <= std::tie(code, element)) return;
    c->failed = 1;
    c->code = code;
    c->element = element;
}

// Machine code for a scheduled program.
std::string generate(Compiled& compiled, const CompileRequest& request) {
    const Options& options = request.options;
    using Clock = std::chrono::steady_clock;
    auto start = Clock::now();
    auto passed = [&](const char* pass) {
        const auto now = Clock::now();
        compiled.passes.push_back(
            {pass, std::chrono::duration<double, std::milli>(now - start).count()});
    };
    LlvmModule module(compiled.program, request.machine);
    passed("llvm_print");
    auto dump = [&](const char* pass, const char* extension, const std::string& text) {
        write_dump(options, compiled.dumped++, compiled.program.name, pass, extension, text);
    };
    if (options.dumps(Stage::Llvm)) dump("llvm", "ll", module.ir());
    start = Clock::now();
    module.optimize(options.verify);
    passed("llvm_passes");
    if (options.dumps(Stage::Llvm)) dump("llvm_optimized", "ll", module.ir());
    if (options.dumps(Stage::Asm)) dump("asm", "s", module.assembly());
    start = Clock::now();
    std::string object = module.object();
    passed("llvm_machine_code");
    return object;
}

}  // namespace

Executable::Executable(Compiled compiled, std::string_view object, const Machine& machine,
                       std::shared_ptr<ThreadPool> pool)
    : compiled_(std::move(compiled)), pool_(std::move(pool)) {
    const Program& program = compiled_.program;
    if (!object.empty()) {
        native_ = std::make_unique<NativeProgram>(object, machine);
    } else {
        for (const Step& s : program.steps)
            plain_.push_back(s.kind == Step::Kind::Kernel ? naive(s.parts.at(0).nest)
                                                          : loops::Kernel());
    }
    try {
        arena_ = allocate_bytes(static_cast<std::size_t>(program.arena_bytes));
    } catch (const MemoryError&) {
        fail<MemoryError>({}, "no memory for {} bytes of intermediate values", program.arena_bytes);
    }
    table_.resize(program.slots.size());
    for (std::size_t i = 0; i < table_.size(); ++i) {
        const Slot& s = program.slots[i];
        if (s.kind == Slot::Kind::Arena) table_[i] = static_cast<char*>(arena_.get()) + s.offset;
        if (s.kind == Slot::Kind::Constant)
            table_[i] = compiled_.constants[static_cast<std::size_t>(s.number)].raw();
    }
    context_.pool = pool_.get();
    context_.parallel = run_parallel;
    context_.fail = keep_lowest;
    ticks_.resize(program.steps.size());
    context_.ticks = ticks_.data();
}

std::unique_ptr<Executable> Executable::make(const CompileRequest& request,
                                             std::shared_ptr<ThreadPool> pool) {
    const ProgramCache cache(request);
    if (std::optional<ProgramCache::Entry> found = cache.load()) try {
            auto out = std::make_unique<Executable>(std::move(found->compiled), found->object,
                                                    request.machine, pool);
            out->from_cache_ = true;
            return out;
        } catch (const CompileError&) {
            // Machine code that does not link: as good as none.
        }
    Compiled compiled = compile(request);
    const std::string object = request.schedule ? generate(compiled, request) : std::string();
    auto out =
        std::make_unique<Executable>(std::move(compiled), object, request.machine, std::move(pool));
    cache.store(out->compiled(), object);
    return out;
}

int Executable::kernels() const {
    return kernel_count(compiled_.program);
}

void Executable::fill_table(std::span<void* const> inputs, std::span<void* const> outputs) {
    for (std::size_t i = 0; i < table_.size(); ++i) {
        const Slot& s = compiled_.program.slots[i];
        const auto n = static_cast<std::size_t>(s.number);
        switch (s.kind) {
            case Slot::Kind::Input: table_[i] = inputs[n]; break;
            case Slot::Kind::Output: table_[i] = outputs[n]; break;
            case Slot::Kind::Shared:
                table_[i] = compiled_.shared[n].node().storage->value.raw();
                break;
            case Slot::Kind::Constant:
            case Slot::Kind::Arena: break;
        }
    }
    context_.failed = 0;
}

void Executable::run(std::span<void* const> inputs, std::span<void* const> outputs) {
    fill_table(inputs, outputs);
    if (native_ && compiled_.program.profile)
        run_measured();
    else if (native_)
        native_->step()(table_.data(), &context_);
    else
        interpret_all();
    if (!context_.failed) return;
    compiled_.checks[static_cast<std::size_t>(context_.code)].raise(context_.element);
}

bool Executable::run_observed(std::span<void* const> inputs, std::span<void* const> outputs,
                              const std::function<bool(int)>& after_step) {
    ARETE_CHECK(compiled_.program.observed, "the program was compiled to run unobserved");
    bool stopped = false;
    const std::function<bool(int)> observer = [&](int step) {
        stopped = !after_step(step);
        return !stopped;
    };
    context_.observer = const_cast<std::function<bool(int)>*>(&observer);
    context_.after_step = [](StepContext* c, std::int64_t step) -> std::int64_t {
        return !(*static_cast<const std::function<bool(int)>*>(c->observer))(
            static_cast<int>(step));
    };
    run(inputs, outputs);
    return !stopped;
}

void Executable::run_measured() {
    using Clock = std::chrono::steady_clock;
    auto start = Clock::now();
    native_->step()(table_.data(), &context_);
    ms_ += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    ++calls_;
}

std::vector<StepCost> Executable::costs() const {
    // The steps fill a call but for its entry and exit, so their ticks add up to its time.
    std::int64_t all = 0;
    for (std::int64_t t : ticks_) all += t;
    std::vector<StepCost> out;
    for (std::size_t i = 0; i < ticks_.size(); ++i)
        out.push_back({&compiled_.program.steps[i], calls_,
                       all ? ms_ * static_cast<double>(ticks_[i]) / static_cast<double>(all) : 0});
    return out;
}

void Executable::interpret_all() {
    auto observed = [&](std::size_t step) {
        return compiled_.program.observed &&
               context_.after_step(&context_, static_cast<std::int64_t>(step));
    };
    for (std::size_t k = 0; k < compiled_.program.steps.size(); ++k) {
        const Step& s = compiled_.program.steps[k];
        if (s.kind == Step::Kind::Copy) {
            std::memcpy(slot(s.slots[1]), slot(s.slots[0]),
                        compiled_.program.slots[static_cast<std::size_t>(s.slots[1])].bytes());
            if (observed(k)) return;
            continue;
        }
        if (s.kind == Step::Kind::Zero) {
            std::memset(slot(s.slots[0]), 0,
                        compiled_.program.slots[static_cast<std::size_t>(s.slots[0])].bytes());
            if (observed(k)) return;
            continue;
        }
        std::vector<void*> pointers;
        for (int n : s.slots) pointers.push_back(slot(n));
        pointers.resize(plain_[k].buffers.size(), nullptr);
        loops::Failure f = interpret(plain_[k], pointers);
        if (f.failed) return keep_lowest(&context_, f.code, f.element);
        if (observed(k)) return;
    }
}

}  // namespace arete

#include "runtime/cpu/device.h"

#include <mutex>
#include <tuple>

#include "compiler/targets/cpu/abi.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/target.h"
#include "runtime/cpu/jit.h"
#include "runtime/cpu/thread_pool.h"

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

// A call and the program, or body, whose slots it names.
struct HostCall {
    const CallStep* call;
    const Program* program;
};

// In the order in which the printer numbers them.
void collect_calls(const Program& program, std::vector<HostCall>& out) {
    for (const Step& s : program.steps) {
        if (const auto* call = std::get_if<CallStep>(&s.action)) out.push_back({call, &program});
        for (const Program& body : s.bodies()) collect_calls(body, out);
    }
}

class CpuProgram final : public LoadedProgram {
  public:
    CpuProgram(const Program& program, std::string_view object, const Machine& machine,
               std::shared_ptr<ThreadPool> pool)
        : native_(object, machine), pool_(std::move(pool)) {
        context_.pool = pool_.get();
        context_.parallel = run_parallel;
        context_.fail = keep_lowest;
        ticks_.resize(program.profile ? program.steps.size() : 0);
        context_.ticks = ticks_.data();
        collect_calls(program, calls_);
        context_.calls = this;
        context_.call = [](StepContext* c, std::int64_t number, void** table) -> std::int64_t {
            auto& self = *static_cast<CpuProgram*>(c->calls);
            const HostCall& h = self.calls_[number];
            self.failure_ = run_call(*h.call, *h.program,
                                     std::span<void* const>(table, h.program->slots.size()));
            return self.failure_.failed;
        };
    }

    loops::Failure run(IdSpan<SlotId, void*> table) override {
        context_.failed = 0;
        failure_ = {};
        native_.step()(table.data(), &context_);
        if (failure_.failed) return failure_;
        return {context_.failed != 0, static_cast<int>(context_.code), context_.element};
    }

    loops::Failure run(IdSpan<SlotId, void*> table,
                       const std::function<bool(StepId)>& after_step) override {
        context_.observer = const_cast<std::function<bool(StepId)>*>(&after_step);
        context_.after_step = [](StepContext* c, std::int64_t step) -> std::int64_t {
            return !(*static_cast<const std::function<bool(StepId)>*>(c->observer))(StepId(step));
        };
        return run(table);
    }

    IdSpan<StepId, const std::int64_t> ticks() const override { return ticks_; }

  private:
    NativeProgram native_;
    std::shared_ptr<ThreadPool> pool_;
    IdVector<StepId, std::int64_t> ticks_;
    std::vector<HostCall> calls_;
    loops::Failure failure_;  // of a call
    StepContext context_;
};

class CpuDevice final : public Device {
  public:
    explicit CpuDevice(const Options& options)
        : cpu_(cpu_target(host_machine(options.cpu))),
          target_(cpu_),
          pool_(shared_pool(options.num_threads)) {}

    const std::shared_ptr<const Target>& target() const override { return target_; }
    std::unique_ptr<LoadedProgram> load(const Program& program,
                                        std::string_view object) const override {
        return std::make_unique<CpuProgram>(program, object, cpu_->machine(), pool_);
    }

  private:
    std::shared_ptr<const CpuTarget> cpu_;
    std::shared_ptr<const Target> target_;
    std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

std::shared_ptr<const Device> open_cpu(const Options& options) {
    return std::make_shared<CpuDevice>(options);
}

}  // namespace arete

// Runs a program's steps over a driver.
#pragma once

#include <memory>
#include <vector>

#include "runtime/cuda/driver.h"
#include "runtime/device.h"

namespace arete::cuda {

/// A program whose values live in memory of a device. Each run copies arguments and shared
/// variables there, and results and changed shared variables back.
class GpuProgram final : public LoadedProgram {
  public:
    /// The program must outlive it. A MemoryError where the device has no memory for it.
    GpuProgram(const Program& program, const Source& source, std::shared_ptr<GpuDriver> driver);
    /// The same with kernels that are loaded already, of which `source` may be a part: its first
    /// one is number `first` of the module.
    GpuProgram(const Program& program, const Source& source, std::shared_ptr<GpuDriver> driver,
               std::shared_ptr<GpuModule> module, std::size_t first);

    loops::Failure run(IdSpan<SlotId, void*> table) override;
    loops::Failure run(IdSpan<SlotId, void*> table,
                       const std::function<bool(StepId step)>& after_step) override;
    IdSpan<StepId, const std::int64_t> ticks() const override { return ticks_; }

  private:
    // The kernels that a program's steps launch, and its bodies'.
    struct Steps {
        IdVector<StepId, LaunchId> kernels;
        IdVector<StepId, std::vector<Steps>> bodies;
    };
    static Steps steps_of(const Program& program, const Source& source, std::size_t& next);
    void allocate();
    void find_written(const Program& program, const Steps& steps);
    void upload(IdSpan<SlotId, void* const> table);
    void download(IdSpan<SlotId, void* const> table);
    std::size_t bytes(SlotId slot) const { return program_.slots[slot].bytes(); }

    loops::Failure run_steps(const Program& program, const Steps& steps,
                             IdSpan<SlotId, void* const> table,
                             const std::function<bool(StepId step)>& after_step);
    loops::Failure launch(const KernelStep& step, LaunchId kernel,
                          IdSpan<SlotId, void* const> table);
    loops::Failure run_loop(const LoopStep& loop, const Steps& body,
                            IdSpan<SlotId, void* const> table);
    loops::Failure run_branch(const BranchStep& branch, const std::vector<Steps>& bodies,
                              IdSpan<SlotId, void* const> table);
    loops::Failure call(const CallStep& call, const Program& program,
                        IdSpan<SlotId, void* const> table);
    bool is_true(const void* flag);
    void copy(void* to, const void* from, std::size_t n);

    const Program& program_;
    IdVector<LaunchId, LaunchEntry> entries_;
    std::shared_ptr<GpuDriver> driver_;
    std::shared_ptr<GpuModule> module_;
    std::size_t first_ = 0;
    Steps steps_;
    std::vector<DeviceMemory> memory_;
    IdVector<SlotId, void*> table_;   // pointers of the device
    IdVector<SlotId, char> written_;  // shared variables that some step may change
    void* status_ = nullptr;
    bool constants_ready_ = false;
    IdVector<StepId, std::int64_t> ticks_;
};

}  // namespace arete::cuda

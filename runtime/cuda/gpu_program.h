// Runs a program's steps over a driver.
#pragma once

#include <memory>
#include <vector>

#include "runtime/cuda/driver.h"
#include "runtime/device.h"
#include "runtime/shared_value.h"

namespace arete::cuda {

/// What a graph is made of for now: nodes with the memory that they read and write, in an order in
/// which they could run one after another.
class GraphBuilder {
  public:
    /// Bytes of a device.
    struct Range {
        const char* first = nullptr;
        std::size_t bytes = 0;
        bool written = false;
    };
    void add(GraphNode node, std::vector<Range> ranges);
    bool empty() const { return nodes_.empty(); }
    /// The nodes, each after those earlier ones with which it shares memory that one of them
    /// writes, but for what these come after themselves.
    std::vector<GraphNode> nodes() const;

  private:
    std::vector<GraphNode> nodes_;
    std::vector<std::vector<Range>> ranges_;
};

/// A program whose values live in memory of a device. Inputs go there, and outputs come back,
/// through memory of the host that the device reads by itself, shared variables stay there, and
/// kernels, copies and fills between two steps of the host are one graph.
class GpuProgram final : public LoadedProgram {
  public:
    /// The program must outlive it. A DeviceError where the device has no memory for it.
    GpuProgram(const Program& program, const Source& source, std::shared_ptr<GpuDriver> driver);
    /// The same with kernels that are loaded already, of which `source` may be a part: its first
    /// one is number `first` of the module.
    GpuProgram(const Program& program, const Source& source, std::shared_ptr<GpuDriver> driver,
               std::shared_ptr<GpuModule> module, std::size_t first);

    /// Without this, shared variables are in the table, and go and come as inputs and outputs do.
    bool takes_shared(std::span<SharedValue* const> values) override;
    loops::Failure run(IdSpan<SlotId, void*> table) override;
    loops::Failure run(IdSpan<SlotId, void*> table,
                       const std::function<bool(StepId step)>& after_step) override;
    std::optional<loops::Failure> run_many(IdSpan<SlotId, void*> table,
                                           const ManyRuns& runs) override;
    IdSpan<StepId, const std::int64_t> ticks() const override { return ticks_; }

  private:
    // The kernels that a program's steps launch, and its bodies'.
    struct Steps {
        IdVector<StepId, LaunchId> kernels;
        IdVector<StepId, std::vector<Steps>> bodies;
    };
    // Steps that are one graph, or one step of the host.
    struct Piece {
        StepId first, last;  // steps, the last one left out
        std::unique_ptr<GpuGraph> graph;
        bool checks = false;
    };
    using Pieces = std::vector<Piece>;

    static Steps steps_of(const Program& program, const Source& source, std::size_t& next);
    void allocate();
    void allocate_staged(Slot::Kind kind, std::size_t& host_bytes);
    void find_written(const Program& program, const Steps& steps);
    bool find_shared(IdSpan<SlotId, void* const> table);
    void tell_written();
    void copy_constants(IdSpan<SlotId, void* const> table);
    void upload(IdSpan<SlotId, void* const> table);
    void download(IdSpan<SlotId, void* const> table);
    std::size_t bytes(SlotId slot) const { return program_.slots[slot].bytes(); }
    bool is_mine(SlotId slot) const {
        return !bound_ || program_.slots[slot].kind != Slot::Kind::Shared;
    }

    enum class Ends : std::uint8_t { nothing, copies, many };
    Pieces pieces(Ends ends) const;
    void add_step(GraphBuilder& to, StepId step) const;
    void add_advance(GraphBuilder& to) const;
    loops::Failure run_pieces(const Pieces& pieces);
    loops::Failure run_graphs(IdSpan<SlotId, void* const> table);
    loops::Failure naming_kernels(const std::function<loops::Failure()>& run);
    void is_running(const Step& step);
    loops::Failure status();

    loops::Failure run_steps(const Program& program, const Steps& steps,
                             IdSpan<SlotId, void* const> table, StepId first, StepId last,
                             const std::function<bool(StepId step)>& after_step);
    loops::Failure launch(const Step& step, std::span<const SlotId> slots, LaunchId kernel,
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
    LaunchId advance_;
    std::shared_ptr<GpuDriver> driver_;
    std::shared_ptr<GpuModule> module_;
    std::size_t first_ = 0;
    Steps steps_;
    std::vector<DeviceMemory> memory_;
    IdVector<SlotId, void*> table_;     // pointers of the device
    IdVector<SlotId, char> written_;    // shared variables that some step may change
    std::vector<SharedValue*> shared_;  // by Slot::number
    bool bound_ = false;                // otherwise they are in the table
    void* status_ = nullptr;
    bool constants_ready_ = false;

    // Inputs, outputs and the status lie side by side on the device and, where they are not large,
    // in memory of the host: one copy each way.
    struct Staged {
        void* device = nullptr;
        std::size_t host = 0, bytes = 0;  // where in `host_`
    };
    HostMemory host_;
    std::vector<Staged> in_, out_;
    IdVector<SlotId, std::size_t> staged_at_;  // of inputs and outputs
    std::size_t status_at_ = 0;
    bool staged_ = false;

    Pieces pieces_, many_;
    std::vector<DeviceMemory> stacks_;  // by output, and the count of runs
    std::size_t stacked_runs_ = 0;
    std::vector<const Step*> running_;  // since the device was last waited for
    IdVector<StepId, std::int64_t> ticks_;
};

}  // namespace arete::cuda

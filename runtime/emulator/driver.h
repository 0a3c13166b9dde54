// A card that is emulated: its memory is the host's, its threads are fibers.
#pragma once

#include <compare>
#include <map>
#include <mutex>

#include "runtime/cuda/driver.h"
#include "runtime/emulator/fibers.h"
#include "runtime/emulator/host_compiler.h"

namespace arete::emulator {

/// How kernels are run.
struct EmulatorOptions {
    ThreadOrder order = ThreadOrder::round_robin;
    bool portable = false;  ///< fibers of the C library
    std::string cache_dir;
    /// As ARETE_EMULATOR_ORDER says: round-robin, reversed or by-warp. An ArgumentError where it
    /// says anything else.
    static EmulatorOptions from_environment();
    friend auto operator<=>(const EmulatorOptions&, const EmulatorOptions&) = default;
};

/// Runs kernels on the host: blocks one after another, threads in an order that can be chosen.
/// Memory begins and ends with red zones, which are looked at behind each kernel; what was not
/// written, and shared memory at the beginning of each block, is all ones: NaN and -1.
class EmulatorDriver final : public cuda::GpuDriver {
  public:
    explicit EmulatorDriver(EmulatorOptions options);
    ~EmulatorDriver() override;

    /// The same for all who ask for these options while it is used.
    static std::shared_ptr<EmulatorDriver> open(const EmulatorOptions& options);

    const std::string& name() const override;
    void* allocate(std::size_t bytes, std::string_view what) override;
    void release(void* memory) noexcept override;
    void* allocate_host(std::size_t bytes, std::string_view what) override;
    void release_host(void* memory) noexcept override;
    void finish() override {}
    void copy_in(void* device, const void* host, std::size_t bytes) override;
    void copy_out(void* host, const void* device, std::size_t bytes) override;
    void copy(void* to, const void* from, std::size_t bytes) override;
    void clear(void* memory, std::size_t bytes) override;
    std::unique_ptr<cuda::GpuModule> load(const cuda::Source& source) override;
    /// Its nodes run as late as those that come after them let them, so that one too few shows.
    std::unique_ptr<cuda::GpuGraph> graph(std::shared_ptr<cuda::GpuModule> module,
                                          std::vector<cuda::GraphNode> nodes) override;
    bool separate() const override { return true; }

    /// The text that the host's compiler gets for a source.
    static std::string text(const cuda::Source& source);
    const HostCompiler& compiler() const { return compiler_; }

  private:
    friend class EmulatorModule;
    friend class EmulatorGraph;
    struct Piece {
        std::size_t bytes;
        std::string what;
    };
    void check_zones(const std::string& kernel) const;

    EmulatorOptions options_;
    HostCompiler compiler_;
    mutable std::mutex mutex_;
    std::map<void*, Piece> pieces_;
};

}  // namespace arete::emulator

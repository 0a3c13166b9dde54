// What programs for cards ask of a driver: memory, copies, launches, graphs of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/source.h"

namespace arete::cuda {

/// A device that nothing can be asked of any more: a kernel has crashed, or the card is gone.
class DeviceFault : public DeviceError {
  public:
    using DeviceError::DeviceError;
};

/// Kernels that a driver has loaded.
class GpuModule {
  public:
    GpuModule() = default;
    GpuModule(const GpuModule&) = delete;
    GpuModule& operator=(const GpuModule&) = delete;
    virtual ~GpuModule() = default;

    /// Runs a kernel of the source after all that was asked for before. `arguments`: its pointers,
    /// which lie in memory of the device. Not called for grids without blocks.
    virtual void launch(std::size_t kernel, std::span<void* const> arguments) = 0;
};

/// One thing that a graph does, once those that it comes after have been done.
struct GraphNode {
    enum class Kind : std::uint8_t { Kernel, Copy, CopyIn, CopyOut, Clear };
    Kind kind = Kind::Kernel;
    std::size_t kernel = 0;        ///< of the module, as GpuModule::launch takes it
    std::vector<void*> arguments;  ///< of the kernel
    void* to = nullptr;            ///< of the others; of CopyOut, memory of allocate_host
    const void* from = nullptr;    ///< of copies; of CopyIn, memory of allocate_host
    std::size_t bytes = 0;
    std::vector<int> after;  ///< earlier nodes
};

/// Nodes that are launched together, any number of times, one launch after another.
class GpuGraph {
  public:
    GpuGraph() = default;
    GpuGraph(const GpuGraph&) = delete;
    GpuGraph& operator=(const GpuGraph&) = delete;
    virtual ~GpuGraph() = default;
    /// After all that was asked for before; what CopyOut writes is there after finish().
    virtual void launch() = 0;
};

/// A card, or what stands for one. Whatever is asked for is done in order; copies to the host have
/// been done when they return. Errors, of memory that is lacking, too, are DeviceErrors; a
/// DeviceFault is one after which the driver is of no use. Several threads may call it.
class GpuDriver {
  public:
    GpuDriver() = default;
    GpuDriver(const GpuDriver&) = delete;
    GpuDriver& operator=(const GpuDriver&) = delete;
    virtual ~GpuDriver() = default;

    /// As options name the device: "cuda:1".
    virtual const std::string& name() const = 0;
    /// `what` names the memory in errors.
    virtual void* allocate(std::size_t bytes, std::string_view what) = 0;
    virtual void release(void* memory) noexcept = 0;
    /// Memory of the host that the device copies from and to by itself.
    virtual void* allocate_host(std::size_t bytes, std::string_view what) = 0;
    virtual void release_host(void* memory) noexcept = 0;
    virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
    virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;
    virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
    virtual void clear(void* memory, std::size_t bytes) = 0;
    /// Waits until all that was asked for has been done.
    virtual void finish() = 0;
    virtual std::unique_ptr<GpuModule> load(const Source& source) = 0;
    virtual std::unique_ptr<GpuGraph> graph(std::shared_ptr<GpuModule> module,
                                            std::vector<GraphNode> nodes) = 0;
    /// Shall each value have memory of its own, so that what is written beside it shows?
    virtual bool separate() const { return false; }
    /// Shall kernels run one by one, so that an error tells which has failed?
    virtual bool one_by_one() const { return false; }
};

/// Memory of a device, or of the host for it, given back at the end. The driver must live as long.
template <void* (GpuDriver::*Allocate)(std::size_t, std::string_view),
          void (GpuDriver::*Release)(void*) noexcept>
class DriverMemory {
  public:
    DriverMemory() = default;
    DriverMemory(GpuDriver& driver, std::size_t bytes, std::string_view what)
        : driver_(&driver), memory_((driver.*Allocate)(bytes, what)) {}
    DriverMemory(DriverMemory&& other) noexcept
        : driver_(other.driver_), memory_(std::exchange(other.memory_, nullptr)) {}
    DriverMemory& operator=(DriverMemory&& other) noexcept {
        std::swap(driver_, other.driver_);
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~DriverMemory() {
        if (memory_) (driver_->*Release)(memory_);
    }
    void* get() const { return memory_; }
    char* byte(std::size_t at) const { return static_cast<char*>(memory_) + at; }

  private:
    GpuDriver* driver_ = nullptr;
    void* memory_ = nullptr;
};
using DeviceMemory = DriverMemory<&GpuDriver::allocate, &GpuDriver::release>;
using HostMemory = DriverMemory<&GpuDriver::allocate_host, &GpuDriver::release_host>;

}  // namespace arete::cuda

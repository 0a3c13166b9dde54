// What programs for cards ask of a driver: memory, copies, launches.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "compiler/targets/cuda/source.h"

namespace arete::cuda {

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

/// A card, or what stands for one. Whatever is asked for is done in order; copies to the host have
/// been done when they return. Errors are DeviceErrors, memory that is lacking a MemoryError.
class GpuDriver {
  public:
    GpuDriver() = default;
    GpuDriver(const GpuDriver&) = delete;
    GpuDriver& operator=(const GpuDriver&) = delete;
    virtual ~GpuDriver() = default;

    /// `what` names the memory in errors.
    virtual void* allocate(std::size_t bytes, std::string_view what) = 0;
    virtual void release(void* memory) noexcept = 0;
    virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
    virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;
    virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
    virtual void clear(void* memory, std::size_t bytes) = 0;
    virtual std::unique_ptr<GpuModule> load(const Source& source) = 0;
    /// Shall each value have memory of its own, so that what is written beside it shows?
    virtual bool separate() const { return false; }
};

/// Memory of a device, given back at the end.
class DeviceMemory {
  public:
    DeviceMemory() = default;
    DeviceMemory(GpuDriver& driver, std::size_t bytes, std::string_view what)
        : driver_(&driver), memory_(driver.allocate(bytes, what)) {}
    DeviceMemory(DeviceMemory&& other) noexcept
        : driver_(other.driver_), memory_(std::exchange(other.memory_, nullptr)) {}
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        std::swap(driver_, other.driver_);
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~DeviceMemory() {
        if (memory_) driver_->release(memory_);
    }
    void* get() const { return memory_; }

  private:
    GpuDriver* driver_ = nullptr;
    void* memory_ = nullptr;
};

}  // namespace arete::cuda

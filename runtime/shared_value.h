// The value of a shared variable, where functions find it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "compiler/core/array.h"
#include "compiler/graph/node.h"

namespace arete {

/// A copy of a variable's value in memory of a device, which it keeps alive.
class DeviceValue {
  public:
    DeviceValue() = default;
    DeviceValue(const DeviceValue&) = delete;
    DeviceValue& operator=(const DeviceValue&) = delete;
    virtual ~DeviceValue() = default;

    /// The device's name: "cuda:1".
    virtual const std::string& device() const = 0;
    /// Which device it is: no two that are open have one.
    virtual const void* identity() const = 0;
    /// Its memory, which stays where it is.
    virtual void* memory() const = 0;
    virtual void from_host(const void* host) = 0;
    virtual void to_host(void* host) const = 0;
};

/// What is behind a shared variable's handle: the value in memory of the host, of a device, or of
/// both, and which of these copies are up to date. Locked by calls that read or update it, in the
/// order of the variables' ids; the functions below are for who holds the lock. A DeviceError where
/// the only copy was on a device that is lost.
class SharedValue final : public SharedStorage {
  public:
    explicit SharedValue(Array value) : host_(std::move(value)) {}

    std::mutex& mutex() const { return mutex_; }

    DType dtype() const { return host_.dtype(); }
    const Sizes& sizes() const { return host_.shape(); }

    /// The host's copy, up to date.
    const Array& host() const;
    Array host_value() const override { return host(); }
    /// Memory of the host, up to date, for a function that reads the value; `written`: and may
    /// write it, so that no other copy is up to date any more.
    void* host_memory(bool written = true);
    /// Puts back what it was, whatever has become of the device.
    void restore(const Array& value);
    /// Memory of the host, whatever it contains.
    void* host_room() { return host_.raw(); }
    /// Replaces the value by one of the same dtype and sizes, whose memory is used from now on.
    void set(Array value);

    /// The copy on a device, up to date: that which there is, or the one that `make` makes. A copy
    /// on another device is given up.
    DeviceValue& on_device(const void* identity,
                           const std::function<std::shared_ptr<DeviceValue>()>& make);
    /// The device's copy has been written: it is the only one that is up to date.
    void device_written() {
        host_valid_ = false;
        device_valid_ = true;
    }
    /// The device's copy, which may be out of date; null where there is none.
    const std::shared_ptr<DeviceValue>& device_value() const { return device_; }
    bool host_is_valid() const { return host_valid_; }
    bool device_is_valid() const { return device_ && device_valid_; }

    /// Default update: added to an i64 scalar (the counter of a random stream) by each call that
    /// reads it and does not update it otherwise.
    std::int64_t default_increment() const override { return default_increment_; }
    void set_default_increment(std::int64_t by) { default_increment_ = by; }

  private:
    mutable std::mutex mutex_;
    mutable Array host_;
    mutable bool host_valid_ = true;
    std::shared_ptr<DeviceValue> device_;
    bool device_valid_ = false;
    std::int64_t default_increment_ = 0;
};

/// The value of a shared variable.
inline SharedValue& shared_value(const Node& variable) {
    ARETE_CHECK(variable.storage, "'{}' is not a shared variable", variable.name);
    return static_cast<SharedValue&>(*variable.storage);
}

}  // namespace arete

// Shared variables: values that live on the function's device between calls.
#pragma once

#include <memory>
#include <string>

#include "compiler/graph/node.h"

namespace arete {

/// Memory of a device that holds a variable's value.
struct DeviceArray {
    std::string device;  ///< "cuda:1"
    DType dtype = DType::F32;
    Sizes sizes;
    std::shared_ptr<void> memory;  ///< the device's, of "emulator" the host's; row-major
};

/// A variable with a value that functions read and update. Its dtype and sizes are fixed.
class Shared : public Expr {
  public:
    Shared() = default;
    explicit Shared(const Expr& e);

    /// The value: a copy, or with `borrow` the variable's own memory of the host, which later calls
    /// on the processor change. Calls on a device see what is in it when they find that the host's
    /// memory was borrowed since the last one. A DeviceError where the value was on a device that
    /// is lost.
    Array get_value(bool borrow = false) const;
    /// Replaces the value. With `borrow` the variable uses the array's memory from now on. An
    /// ArgumentError names the variable where dtype or sizes differ; nothing changes then.
    void set_value(const Array& value, bool borrow = false) const;
    /// The variable's own memory on the device where functions run that use it, up to date; later
    /// calls change it. Whoever writes to it says so by device_written() before anything else uses
    /// the variable. A DeviceError where it is on no device.
    DeviceArray borrow_device() const;
    void device_written() const;
};

/// A shared variable with this initial value (copied unless `borrow`).
Shared shared(const Array& value, std::string name = {}, bool borrow = false,
              const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace arete

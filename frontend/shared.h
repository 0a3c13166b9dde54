// Shared variables: values that live on the function's device between calls.
#pragma once

#include <string>

#include "compiler/graph/node.h"

namespace arete {

/// A variable with a value that functions read and update. Its dtype and sizes are fixed.
class Shared : public Expr {
  public:
    Shared() = default;
    explicit Shared(const Expr& e);

    /// The value: a copy, or with `borrow` the variable's own memory, which later calls change.
    Array get_value(bool borrow = false) const;
    /// Replaces the value. With `borrow` the variable uses the array's memory from now on. An
    /// ArgumentError names the variable where dtype or sizes differ; nothing changes then.
    void set_value(const Array& value, bool borrow = false) const;
};

/// A shared variable with this initial value (copied unless `borrow`).
Shared shared(const Array& value, std::string name = {}, bool borrow = false,
              const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace arete

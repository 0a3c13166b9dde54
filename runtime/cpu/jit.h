// Native code in this process, by LLVM's ORC JIT.
#pragma once

#include <memory>
#include <string_view>

#include "compiler/targets/cpu/abi.h"
#include "compiler/targets/cpu/machine.h"

namespace arete {

/// A program's machine code. The code lives as long as the object.
class NativeProgram {
  public:
    /// Links an object file, or an archive of several (LlvmModule::object, joined), into this
    /// process. A CompileError says what LLVM said.
    NativeProgram(std::string_view object, const Machine& machine);
    ~NativeProgram();
    StepFunction step() const { return step_; }

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    StepFunction step_ = nullptr;
};

}  // namespace arete

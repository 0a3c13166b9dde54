// Native code in this process, by LLVM's ORC JIT.
#pragma once

#include <memory>

#include "compiler/codegen/llvm/module.h"

namespace arete {

/// A program's machine code. The code lives as long as the object.
class NativeProgram {
  public:
    /// Compiles an optimised module. A CompileError says what LLVM said.
    explicit NativeProgram(LlvmModule module);
    ~NativeProgram();
    StepFunction step() const { return step_; }

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    StepFunction step_ = nullptr;
};

}  // namespace arete

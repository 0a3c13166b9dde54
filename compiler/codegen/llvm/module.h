// LLVM IR for step programs. Nothing here includes an LLVM header.
#pragma once

#include <memory>
#include <string>

#include "compiler/schedule/machine.h"
#include "compiler/schedule/program.h"

namespace arete {

/// The processor this process runs on, or a narrower one: `level` is "native", "avx512", "avx2" or
/// "baseline" (x86-64 with SSE2 alone). An ArgumentError where the processor lacks it.
Machine host_machine(std::string_view level = "native");

/// 64-bit ARM under Linux, with NEON and nothing beyond: to compile for, not to run here.
Machine aarch64_machine();

/// "19.1.7".
std::string llvm_version();

/// A program as an LLVM module.
class LlvmModule {
  public:
    /// Prints each scheduled kernel, then the function "step" that runs them in order.
    LlvmModule(const Program& program, const Machine& machine);
    LlvmModule(LlvmModule&&) noexcept;
    ~LlvmModule();

    /// Runs the pass pipeline. `verify` checks the module before and after.
    void optimize(bool verify);
    std::string ir() const;
    std::string assembly() const;
    /// The machine code, as a relocatable object file.
    std::string object() const;

    struct Impl;
    Impl& impl() { return *impl_; }

  private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace arete

// LLVM IR for step programs. Nothing here includes an LLVM header.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/schedule/machine.h"
#include "compiler/schedule/program.h"

namespace arete {

/// The processor this process runs on, or a narrower one: `level` is "native", "avx512", "avx2" or
/// "baseline" (x86-64 with SSE2 alone). An ArgumentError where the processor lacks it.
Machine host_machine(std::string_view level = "native");

/// An x86-64 processor of a level, whatever this one is: to compile for, not to run here.
Machine x86_machine(std::string_view level);

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

    /// A module from LLVM's own text, for tests of what LLVM makes of a form.
    static LlvmModule parse(const std::string& text, const Machine& machine);

    /// Runs the pass pipeline, then `work_around`. `verify` checks the module before and after.
    void optimize(bool verify);
    /// Rewrites what LLVM's instruction selection gets wrong.
    void work_around();
    /// What is left of that, by the names of the workarounds.
    std::vector<std::string> faulty_forms();
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

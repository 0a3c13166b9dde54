// LLVM IR for step programs. Nothing here includes an LLVM header.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/program/program.h"
#include "compiler/targets/cpu/machine.h"

namespace arete {

/// The processor this process runs on ("native"), or one of described_machines() whose code it can
/// run; sizes of caches may follow the name, "native,l2=256K". An ArgumentError where it cannot.
/// ARETE_NATIVE names what is taken for native.
Machine host_machine(std::string_view name = "native");

/// One line about that processor and what is taken for it: model, vectors, caches, cores.
std::string host_text();

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

    /// The functions of a large module in modules of about equal size, each in a context of its
    /// own, so that threads can work on them; a small one as it is.
    std::vector<LlvmModule> in_parts() &&;
    /// The objects of all parts as one: an archive of them, or the only one.
    static std::string joined(const std::vector<std::string>& objects);

    struct Impl;
    Impl& impl() { return *impl_; }

  private:
    explicit LlvmModule(std::unique_ptr<Impl> impl);

    std::unique_ptr<Impl> impl_;
};

}  // namespace arete

// What the LLVM back end's own files share. Includes LLVM: keep it out of other headers.
#pragma once

#include <functional>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include "compiler/targets/cpu/llvm/module.h"

namespace arete {

struct LlvmModule::Impl {
    std::unique_ptr<llvm::LLVMContext> context;
    std::unique_ptr<llvm::Module> module;
    Machine machine;
    bool quick = false;  ///< Program::quick
    /// Names of kernels' functions begin so, and the user's lines that each computes.
    std::vector<std::pair<std::string, std::string>> kernel_lines;
    bool lost = false;  ///< LLVM died of it: what is left must not be touched
};

namespace llvm_codegen {

/// How hard LLVM works on machine code.
inline llvm::CodeGenOptLevel code_gen_level(bool quick) {
    return quick ? llvm::CodeGenOptLevel::None : llvm::CodeGenOptLevel::Default;
}
/// A target machine for `m`; a CompileError where LLVM lacks the target.
std::unique_ptr<llvm::TargetMachine> target_machine(const Machine& m, bool quick = false);

/// Rewrites what LLVM's instruction selection is known to get wrong (workarounds.cpp). Comes last:
/// no pass may follow.
void work_around(llvm::Module& module, const Machine& machine);
/// What is left of such forms, by the names of their workarounds.
std::vector<std::string> faulty_forms(llvm::Module& module, const Machine& machine);

/// Runs `work`, by which LLVM does something to a module. A CompileError where LLVM reports an
/// error or dies: it names the kernel, if LLVM was at one, and the user's lines.
void guarded(LlvmModule::Impl& impl, const std::function<void()>& work);

/// work(0), ..., work(count - 1) on so many threads, the caller's included. Throws what the first
/// of them has thrown, once all have ended.
void side_by_side(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

/// A printed part of a kernel: void(ptr buffers..., ptr context, i64 begin, i64 end). A parallel
/// region is one loop and runs its iterations from begin to end; others ignore both.
struct Region {
    llvm::Function* function = nullptr;
    std::int64_t extent = 1;  ///< iterations of a parallel region's loop
    bool parallel = false;
};

/// Prints a kernel's statements as functions whose names start with `name`: each parallel loop by
/// itself, whatever stands between two of them together.
std::vector<Region> print_regions(llvm::Module& module, const Machine& machine,
                                  const loops::Kernel& kernel, const std::string& name);

}  // namespace llvm_codegen
}  // namespace arete

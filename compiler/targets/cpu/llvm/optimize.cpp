// LLVM's passes over printed kernels, and assembly text.
#include <llvm/Analysis/AliasAnalysis.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/llvm/impl.h"

namespace arete {

namespace {

// This process's target.
void initialise_target() {
    static const bool done = [] {
        llvm::InitializeNativeTarget();
        llvm::InitializeNativeTargetAsmPrinter();
        llvm::InitializeNativeTargetAsmParser();
        return true;
    }();
    (void)done;
}

// All that LLVM was built with.
void initialise_all_targets() {
    static const bool done = [] {
        llvm::InitializeAllTargetInfos();
        llvm::InitializeAllTargets();
        llvm::InitializeAllTargetMCs();
        llvm::InitializeAllAsmPrinters();
        return true;
    }();
    (void)done;
}

void check_module(const llvm::Module& module, const char* when) {
    std::string text;
    llvm::raw_string_ostream out(text);
    if (llvm::verifyModule(module, &out))
        throw InternalError(fmt::format("LLVM rejects the module {}: {}", when, text));
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> llvm_codegen::target_machine(const Machine& m, bool quick) {
    initialise_target();
    std::string triple = m.triple.empty() ? llvm::sys::getDefaultTargetTriple() : m.triple, error;
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
    if (!target) {
        initialise_all_targets();
        target = llvm::TargetRegistry::lookupTarget(triple, error);
    }
    if (!target) fail<CompileError>({}, "LLVM has no back end for {}: {}", triple, error);
    llvm::TargetOptions options;
    options.AllowFPOpFusion = llvm::FPOpFusion::Strict;  // rounding was decided in the loop IR
    return std::unique_ptr<llvm::TargetMachine>(
        target->createTargetMachine(triple, m.cpu, m.features, options, llvm::Reloc::PIC_,
                                    std::nullopt, code_gen_level(quick)));
}

void LlvmModule::optimize(bool verify) {
    if (verify) check_module(*impl_->module, "as printed");
    auto target = llvm_codegen::target_machine(impl_->machine);
    llvm::LoopAnalysisManager loops;
    llvm::FunctionAnalysisManager functions;
    llvm::CGSCCAnalysisManager graphs;
    llvm::ModuleAnalysisManager modules;
    llvm::PassBuilder builder(target.get());
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(graphs);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, graphs, modules);
    // The schedule has tiled, unrolled and vectorised; what is left is to put accumulators into
    // registers, merge equal loads and lift what does not change out of the loops.
    llvm::FunctionPassManager passes;
    passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
    if (!impl_->quick) {
        passes.addPass(llvm::EarlyCSEPass(true));
        passes.addPass(llvm::InstCombinePass());
        passes.addPass(
            llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), true));
        passes.addPass(llvm::GVNPass());
        passes.addPass(llvm::SimplifyCFGPass());
    }
    llvm::ModulePassManager all;
    all.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
    llvm_codegen::guarded(*impl_, [&] { all.run(*impl_->module, modules); });
    work_around();
    if (!verify) return;
    check_module(*impl_->module, "after optimising");
    const std::vector<std::string> left = faulty_forms();
    ARETE_CHECK(left.empty(), "a form that LLVM gets wrong is left: {}", left.front());
}

void LlvmModule::work_around() {
    llvm_codegen::work_around(*impl_->module, impl_->machine);
}

std::vector<std::string> LlvmModule::faulty_forms() {
    return llvm_codegen::faulty_forms(*impl_->module, impl_->machine);
}

namespace {

std::string emitted(LlvmModule::Impl& impl, llvm::CodeGenFileType type) {
    auto target = llvm_codegen::target_machine(impl.machine, impl.quick);
    llvm::SmallString<0> bytes;
    llvm::raw_svector_ostream out(bytes);
    llvm::legacy::PassManager passes;
    if (target->addPassesToEmitFile(passes, out, nullptr, type))
        throw InternalError("this target prints no such file");
    llvm_codegen::guarded(impl, [&] { passes.run(*impl.module); });
    return bytes.str().str();
}

}  // namespace

std::string LlvmModule::assembly() const {
    return emitted(*impl_, llvm::CodeGenFileType::AssemblyFile);
}

std::string LlvmModule::object() const {
    return emitted(*impl_, llvm::CodeGenFileType::ObjectFile);
}

std::string llvm_version() {
    return LLVM_VERSION_STRING;
}

}  // namespace arete

// LLVM's passes over printed kernels, assembly text, and what the host processor is.
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

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "compiler/codegen/llvm/impl.h"
#include "compiler/core/error.h"

namespace arete {

namespace {

// This process's target; all that LLVM was built with where code is for another one.
void initialise_target(bool others = false) {
    static const bool done = [] {
        llvm::InitializeNativeTarget();
        llvm::InitializeNativeTargetAsmPrinter();
        llvm::InitializeNativeTargetAsmParser();
        return true;
    }();
    (void)done;
    if (!others) return;
    static const bool all_done = [] {
        llvm::InitializeAllTargetInfos();
        llvm::InitializeAllTargets();
        llvm::InitializeAllTargetMCs();
        llvm::InitializeAllAsmPrinters();
        return true;
    }();
    (void)all_done;
}

void check_module(const llvm::Module& module, const char* when) {
    std::string text;
    llvm::raw_string_ostream out(text);
    if (llvm::verifyModule(module, &out))
        throw InternalError(fmt::format("LLVM rejects the module {}: {}", when, text));
}

// Linux lists each core's caches, with the instructions' among them. The C library's answer is the
// second choice: of a shared cache it can tell the sum over all sockets. 0 where neither knows.
std::int64_t cache_bytes(int level) {
    for (int i = 0; i < 8; ++i) {
        const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", i);
        int found = 0;
        std::string type, unit;
        std::int64_t size = 0;
        if (!(std::ifstream(folder + "level") >> found) || found != level) continue;
        if (!(std::ifstream(folder + "type") >> type) || type == "Instruction") continue;
        if (!(std::ifstream(folder + "size") >> size)) continue;
        std::ifstream(folder + "size") >> size >> unit;  // the unit may be missing
        return size << (unit == "M" ? 20 : unit == "K" ? 10 : 0);
    }
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    return std::max(0L, sysconf(names[level - 1]));
#else
    return 0;
#endif
}

}  // namespace

Machine host_machine(std::string_view level) {
    initialise_target();
    Machine m;
    llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
    auto has = [&](std::initializer_list<const char*> features) {
        return std::all_of(features.begin(), features.end(),
                           [&](const char* f) { return host.lookup(f); });
    };
    const bool avx512 = has({"avx512f", "avx512vl", "avx512dq", "avx512bw"}),
               avx2 = has({"avx2", "fma"});
    if (level == "avx512" ? !avx512
        : level == "avx2" ? !avx2
                          : level != "native" && level != "baseline")
        fail<ArgumentError>(
            {},
            "ARETE_CPU={}: this processor is no such thing, or there is no such level; the levels "
            "are native, avx512, avx2 and baseline",
            level);
    if (level == "native" || level == "avx512") {
        m.cpu = llvm::sys::getHostCPUName().str();
        for (const auto& f : host)
            m.features += fmt::format("{}{}{}", m.features.empty() ? "" : ",", f.second ? "+" : "-",
                                      f.first().str());
    } else {
        m.cpu = level == "avx2" ? "x86-64-v3" : host.empty() ? "generic" : "x86-64";
    }
    m.fused_muladd = has({"neon"}) || (has({"fma"}) && level != "baseline");
    if (avx512 && (level == "native" || level == "avx512")) {
        m.vector_bytes = 64;
        m.vector_registers = 32;
        m.masked_memory = true;
        // Runs instructions of 512 bits in two halves.
        if (m.cpu == "znver4") m.fma_per_cycle = m.loads_per_cycle = 1;
        // 64 bytes: AMD, Software Optimization Guide for the Zen 5 Microarchitecture.
        if (m.cpu == "znver5") m.l2_bytes_per_cycle = 64;
    } else if (avx2 && level != "baseline") {
        m.vector_bytes = 32;
        m.masked_memory = true;
    } else if (has({"neon"})) {
        m.cpu = "generic";
        m.vector_registers = 32;
    }
    const auto detect = [](int number, std::int64_t& bytes) {
        if (const std::int64_t found = cache_bytes(number); found > 0) bytes = found;
    };
    detect(1, m.l1_bytes);
    detect(2, m.l2_bytes);
    detect(3, m.l3_bytes);
    m.l2_bytes = std::max(m.l2_bytes, m.l1_bytes);
    m.l3_bytes = std::max(m.l3_bytes, m.l2_bytes);
    return m;
}

Machine x86_machine(std::string_view level) {
    Machine m;
    m.triple = "x86_64-linux-gnu";
    m.cpu = level == "avx512" ? "x86-64-v4" : level == "avx2" ? "x86-64-v3" : "x86-64";
    m.fused_muladd = m.masked_memory = level != "baseline";
    if (level == "avx512") m.vector_registers = 32;
    m.vector_bytes = level == "avx512" ? 64 : level == "avx2" ? 32 : 16;
    return m;
}

Machine aarch64_machine() {
    Machine m;
    m.triple = "aarch64-linux-gnu";
    m.cpu = "generic";
    m.features = "+neon";
    m.vector_bytes = 16;
    m.vector_registers = 32;
    return m;
}

std::unique_ptr<llvm::TargetMachine> llvm_codegen::target_machine(const Machine& m, bool quick) {
    initialise_target(!m.triple.empty());
    std::string triple = m.triple.empty() ? llvm::sys::getDefaultTargetTriple() : m.triple, error;
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
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

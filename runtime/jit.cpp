#include "runtime/jit.h"

#include <llvm/ExecutionEngine/Orc/LLJIT.h>

#include <sstream>
#include "compiler/codegen/llvm/impl.h"

#include "compiler/core/error.h"

namespace arete {

struct NativeProgram::Impl {
    std::unique_ptr<llvm::orc::LLJIT> jit;
};

namespace {

void check(llvm::Error e, const char* what) {
    if (e) fail<CompileError>({}, "{}: {}", what, llvm::toString(std::move(e)));
}

template <class T>
T check(llvm::Expected<T> value, const char* what) {
    if (!value) fail<CompileError>({}, "{}: {}", what, llvm::toString(value.takeError()));
    return std::move(*value);
}

}  // namespace

NativeProgram::NativeProgram(LlvmModule module) : impl_(std::make_unique<Impl>()) {
    LlvmModule::Impl& m = module.impl();
    auto target = llvm_codegen::target_machine(m.machine);
    llvm::orc::JITTargetMachineBuilder builder(target->getTargetTriple());
    builder.setCPU(m.machine.cpu);
    std::vector<std::string> features;
    std::istringstream list(m.machine.features);
    for (std::string f; std::getline(list, f, ',');) features.push_back(f);
    builder.addFeatures(features);
    builder.getOptions() = target->Options;
    builder.setRelocationModel(llvm::Reloc::PIC_);
    builder.setCodeGenOptLevel(llvm_codegen::code_gen_level(m.quick));
    impl_->jit =
        check(llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(std::move(builder)).create(),
              "creating the JIT");
    // memcpy, memset, and fma where the processor has none.
    impl_->jit->getMainJITDylib().addGenerator(
        check(llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
                  impl_->jit->getDataLayout().getGlobalPrefix()),
              "looking into this process"));
    check(impl_->jit->addIRModule(
              llvm::orc::ThreadSafeModule(std::move(m.module), std::move(m.context))),
          "compiling");
    step_ = check(impl_->jit->lookup("step"), "compiling").toPtr<StepFunction>();
}

NativeProgram::~NativeProgram() = default;

}  // namespace arete

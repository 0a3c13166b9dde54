#include "runtime/cpu/jit.h"

#include <llvm/BinaryFormat/Magic.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Object/Archive.h>

#include "compiler/targets/cpu/llvm/impl.h"

#include "compiler/core/error.h"
#include "compiler/loops/far.h"

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

NativeProgram::NativeProgram(std::string_view object, const Machine& machine)
    : impl_(std::make_unique<Impl>()) {
    auto target = llvm_codegen::target_machine(machine);
    llvm::orc::JITTargetMachineBuilder builder(target->getTargetTriple());
    builder.setRelocationModel(llvm::Reloc::PIC_);
    // No platform: kernels have no static constructors, and the usual one compiles a module of its
    // own.
    impl_->jit = check(llvm::orc::LLJITBuilder()
                           .setJITTargetMachineBuilder(std::move(builder))
                           .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                           .create(),
                       "creating the JIT");
    llvm::orc::SymbolMap far;
    for (const loops::FarFunction& f : loops::far_functions())
        far[impl_->jit->mangleAndIntern(f.name)] = {llvm::orc::ExecutorAddr::fromPtr(f.address),
                                                    llvm::JITSymbolFlags::Exported};
    check(impl_->jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(std::move(far))),
          "naming functions");
    // memcpy, memset, and fma where the processor has none.
    impl_->jit->getMainJITDylib().addGenerator(
        check(llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
                  impl_->jit->getDataLayout().getGlobalPrefix()),
              "looking into this process"));
    const llvm::StringRef bytes(object.data(), object.size());
    const auto link = [&](llvm::StringRef one) {
        check(impl_->jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(one, "step")),
              "linking");
    };
    if (llvm::identify_magic(bytes) != llvm::file_magic::archive) {
        link(bytes);
    } else {
        const auto archive = check(
            llvm::object::Archive::create(llvm::MemoryBufferRef(bytes, "step")), "linking");
        llvm::Error error = llvm::Error::success();
        for (const llvm::object::Archive::Child& part : archive->children(error))
            link(check(part.getBuffer(), "linking"));
        check(std::move(error), "linking");
    }
    step_ = check(impl_->jit->lookup("step"), "linking").toPtr<StepFunction>();
}

NativeProgram::~NativeProgram() = default;

}  // namespace arete

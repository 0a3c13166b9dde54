// Modules in parts, so that LLVM works on the kernels of one function on several cores.
#include <llvm/ADT/SmallVector.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/Object/ArchiveWriter.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/llvm/impl.h"

namespace arete {

namespace {

// A part has at least so many instructions: it costs about as much time as 500 of them.
constexpr std::size_t least_instructions = 5000;
constexpr std::size_t most_parts = 16;

// Which part each function is in: the largest first, each to the part that is smallest yet.
std::unordered_map<const llvm::Function*, std::size_t> parts_of(const llvm::Module& module,
                                                                std::size_t parts) {
    std::vector<std::pair<std::size_t, const llvm::Function*>> sizes;
    for (const llvm::Function& f : module)
        if (!f.isDeclaration()) sizes.emplace_back(f.getInstructionCount(), &f);
    std::stable_sort(sizes.begin(), sizes.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::size_t> filled(parts, 0);
    std::unordered_map<const llvm::Function*, std::size_t> out;
    for (const auto& [size, f] : sizes) {
        const auto least = std::min_element(filled.begin(), filled.end());
        *least += size;
        out[f] = static_cast<std::size_t>(least - filled.begin());
    }
    return out;
}

}  // namespace

std::vector<LlvmModule> LlvmModule::in_parts() && {
    Impl& impl = *impl_;
    const std::size_t parts =
        std::clamp<std::size_t>(impl.module->getInstructionCount() / least_instructions, 1,
                                most_parts);
    std::vector<LlvmModule> out;
    if (parts == 1) {
        out.push_back(std::move(*this));
        return out;
    }
    // What is called from another part is known to the linker.
    for (llvm::Function& f : *impl.module)
        if (f.hasLocalLinkage()) f.setLinkage(llvm::GlobalValue::ExternalLinkage);
    const auto part = parts_of(*impl.module, parts);
    for (std::size_t k = 0; k < parts; ++k) {
        llvm::ValueToValueMapTy values;
        const auto own = llvm::CloneModule(*impl.module, values, [&](const llvm::GlobalValue* v) {
            const auto found = part.find(llvm::dyn_cast<llvm::Function>(v));
            return found != part.end() && found->second == k;
        });
        llvm::SmallVector<char, 0> bytes;
        llvm::raw_svector_ostream stream(bytes);
        llvm::WriteBitcodeToFile(*own, stream);
        // A context of its own, for threads cannot share one.
        LlvmModule module(std::make_unique<Impl>());
        module.impl_->context = std::make_unique<llvm::LLVMContext>();
        auto read = llvm::parseBitcodeFile(
            llvm::MemoryBufferRef(llvm::StringRef(bytes.data(), bytes.size()), "part"),
            *module.impl_->context);
        if (!read) throw InternalError("a part of a module: " + llvm::toString(read.takeError()));
        module.impl_->module = std::move(*read);
        module.impl_->machine = impl.machine;
        module.impl_->quick = impl.quick;
        module.impl_->kernel_lines = impl.kernel_lines;
        out.push_back(std::move(module));
    }
    return out;
}

std::string LlvmModule::joined(const std::vector<std::string>& objects) {
    if (objects.size() == 1) return objects[0];
    std::vector<llvm::NewArchiveMember> members;
    std::vector<std::string> names;
    for (std::size_t k = 0; k < objects.size(); ++k) names.push_back(fmt::format("{}.o", k));
    for (std::size_t k = 0; k < objects.size(); ++k)
        members.emplace_back(llvm::MemoryBufferRef(objects[k], names[k]));
    auto archive = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NoSymtab,
                                              llvm::object::Archive::K_GNU, true, false);
    if (!archive) throw InternalError("an archive: " + llvm::toString(archive.takeError()));
    return (*archive)->getBuffer().str();
}

void llvm_codegen::side_by_side(std::size_t count, int threads,
                                const std::function<void(std::size_t)>& work) {
    std::vector<std::exception_ptr> errors(count);
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t k = next++; k < count; k = next++) try {
                work(k);
            } catch (...) {
                errors[k] = std::current_exception();
            }
    };
    std::vector<std::thread> others;
    try {
        for (std::size_t k = 1; k < std::min(count, static_cast<std::size_t>(threads)); ++k)
            others.emplace_back(run);
    } catch (const std::system_error&) {
        // No thread is to be had: those that are do the work.
    }
    run();
    for (std::thread& t : others) t.join();
    for (const std::exception_ptr& e : errors)
        if (e) std::rethrow_exception(e);
}

}  // namespace arete

// The step function: kernels in order, parallel regions handed to the pool.
#include <unordered_map>

#include <llvm/AsmParser/Parser.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/raw_ostream.h>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/key.h"
#include "compiler/targets/cpu/abi.h"
#include "compiler/targets/cpu/llvm/impl.h"

namespace arete {

using llvm_codegen::print_regions;

namespace {

// Chunks a parallel loop is cut into. Fixed, so that nothing depends on the number of threads;
// several a thread, so that a thread held up by the machine's other work does not hold up all.
constexpr std::int64_t max_chunks = 16;

class ProgramPrinter {
  public:
    ProgramPrinter(LlvmModule::Impl& impl, const Program& program)
        : impl_(impl), module_(*impl.module), program_(program), b_(*impl.context) {}

    void print() {
        llvm::Type* pointer = b_.getPtrTy();
        auto* type = llvm::FunctionType::get(b_.getInt64Ty(), {pointer, pointer}, false);
        step_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "step", module_);
        step_->addFnAttr(llvm::Attribute::NoUnwind);
        table_ = step_->getArg(0);
        context_ = step_->getArg(1);
        b_.SetInsertPoint(llvm::BasicBlock::Create(*impl_.context, "entry", step_));
        both_ = b_.CreateAlloca(llvm::ArrayType::get(pointer, 2), nullptr, "table_and_context");
        b_.CreateStore(table_, both_);
        b_.CreateStore(context_, b_.CreateConstInBoundsGEP1_64(pointer, both_, 1));
        for (std::size_t i = 0; i < program_.steps.size(); ++i) {
            llvm::Value* start = program_.profile ? ticks() : nullptr;
            one_step(program_.steps[i], i);
            if (start) add_ticks(start, i);
            if (program_.observed) tell_observer(i);
        }
        b_.CreateRet(b_.getInt64(0));
    }

  private:
    using Region = llvm_codegen::Region;

    llvm::Value* slot(llvm::IRBuilder<>& b, llvm::Value* table, int number) {
        llvm::Value* at =
            b.CreateConstInBoundsGEP1_64(b.getPtrTy(), table, static_cast<std::uint64_t>(number));
        return b.CreateLoad(b.getPtrTy(), at);
    }

    llvm::Value* ticks() { return b_.CreateIntrinsic(llvm::Intrinsic::readcyclecounter, {}, {}); }

    void add_ticks(llvm::Value* start, std::size_t step) {
        constexpr std::uint64_t field = offsetof(StepContext, ticks) / sizeof(void*);
        llvm::Value* sums = b_.CreateLoad(
            b_.getPtrTy(), b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), context_, field));
        llvm::Value* at = b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), sums, step);
        llvm::Value* spent = b_.CreateSub(ticks(), start);
        b_.CreateStore(b_.CreateAdd(b_.CreateLoad(b_.getInt64Ty(), at), spent), at);
    }

    // Calls StepContext::after_step, and ends the program where it asks for that.
    void tell_observer(std::size_t step) {
        constexpr std::uint64_t field = offsetof(StepContext, after_step) / sizeof(void*);
        llvm::Value* after = b_.CreateLoad(
            b_.getPtrTy(), b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), context_, field));
        auto* type =
            llvm::FunctionType::get(b_.getInt64Ty(), {b_.getPtrTy(), b_.getInt64Ty()}, false);
        llvm::Value* end = b_.CreateCall(type, after, {context_, b_.getInt64(step)});
        auto* stop = llvm::BasicBlock::Create(*impl_.context, "observed", step_);
        auto* next = llvm::BasicBlock::Create(*impl_.context, "next", step_);
        b_.CreateCondBr(b_.CreateICmpEQ(end, b_.getInt64(0)), next, stop);
        b_.SetInsertPoint(stop);
        b_.CreateRet(b_.getInt64(1));
        b_.SetInsertPoint(next);
    }

    void one_step(const Step& step, std::size_t number) {
        const auto bytes = [&](int n) {
            return program_.slots[static_cast<std::size_t>(n)].bytes();
        };
        std::visit(Cases{[&](const KernelStep& k) { run_kernel(k, step.lines, number); },
                         [&](const CopyStep& c) {
                             b_.CreateMemCpy(slot(b_, table_, c.to), llvm::MaybeAlign(),
                                             slot(b_, table_, c.from), llvm::MaybeAlign(),
                                             bytes(c.to));
                         },
                         [&](const FillStep& f) {
                             b_.CreateMemSet(slot(b_, table_, f.to), b_.getInt8(0), bytes(f.to),
                                             llvm::MaybeAlign());
                         }},
                   step.action);
    }

    void run_kernel(const KernelStep& s, const std::string& lines, std::size_t number) {
        loops::Kernel kernel = s.kernel;
        starts_ = take_starts(kernel);
        // Equal kernels are compiled once. A chain of steps, or a stack of many arrays, consists of
        // little else.
        std::vector<Region>& regions = printed_[loops::key(kernel)];
        if (regions.empty()) {
            const std::string name = fmt::format("k{}_{}", number, s.kernel.name);
            impl_.kernel_lines.emplace_back(name, lines);
            regions = print_regions(module_, impl_.machine, kernel, name);
        }
        for (const Region& region : regions) {
            if (region.parallel && region.extent > 1)
                call_parallel(region, s);
            else
                b_.CreateCall(region.function,
                              arguments(b_, table_, context_, s, b_.getInt64(0),
                                        b_.getInt64(static_cast<std::uint64_t>(region.extent))));
        }
        if (!s.checks) return;
        auto* stop = llvm::BasicBlock::Create(*impl_.context, "stop", step_);
        auto* next = llvm::BasicBlock::Create(*impl_.context, "next", step_);
        llvm::Value* failed = b_.CreateLoad(b_.getInt64Ty(), context_);
        b_.CreateCondBr(b_.CreateICmpEQ(failed, b_.getInt64(0)), next, stop);
        b_.SetInsertPoint(stop);
        b_.CreateRet(b_.getInt64(1));
        b_.SetInsertPoint(next);
    }

    // Of parameters that are only stored to, and nowhere before some element, that element: moved
    // out of the kernel, which is the same for all pieces of an array then. In bytes, by buffer.
    static std::vector<std::int64_t> take_starts(loops::Kernel& kernel) {
        std::vector<std::int64_t> starts(kernel.buffers.size(), 0);
        std::vector<char> stays(kernel.buffers.size(), 0);
        std::vector<std::vector<loops::StoreTo*>> stores(kernel.buffers.size());
        const std::function<void(std::vector<loops::Stmt>&)> collect =
            [&](std::vector<loops::Stmt>& body) {
                for (loops::Stmt& s : body)
                    std::visit(Cases{[&](loops::Loop& l) { collect(l.body); },
                                     [&](loops::StoreTo& to) {
                                         stores[static_cast<std::size_t>(to.buffer)].push_back(&to);
                                     },
                                     [&](loops::If& i) { collect(i.body); }, [](loops::Barrier&) {},
                                     [](loops::CheckThat&) {}, [](loops::FoldLanes&) {},
                                     [&](loops::PrefetchAt& at) {
                                         stays[static_cast<std::size_t>(at.buffer)] = 1;
                                     },
                                     [&](loops::TransposeTile& t) {
                                         stays[static_cast<std::size_t>(t.from)] = 1;
                                     }},
                               s);
            };
        collect(kernel.body);
        for (const loops::Instr& i : kernel.values)
            if (i.op == loops::Op::Load || i.op == loops::Op::LoadIf)
                stays[static_cast<std::size_t>(i.target)] = 1;
        for (std::size_t b = 0; b < starts.size(); ++b) {
            loops::Buffer& buffer = kernel.buffers[b];
            if (!buffer.is_parameter() || stays[b] || stores[b].empty()) continue;
            loops::Range all{buffer.elements(), -1};
            for (const loops::StoreTo* s : stores[b]) {
                const loops::Range r = s->index.range(kernel.extents);
                all = {std::min(all.low, r.low), std::max(all.high, r.high)};
                if (s->combine) all.low = -1;
            }
            if (all.low < 0 || all.high >= buffer.elements() || all.high < all.low) continue;
            for (loops::StoreTo* s : stores[b]) s->index = s->index - all.low;
            buffer.sizes = {all.high + 1 - all.low};
            starts[b] = all.low * static_cast<std::int64_t>(size_of(buffer.dtype));
        }
        return starts;
    }

    std::vector<llvm::Value*> arguments(llvm::IRBuilder<>& b, llvm::Value* table,
                                        llvm::Value* context, const KernelStep& s,
                                        llvm::Value* begin, llvm::Value* end) {
        std::vector<llvm::Value*> args;
        for (std::size_t k = 0; k < s.slots.size(); ++k) {
            args.push_back(slot(b, table, s.slots[k]));
            if (const auto start = static_cast<std::uint64_t>(starts_[k]))
                args.back() = b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), args.back(), start);
        }
        args.insert(args.end(), {context, begin, end});
        return args;
    }

    // A function of ({table, context}, chunk) for the pool, and the call that hands it over.
    void call_parallel(const Region& region, const KernelStep& s) {
        llvm::Type* pointer = b_.getPtrTy();
        auto* type = llvm::FunctionType::get(b_.getVoidTy(), {pointer, b_.getInt64Ty()}, false);
        llvm::Function* body = llvm::Function::Create(
            type, llvm::Function::InternalLinkage, region.function->getName() + "_chunk", module_);
        body->addFnAttr(llvm::Attribute::NoUnwind);
        const std::int64_t chunks = std::min(max_chunks, region.extent);
        llvm::IRBuilder<> b(llvm::BasicBlock::Create(*impl_.context, "entry", body));
        llvm::Value* extent = b.getInt64(static_cast<std::uint64_t>(region.extent));
        llvm::Value* count = b.getInt64(static_cast<std::uint64_t>(chunks));
        auto edge = [&](llvm::Value* chunk) {
            return b.CreateUDiv(b.CreateMul(chunk, extent), count);
        };
        llvm::Value* begin = edge(body->getArg(1));
        llvm::Value* end = edge(b.CreateAdd(body->getArg(1), b.getInt64(1)));
        llvm::Value *table = slot(b, body->getArg(0), 0), *context = slot(b, body->getArg(0), 1);
        b.CreateCall(region.function, arguments(b, table, context, s, begin, end));
        b.CreateRetVoid();

        constexpr std::uint64_t field = offsetof(StepContext, parallel) / sizeof(void*);
        llvm::Value* at = b_.CreateConstInBoundsGEP1_64(pointer, context_, field);
        llvm::Value* run = b_.CreateLoad(pointer, at);
        auto* run_type = llvm::FunctionType::get(
            b_.getVoidTy(), {pointer, pointer, pointer, b_.getInt64Ty()}, false);
        b_.CreateCall(run_type, run,
                      {context_, body, both_, b_.getInt64(static_cast<std::uint64_t>(chunks))});
    }

    LlvmModule::Impl& impl_;
    llvm::Module& module_;
    const Program& program_;
    llvm::IRBuilder<> b_;
    llvm::Function* step_ = nullptr;
    llvm::Value* table_ = nullptr;
    llvm::Value* context_ = nullptr;
    llvm::Value* both_ = nullptr;       // what a chunk gets
    std::vector<std::int64_t> starts_;  // by parameter of the step being printed, in bytes
    std::unordered_map<std::string, std::vector<Region>> printed_;
};

}  // namespace

LlvmModule::LlvmModule(const Program& program, const Machine& machine)
    : impl_(std::make_unique<Impl>()) {
    impl_->context = std::make_unique<llvm::LLVMContext>();
    impl_->module = std::make_unique<llvm::Module>(program.name, *impl_->context);
    impl_->machine = machine;
    impl_->quick = program.quick;
    auto target = llvm_codegen::target_machine(machine);
    impl_->module->setDataLayout(target->createDataLayout());
    impl_->module->setTargetTriple(target->getTargetTriple().str());
    ProgramPrinter(*impl_, program).print();
}

LlvmModule::LlvmModule(LlvmModule&&) noexcept = default;
LlvmModule::~LlvmModule() {
    if (impl_ && impl_->lost) (void)impl_.release();
}

LlvmModule LlvmModule::parse(const std::string& text, const Machine& machine) {
    LlvmModule out(Program{}, machine);
    Impl& impl = *out.impl_;
    llvm::SMDiagnostic error;
    auto module = llvm::parseAssemblyString(text, error, *impl.context);
    if (!module)
        throw CompileError({}, fmt::format("not LLVM's text: {}", error.getMessage().str()));
    module->setDataLayout(impl.module->getDataLayout());
    module->setTargetTriple(impl.module->getTargetTriple());
    for (llvm::Function& f : *module) {
        if (f.isDeclaration()) continue;
        f.addFnAttr("target-cpu", machine.cpu);
        if (!machine.features.empty()) f.addFnAttr("target-features", machine.features);
    }
    impl.module = std::move(module);
    return out;
}

std::string LlvmModule::ir() const {
    std::string text;
    llvm::raw_string_ostream out(text);
    impl_->module->print(out, nullptr);
    return text;
}

}  // namespace arete

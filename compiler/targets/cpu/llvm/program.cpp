// The step function: kernels in order, loops and branches around them, parallel regions handed to
// the pool.
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
        context_ = step_->getArg(1);
        b_.SetInsertPoint(llvm::BasicBlock::Create(*impl_.context, "entry", step_));
        now_ = frame(program_, step_->getArg(0));
        for (StepId k : program_.steps.ids()) {
            number_ = k;
            llvm::Value* start = program_.profile ? ticks() : nullptr;
            one_step(program_.steps[number_]);
            if (start) add_ticks(start, number_);
            if (program_.observed) tell_observer(number_);
        }
        b_.CreateRet(b_.getInt64(0));
    }

  private:
    using Region = llvm_codegen::Region;

    // What the steps of a program, or of a body in it, run on.
    struct Frame {
        const Program* program = nullptr;
        llvm::Value* table = nullptr;
        llvm::Value* both = nullptr;  // table and context: what a chunk of a parallel loop gets
    };

    // Memory of the function, wherever in it that is asked for.
    llvm::Value* on_stack(std::size_t pointers, const char* name) {
        llvm::BasicBlock& entry = step_->getEntryBlock();
        llvm::IRBuilder<> b(&entry, entry.begin());
        return b.CreateAlloca(llvm::ArrayType::get(b.getPtrTy(), pointers), nullptr, name);
    }

    Frame frame(const Program& program, llvm::Value* table) {
        llvm::Value* both = on_stack(2, "table_and_context");
        b_.CreateStore(table, both);
        b_.CreateStore(context_, b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), both, 1));
        return {&program, table, both};
    }

    llvm::Value* slot(llvm::IRBuilder<>& b, llvm::Value* table, std::size_t number) {
        llvm::Value* at = b.CreateConstInBoundsGEP1_64(b.getPtrTy(), table, number);
        return b.CreateLoad(b.getPtrTy(), at);
    }

    llvm::Value* ticks() { return b_.CreateIntrinsic(llvm::Intrinsic::readcyclecounter, {}, {}); }

    void add_ticks(llvm::Value* start, StepId step) {
        constexpr std::uint64_t field = offsetof(StepContext, ticks) / sizeof(void*);
        llvm::Value* sums = b_.CreateLoad(
            b_.getPtrTy(), b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), context_, field));
        llvm::Value* at = b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), sums, step.index());
        llvm::Value* spent = b_.CreateSub(ticks(), start);
        b_.CreateStore(b_.CreateAdd(b_.CreateLoad(b_.getInt64Ty(), at), spent), at);
    }

    // Calls StepContext::after_step, and ends the program where it asks for that.
    void tell_observer(StepId step) {
        constexpr std::uint64_t field = offsetof(StepContext, after_step) / sizeof(void*);
        llvm::Value* after = b_.CreateLoad(
            b_.getPtrTy(), b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), context_, field));
        auto* type =
            llvm::FunctionType::get(b_.getInt64Ty(), {b_.getPtrTy(), b_.getInt64Ty()}, false);
        llvm::Value* end = b_.CreateCall(type, after, {context_, b_.getInt64(step.index())});
        auto* stop = llvm::BasicBlock::Create(*impl_.context, "observed", step_);
        auto* next = llvm::BasicBlock::Create(*impl_.context, "next", step_);
        b_.CreateCondBr(b_.CreateICmpEQ(end, b_.getInt64(0)), next, stop);
        b_.SetInsertPoint(stop);
        b_.CreateRet(b_.getInt64(1));
        b_.SetInsertPoint(next);
    }

    llvm::Value* slot(SlotId s) { return slot(b_, now_.table, s.index()); }
    llvm::Value* at_byte(llvm::Value* pointer, std::int64_t byte) {
        return byte == 0 ? pointer
                         : b_.CreateConstInBoundsGEP1_64(b_.getInt8Ty(), pointer,
                                                         static_cast<std::uint64_t>(byte));
    }
    llvm::Value* int64(std::int64_t v) { return b_.getInt64(static_cast<std::uint64_t>(v)); }
    void copy(llvm::Value* to, llvm::Value* from, std::int64_t bytes) {
        if (bytes > 0)
            b_.CreateMemCpy(to, llvm::MaybeAlign(), from, llvm::MaybeAlign(),
                            static_cast<std::uint64_t>(bytes));
    }
    llvm::BasicBlock* block(const char* name) {
        return llvm::BasicBlock::Create(*impl_.context, name, step_);
    }

    void one_step(const Step& step) {
        const auto bytes = [&](SlotId n) { return now_.program->slots[n].bytes(); };
        std::visit(Cases{[&](const KernelStep& k) { run_kernel(k, step.lines); },
                         [&](const CopyStep& c) {
                             copy(slot(c.to), slot(c.from), static_cast<std::int64_t>(bytes(c.to)));
                         },
                         [&](const FillStep& f) {
                             b_.CreateMemSet(slot(f.to), b_.getInt8(0), bytes(f.to),
                                             llvm::MaybeAlign());
                         },
                         [&](const LoopStep& l) { run_loop(l); },
                         [&](const BranchStep& b) { run_branch(b); },
                         [&](const CallStep&) { call_host(); }},
                   step.action);
    }

    void run_body(const Program& body, const Frame& inner) {
        const Frame outer = std::exchange(now_, inner);
        for (const Step& s : body.steps) one_step(s);
        now_ = outer;
    }

    void set_slot(const Frame& inner, SlotId s, llvm::Value* pointer) {
        b_.CreateStore(pointer,
                       b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), inner.table, s.index()));
    }

    // A body's table, its arena in the workspace. Bound slots are still to be set.
    Frame body_frame(const Program& body, SlotId workspace) {
        const Frame inner = frame(body, on_stack(body.slots.size(), "body_table"));
        llvm::Value* arena = nullptr;
        for (SlotId s : body.slots.ids()) {
            if (body.slots[s].kind != Slot::Kind::Arena) continue;
            if (!arena) arena = slot(workspace);
            set_slot(inner, s, at_byte(arena, body.slots[s].offset));
        }
        return inner;
    }

    // The table has a window's place in the first trip from the start, and is moved on behind each
    // trip.
    void run_loop(const LoopStep& loop) {
        for (const Carried& c : loop.carried)
            copy(slot(c.buffer), slot(c.initial), c.depth * c.row_bytes);
        const auto finish = [&](llvm::Value* ran) {
            if (!loop.stacked.empty()) repeat_last_rows(loop, ran);
            for (const Carried& c : loop.carried)
                if (c.last) copy_ring(c, ran);
            if (loop.count) b_.CreateStore(ran, slot(loop.count));
        };
        if (loop.trips == 0) return finish(int64(0));
        const Frame inner = body_frame(loop.body[0], loop.workspace);
        struct Moving {
            const Window* window;
            llvm::Value* base;
            llvm::PHINode* offset;
        };
        std::vector<Moving> moving;
        for (const Window& w : loop.windows) {
            llvm::Value* base = slot(w.of);
            if (w.stride == 0)
                set_slot(inner, w.slot, at_byte(base, w.start));
            else
                moving.push_back({&w, base, nullptr});
        }
        llvm::Value* until = loop.until ? slot(loop.until) : nullptr;
        llvm::BasicBlock *before = b_.GetInsertBlock(), *trip = block("trip"), *end = block("end");
        b_.CreateBr(trip);
        b_.SetInsertPoint(trip);
        llvm::PHINode* k = b_.CreatePHI(b_.getInt64Ty(), 2, "k");
        k->addIncoming(int64(0), before);
        for (Moving& m : moving) {
            m.offset = b_.CreatePHI(b_.getInt64Ty(), 2);
            m.offset->addIncoming(int64(m.window->start), before);
        }
        for (const Moving& m : moving)
            set_slot(inner, m.window->slot, b_.CreateInBoundsGEP(b_.getInt8Ty(), m.base, m.offset));
        run_body(loop.body[0], inner);
        llvm::Value* next = b_.CreateAdd(k, int64(1));
        for (const Moving& m : moving) {
            llvm::Value* offset = b_.CreateAdd(m.offset, int64(m.window->stride));
            if (m.window->ring)
                offset = b_.CreateSelect(b_.CreateICmpEQ(offset, int64(m.window->ring)), int64(0),
                                         offset);
            m.offset->addIncoming(offset, b_.GetInsertBlock());
        }
        llvm::Value* done = b_.CreateICmpEQ(next, int64(loop.trips));
        if (until)
            done = b_.CreateOr(
                done, b_.CreateICmpNE(b_.CreateLoad(b_.getInt8Ty(), until), b_.getInt8(0)));
        k->addIncoming(next, b_.GetInsertBlock());
        b_.CreateCondBr(done, end, trip);
        b_.SetInsertPoint(end);
        finish(until ? next : int64(loop.trips));
    }

    // Rows behind the last trip, of loops that may end before.
    void repeat_last_rows(const LoopStep& loop, llvm::Value* ran) {
        if (loop.trips == 0) return;
        llvm::BasicBlock *before = b_.GetInsertBlock(), *row = block("row"), *end = block("rows");
        b_.CreateCondBr(b_.CreateICmpULT(ran, int64(loop.trips)), row, end);
        b_.SetInsertPoint(row);
        llvm::PHINode* k = b_.CreatePHI(b_.getInt64Ty(), 2, "row");
        k->addIncoming(ran, before);
        for (const Stacked& s : loop.stacked) {
            llvm::Value* byte = b_.CreateMul(b_.CreateAdd(k, int64(s.first)), int64(s.row_bytes));
            llvm::Value* to = b_.CreateInBoundsGEP(b_.getInt8Ty(), slot(s.slot), byte);
            copy(to, b_.CreateInBoundsGEP(b_.getInt8Ty(), to, int64(-s.row_bytes)), s.row_bytes);
        }
        llvm::Value* next = b_.CreateAdd(k, int64(1));
        k->addIncoming(next, row);
        b_.CreateCondBr(b_.CreateICmpEQ(next, int64(loop.trips)), end, row);
        b_.SetInsertPoint(end);
    }

    void copy_ring(const Carried& c, llvm::Value* ran) {
        for (std::int64_t i = 0; i < c.depth; ++i) {
            llvm::Value* row = b_.CreateURem(b_.CreateAdd(ran, int64(i)), int64(c.depth + 1));
            copy(at_byte(slot(c.last), i * c.row_bytes),
                 b_.CreateInBoundsGEP(b_.getInt8Ty(), slot(c.buffer),
                                      b_.CreateMul(row, int64(c.row_bytes))),
                 c.row_bytes);
        }
    }

    // Calls are numbered in the order in which they are met, bodies included.
    void call_host() {
        constexpr std::uint64_t field = offsetof(StepContext, call) / sizeof(void*);
        llvm::Type* pointer = b_.getPtrTy();
        llvm::Value* function =
            b_.CreateLoad(pointer, b_.CreateConstInBoundsGEP1_64(pointer, context_, field));
        auto* type =
            llvm::FunctionType::get(b_.getInt64Ty(), {pointer, b_.getInt64Ty(), pointer}, false);
        llvm::Value* failed =
            b_.CreateCall(type, function, {context_, int64(calls_++), now_.table});
        stop_if(b_.CreateICmpNE(failed, b_.getInt64(0)));
    }

    void stop_if(llvm::Value* condition) {
        llvm::BasicBlock *stop = block("stop"), *next = block("next");
        b_.CreateCondBr(condition, stop, next);
        b_.SetInsertPoint(stop);
        b_.CreateRet(b_.getInt64(1));
        b_.SetInsertPoint(next);
    }

    void run_branch(const BranchStep& branch) {
        llvm::Value* yes =
            b_.CreateICmpNE(b_.CreateLoad(b_.getInt8Ty(), slot(branch.condition)), b_.getInt8(0));
        llvm::BasicBlock *ways[] = {block("then"), block("else")}, *end = block("end");
        b_.CreateCondBr(yes, ways[0], ways[1]);
        for (std::size_t k = 0; k < 2; ++k) {
            b_.SetInsertPoint(ways[k]);
            const Program& body = branch.bodies[k];
            const Frame inner = body_frame(body, branch.workspace);
            for (const Window& w : branch.windows[k])
                set_slot(inner, w.slot, at_byte(slot(w.of), w.start));
            run_body(body, inner);
            b_.CreateBr(end);
        }
        b_.SetInsertPoint(end);
    }

    void run_kernel(const KernelStep& s, const std::string& lines) {
        loops::Kernel kernel = s.kernel;
        starts_ = take_starts(kernel);
        // Equal kernels are compiled once. A chain of steps, or a stack of many arrays, consists of
        // little else.
        std::vector<Region>& regions = printed_[loops::key(kernel)];
        if (regions.empty()) {
            // Of a body, with the number of the step around it.
            const std::string name = fmt::format(
                "k{}_{}{}", number_,
                now_.program == &program_ ? std::string() : fmt::format("{}_", printed_.size()),
                s.kernel.name);
            impl_.kernel_lines.emplace_back(name, lines);
            regions = print_regions(module_, impl_.machine, kernel, name);
        }
        for (const Region& region : regions) {
            if (region.parallel && region.extent > 1)
                call_parallel(region, s);
            else
                b_.CreateCall(region.function,
                              arguments(b_, now_.table, context_, s, b_.getInt64(0),
                                        b_.getInt64(static_cast<std::uint64_t>(region.extent))));
        }
        if (!s.checks) return;
        llvm::Value* failed = b_.CreateLoad(b_.getInt64Ty(), context_);
        stop_if(b_.CreateICmpNE(failed, b_.getInt64(0)));
    }

    // Of parameters that are only stored to, and nowhere before some element, that element: moved
    // out of the kernel, which is the same for all pieces of an array then. In bytes, by buffer.
    static IdVector<loops::BufferId, std::int64_t> take_starts(loops::Kernel& kernel) {
        IdVector<loops::BufferId, std::int64_t> starts(kernel.buffers.size(), 0);
        IdVector<loops::BufferId, char> stays(kernel.buffers.size(), 0);
        IdVector<loops::BufferId, std::vector<loops::StoreTo*>> stores(kernel.buffers.size());
        const std::function<void(std::vector<loops::Stmt>&)> collect =
            [&](std::vector<loops::Stmt>& body) {
                for (loops::Stmt& s : body)
                    std::visit(Cases{[&](loops::Loop& l) { collect(l.body); },
                                     [&](loops::StoreTo& to) { stores[to.buffer].push_back(&to); },
                                     [&](loops::If& i) { collect(i.body); }, [](loops::Barrier&) {},
                                     [](loops::CheckThat&) {}, [](loops::FoldLanes&) {},
                                     [&](loops::PrefetchAt& at) { stays[at.buffer] = 1; },
                                     [&](loops::TransposeTile& t) { stays[t.from] = 1; }},
                               s);
            };
        collect(kernel.body);
        for (const loops::Instr& i : kernel.values)
            if (i.op == loops::Op::Load || i.op == loops::Op::LoadIf) stays[i.buffer] = 1;
        for (loops::BufferId b : starts.ids()) {
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
        for (loops::BufferId k : s.slots.ids()) {
            args.push_back(slot(b, table, s.slots[k].index()));
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
                      {context_, body, now_.both, b_.getInt64(static_cast<std::uint64_t>(chunks))});
    }

    LlvmModule::Impl& impl_;
    llvm::Module& module_;
    const Program& program_;
    llvm::IRBuilder<> b_;
    llvm::Function* step_ = nullptr;
    llvm::Value* context_ = nullptr;
    Frame now_;
    std::int64_t calls_ = 0;
    StepId number_;  // of the step being printed, which bodies are part of
    IdVector<loops::BufferId, std::int64_t> starts_;  // of the step being printed, in bytes
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

LlvmModule::LlvmModule(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
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

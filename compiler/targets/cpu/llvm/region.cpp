// Scheduled loops to LLVM IR: statements, loops, values. Memory accesses are in access.cpp.
#include "compiler/targets/cpu/llvm/region.h"

#include <cstddef>
#include <limits>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/far.h"
#include "compiler/targets/cpu/abi.h"

namespace arete::llvm_codegen {

using loops::Form;
using loops::Instr;
using loops::Loop;
using loops::LoopKind;
using loops::Op;
using loops::Stmt;

namespace {
// The loop that is cut over threads, where `s` is one.
const Loop* parallel_loop(const Stmt& s) {
    const Loop* l = s.get_if<Loop>();
    return l && l->kind == LoopKind::Parallel ? l : nullptr;
}
}  // namespace

llvm::Type* RegionPrinter::value_type(DType t) {
    switch (t) {
        case DType::Bool: return b_.getInt1Ty();
        case DType::U8: return b_.getInt8Ty();
        case DType::I32: return b_.getInt32Ty();
        case DType::I64: return b_.getInt64Ty();
        case DType::F32: return b_.getFloatTy();
        case DType::F64: return b_.getDoubleTy();
    }
    return nullptr;
}

llvm::Type* RegionPrinter::memory_type(DType t) {
    return t == DType::Bool ? b_.getInt8Ty() : value_type(t);
}

llvm::Value* RegionPrinter::widen(llvm::Value* v) {
    return v->getType()->isVectorTy() || lanes_ == 0
               ? v
               : b_.CreateVectorSplat(static_cast<unsigned>(lanes_), v);
}

RegionPrinter::RegionPrinter(llvm::Module& module, const Machine& machine,
                             const loops::Kernel& kernel)
    : module_(module),
      machine_(machine),
      k_(kernel),
      b_(module.getContext()),
      bound_(kernel.extents.size()) {}

Region RegionPrinter::print(std::span<const Stmt> statements, const std::string& name) {
    std::vector<llvm::Type*> params;
    for (const loops::Buffer& b : k_.buffers)
        if (b.is_parameter()) params.push_back(b_.getPtrTy());
    const std::size_t pointers = params.size();
    params.push_back(b_.getPtrTy());
    params.push_back(b_.getInt64Ty());
    params.push_back(b_.getInt64Ty());
    function_ = llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), params, false),
                                       llvm::Function::InternalLinkage, name, module_);
    set_attributes(*function_);
    for (unsigned i = 0; i < pointers; ++i) {
        function_->addParamAttr(i, llvm::Attribute::NoAlias);
        function_->getArg(i)->setName(k_.buffers[loops::BufferId(i)].name);
    }
    context_ = function_->getArg(static_cast<unsigned>(pointers));
    b_.SetInsertPoint(llvm::BasicBlock::Create(b_.getContext(), "entry", function_));
    unsigned next = 0;
    for (const loops::Buffer& b : k_.buffers) {
        if (b.is_parameter()) {
            pointers_.push_back(function_->getArg(next++));
            continue;
        }
        if (b.space == loops::Space::Shared) throw only_on_gpus("shared " + b.name);
        auto* array =
            llvm::ArrayType::get(memory_type(b.dtype), static_cast<std::uint64_t>(b.elements()));
        llvm::AllocaInst* memory = b_.CreateAlloca(array, nullptr, b.name);
        memory->setAlignment(llvm::Align(64));
        pointers_.push_back(memory);
    }
    Region region{function_, 1, false};
    if (const Loop* l = parallel_loop(statements.front())) {
        region.extent = k_.extents[l->var];
        region.parallel = true;
        counted_loop(*l, function_->getArg(static_cast<unsigned>(pointers) + 1),
                     function_->getArg(static_cast<unsigned>(pointers) + 2));
    } else {
        for (const Stmt& s : statements) statement(s);
    }
    b_.CreateRetVoid();
    return region;
}

void RegionPrinter::set_attributes(llvm::Function& f) const {
    f.addFnAttr("target-cpu", machine_.cpu);
    if (!machine_.features.empty()) f.addFnAttr("target-features", machine_.features);
    // Without it LLVM holds 512-bit vectors back on processors that run them at full speed.
    if (machine_.vector_bytes == 64) f.addFnAttr("prefer-vector-width", "512");
    f.addFnAttr(llvm::Attribute::NoUnwind);
}

void RegionPrinter::statement(const Stmt& s) {
    cache_.clear();
    std::visit(Cases{[&](const Loop& l) { loop(l); }, [&](const loops::StoreTo& to) { store(to); },
                     [&](const loops::CheckThat& that) { check(that); },
                     [&](const loops::FoldLanes& f) { fold(f); },
                     [&](const loops::TransposeTile& t) { transpose(t); },
                     [&](const loops::PrefetchAt& p) { prefetch(p); },
                     [&](const loops::If&) { throw only_on_gpus(line_of(k_, s)); },
                     [&](const loops::Barrier&) { throw only_on_gpus(line_of(k_, s)); }},
               s);
}

InternalError RegionPrinter::only_on_gpus(std::string_view what) const {
    return InternalError(fmt::format("{}: '{}' is for GPUs only", k_.name, what));
}

void RegionPrinter::prefetch(const loops::PrefetchAt& p) {
    llvm::Value* at = b_.CreateGEP(memory_type(k_.buffers[p.buffer].dtype), pointers_[p.buffer],
                                   scalar_address(address(p.index)));
    // A read of data; LLVM's locality is 3 for the first cache, 2 for the second.
    b_.CreateIntrinsic(
        llvm::Intrinsic::prefetch, {at->getType()},
        {at, b_.getInt32(0), b_.getInt32(static_cast<std::uint32_t>(4 - p.cache)), b_.getInt32(1)});
}

void RegionPrinter::loop(const Loop& s) {
    const std::int64_t extent = k_.extents[s.var];
    Bound& bound = bound_[s.var];
    switch (s.kind) {
        case LoopKind::Unrolled:
            for (std::int64_t i = 0; i < extent; ++i) {
                bound = Bound{nullptr, i, false};
                for (const Stmt& inner : s.body) statement(inner);
            }
            return;
        case LoopKind::Vector:
            ARETE_CHECK(lanes_ == 0, "{}: vector loop inside a vector loop", k_.name);
            lanes_ = s.lanes;
            active_ = extent;
            bound = Bound{nullptr, 0, true};
            for (const Stmt& inner : s.body) statement(inner);
            lanes_ = 0;
            return;
        case LoopKind::Serial:
        case LoopKind::Parallel:
            counted_loop(s, b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(extent)));
            return;
        case LoopKind::Grid:
        case LoopKind::Block:
        case LoopKind::Warp: throw only_on_gpus(line_of(k_, s));
    }
}

void RegionPrinter::counted_loop(const Loop& s, llvm::Value* begin, llvm::Value* end) {
    llvm::LLVMContext& c = b_.getContext();
    const std::string& name = k_.var_names[s.var];
    llvm::BasicBlock* before = b_.GetInsertBlock();
    auto* body = llvm::BasicBlock::Create(c, name + ".body", function_);
    auto* after = llvm::BasicBlock::Create(c, name + ".end", function_);
    // Loops of constant, positive extent need no test before the first iteration.
    auto* constant_end = llvm::dyn_cast<llvm::ConstantInt>(end);
    if (constant_end && constant_end->getSExtValue() > 0)
        b_.CreateBr(body);
    else
        b_.CreateCondBr(b_.CreateICmpSLT(begin, end), body, after);
    b_.SetInsertPoint(body);
    llvm::PHINode* i = b_.CreatePHI(b_.getInt64Ty(), 2, name);
    i->addIncoming(begin, before);
    bound_[s.var] = Bound{i, 0, false};
    for (const Stmt& inner : s.body) statement(inner);
    llvm::Value* next = b_.CreateNSWAdd(i, b_.getInt64(1));
    i->addIncoming(next, b_.GetInsertBlock());
    llvm::BranchInst* back = b_.CreateCondBr(b_.CreateICmpSLT(next, end), body, after);
    // The schedule has decided what to unroll.
    auto option = [&](const char* text) {
        return llvm::MDNode::get(c, llvm::MDString::get(c, text));
    };
    llvm::MDNode* id = llvm::MDNode::getDistinct(
        c, {nullptr, option("llvm.loop.unroll.disable"), option("llvm.loop.mustprogress")});
    id->replaceOperandWith(0, id);
    back->setMetadata(llvm::LLVMContext::MD_loop, id);
    b_.SetInsertPoint(after);
}

void RegionPrinter::check(const loops::CheckThat& c) {
    ARETE_CHECK(lanes_ == 0, "{}: a check in a vector loop", k_.name);
    llvm::LLVMContext& ctx = b_.getContext();
    llvm::Value* ok = value(c.ok);
    llvm::Value* element = scalar_address(address(c.element));
    auto* failed = llvm::BasicBlock::Create(ctx, "failed", function_);
    auto* next = llvm::BasicBlock::Create(ctx, "checked", function_);
    b_.CreateCondBr(ok, next, failed);
    b_.SetInsertPoint(failed);
    llvm::Type* pointer = b_.getPtrTy();
    constexpr std::uint64_t field = offsetof(StepContext, fail) / sizeof(void*);
    llvm::Value* fail =
        b_.CreateLoad(pointer, b_.CreateConstInBoundsGEP1_64(pointer, context_, field));
    auto* type =
        llvm::FunctionType::get(b_.getVoidTy(), {pointer, b_.getInt64Ty(), b_.getInt64Ty()}, false);
    b_.CreateCall(type, fail, {context_, b_.getInt64(static_cast<std::uint64_t>(c.code)), element});
    b_.CreateBr(next);
    b_.SetInsertPoint(next);
}

llvm::Value* RegionPrinter::constant(const loops::Scalar& s) {
    if (s.dtype == DType::F32) return llvm::ConstantFP::get(b_.getContext(), llvm::APFloat(s.f32));
    if (s.dtype == DType::F64) return llvm::ConstantFP::get(b_.getContext(), llvm::APFloat(s.f64));
    return llvm::ConstantInt::get(value_type(s.dtype), static_cast<std::uint64_t>(s.i), true);
}

llvm::Value* RegionPrinter::value(loops::ValueId id) {
    if (auto it = cache_.find(id); it != cache_.end()) return it->second;
    const Instr& i = k_.values[id];
    llvm::Value* v = nullptr;
    switch (loops::form(i.op)) {
        case Form::Constant: v = constant(i.constant); break;
        case Form::Index: v = address_value(address(i.index)); break;
        case Form::Load: v = load(i); break;
        case Form::LoadIf: v = load_if(i); break;
        case Form::Accumulator:
            throw InternalError(fmt::format("{}: an accumulator reached the printer", k_.name));
        case Form::Function: v = function_of(i); break;
    }
    cache_.emplace(id, v);
    return v;
}

llvm::Value* RegionPrinter::function_of(const Instr& i) {
    // A choice between the result of a rare call and what there is without: made behind its branch.
    const Instr* rarely = i.op == Op::Select ? &k_.values[i.args[1]] : nullptr;
    if (rarely && loops::is_rare(rarely->op) && rarely->args[0] == i.args[0])
        return rare(*rarely, value(i.args[2]));
    if (loops::is_rare(i.op)) return rare(i, nullptr);
    const DType from = k_.values[i.args[0]].dtype;
    return compute(i.op, i.dtype, from, operands(i));
}

// All vectors, if one is.
std::vector<llvm::Value*> RegionPrinter::operands(const Instr& i) {
    std::vector<llvm::Value*> args;
    bool vector = false;
    for (int k = 0; k < loops::arity(i.op); ++k) {
        args.push_back(value(i.args[k]));
        vector = vector || args.back()->getType()->isVectorTy();
    }
    if (vector)
        for (llvm::Value*& a : args) a = widen(a);
    return args;
}

llvm::Value* RegionPrinter::convert(llvm::Value* v, DType from, DType to) {
    llvm::Type* type = value_type(to);
    if (auto* vector = llvm::dyn_cast<llvm::VectorType>(v->getType()))
        type = llvm::VectorType::get(type, vector->getElementCount());
    const bool is_unsigned = from == DType::Bool || from == DType::U8;
    if (to == DType::Bool) {
        llvm::Value* zero = llvm::Constant::getNullValue(v->getType());
        return is_float(from) ? b_.CreateFCmpUNE(v, zero) : b_.CreateICmpNE(v, zero);
    }
    if (is_float(from)) return is_float(to) ? b_.CreateFPCast(v, type) : float_to_integer(v, to);
    if (is_float(to)) return is_unsigned ? b_.CreateUIToFP(v, type) : b_.CreateSIToFP(v, type);
    return is_unsigned ? b_.CreateZExtOrTrunc(v, type) : b_.CreateSExtOrTrunc(v, type);
}

// Saturating, NaN to 0 (core/convert.h). LLVM's own conversion of what the integer cannot hold is
// undefined, and to bytes it goes through signed ones: only what an i32 or i64 holds is given to
// it.
llvm::Value* RegionPrinter::float_to_integer(llvm::Value* v, DType to) {
    const auto number = [&](double d) { return llvm::ConstantFP::get(v->getType(), d); };
    const auto convert_to = [&](llvm::Type* element) {
        return b_.CreateFPToSI(v, v->getType()->getWithNewType(element));
    };
    // Choices of this form are one instruction of x86.
    const auto at_least = [&](double low) {
        return b_.CreateSelect(b_.CreateFCmpOGT(v, number(low)), v, number(low));
    };
    const auto at_most = [&](double high) {
        return b_.CreateSelect(b_.CreateFCmpOLT(v, number(high)), v, number(high));
    };
    if (to == DType::U8) {
        v = at_least(0);  // NaN too
        v = at_most(255);
        return b_.CreateTrunc(convert_to(b_.getInt32Ty()),
                              v->getType()->getWithNewType(b_.getInt8Ty()));
    }
    const bool wide = to == DType::I64;
    const double limit = wide ? 0x1p63 : 0x1p31;
    llvm::Type* element = value_type(to);
    llvm::Value* given = v;
    llvm::Value* magnitude = b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, v);
    v = b_.CreateSelect(b_.CreateFCmpOLT(magnitude, number(limit)), v, number(0));
    llvm::Value* result = convert_to(element);
    const auto extreme = [&](std::int64_t e) {
        return llvm::ConstantInt::get(result->getType(), static_cast<std::uint64_t>(e), true);
    };
    using I32 = std::numeric_limits<std::int32_t>;
    using I64 = std::numeric_limits<std::int64_t>;
    result = b_.CreateSelect(b_.CreateFCmpOGE(given, number(limit)),
                             extreme(wide ? I64::max() : I32::max()), result);
    return b_.CreateSelect(b_.CreateFCmpOLE(given, number(-limit)),
                           extreme(wide ? I64::min() : I32::min()), result);
}

llvm::Value* RegionPrinter::integer_division(Op op, DType t, llvm::Value* a, llvm::Value* d) {
    // In lanes that are off a divisor may be anything: it must at least be the same number wherever
    // it is looked at, or a division by what was found to be safe would trap.
    a = b_.CreateFreeze(a);
    d = b_.CreateFreeze(d);
    llvm::Value* zero = llvm::Constant::getNullValue(a->getType());
    llvm::Value* one = llvm::ConstantInt::get(a->getType(), 1);
    llvm::Value* by_zero = b_.CreateICmpEQ(d, zero);
    llvm::Value* safe = b_.CreateSelect(by_zero, one, d);
    llvm::Value* q = nullptr;
    llvm::Value* r = nullptr;
    if (t == DType::U8) {
        q = b_.CreateUDiv(a, safe);
        r = b_.CreateURem(a, safe);
    } else {
        // -min / -1 traps on x86; negating wraps as the interpreter does.
        llvm::Value* minus = llvm::Constant::getAllOnesValue(a->getType());
        llvm::Value* negate = b_.CreateICmpEQ(d, minus);
        safe = b_.CreateSelect(negate, one, safe);
        llvm::Value* trunc = b_.CreateSDiv(a, safe);
        llvm::Value* rest = b_.CreateSRem(a, safe);
        llvm::Value* adjust = b_.CreateAnd(b_.CreateICmpNE(rest, zero),
                                           b_.CreateICmpSLT(b_.CreateXor(rest, d), zero));
        q = b_.CreateSelect(adjust, b_.CreateSub(trunc, one), trunc);
        r = b_.CreateSelect(adjust, b_.CreateAdd(rest, d), rest);
        q = b_.CreateSelect(negate, b_.CreateNeg(a), q);
        r = b_.CreateSelect(negate, zero, r);
    }
    return b_.CreateSelect(by_zero, zero, op == Op::Div ? q : r);
}

// Rounded once. A library's function is called for each lane where there is no instruction; floats
// need none: their products are exact in twice the bits, and so is a sum that has to be.
llvm::Value* RegionPrinter::fma(std::span<llvm::Value* const> x) {
    llvm::Type* type = x[0]->getType();
    if (machine_.fused_muladd || !type->getScalarType()->isFloatTy())
        return b_.CreateIntrinsic(llvm::Intrinsic::fma, {type}, {x[0], x[1], x[2]});
    llvm::Type* wide = type->getWithNewType(b_.getDoubleTy());
    const auto widened = [&](llvm::Value* v) { return b_.CreateFPExt(v, wide); };
    llvm::Value* product = b_.CreateFMul(widened(x[0]), widened(x[1]));
    return b_.CreateFPTrunc(b_.CreateFAdd(product, widened(x[2])), type);
}

// Memory of the function for a value, at the same place for all that take turns.
llvm::Value* RegionPrinter::room(std::size_t slot, llvm::Type* type) {
    const auto size = module_.getDataLayout().getTypeAllocSize(type).getFixedValue();
    if (slot >= rooms_.size()) rooms_.resize(slot + 1);
    llvm::AllocaInst*& memory = rooms_[slot];
    if (!memory || memory->getAllocationSize(module_.getDataLayout())->getFixedValue() < size) {
        llvm::BasicBlock& entry = function_->getEntryBlock();
        llvm::IRBuilder<> first(&entry, entry.begin());
        memory = first.CreateAlloca(llvm::ArrayType::get(first.getInt8Ty(), size), nullptr, "room");
        memory->setAlignment(llvm::Align(64));
    }
    return memory;
}

// A call for all lanes together, jumped over where no lane that counts asks for it. Lanes that do
// not are `otherwise`, or 0.
llvm::Value* RegionPrinter::rare(const Instr& i, llvm::Value* otherwise) {
    std::vector<llvm::Value*> x = operands(i);
    if (otherwise && otherwise->getType()->isVectorTy())
        for (llvm::Value*& a : x) a = widen(a);
    llvm::LLVMContext& c = b_.getContext();
    llvm::Type* type = x[1]->getType();
    llvm::Value* zero = llvm::Constant::getNullValue(type);
    if (!otherwise) otherwise = zero;
    if (type->isVectorTy()) otherwise = widen(otherwise);
    auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
    llvm::Value* wanted = x[0];
    llvm::Value* any = wanted;
    if (vector) {
        llvm::Value* off = llvm::Constant::getNullValue(wanted->getType());
        if (active_ < lanes_) wanted = b_.CreateSelect(mask(), wanted, off);
        any = b_.CreateOrReduce(wanted);
    }
    llvm::BasicBlock* before = b_.GetInsertBlock();
    auto* far = llvm::BasicBlock::Create(c, "far", function_);
    auto* after = llvm::BasicBlock::Create(c, "near", function_);
    any = b_.CreateFreeze(any);
    b_.CreateCondBr(any, far, after, llvm::MDBuilder(c).createBranchWeights(1, 2000));
    b_.SetInsertPoint(far);
    const llvm::Align align(module_.getDataLayout().getTypeAllocSize(type->getScalarType()));
    std::vector<llvm::Value*> args{room(0, type)};
    for (std::size_t k = 1; k < x.size(); ++k) {
        args.push_back(room(k, type));
        b_.CreateAlignedStore(b_.CreateSelect(wanted, x[k], zero), args.back(), align);
    }
    args.push_back(b_.getInt64(vector ? vector->getNumElements() : 1));
    std::vector<llvm::Type*> types;
    for (llvm::Value* a : args) types.push_back(a->getType());
    llvm::FunctionCallee function = module_.getOrInsertFunction(
        loops::far_name(i.op, i.dtype), llvm::FunctionType::get(b_.getVoidTy(), types, false));
    auto* f = llvm::cast<llvm::Function>(function.getCallee());
    f->setOnlyAccessesArgMemory();
    f->addFnAttr(llvm::Attribute::NoUnwind);
    f->addFnAttr(llvm::Attribute::WillReturn);
    b_.CreateCall(function, args);
    llvm::Value* result =
        b_.CreateSelect(wanted, b_.CreateAlignedLoad(type, args[0], align), otherwise);
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
    llvm::PHINode* v = b_.CreatePHI(type, 2);
    v->addIncoming(otherwise, before);
    v->addIncoming(result, far);
    return v;
}

llvm::Value* RegionPrinter::compute(Op op, DType t, DType from, std::span<llvm::Value* const> x) {
    const bool f = is_float(t), bit = t == DType::Bool, u = t == DType::U8;
    auto rounding = [&](llvm::Intrinsic::ID id) {
        return f ? b_.CreateUnaryIntrinsic(id, x[0]) : x[0];
    };
    auto extreme = [&](llvm::Intrinsic::ID floats, llvm::Intrinsic::ID bytes,
                       llvm::Intrinsic::ID integers) {
        return b_.CreateBinaryIntrinsic(f ? floats : u ? bytes : integers, x[0], x[1]);
    };
    using P = llvm::CmpInst::Predicate;
    auto relation = [&](P floats, P naturals, P integers) {
        const bool natural = from == DType::Bool || from == DType::U8;
        return is_float(from) ? b_.CreateFCmp(floats, x[0], x[1])
                              : b_.CreateICmp(natural ? naturals : integers, x[0], x[1]);
    };
    switch (op) {
        case Op::Const:
        case Op::IndexOf:
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc: break;
        case Op::Add:
            if (bit) return b_.CreateOr(x[0], x[1]);
            return f ? b_.CreateFAdd(x[0], x[1]) : b_.CreateAdd(x[0], x[1]);
        case Op::Sub:
            if (bit) return b_.CreateXor(x[0], x[1]);
            return f ? b_.CreateFSub(x[0], x[1]) : b_.CreateSub(x[0], x[1]);
        case Op::Mul:
            if (bit) return b_.CreateAnd(x[0], x[1]);
            return f ? b_.CreateFMul(x[0], x[1]) : b_.CreateMul(x[0], x[1]);
        case Op::Div: return f ? b_.CreateFDiv(x[0], x[1]) : integer_division(op, t, x[0], x[1]);
        case Op::Rem:
            ARETE_CHECK(!f, "{}: remainder of floats", k_.name);
            return integer_division(op, t, x[0], x[1]);
        case Op::Min:
            if (bit) return b_.CreateAnd(x[0], x[1]);
            return extreme(llvm::Intrinsic::minimum, llvm::Intrinsic::umin, llvm::Intrinsic::smin);
        case Op::Max:
            if (bit) return b_.CreateOr(x[0], x[1]);
            return extreme(llvm::Intrinsic::maximum, llvm::Intrinsic::umax, llvm::Intrinsic::smax);
        case Op::And: return b_.CreateAnd(x[0], x[1]);
        case Op::Or: return b_.CreateOr(x[0], x[1]);
        case Op::Xor: return b_.CreateXor(x[0], x[1]);
        case Op::Shl: return b_.CreateShl(x[0], x[1]);
        case Op::Shr: return b_.CreateLShr(x[0], x[1]);
        case Op::Eq: return relation(P::FCMP_OEQ, P::ICMP_EQ, P::ICMP_EQ);
        case Op::Ne: return relation(P::FCMP_UNE, P::ICMP_NE, P::ICMP_NE);
        case Op::Lt: return relation(P::FCMP_OLT, P::ICMP_ULT, P::ICMP_SLT);
        case Op::Le: return relation(P::FCMP_OLE, P::ICMP_ULE, P::ICMP_SLE);
        case Op::Neg: return f ? b_.CreateFNeg(x[0]) : b_.CreateNeg(x[0]);
        case Op::Abs:
            if (f) return b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x[0]);
            if (bit || u) return x[0];
            return b_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x[0], b_.getFalse());
        case Op::MulAdd:
            return machine_.fused_muladd ? fma(x) : b_.CreateFAdd(b_.CreateFMul(x[0], x[1]), x[2]);
        case Op::Fma: return fma(x);
        case Op::Scale: return scale(x[0], x[1]);
        case Op::Sqrt: return rounding(llvm::Intrinsic::sqrt);
        case Op::Floor: return rounding(llvm::Intrinsic::floor);
        case Op::Ceil: return rounding(llvm::Intrinsic::ceil);
        case Op::Trunc: return rounding(llvm::Intrinsic::trunc);
        case Op::Round: return rounding(llvm::Intrinsic::roundeven);
        case Op::Not: return b_.CreateNot(x[0]);
        case Op::Select: return b_.CreateSelect(x[0], x[1], x[2]);
        case Op::Cast: return convert(x[0], from, t);
        case Op::Bitcast: {
            llvm::Type* type = value_type(t);
            if (auto* vector = llvm::dyn_cast<llvm::VectorType>(x[0]->getType()))
                type = llvm::VectorType::get(type, vector->getElementCount());
            return b_.CreateBitCast(x[0], type);
        }
        case Op::Exp:
        case Op::Expm1:
        case Op::Log:
        case Op::Log1p:
        case Op::Tanh:
        case Op::Sin:
        case Op::Cos:
        case Op::Erf:
        case Op::Pow:
        case Op::Fmod:
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf: break;
    }
    throw InternalError(fmt::format("{} reached the LLVM printer", loops::name(op)));
}

std::vector<Region> print_regions(llvm::Module& module, const Machine& machine,
                                  const loops::Kernel& kernel, const std::string& name) {
    std::vector<Region> out;
    std::span<const Stmt> rest(kernel.body);
    while (!rest.empty()) {
        std::size_t n = 1;
        if (!parallel_loop(rest[0]))
            while (n < rest.size() && !parallel_loop(rest[n])) ++n;
        std::string part = out.empty() ? name : fmt::format("{}_{}", name, out.size());
        out.push_back(RegionPrinter(module, machine, kernel).print(rest.first(n), part));
        rest = rest.subspan(n);
    }
    return out;
}

}  // namespace arete::llvm_codegen

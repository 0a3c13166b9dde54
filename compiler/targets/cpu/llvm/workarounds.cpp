// Forms that LLVM's instruction selection gets wrong, and what takes their place. This runs last,
// on what instructions are selected from, so that no pass can bring such a form back. Each fault
// has reduced modules in tests/llvm.
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/llvm/impl.h"

namespace arete::llvm_codegen {

namespace {

// ---- masked_load_instructions

// x86 before AVX-512 can lose a mask of which all lanes turn out to be off: it becomes undefined,
// and memory is read without it. That happens on the way from LLVM's masked load to the
// processor's, so the processor's are asked for by name, a register each, and what LLVM would put
// into lanes that are off is put there by a choice.
class MaskedLoads {
  public:
    explicit MaskedLoads(const Machine& machine)
        : avx2_(machine.masked_memory && machine.vector_bytes == 32) {}

    bool faulty(const llvm::Instruction& i) const {
        const auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
        return avx2_ && call && call->getIntrinsicID() == llvm::Intrinsic::masked_load &&
               call->getType()->getScalarSizeInBits() >= 32;
    }

    void mend(llvm::Instruction& i) const {
        auto& load = llvm::cast<llvm::IntrinsicInst>(i);
        llvm::IRBuilder<> b(&load);
        llvm::Value *pointer = load.getArgOperand(0), *mask = load.getArgOperand(2),
                    *otherwise = load.getArgOperand(3);
        llvm::Type* element = load.getType()->getScalarType();
        const unsigned all = lanes(load.getType()),
                       step = std::min(all, register_bits / element->getScalarSizeInBits());
        std::vector<llvm::Value*> parts;
        for (unsigned from = 0; from < all; from += step)
            parts.push_back(one(b, element, b.CreateConstGEP1_64(element, pointer, from),
                                part(b, mask, from, step), step));
        llvm::Value* v = joined(b, std::move(parts));
        const auto* constant = llvm::dyn_cast<llvm::Constant>(otherwise);
        if (!constant || !(constant->isNullValue() || llvm::isa<llvm::UndefValue>(constant)))
            v = b.CreateSelect(mask, v, otherwise);
        load.replaceAllUsesWith(v);
        load.eraseFromParent();
    }

  private:
    static constexpr unsigned register_bits = 256;

    static unsigned lanes(llvm::Type* t) {
        return llvm::cast<llvm::FixedVectorType>(t)->getNumElements();
    }

    // A register's lanes, or half of a register's; zeros where the mask is off.
    static llvm::Value* one(llvm::IRBuilder<>& b, llvm::Type* element, llvm::Value* at,
                            llvm::Value* on, unsigned n) {
        auto* type = llvm::FixedVectorType::get(element, n);
        const auto* known = llvm::dyn_cast<llvm::Constant>(on);
        if (known && known->isNullValue()) return llvm::Constant::getNullValue(type);
        const unsigned bits = element->getScalarSizeInBits();
        using namespace llvm::Intrinsic;
        const bool f = element->isFloatingPointTy(), whole = n * bits == register_bits,
                   wide = bits == 64;
        ARETE_CHECK(whole || 2 * n * bits == register_bits, "a masked load of {} bits", n * bits);
        const ID id = f ? (wide ? (whole ? x86_avx_maskload_pd_256 : x86_avx_maskload_pd)
                                : (whole ? x86_avx_maskload_ps_256 : x86_avx_maskload_ps))
                        : (wide ? (whole ? x86_avx2_maskload_q_256 : x86_avx2_maskload_q)
                                : (whole ? x86_avx2_maskload_d_256 : x86_avx2_maskload_d));
        auto* signs = llvm::FixedVectorType::get(b.getIntNTy(bits), n);
        return b.CreateIntrinsic(id, {}, {at, b.CreateSExt(on, signs)});
    }

    static llvm::Value* part(llvm::IRBuilder<>& b, llvm::Value* mask, unsigned from, unsigned n) {
        if (lanes(mask->getType()) == n) return mask;
        std::vector<int> own;
        for (unsigned l = 0; l < n; ++l) own.push_back(static_cast<int>(from + l));
        return b.CreateShuffleVector(mask, own);
    }

    static llvm::Value* joined(llvm::IRBuilder<>& b, std::vector<llvm::Value*> parts) {
        while (parts.size() > 1) {
            std::vector<int> all(2 * lanes(parts[0]->getType()));
            for (std::size_t l = 0; l < all.size(); ++l) all[l] = static_cast<int>(l);
            std::vector<llvm::Value*> next;
            for (std::size_t k = 0; k < parts.size(); k += 2)
                next.push_back(b.CreateShuffleVector(parts[k], parts[k + 1], all));
            parts = std::move(next);
        }
        return parts[0];
    }

    bool avx2_;
};

// Hides what an operand is made of.
void fence(llvm::Instruction& of, unsigned operand) {
    llvm::IRBuilder<> b(&of);
    llvm::Value* v = of.getOperand(operand);
    of.setOperand(operand, b.CreateArithmeticFence(v, v->getType()));
}

// ---- opaque_divisors

// Where a lane of both operands of a division is known to be zero, the quotient's is taken to be
// zero, and what would have put another value there is left out: 0 / 0 shows as 0, or, where the
// lane was to be zero after all, as NaN.
class Divisions {
  public:
    static bool faulty(const llvm::Instruction& i) {
        return (i.getOpcode() == llvm::Instruction::FDiv ||
                i.getOpcode() == llvm::Instruction::FRem) &&
               i.getType()->isVectorTy() && zero_lanes(i.getOperand(0), depth) &&
               zero_lanes(i.getOperand(1), depth);
    }

  private:
    // As far as instruction selection looks, and a little further.
    static constexpr int depth = 8;

    // Some lane may be known to be zero.
    static bool zero_lanes(const llvm::Value* v, int left) {
        if (const auto* c = llvm::dyn_cast<llvm::Constant>(v)) {
            const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(c->getType());
            for (unsigned l = 0; l < (type ? type->getNumElements() : 0); ++l) {
                const llvm::Constant* lane = c->getAggregateElement(l);
                if (!lane || lane->isZeroValue() || llvm::isa<llvm::UndefValue>(lane)) return true;
            }
            return !type && c->isZeroValue();
        }
        const auto* i = llvm::dyn_cast<llvm::Instruction>(v);
        if (!i || llvm::isa<llvm::PHINode, llvm::LoadInst>(i)) return false;
        if (left == 0) return true;
        if (const auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(i)) {
            switch (call->getIntrinsicID()) {
                case llvm::Intrinsic::arithmetic_fence: return false;
                case llvm::Intrinsic::masked_load:
                case llvm::Intrinsic::masked_gather:
                    return zero_lanes(call->getArgOperand(3), left - 1);
                default: break;
            }
            return std::any_of(call->arg_begin(), call->arg_end(),
                               [&](const llvm::Use& u) { return zero_lanes(u.get(), left - 1); });
        }
        // One value in all lanes.
        if (const auto* s = llvm::dyn_cast<llvm::ShuffleVectorInst>(i); s && s->isZeroEltSplat())
            if (const auto* one = llvm::dyn_cast<llvm::InsertElementInst>(s->getOperand(0)))
                return zero_lanes(one->getOperand(1), left - 1);
        return std::any_of(i->op_begin(), i->op_end(), [&](const llvm::Use& u) {
            // An element that is not said is no element.
            return !llvm::isa<llvm::UndefValue>(u.get()) && zero_lanes(u.get(), left - 1);
        });
    }
};

// ---- unshared_negations

// x86 moves the signs of a fused multiply-add's operands into the instruction, one operand after
// the other: what it made to negate the first is deleted while it tries the next, where that
// contains the same value. It goes on with what was deleted.
class Negations {
  public:
    explicit Negations(const llvm::Function& f) {
        for (const llvm::BasicBlock& block : f)
            for (const llvm::Instruction& i : block)
                if (made_of_negation(i)) negated_.insert(&i);
    }

    // The operand that has to be hidden, or -1.
    int operand(const llvm::Instruction& i) const {
        const auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
        if (!call || call->getIntrinsicID() != llvm::Intrinsic::fma) return -1;
        const auto made = [&](unsigned k) { return negated_.contains(call->getArgOperand(k)); };
        if (made(2) && (made(0) || made(1))) return 2;
        // To take the sign off a negation makes nothing.
        const auto plain = [&](unsigned k) {
            const auto* n = llvm::dyn_cast<llvm::Instruction>(call->getArgOperand(k));
            return n && n->getOpcode() == llvm::Instruction::FNeg;
        };
        return made(0) && made(1) && !(plain(0) && plain(1)) ? 1 : -1;
    }
    void mend(llvm::Instruction& i) const {
        for (int k = operand(i); k >= 0; k = operand(i)) fence(i, static_cast<unsigned>(k));
    }

  private:
    // A negation, or what can be negated by leaving one out further up. Operands come first.
    bool made_of_negation(const llvm::Instruction& i) const {
        using I = llvm::Instruction;
        const auto negated = [&](unsigned k) { return negated_.contains(i.getOperand(k)); };
        switch (i.getOpcode()) {
            case I::FNeg:
            case I::Xor: return true;
            case I::FSub: return llvm::isa<llvm::Constant>(i.getOperand(0)) || any(i);
            case I::FMul:
            case I::FDiv:
                for (unsigned k : {0U, 1U})
                    if (const auto* c = llvm::dyn_cast<llvm::Constant>(i.getOperand(k)))
                        if (minus_one(*c)) return true;
                return any(i);
            case I::Select: return negated(1) || negated(2);
            case I::FAdd:
            case I::FPExt:
            case I::FPTrunc:
            case I::BitCast:
            case I::ShuffleVector:
            case I::InsertElement:
            case I::ExtractElement: return any(i);
            case I::Call: {
                const auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
                return call && call->getIntrinsicID() == llvm::Intrinsic::fma && any(i);
            }
            default: return false;
        }
    }
    bool any(const llvm::Instruction& i) const {
        return std::any_of(i.op_begin(), i.op_end(),
                           [&](const llvm::Use& u) { return negated_.contains(u.get()); });
    }
    static bool minus_one(const llvm::Constant& c) {
        const auto one = [](const llvm::Constant* lane) {
            const auto* f = llvm::dyn_cast_or_null<llvm::ConstantFP>(lane);
            return f && f->isExactlyValue(-1.0);
        };
        const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(c.getType());
        for (unsigned l = 0; l < (type ? type->getNumElements() : 0); ++l)
            if (one(c.getAggregateElement(l))) return true;
        return one(&c);
    }

    llvm::DenseSet<const llvm::Value*> negated_;
};

// ---- parts_of_vectors

// A part of a vector that LLVM's passes have made with wide integers, (bitcast (trunc (lshr
// (bitcast v), n))). Where such parts are shuffled, widened and multiplied, instruction selection
// for AVX-512 crashes. What takes their place is the shuffle that they are.
class Parts {
  public:
    static bool faulty(const llvm::Instruction& i) {
        llvm::Value* whole = nullptr;
        std::uint64_t from = 0;
        return find(i, whole, from);
    }

    static void mend(llvm::Instruction& i) {
        llvm::Value* whole = nullptr;
        std::uint64_t from = 0;
        find(i, whole, from);
        std::vector<int> own(llvm::cast<llvm::FixedVectorType>(i.getType())->getNumElements());
        for (std::size_t l = 0; l < own.size(); ++l)
            own[l] = static_cast<int>(from) + static_cast<int>(l);
        llvm::IRBuilder<> b(&i);
        i.replaceAllUsesWith(b.CreateShuffleVector(whole, own));
        i.eraseFromParent();
    }

  private:
    static bool find(const llvm::Instruction& i, llvm::Value*& whole, std::uint64_t& from) {
        const auto* part = llvm::dyn_cast<llvm::FixedVectorType>(i.getType());
        if (i.getOpcode() != llvm::Instruction::BitCast || !part ||
            !i.getOperand(0)->getType()->isIntegerTy() ||
            i.getOperand(0)->getType()->getIntegerBitWidth() <= 128)
            return false;
        const llvm::Value* v = i.getOperand(0);
        const auto made_by = [&](unsigned opcode) {
            const auto* of = llvm::dyn_cast<llvm::Instruction>(v);
            return of && of->getOpcode() == opcode ? of : nullptr;
        };
        std::uint64_t bits = 0;
        if (const auto* trunc = made_by(llvm::Instruction::Trunc)) v = trunc->getOperand(0);
        if (const auto* shift = made_by(llvm::Instruction::LShr)) {
            const auto* by = llvm::dyn_cast<llvm::ConstantInt>(shift->getOperand(1));
            if (!by) return false;
            bits = by->getZExtValue();
            v = shift->getOperand(0);
        }
        const auto* cast = made_by(llvm::Instruction::BitCast);
        if (!cast) return false;
        const auto* all = llvm::dyn_cast<llvm::FixedVectorType>(cast->getOperand(0)->getType());
        const unsigned size = part->getScalarSizeInBits();
        if (!all || all->getElementType() != part->getElementType() || bits % size != 0 ||
            bits / size + part->getNumElements() > all->getNumElements())
            return false;
        whole = cast->getOperand(0);
        from = bits / size;
        return true;
    }
};

// ---- opaque_factors

// AVX-512 has a product of 64-bit lanes of which only the lower halves count, which is taken where
// both factors are numbers of 32 bits that were widened. On the way there LLVM makes conversions
// that have no instruction, where some lanes are not read. So one factor passes through no
// instruction that hides where it comes from.
class Products {
  public:
    Products(const llvm::Module& module, const Machine& machine)
        : avx512_(llvm::Triple(module.getTargetTriple()).isX86() &&
                  machine.vector_registers == 32) {}

    bool faulty(const llvm::Instruction& i) const {
        return avx512_ && i.getOpcode() == llvm::Instruction::Mul && i.getType()->isVectorTy() &&
               i.getType()->getScalarSizeInBits() == 64 && widened(i.getOperand(0)) &&
               widened(i.getOperand(1));
    }

    static void mend(llvm::Instruction& i) {
        llvm::IRBuilder<> b(&i);
        i.setOperand(0, hidden(b, i.getOperand(0)));
    }

  private:
    // The same value out of instructions that nobody looks into, a register at a time.
    static llvm::Value* hidden(llvm::IRBuilder<>& b, llvm::Value* v) {
        constexpr int most = 8;  // lanes of 64 bits
        const int n = static_cast<int>(
            llvm::cast<llvm::FixedVectorType>(v->getType())->getNumElements());
        if (n == most) return through(b, v);
        llvm::Value* out = llvm::PoisonValue::get(v->getType());
        for (int from = 0; from < n; from += most) {
            std::vector<int> take(most, -1), spread(static_cast<std::size_t>(n), -1), place;
            for (int l = 0; l < most && from + l < n; ++l) {
                take[l] = from + l;
                spread[from + l] = l;
            }
            for (int l = 0; l < n; ++l) place.push_back(l / most == from / most ? n + l : l);
            llvm::Value* part = through(b, b.CreateShuffleVector(v, take));
            out = b.CreateShuffleVector(out, b.CreateShuffleVector(part, spread), place);
        }
        return out;
    }
    static llvm::Value* through(llvm::IRBuilder<>& b, llvm::Value* v) {
        llvm::Type* t = v->getType();
        return b.CreateCall(llvm::InlineAsm::get(llvm::FunctionType::get(t, {t}, false), "",
                                                 "=v,0", /*hasSideEffects=*/false),
                            {v});
    }

    static bool widened(const llvm::Value* v) {
        const auto* of = llvm::dyn_cast<llvm::CastInst>(v);
        return of && (of->getOpcode() == llvm::Instruction::SExt ||
                      of->getOpcode() == llvm::Instruction::ZExt);
    }

    bool avx512_;
};

// Calls `found` with each form, its workaround's name, and how to mend it.
template <class Found>
void each_form(llvm::Module& module, const Machine& machine, const Found& found) {
    const MaskedLoads loads(machine);
    const Products products(module, machine);
    for (llvm::Function& f : module) {
        for (llvm::Instruction& i : llvm::make_early_inc_range(llvm::instructions(f))) {
            if (Divisions::faulty(i)) found("opaque_divisors", i, [&] { fence(i, 1); });
            if (products.faulty(i)) found("opaque_factors", i, [&] { products.mend(i); });
            // These put another instruction in its place: it is gone then.
            if (Parts::faulty(i))
                found("parts_of_vectors", i, [&] { Parts::mend(i); });
            else if (loads.faulty(i))
                found("masked_load_instructions", i, [&] { loads.mend(i); });
        }
        // Last: what takes the place of others may be made of negations where they were not seen.
        const Negations negations(f);
        for (llvm::Instruction& i : llvm::instructions(f))
            if (negations.operand(i) >= 0)
                found("unshared_negations", i, [&] { negations.mend(i); });
    }
}

}  // namespace

void work_around(llvm::Module& module, const Machine& machine) {
    each_form(module, machine, [](const char*, llvm::Instruction&, const auto& mend) { mend(); });
}

std::vector<std::string> faulty_forms(llvm::Module& module, const Machine& machine) {
    std::vector<std::string> out;
    each_form(module, machine,
              [&](const char* name, llvm::Instruction&, const auto&) { out.push_back(name); });
    return out;
}

}  // namespace arete::llvm_codegen

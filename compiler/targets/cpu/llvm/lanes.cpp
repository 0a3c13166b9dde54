// What moves between lanes: folds of partial sums, tiles that are transposed.
#include "compiler/targets/cpu/llvm/region.h"

#include <algorithm>
#include <numeric>

#include <llvm/IR/IntrinsicsX86.h>

#include "compiler/core/error.h"

namespace arete::llvm_codegen {

using loops::Index;
using loops::Reduction;

llvm::Value* RegionPrinter::combine(Reduction r, DType t, llvm::Value* a, llvm::Value* c) {
    llvm::Value* const both[] = {a, c};
    switch (r) {
        case Reduction::Sum:
        case Reduction::Mean: return compute(loops::Op::Add, t, t, both);
        case Reduction::Prod: return compute(loops::Op::Mul, t, t, both);
        case Reduction::Max: return compute(loops::Op::Max, t, t, both);
        case Reduction::Min: return compute(loops::Op::Min, t, t, both);
        case Reduction::ArgMax:
        case Reduction::ArgMin: break;
    }
    throw InternalError("lanes of positions cannot be combined");
}

// Folds as many slots at a time as there are lanes. In step d = 1, 2, 4, ... vectors are taken in
// pairs: a lane whose number has bit d clear goes on with the first of the pair, the others with
// the second, each adding the lane at distance d. In the end lane s holds the fold of slot s, after
// one addition and two shuffles a slot. What is lost of a sum goes the same way beside it.
void RegionPrinter::fold(const loops::FoldLanes& f) {
    struct Pair {
        llvm::Value* sum = nullptr;
        llvm::Value* error = nullptr;
    };
    const DType t = k_.buffers[f.from].dtype;
    const bool exact = static_cast<bool>(f.from_error);
    auto* type = llvm::FixedVectorType::get(memory_type(t), static_cast<unsigned>(f.lanes));
    auto at = [&](loops::BufferId buffer, std::int64_t element) {
        return b_.CreateGEP(memory_type(t), pointers_[buffer],
                            b_.getInt64(static_cast<std::uint64_t>(element)));
    };
    auto loaded = [&](loops::BufferId buffer, std::int64_t element) {
        return from_memory(load_scalar(type, at(buffer, element)), t);
    };
    auto combined = [&](const Pair& a, const Pair& c) {
        Pair out{combine(f.reduction, t, a.sum, c.sum)};
        if (!exact) return out;
        llvm::Value* of_c = b_.CreateFSub(out.sum, a.sum);
        llvm::Value* lost = b_.CreateFAdd(b_.CreateFSub(a.sum, b_.CreateFSub(out.sum, of_c)),
                                          b_.CreateFSub(c.sum, of_c));
        out.error = b_.CreateFAdd(b_.CreateFAdd(a.error, c.error), lost);
        return out;
    };
    for (std::int64_t first = 0; first < f.slots; first += f.lanes) {
        std::vector<Pair> vectors;
        for (std::int64_t s = first; s < std::min(f.slots, first + f.lanes); ++s)
            vectors.push_back(
                {loaded(f.from, s * f.lanes), exact ? loaded(f.from_error, s * f.lanes) : nullptr});
        // One slot needs no more lanes than are left.
        const bool single = vectors.size() == 1;
        for (int left = f.lanes / 2; single && left > 0; left /= 2) {
            const auto half = [&](const Pair& p, int from) {
                std::vector<int> lanes(static_cast<std::size_t>(left));
                std::iota(lanes.begin(), lanes.end(), from);
                return Pair{b_.CreateShuffleVector(p.sum, lanes),
                            exact ? b_.CreateShuffleVector(p.error, lanes) : nullptr};
            };
            vectors[0] = combined(half(vectors[0], 0), half(vectors[0], left));
        }
        for (int d = 1; !single && d < f.lanes; d *= 2) {
            std::vector<int> here, there;
            for (int l = 0; l < f.lanes; ++l) {
                const bool second = (l & d) != 0;
                here.push_back(second ? f.lanes + l : l);
                there.push_back(second ? f.lanes + l - d : l + d);
            }
            auto chosen = [&](const Pair& a, const Pair& c, const std::vector<int>& lanes) {
                return Pair{b_.CreateShuffleVector(a.sum, c.sum, lanes),
                            exact ? b_.CreateShuffleVector(a.error, c.error, lanes) : nullptr};
            };
            std::vector<Pair> next;
            for (std::size_t v = 0; v < vectors.size(); v += 2) {
                const Pair& a = vectors[v];
                const Pair& c = v + 1 < vectors.size() ? vectors[v + 1] : a;
                next.push_back(combined(chosen(a, c, here), chosen(a, c, there)));
            }
            vectors = std::move(next);
        }
        llvm::Align align(size_of(t));
        b_.CreateAlignedStore(to_memory(vectors[0].sum, t), at(f.to, first), align);
        if (exact) b_.CreateAlignedStore(vectors[0].error, at(f.to_error, first), align);
    }
}

// In step d = 1, 2, 4, ... rows whose numbers differ in bit d exchange the halves of their lanes
// that do: then row r, lane c holds what row c, lane r did.
void RegionPrinter::transpose(const loops::TransposeTile& t) {
    llvm::Type* element = memory_type(k_.buffers[t.from].dtype);
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    auto at = [&](loops::BufferId buffer, const Index& e, std::int64_t offset) {
        return b_.CreateGEP(element, pointers_[buffer], scalar_address(address(e + Index(offset))));
    };
    lanes_ = t.lanes;
    auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes_));
    std::vector<llvm::Value*> rows(static_cast<std::size_t>(t.lanes), llvm::PoisonValue::get(type));
    for (std::int64_t r = 0; r < t.rows; ++r)
        rows[r] = load_run(element, at(t.from, t.at, r * t.from_stride), t.columns);
    for (int d = 1; d < t.lanes; d *= 2) {
        std::vector<int> first, second;
        for (int l = 0; l < t.lanes; ++l) {
            const bool high = (l & d) != 0;
            first.push_back(high ? t.lanes + l - d : l);
            second.push_back(high ? t.lanes + l : l + d);
        }
        for (int r = 0; r < t.lanes; ++r) {
            if (r & d) continue;
            llvm::Value *&a = rows[r], *&c = rows[r + d];
            llvm::Value* low = b_.CreateShuffleVector(a, c, first);
            c = b_.CreateShuffleVector(a, c, second);
            a = low;
        }
    }
    for (std::int64_t c = 0; c < t.columns; ++c)
        b_.CreateAlignedStore(rows[c], at(t.to, t.place, c * t.to_stride), align);
    lanes_ = 0;
}

// Every step-th element of a short stretch, zero where `on` is off: vectors with the elements in
// between masked off, shuffled together. Null where they are better gathered.
llvm::Value* RegionPrinter::load_stretch_if(const loops::Instr& i, llvm::Type* element,
                                            llvm::Value* pointer, const Address& a,
                                            llvm::Value* on) {
    const std::span<const std::int64_t> offsets(a.lanes.data(), static_cast<std::size_t>(active_));
    const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
    constexpr std::int64_t most_vectors = 2;
    if (!machine_.masked_memory || element->getScalarSizeInBits() < 32 ||
        *high - *low >= most_vectors * lanes_)
        return nullptr;
    auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes_));
    llvm::Value* off = llvm::Constant::getNullValue(on->getType());
    llvm::Value* zero = llvm::Constant::getNullValue(type);
    const llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    llvm::Value* v = zero;
    for (std::int64_t from = *low; from <= *high; from += lanes_) {
        // Of each element of the vector, its lane; of each lane, its element.
        std::vector<int> lane_of(static_cast<std::size_t>(lanes_), static_cast<int>(lanes_)), pick;
        for (std::int64_t l = 0; l < lanes_; ++l) {
            const std::int64_t o = l < active_ ? offsets[static_cast<std::size_t>(l)] - from : -1;
            const bool here = o >= 0 && o < lanes_;
            if (here && lane_of[static_cast<std::size_t>(o)] < lanes_) return nullptr;  // twice
            if (here) lane_of[static_cast<std::size_t>(o)] = static_cast<int>(l);
            pick.push_back(static_cast<int>(here ? lanes_ + o : l));
        }
        Address b = a;
        b.constant += from;
        llvm::Value* start = b_.CreateGEP(element, pointer, reach(i, b, 0, lanes_));
        llvm::Value* part =
            b_.CreateMaskedLoad(type, start, align, b_.CreateShuffleVector(on, off, lane_of), zero);
        v = b_.CreateShuffleVector(v, part, pick);
    }
    return v;
}

// a * 2^n by AVX-512's scalef, whole vectors at a time.
llvm::Value* RegionPrinter::scale(llvm::Value* a, llvm::Value* n) {
    ARETE_CHECK(machine_.scales, "{}: scale is no instruction of {}", k_.name, machine_.cpu);
    llvm::Type* element = a->getType()->getScalarType();
    const bool single = element->isFloatTy();
    const int bytes = single ? 4 : 8;
    auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(a->getType());
    const int lanes = vector ? static_cast<int>(vector->getNumElements()) : 1;
    const int whole = std::clamp(lanes, 16 / bytes, machine_.vector_bytes / bytes);
    auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(whole));
    // Lanes from `from` on, as many as the vector has.
    const auto part = [&](llvm::Value* x, int from) -> llvm::Value* {
        if (!vector) return b_.CreateInsertElement(llvm::PoisonValue::get(type), x, b_.getInt64(0));
        std::vector<int> pick;
        for (int l = 0; l < whole; ++l) pick.push_back(from + l < lanes ? from + l : -1);
        return b_.CreateShuffleVector(x, pick);
    };
    using namespace llvm::Intrinsic;
    const ID id = whole * bytes == 64
                      ? single ? x86_avx512_mask_scalef_ps_512 : x86_avx512_mask_scalef_pd_512
                  : whole * bytes == 32
                      ? single ? x86_avx512_mask_scalef_ps_256 : x86_avx512_mask_scalef_pd_256
                  : single ? x86_avx512_mask_scalef_ps_128
                           : x86_avx512_mask_scalef_pd_128;
    llvm::Value* result = nullptr;
    for (int from = 0; from < lanes; from += whole) {
        llvm::Value* x = part(a, from);
        std::vector<llvm::Value*> args{x, part(n, from), x,
                                       whole == 16 ? b_.getInt16(0xffff) : b_.getInt8(0xff)};
        constexpr int as_the_mode_says = 4;
        if (whole * bytes == 64) args.push_back(b_.getInt32(as_the_mode_says));
        llvm::Value* scaled = b_.CreateIntrinsic(id, {}, args);
        if (!vector) return b_.CreateExtractElement(scaled, b_.getInt64(0));
        std::vector<int> pick;
        for (int l = 0; l < lanes; ++l)
            pick.push_back(l < from ? l : l < from + whole ? lanes + l - from : -1);
        std::vector<int> widen;
        for (int l = 0; l < lanes; ++l) widen.push_back(l < whole ? l : -1);
        llvm::Value* wide = whole == lanes ? scaled : b_.CreateShuffleVector(scaled, widen);
        result = result ? b_.CreateShuffleVector(result, wide, pick) : wide;
    }
    return result;
}

}  // namespace arete::llvm_codegen

// Addresses and memory accesses. A vector access is a scalar base and one constant offset a lane;
// its pattern decides the instructions: one load, a broadcast, a few loads and shuffles, a gather.
#include <algorithm>
#include <numeric>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/targets/cpu/llvm/region.h"

namespace arete::llvm_codegen {

using loops::Index;
using loops::Instr;
using loops::Reduction;

namespace {

// How far an address is past a multiple of k.
std::int64_t past_multiple(std::int64_t address, std::int64_t k) {
    return address - floor_div(address, k) * k;
}

// Elements from `start` to `end`, relative to the first lane's, are known to be in a buffer.
bool inside(const Address& a, std::int64_t start, std::int64_t end, std::int64_t elements) {
    return a.bounded && a.low + a.constant + start >= 0 && a.high + a.constant + end <= elements;
}

// Lengths of the stretches of consecutive offsets.
std::vector<std::int64_t> runs(std::span<const std::int64_t> offsets) {
    std::vector<std::int64_t> out{1};
    for (std::size_t l = 1; l < offsets.size(); ++l) {
        if (offsets[l] == offsets[l - 1] + 1)
            ++out.back();
        else
            out.push_back(1);
    }
    return out;
}

}  // namespace

Address RegionPrinter::address(const Index& e) {
    Address out;
    out.constant = e.constant();
    auto add_base = [&](llvm::Value* v, std::int64_t k, std::int64_t low, std::int64_t high) {
        out.low += k * (k < 0 ? high : low);
        out.high += k * (k < 0 ? low : high);
        if (k != 1) v = b_.CreateNSWMul(v, b_.getInt64(static_cast<std::uint64_t>(k)));
        out.base = out.base ? b_.CreateNSWAdd(out.base, v) : v;
    };
    auto add_vector = [&](llvm::Value* v, std::int64_t k) {
        if (k != 1) v = b_.CreateMul(v, widen(b_.getInt64(static_cast<std::uint64_t>(k))));
        out.vector = out.vector ? b_.CreateAdd(out.vector, v) : v;
    };
    auto add_lanes = [&](auto offset, std::int64_t k) {
        out.lanes.resize(static_cast<std::size_t>(lanes_), 0);
        for (std::size_t l = 0; l < out.lanes.size(); ++l)
            out.lanes[l] += k * offset(static_cast<std::int64_t>(l));
    };
    for (const Index::Term& t : e.terms()) {
        const std::int64_t k = t.coefficient;
        switch (t.kind) {
            case Index::Kind::Var: {
                const Bound& v = bound_[t.var()];
                if (v.lane)
                    add_lanes([](std::int64_t l) { return l; }, k);
                else if (v.dynamic)
                    add_base(v.dynamic, k, 0, k_.extents[t.var()] - 1);
                else
                    out.constant += k * v.constant;
                break;
            }
            case Index::Kind::Value: {
                DType type = k_.values[t.value()].dtype;
                llvm::Value* v = convert(value(t.value()), type, DType::I64);
                if (v->getType()->isVectorTy())
                    add_vector(v, k);
                else
                    add_base(v, k, 0, 0);
                out.bounded = false;
                break;
            }
            case Index::Kind::Div:
            case Index::Kind::Mod: {
                const bool is_mod = t.kind == Index::Kind::Mod;
                const std::int64_t d = t.divisor;
                Address inner = address(*t.inner);
                auto exact = [&](std::int64_t v) {
                    std::int64_t q = floor_div(v, d);
                    return is_mod ? v - q * d : q;
                };
                if (!inner.base && !inner.vector && inner.lanes.empty()) {
                    out.constant += k * exact(inner.constant);
                } else if (!inner.base && !inner.vector) {
                    add_lanes(
                        [&](std::int64_t l) { return exact(inner.constant + inner.lanes[l]); }, k);
                } else {
                    // Arithmetic at run time. A negative dividend is lifted by a multiple of the
                    // divisor, so that the quotient is a floor.
                    const loops::Range range = t.inner->range(k_.extents);
                    const bool bounded = range.low > -(std::int64_t{1} << 40);
                    const std::int64_t lift =
                        bounded && range.low < 0 ? -floor_div(range.low, d) : 0;
                    inner.constant += lift * d;
                    if (!is_mod) out.constant -= k * lift;
                    const bool vector = !inner.uniform();
                    llvm::Value* v = vector ? vector_address(inner) : scalar_address(inner);
                    llvm::Value* by = b_.getInt64(static_cast<std::uint64_t>(d));
                    if (vector) by = widen(by);
                    if (bounded)
                        v = is_mod ? b_.CreateURem(v, by) : b_.CreateUDiv(v, by);
                    else
                        v = integer_division(is_mod ? loops::Op::Rem : loops::Op::Div, DType::I64,
                                             v, by);
                    out.bounded = out.bounded && inner.bounded && bounded;
                    if (vector)
                        add_vector(v, k);
                    else if (is_mod || !bounded)
                        add_base(v, k, 0, d - 1);
                    else
                        add_base(v, k, floor_div(range.low, d) + lift,
                                 floor_div(range.high, d) + lift);
                }
                break;
            }
        }
    }
    return out;
}

llvm::Value* RegionPrinter::scalar_address(const Address& a) {
    llvm::Value* c = b_.getInt64(static_cast<std::uint64_t>(a.constant));
    if (!a.base) return c;
    return a.constant ? b_.CreateNSWAdd(a.base, c) : a.base;
}

llvm::Value* RegionPrinter::vector_address(const Address& a) {
    llvm::Value* v = widen(scalar_address(a));
    if (!a.lanes.empty()) {
        std::vector<llvm::Constant*> offsets;
        for (std::int64_t o : a.lanes)
            offsets.push_back(b_.getInt64(static_cast<std::uint64_t>(o)));
        v = b_.CreateAdd(v, llvm::ConstantVector::get(offsets));
    }
    return a.vector ? b_.CreateAdd(v, a.vector) : v;
}

llvm::Value* RegionPrinter::address_value(const Address& a) {
    return a.uniform() ? scalar_address(a) : vector_address(a);
}

llvm::Value* RegionPrinter::mask() const {
    std::vector<llvm::Constant*> on;
    for (std::int64_t l = 0; l < lanes_; ++l) on.push_back(b_.getInt1(l < active_));
    return llvm::ConstantVector::get(on);
}

// Bools are i1 in registers and bytes in memory.
llvm::Value* RegionPrinter::from_memory(llvm::Value* v, DType t) {
    return t == DType::Bool ? b_.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType())) : v;
}

llvm::Value* RegionPrinter::to_memory(llvm::Value* v, DType t) {
    if (t != DType::Bool) return v;
    llvm::Type* type = b_.getInt8Ty();
    if (auto* vector = llvm::dyn_cast<llvm::VectorType>(v->getType()))
        type = llvm::VectorType::get(type, vector->getElementCount());
    return b_.CreateZExt(v, type);
}

llvm::Value* RegionPrinter::load_scalar(llvm::Type* type, llvm::Value* pointer) {
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(type->getScalarType()));
    return b_.CreateAlignedLoad(type, pointer, align);
}

// `length` consecutive elements in the first lanes of a full vector.
llvm::Value* RegionPrinter::load_run(llvm::Type* element, llvm::Value* pointer,
                                     std::int64_t length) {
    const auto lanes = static_cast<unsigned>(lanes_);
    auto* full = llvm::FixedVectorType::get(element, lanes);
    if (length == lanes_) return load_scalar(full, pointer);
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    const bool power_of_two = (length & (length - 1)) == 0;
    if (machine_.masked_memory && !power_of_two && element->getScalarSizeInBits() >= 32) {
        std::vector<llvm::Constant*> on;
        for (std::int64_t l = 0; l < lanes_; ++l) on.push_back(b_.getInt1(l < length));
        return b_.CreateMaskedLoad(full, pointer, align, llvm::ConstantVector::get(on));
    }
    auto* part = llvm::FixedVectorType::get(element, static_cast<unsigned>(length));
    std::vector<int> widen;
    for (int l = 0; l < lanes_; ++l) widen.push_back(l < length ? l : -1);
    return b_.CreateShuffleVector(b_.CreateAlignedLoad(part, pointer, align), widen);
}

llvm::Value* RegionPrinter::gather(llvm::Type* element, llvm::Value* pointer, const Address& a) {
    llvm::Value* pointers = b_.CreateGEP(element, pointer, vector_address(a));
    auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes_));
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    return b_.CreateMaskedGather(type, pointers, align, mask(), llvm::Constant::getNullValue(type));
}

// Where to begin reading the stretch that all lanes' elements are in, vector by vector. Beginning
// at a multiple of the vectors' length, loads of one stretch (its even elements, and its odd ones)
// take the same vectors, which LLVM then loads once. All that is read must be inside of the buffer.
RegionPrinter::Stretch RegionPrinter::stretch(const Address& a,
                                              std::span<const std::int64_t> offsets,
                                              std::int64_t step, std::int64_t elements) const {
    const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
    auto vectors = [&](std::int64_t start) {
        std::vector<std::int64_t> touched;
        for (std::int64_t o : offsets) touched.push_back((o - start) / lanes_);
        std::sort(touched.begin(), touched.end());
        return std::unique(touched.begin(), touched.end()) - touched.begin();
    };
    for (const std::int64_t multiple : {static_cast<std::int64_t>(lanes_), step}) {
        const std::int64_t start = *low - past_multiple(a.constant + *low, multiple);
        const std::int64_t end = start + ((*high - start) / lanes_ + 1) * lanes_;
        if (inside(a, start, end, elements) && vectors(start) <= vectors(*low))
            return {start, end, vectors(start)};
    }
    return {*low, *high + 1, vectors(*low)};
}

// Every step-th element of rows joined end to end: the rows without gaps in as many vectors, then
// one shuffle of two of them. The other elements' loads have these vectors in common. Null where
// that is not possible.
llvm::Value* RegionPrinter::load_joined(llvm::Type* element, llvm::Value* pointer, const Address& a,
                                        std::span<const std::int64_t> offsets, std::int64_t step,
                                        std::int64_t elements) {
    const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
    const std::int64_t before = past_multiple(a.constant + *low, step);
    if (step != 2 || !inside(a, *low - before, *high - before + step, elements)) return nullptr;
    const auto all = static_cast<std::int64_t>(offsets.size()) * step;
    std::vector<Address> wholes;
    for (std::int64_t from = 0; from < all; from += lanes_) {
        Address whole = a;
        for (std::int64_t l = 0; l < lanes_; ++l) {
            const std::int64_t q = std::min(from + l, all - 1);
            whole.lanes[l] = offsets[q / step] - before + q % step;
        }
        const auto active = static_cast<std::size_t>(std::min<std::int64_t>(lanes_, all - from));
        if (runs({whole.lanes.data(), active}).size() > 2) return nullptr;
        wholes.push_back(std::move(whole));
    }
    const std::int64_t kept = active_;
    std::vector<llvm::Value*> vectors;
    for (const Address& whole : wholes) {
        active_ = std::min<std::int64_t>(lanes_,
                                         all - static_cast<std::int64_t>(vectors.size()) * lanes_);
        vectors.push_back(load_pattern(element, pointer, whole, elements));
    }
    active_ = kept;
    std::vector<int> pick;
    for (int l = 0; l < lanes_; ++l)
        pick.push_back(l < active_ ? static_cast<int>(l * step + before) : -1);
    return b_.CreateShuffleVector(vectors.front(), vectors.back(), pick);
}

// Constant offsets a lane: by their runs, or by loading the whole stretch and shuffling.
llvm::Value* RegionPrinter::load_pattern(llvm::Type* element, llvm::Value* pointer,
                                         const Address& a, std::int64_t elements) {
    std::span<const std::int64_t> offsets(a.lanes.data(), static_cast<std::size_t>(active_));
    auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
    const std::int64_t first = *low, span = *high - *low + 1;
    auto at = [&](std::int64_t offset) {
        Address b = a;
        b.constant += offset;
        return b_.CreateGEP(element, pointer, scalar_address(b));
    };
    if (span == 1) return load_scalar(element, at(first));
    std::vector<std::int64_t> parts = runs(offsets);
    if (parts.size() <= 3) {
        llvm::Value* v = nullptr;
        std::int64_t lane = 0;
        for (std::int64_t length : parts) {
            llvm::Value* run = load_run(element, at(offsets[lane]), length);
            if (!v) {
                v = run;
            } else {
                std::vector<int> merge;
                for (int l = 0; l < lanes_; ++l)
                    merge.push_back(l < lane            ? l
                                    : l < lane + length ? lanes_ + l - static_cast<int>(lane)
                                                        : -1);
                v = b_.CreateShuffleVector(v, run, merge);
            }
            lane += length;
        }
        return v;
    }
    if (span > 4 * lanes_) return gather(element, pointer, a);
    std::int64_t step = lanes_;
    for (std::int64_t o : offsets) step = std::gcd(step, o - first);
    const Stretch all = stretch(a, offsets, step, elements);
    if (all.vectors > 2)
        if (llvm::Value* v = load_joined(element, pointer, a, offsets, step, elements)) return v;
    llvm::Value* v = nullptr;
    for (std::int64_t from = all.start; from < all.end; from += lanes_) {
        const std::int64_t length = std::min<std::int64_t>(lanes_, all.end - from);
        std::vector<int> pick;
        bool any = false;
        for (int l = 0; l < lanes_; ++l) {
            std::int64_t o = l < active_ ? offsets[l] - from : -1;
            bool here = o >= 0 && o < length;
            any = any || here;
            pick.push_back(!v     ? (here ? static_cast<int>(o) : -1)
                           : here ? lanes_ + static_cast<int>(o)
                                  : l);
        }
        if (!any) continue;
        llvm::Value* part = load_run(element, at(from), length);
        v = v ? b_.CreateShuffleVector(v, part, pick) : b_.CreateShuffleVector(part, pick);
    }
    return v;
}

llvm::Value* RegionPrinter::load(const Instr& i) {
    llvm::Type* element = memory_type(i.dtype);
    llvm::Value* pointer = pointers_[i.buffer];
    Address a = address(i.index);
    if (a.uniform())
        return from_memory(load_scalar(element, b_.CreateGEP(element, pointer, scalar_address(a))),
                           i.dtype);
    if (a.vector) return from_memory(gather(element, pointer, a), i.dtype);
    const loops::Buffer& buffer = k_.buffers[i.buffer];
    const std::int64_t kept = active_;
    if (buffer.takes_whole_vectors()) active_ = lanes_;
    llvm::Value* v = load_pattern(element, pointer, a, buffer.elements());
    active_ = kept;
    return from_memory(v, i.dtype);
}

// `otherwise` with the lanes that are on, which are known, from consecutive elements. A load of no
// more than these needs no mask, which costs a load of its own on some processors, and crosses
// fewer cache lines.
llvm::Value* RegionPrinter::load_known(llvm::Type* element, llvm::Value* pointer, const Address& a,
                                       const llvm::Constant& on, llvm::Value* otherwise) {
    std::int64_t first = 0, last = lanes_;
    auto is_on = [&](std::int64_t l) {
        return on.getAggregateElement(static_cast<unsigned>(l))->isOneValue();
    };
    while (first < lanes_ && !is_on(first)) ++first;
    while (last > first && !is_on(last - 1)) --last;
    if (first == last) return otherwise;
    auto* full = llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes_));
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    const std::int64_t length = last - first;
    bool gaps = false;
    for (std::int64_t l = first; l < last; ++l) gaps = gaps || !is_on(l);
    if (gaps || (length & (length - 1)) != 0) {
        llvm::Value* at = b_.CreateGEP(element, pointer, scalar_address(a));
        return b_.CreateMaskedLoad(full, at, align, const_cast<llvm::Constant*>(&on), otherwise);
    }
    Address start = a;
    start.constant += first;
    llvm::Value* run =
        load_run(element, b_.CreateGEP(element, pointer, scalar_address(start)), length);
    if (length == lanes_) return run;
    std::vector<int> place;
    for (std::int64_t l = 0; l < lanes_; ++l)
        place.push_back(static_cast<int>(l >= first && l < last ? lanes_ + l - first : l));
    return b_.CreateShuffleVector(otherwise, run, place);
}

// A load with all lanes masked off takes hundreds of cycles where there is no memory: where the
// guard is false it goes to some place in the buffer. The same one for all places at constant
// distances, if they are inside.
void RegionPrinter::stay_inside(const Instr& i, llvm::Value* guard, Address& a) {
    if (!a.base || a.vector) return;
    std::int64_t low = a.constant, high = a.constant;
    if (!a.lanes.empty()) {
        const auto [first, last] = std::minmax_element(a.lanes.begin(), a.lanes.end());
        low += *first;
        high += *last;
    }
    const std::int64_t elements = k_.buffers[i.buffer].elements();
    const std::int64_t inside = low >= 0 && high < elements ? 0 : -low;
    a.base = b_.CreateSelect(guard, a.base, b_.getInt64(static_cast<std::uint64_t>(inside)));
}

// The address of a vector of which `length` lanes from `lane` on may be read, as far as they are in
// the buffer: its begin where none is. Masked off as they are, what lies there counts: a processor
// makes the load wait for stores to it, and after a piece of scratch lies the next one, which the
// loop may be storing to.
llvm::Value* RegionPrinter::reach(const Instr& i, const Address& a, std::int64_t lane,
                                  std::int64_t length) {
    const std::int64_t elements = k_.buffers[i.buffer].elements();
    llvm::Value* start = scalar_address(a);
    if (!a.base || inside(a, lane, lane + length, elements)) return start;
    auto number = [&](std::int64_t v) { return b_.getInt64(static_cast<std::uint64_t>(v)); };
    llvm::Value* last = b_.CreateAdd(start, number(lane + length - 1));
    llvm::Value* some = b_.CreateICmpULT(last, number(elements + length - 1));
    return b_.CreateSelect(some, start, number(0));
}

// Where the guard is false a scalar load reads a zero of our own, and vector lanes are masked off.
llvm::Value* RegionPrinter::load_if(const Instr& i) {
    llvm::Type* element = memory_type(i.dtype);
    llvm::Value* pointer = pointers_[i.buffer];
    llvm::Value* guard = value(i.args[0]);
    Address a = address(i.index);
    if (a.uniform() && !guard->getType()->isVectorTy()) {
        if (!zeros_) {
            llvm::IRBuilder<> entry(&function_->getEntryBlock(),
                                    function_->getEntryBlock().begin());
            zeros_ = entry.CreateAlloca(entry.getInt64Ty(), nullptr, "zeros");
            entry.CreateStore(entry.getInt64(0), zeros_);
        }
        llvm::Value* at = b_.CreateGEP(element, pointer, scalar_address(a));
        return from_memory(load_scalar(element, b_.CreateSelect(guard, at, zeros_)), i.dtype);
    }
    if (!guard->getType()->isVectorTy()) stay_inside(i, guard, a);
    auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes_));
    llvm::Value* zero = llvm::Constant::getNullValue(type);
    // Not `and`: what a guard is in the lanes that are off may be poison.
    llvm::Value* on =
        active_ < lanes_
            ? b_.CreateSelect(mask(), widen(guard), llvm::Constant::getNullValue(mask()->getType()))
            : widen(guard);
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    if (!a.vector && !a.lanes.empty()) {
        std::vector<std::int64_t> parts = runs({a.lanes.data(), static_cast<std::size_t>(active_)});
        if (parts.size() <= 3) {
            llvm::Value* v = zero;
            std::int64_t lane = 0;
            for (std::int64_t length : parts) {
                // The run where its lanes are, the vector's other lanes off.
                Address b = a;
                b.constant += a.lanes[lane] - lane;
                std::vector<llvm::Constant*> here;
                for (std::int64_t l = 0; l < lanes_; ++l)
                    here.push_back(b_.getInt1(l >= lane && l < lane + length));
                llvm::Value* off = b_.CreateAnd(on, llvm::ConstantVector::get(here));
                if (const auto* known = llvm::dyn_cast<llvm::Constant>(off)) {
                    v = load_known(element, pointer, b, *known, v);
                } else {
                    llvm::Value* start = reach(i, b, lane, length);
                    v = b_.CreateMaskedLoad(type, b_.CreateGEP(element, pointer, start), align, off,
                                            v);
                }
                lane += length;
            }
            return from_memory(v, i.dtype);
        }
        if (llvm::Value* v = load_stretch_if(i, element, pointer, a, on))
            return from_memory(v, i.dtype);
    }
    llvm::Value* pointers = b_.CreateGEP(element, pointer, vector_address(a));
    return from_memory(b_.CreateMaskedGather(type, pointers, align, on, zero), i.dtype);
}

void RegionPrinter::store(const loops::StoreTo& s) {
    const loops::Buffer& buffer = k_.buffers[s.buffer];
    const DType t = buffer.dtype;
    llvm::Type* element = memory_type(t);
    llvm::Value* pointer = pointers_[s.buffer];
    llvm::Value* v = value(s.value);
    Address a = address(s.index);
    if (!a.uniform()) {
        v = widen(v);
        if (s.combine) {
            // No two lanes have one place then: a run of memory.
            ARETE_CHECK(
                !a.vector && runs({a.lanes.data(), static_cast<std::size_t>(active_)}).size() == 1,
                "{}: combining store of lanes that are apart", k_.name);
            Address first = a;
            first.constant += a.lanes[0];
            llvm::Value* old =
                load_run(element, b_.CreateGEP(element, pointer, scalar_address(first)), active_);
            v = combine(*s.combine, t, from_memory(old, t), v);
        }
        store_lanes(s, a, to_memory(v, t), buffer.takes_whole_vectors());
        return;
    }
    llvm::Value* at = b_.CreateGEP(element, pointer, scalar_address(a));
    if (s.combine) {
        v = combine(*s.combine, t, from_memory(load_scalar(element, at), t), v);
    }
    ARETE_CHECK(!v->getType()->isVectorTy(), "{}: lanes stored at one place", k_.name);
    llvm::Align align(size_of(t));
    b_.CreateAlignedStore(to_memory(v, t), at, align);
}

// `whole`: of a buffer that takes whole vectors.
void RegionPrinter::store_lanes(const loops::StoreTo& s, const Address& a, llvm::Value* v,
                                bool whole) {
    llvm::Type* element = v->getType()->getScalarType();
    llvm::Value* pointer = pointers_[s.buffer];
    llvm::Align align(module_.getDataLayout().getTypeAllocSize(element));
    const std::int64_t active = whole ? lanes_ : active_;
    if (!a.vector) {
        auto at = [&](std::int64_t lane) {
            Address b = a;
            b.constant += a.lanes[lane];
            return b_.CreateGEP(element, pointer, scalar_address(b));
        };
        std::vector<std::int64_t> parts = runs({a.lanes.data(), static_cast<std::size_t>(active)});
        if (parts.size() <= 3) {
            std::int64_t lane = 0;
            for (std::int64_t length : parts) {
                if (length == lanes_) {
                    b_.CreateAlignedStore(v, at(0), align);
                    return;
                }
                std::vector<int> pick;
                for (std::int64_t l = 0; l < length; ++l)
                    pick.push_back(static_cast<int>(lane + l));
                const bool power_of_two = (length & (length - 1)) == 0;
                if (lane == 0 && machine_.masked_memory && !power_of_two &&
                    element->getScalarSizeInBits() >= 32) {
                    std::vector<llvm::Constant*> on;
                    for (std::int64_t l = 0; l < lanes_; ++l) on.push_back(b_.getInt1(l < length));
                    b_.CreateMaskedStore(v, at(0), align, llvm::ConstantVector::get(on));
                } else {
                    b_.CreateAlignedStore(b_.CreateShuffleVector(v, pick), at(lane), align);
                }
                lane += length;
            }
            return;
        }
    }
    llvm::Value* addresses = vector_address(a);
    for (std::int64_t l = 0; l < active; ++l) {
        llvm::Value* lane = b_.getInt64(static_cast<std::uint64_t>(l));
        llvm::Value* at = b_.CreateGEP(element, pointer, b_.CreateExtractElement(addresses, lane));
        b_.CreateAlignedStore(b_.CreateExtractElement(v, lane), at, align);
    }
}

}  // namespace arete::llvm_codegen

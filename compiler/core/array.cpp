#include "compiler/core/array.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "compiler/core/memory.h"

#include "compiler/core/convert.h"

namespace arete {

std::string type_name(DType dtype, const Sizes& sizes) {
    return fmt::format("{}[{}]", name(dtype), fmt::join(sizes, ","));
}

std::int64_t count(const Sizes& sizes) {
    std::int64_t n = 1;
    for (std::int64_t s : sizes)
        if (__builtin_mul_overflow(n, s, &n))
            fail<ArgumentError>({}, "[{}]: more elements than 64 bits can count",
                                fmt::join(sizes, ","));
    return n;
}

namespace {
AllocateBytes replacement = nullptr;
}

AllocateBytes replace_allocation(AllocateBytes by) {
    return std::exchange(replacement, by);
}

bool sizes_fit(DType dtype, const Sizes& sizes) {
    auto bytes = static_cast<std::int64_t>(size_of(dtype));
    for (std::int64_t s : sizes) {
        if (s < 0) return false;
        if (s != 0 && (__builtin_mul_overflow(bytes, s, &bytes) || bytes > largest_tensor))
            return false;
    }
    return true;
}

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
    if (replacement) return replacement(bytes);
    const auto none = [&] {
        with_memory({}, "memory for", "an array",
                    [&] { fail<MemoryError>({}, "no memory for {} bytes", bytes); });
    };
    if (bytes > std::numeric_limits<std::size_t>::max() / 2) none();
    // Rounded up so that a full vector may be read at the end of any array.
    std::size_t rounded = (bytes + 127) / 64 * 64;
    // Where the system offers huge pages on demand, large arrays take them: a kernel that walks a
    // matrix by columns meets a new small page at each step.
    constexpr std::size_t huge = std::size_t{2} << 20;
    const bool large = rounded >= 2 * huge;
    if (large) rounded = (rounded + huge - 1) / huge * huge;
    void* p = std::aligned_alloc(large ? huge : 64, rounded);
    if (!p) none();
#ifdef MADV_HUGEPAGE
    if (large) madvise(p, rounded, MADV_HUGEPAGE);  // advice: may be declined
#endif
    // Where this fails, it frees p.
    return with_memory({}, "memory for", "an array",
                       [&] { return std::shared_ptr<void>(p, std::free); });
}

Array::Array(DType dtype, Sizes sizes) : dtype_(dtype), sizes_(std::move(sizes)) {
    check_sizes();
    try {
        storage_ = allocate_bytes(bytes());
    } catch (const MemoryError&) {
        with_memory({}, "memory for", "an array", [&] {
            fail<MemoryError>({}, "Array: no memory for {}, {} bytes", type_name(dtype_, sizes_),
                              bytes());
        });
    }
}

void Array::check_sizes() const {
    if (sizes_fit(dtype_, sizes_)) return;
    for (std::int64_t s : sizes_)
        if (s < 0) fail<ArgumentError>({}, "Array: negative size in {}", type_name(dtype_, sizes_));
    fail<ArgumentError>({}, "Array: {} is too large for any memory", type_name(dtype_, sizes_));
}

Array Array::reshaped(Sizes sizes) const {
    if (count(sizes) != size())
        fail<ArgumentError>({}, "Array: cannot reshape {} to {}", type_name(dtype_, sizes_),
                            type_name(dtype_, sizes));
    return Array(dtype_, std::move(sizes), storage_);
}

std::int64_t Array::shape(int axis) const {
    int a = axis < 0 ? axis + rank() : axis;
    if (a < 0 || a >= rank())
        fail<ArgumentError>({}, "Array: axis {} of {}", axis, type_name(dtype_, sizes_));
    return sizes_[a];
}

void Array::check_dtype(DType wanted) const {
    if (wanted != dtype_)
        fail<ArgumentError>({}, "Array: {} read as {}", type_name(dtype_, sizes_), name(wanted));
}

void Array::check_count(std::int64_t wanted) const {
    if (size() != wanted)
        fail<ArgumentError>({}, "Array: {} holds {} elements, not {}", type_name(dtype_, sizes_),
                            size(), wanted);
}

double Array::as_double(std::int64_t i) const {
    return visit(dtype_, [&](auto tag) { return static_cast<double>(data<decltype(tag)>()[i]); });
}

std::int64_t Array::as_int(std::int64_t i) const {
    return visit(dtype_, [&](auto tag) { return convert<std::int64_t>(data<decltype(tag)>()[i]); });
}

Array Array::astype(DType dtype) const {
    Array out(dtype, sizes_);
    if (dtype == dtype_) {
        if (bytes()) std::memcpy(out.raw(), raw(), bytes());
        return out;
    }
    visit(dtype_, [&](auto from) {
        visit(dtype, [&](auto to) {
            const auto* in = data<decltype(from)>();
            auto* o = out.data<decltype(to)>();
            for (std::int64_t i = 0, n = size(); i < n; ++i) o[i] = convert<decltype(to)>(in[i]);
        });
    });
    return out;
}

bool Array::equals(const Array& other) const {
    return dtype_ == other.dtype_ && sizes_ == other.sizes_ &&
           (bytes() == 0 || std::memcmp(raw(), other.raw(), bytes()) == 0);
}

std::string Array::str() const {
    constexpr std::int64_t shown = 12;
    std::string out = type_name(dtype_, sizes_) + " {";
    visit(dtype_, [&](auto tag) {
        const auto* p = data<decltype(tag)>();
        std::int64_t n = size();
        for (std::int64_t i = 0; i < std::min(n, shown); ++i)
            out += fmt::format("{}{}", i ? ", " : "", p[i]);
        if (n > shown) out += ", ...";
    });
    return out + "}";
}

Array zeros(DType dtype, Sizes sizes) {
    Array out(dtype, std::move(sizes));
    if (out.bytes()) std::memset(out.raw(), 0, out.bytes());
    return out;
}

}  // namespace arete

// Concrete tensors in host memory.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/core/dtype.h"
#include "compiler/core/error.h"

namespace arete {

/// Sizes of a concrete tensor, outermost first.
using Sizes = std::vector<std::int64_t>;

/// "f32[64,784]".
std::string type_name(DType dtype, const Sizes& sizes);
/// Number of elements. An ArgumentError where that does not fit in 64 bits.
std::int64_t count(const Sizes& sizes);
/// No tensor may have more bytes: far beyond any memory, and so little that sums of several sizes
/// fit in 64 bits. As in NumPy, axes of size 0 do not make the others smaller.
inline constexpr std::int64_t largest_tensor = std::int64_t{1} << 56;
/// False where a size is negative or a tensor of these sizes has more than `largest_tensor` bytes.
bool sizes_fit(DType dtype, const Sizes& sizes);

/// A dense, row-major tensor in host memory. Copying an Array shares its elements (like a NumPy
/// reference); `copy()` duplicates them. Owned memory is 64-byte aligned.
class Array {
  public:
    /// An empty f32[0].
    Array() : Array(DType::F32, Sizes{0}) {}
    /// Uninitialised elements. An ArgumentError where the sizes are negative or too large for any
    /// tensor, a MemoryError where there is no memory for them.
    Array(DType dtype, Sizes sizes);
    /// A scalar.
    template <Element T>
    Array(T value) : Array(dtype_of<T>, Sizes{}) {
        *data<T>() = value;
    }
    /// A vector holding a copy of `values`.
    template <Element T>
    Array(const std::vector<T>& values)
        : Array(values, Sizes{static_cast<std::int64_t>(values.size())}) {}
    /// A copy of `values` (row-major); an ArgumentError where the sizes do not fit.
    template <Element T>
    Array(const std::vector<T>& values, Sizes sizes) : Array(dtype_of<T>, std::move(sizes)) {
        check_count(static_cast<std::int64_t>(values.size()));
        T* out = data<T>();
        for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i];
    }

    /// A window on memory that the caller keeps alive for as long as any copy of the Array.
    template <class T>
    static Array view(T* elements, Sizes sizes) {
        return Array(
            dtype_of<T>, std::move(sizes),
            std::shared_ptr<void>(static_cast<void*>(const_cast<std::remove_cv_t<T>*>(elements)),
                                  [](void*) {}));
    }
    /// The same elements under other sizes; an ArgumentError where the counts differ.
    Array reshaped(Sizes sizes) const;
    /// An Array over `storage`, which must hold count(sizes) elements.
    Array(DType dtype, Sizes sizes, std::shared_ptr<void> storage)
        : dtype_(dtype), sizes_(std::move(sizes)), storage_(std::move(storage)) {
        check_sizes();
    }

    DType dtype() const { return dtype_; }
    const Sizes& shape() const { return sizes_; }
    std::int64_t shape(int axis) const;
    int rank() const { return static_cast<int>(sizes_.size()); }
    /// Number of elements.
    std::int64_t size() const { return count(sizes_); }
    std::size_t bytes() const { return static_cast<std::size_t>(size()) * size_of(dtype_); }

    /// The elements; an ArgumentError where T is not the array's type.
    template <class T>
    T* data() {
        check_dtype(dtype_of<T>);
        return static_cast<T*>(storage_.get());
    }
    template <class T>
    const T* data() const {
        check_dtype(dtype_of<T>);
        return static_cast<const T*>(storage_.get());
    }
    template <class T>
    std::span<const T> values() const {
        return {data<T>(), static_cast<std::size_t>(size())};
    }
    void* raw() { return storage_.get(); }
    const void* raw() const { return storage_.get(); }
    const std::shared_ptr<void>& storage() const { return storage_; }

    /// The only element, of exactly type T; an ArgumentError otherwise.
    template <class T>
    T item() const {
        check_dtype(dtype_of<T>);
        check_count(1);
        return *data<T>();
    }
    /// Element `i` of the flattened array, converted (to an integer as astype does).
    double as_double(std::int64_t i = 0) const;
    std::int64_t as_int(std::int64_t i = 0) const;

    /// A copy converted to `dtype`, as core/convert.h says.
    Array astype(DType dtype) const;
    Array copy() const { return astype(dtype_); }
    /// Same type, sizes and bytes.
    bool equals(const Array& other) const;
    /// Type and values; long arrays are abbreviated.
    std::string str() const;

  private:
    void check_sizes() const;
    void check_dtype(DType wanted) const;
    void check_count(std::int64_t wanted) const;

    DType dtype_;
    Sizes sizes_;
    std::shared_ptr<void> storage_;
};

/// An array with every element equal to `value`.
template <class T>
Array full(Sizes sizes, T value) {
    Array out(dtype_of<T>, std::move(sizes));
    T* p = out.data<T>();
    for (std::int64_t i = 0, n = out.size(); i < n; ++i) p[i] = value;
    return out;
}
template <class T>
Array zeros(Sizes sizes) {
    return full<T>(std::move(sizes), T(0));
}
template <class T>
Array ones(Sizes sizes) {
    return full<T>(std::move(sizes), T(1));
}
/// Zeros of a type known at run time.
Array zeros(DType dtype, Sizes sizes);

/// 64-byte aligned bytes, freed with the last owner. A MemoryError where there are none.
std::shared_ptr<void> allocate_bytes(std::size_t bytes);

}  // namespace arete

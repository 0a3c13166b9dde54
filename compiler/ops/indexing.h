// NumPy indexing: x(0), x(all, slice(1, none)), x(slice(i * n, (i + 1) * n)), p(arange(n), y).
#pragma once

#include "compiler/ops/dims.h"
#include "compiler/ops/gather.h"
#include "compiler/ops/reduction.h"

namespace arete {

/// An absent bound of a slice.
inline constexpr struct None {
} none;
/// In an index: a new axis of size 1.
inline constexpr struct NewAxis {
} newaxis;

/// A bound of a slice: an integer, an integer scalar expression, or none.
struct Bound {
    Bound(None) {}
    template <class T, class = std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>>
    Bound(T v) : value(static_cast<std::int64_t>(v)) {}
    Bound(const Expr& e) : expr(e) {}
    std::optional<std::int64_t> value;
    Expr expr;
};
struct Slice {
    Bound start = none, stop = none;
    std::int64_t step = 1;
    Loc loc;
};
/// Elements start, start + step, ... before stop, as in Python. Integers beside a known size are
/// clipped to it, and negative ones count from the end. Bounds that are expressions are neither:
/// the length must be provably known (constant, or a size), and a slice that leaves the tensor at
/// run time is a RangeError.
inline Slice slice(const Bound& start, const Bound& stop, std::int64_t step = 1,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {start, stop, step, {file, line}};
}

/// One argument of an index.
struct SliceArg {
    enum class Kind { Position, Slice, NewAxis, Array };

    template <class T, class = std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>>
    SliceArg(T position, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : kind(Kind::Position), slice{position, none, 1, {file, line}} {}
    /// An integer scalar drops its axis; an integer array picks elements.
    SliceArg(const Expr& e, const char* file = __builtin_FILE(), int line = __builtin_LINE());
    SliceArg(const Array& a, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : SliceArg(constant(a, file, line), file, line) {}
    SliceArg(const Slice& s) : kind(Kind::Slice), slice(s) {}
    SliceArg(All, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : kind(Kind::Slice), slice{none, none, 1, {file, line}} {}
    SliceArg(NewAxis, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : kind(Kind::NewAxis), slice{none, none, 1, {file, line}} {}

    Kind kind;
    Slice slice;  ///< of Position only its start; its loc is the line of the index
    Expr array;
};

/// What was written to make an Expr, of which set_subtensor and its like change a copy.
struct Indexed {
    Expr x;
    std::vector<SliceArg> items;
    Loc loc;
};

/// Axes without an argument are kept whole. One index array works as `take`; several are broadcast
/// together, and the result's axes stand where they stood if they were neighbours, else in front.
/// Integers beside index arrays drop their axis first. A GraphError where there are too many
/// arguments or a constant is out of range; a RangeError where a computed index is.
inline Expr Expr::operator()(const SliceArg& a) const {
    return index({a});
}
inline Expr Expr::operator()(const SliceArg& a, const SliceArg& b) const {
    return index({a, b});
}
inline Expr Expr::operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c) const {
    return index({a, b, c});
}
inline Expr Expr::operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c,
                             const SliceArg& d) const {
    return index({a, b, c, d});
}
inline Expr Expr::operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c,
                             const SliceArg& d, const SliceArg& e) const {
    return index({a, b, c, d, e});
}
inline Expr Expr::operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c,
                             const SliceArg& d, const SliceArg& e, const SliceArg& f) const {
    return index({a, b, c, d, e, f});
}

/// Elements starts + k * steps for k in `sizes`, along each axis; nothing is clipped. Starts depend
/// on sizes only.
Expr slice_window(const Expr& x, const Shape& starts, const Ints& steps, const Shape& sizes,
                  Loc loc);
/// The gradient of that: g in the window of zeros of shape `sizes`.
Expr slice_window_grad(const Expr& g, const Shape& starts, const Ints& steps, const Shape& sizes,
                       Loc loc);

}  // namespace arete

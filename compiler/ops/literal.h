// C++ numbers in expressions, as what they are: no dtype holds all of them.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "compiler/core/array.h"
#include "compiler/core/dtype.h"

namespace arete {

/// A C++ number: an exact integer, or a double.
class Literal {
  public:
    template <class T>
    static constexpr bool accepts = std::is_floating_point_v<T> ||
                                    (std::is_integral_v<T> && sizeof(T) <= sizeof(std::uint64_t));

    Literal() = default;
    template <class T, class = std::enable_if_t<accepts<T>>>
    explicit Literal(T v) : number_(static_cast<double>(v)) {
        if constexpr (std::is_floating_point_v<T>) {
            kind_ = LiteralKind::Float;
        } else {
            kind_ = std::is_same_v<T, bool> ? LiteralKind::Bool : LiteralKind::Integer;
            negative_ = v < T(0);
            magnitude_ = static_cast<std::uint64_t>(v);
            if (negative_) magnitude_ = 0 - magnitude_;
        }
    }

    LiteralKind kind() const { return kind_; }
    bool is_nan() const { return number_ != number_; }
    std::string str() const;

    /// The dtype that it takes without a tensor beside it: bool, i32 (i64 where it does not fit) or
    /// f32 (f64 where it is too large); nothing where no dtype holds it.
    std::optional<DType> dtype() const;
    /// The dtype that it takes beside a tensor of type t (literal_dtype; beside bool also i64).
    DType dtype_beside(DType t) const;
    /// Can arithmetic in t be done with it? Integers must be in range. To a float type it rounds,
    /// but not to infinity.
    bool fits(DType t) const;
    /// The scalar of type t nearest to it, where it fits; otherwise as core/convert.h says.
    Array as(DType t) const;

    /// Sign of a - b; they are no NaN.
    static int compare(const Literal& a, const Literal& b);

    /// What comparisons of elements of type t with a literal come down to: the largest element that
    /// is not above it and the smallest that is not below it, each absent where there is none.
    struct Bracket {
        std::optional<Array> below, above;
        bool exact = false;      ///< both are the literal
        bool unordered = false;  ///< it is NaN, and t has none
    };
    /// A float beside floats is taken to be rounded to their type (0.1 beside f32 is the f32 that
    /// is written so), unless that made it infinite or zero; anything else is what it is.
    Bracket bracket(DType t) const;

  private:
    LiteralKind kind_ = LiteralKind::Integer;
    bool negative_ = false;        // of Bool and Integer
    std::uint64_t magnitude_ = 0;  // of Bool and Integer
    double number_ = 0;            // the nearest double
};

}  // namespace arete

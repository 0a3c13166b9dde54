// Operand: what builders take. It records the user's line and lets literals adapt.
#pragma once

#include <type_traits>

#include "compiler/graph/node.h"

namespace arete {

/// An expression, an Array (a constant), or a C++ number (a weak literal that takes the dtype of
/// the tensor beside it). Made implicitly at the call, so its default arguments name the line.
class Operand {
  public:
    Operand(const Expr& e, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : loc{file, line}, expr_(e) {}
    Operand(const Array& a, const char* file = __builtin_FILE(), int line = __builtin_LINE());
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
    Operand(T v, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : loc{file, line},
          literal_(true),
          kind_(std::is_same_v<T, bool>       ? LiteralKind::Bool
                : std::is_floating_point_v<T> ? LiteralKind::Float
                                              : LiteralKind::Integer),
          number_(static_cast<double>(v)),
          integer_(static_cast<std::int64_t>(v)) {}

    Loc loc;

    bool is_literal() const { return literal_; }
    LiteralKind kind() const { return kind_; }
    /// The expression; a literal becomes a scalar constant: bool, i32 (i64 where it does not fit)
    /// or f32.
    Expr expr() const;
    /// The expression, a literal with the type it takes beside `t`.
    Expr beside(DType t) const;

  private:
    Expr expr_;
    bool literal_ = false;
    LiteralKind kind_ = LiteralKind::Float;
    double number_ = 0;
    std::int64_t integer_ = 0;
};

/// A constant of the given value.
Expr constant(const Array& value, const char* file = __builtin_FILE(), int line = __builtin_LINE());
/// A scalar constant of type t.
Expr scalar_constant(DType t, double v, Loc loc = {});
Expr scalar_constant(DType t, std::int64_t v, Loc loc = {});

/// Both operands cast to their common type; a literal takes the other's.
std::pair<Expr, Expr> unify(const Operand& a, const Operand& b);

}  // namespace arete

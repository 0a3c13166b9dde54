// Operand: what builders take. It records the user's line and lets literals adapt.
#pragma once

#include <string_view>
#include <type_traits>

#include "compiler/graph/node.h"
#include "compiler/ops/literal.h"

namespace arete {

/// An expression, an Array (a constant), or a C++ number (a weak literal that takes the dtype of
/// the tensor beside it). Made implicitly at the call, so its default arguments name the line.
class Operand {
  public:
    Operand(const Expr& e, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : loc{file, line}, expr_(e) {}
    Operand(const Array& a, const char* file = __builtin_FILE(), int line = __builtin_LINE());
    template <class T, class = std::enable_if_t<Literal::accepts<T>>>
    Operand(T v, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : loc{file, line}, literal_(Literal(v)) {}

    Loc loc;

    bool is_literal() const { return literal_.has_value(); }
    const Literal& literal() const { return *literal_; }
    /// The expression; a literal becomes a scalar constant: bool, i32 (i64 where it does not fit)
    /// or f32 (f64 where it is too large).
    Expr expr() const;
    /// The expression, a literal with the type it takes beside `t`. A GraphError names the line and
    /// `op` where that type cannot hold it.
    Expr beside(DType t, std::string_view op = {}) const;

  private:
    Expr expr_;
    std::optional<Literal> literal_;
};

/// A constant of the given value.
Expr constant(const Array& value, const char* file = __builtin_FILE(), int line = __builtin_LINE());
/// A scalar constant of type t.
Expr scalar_constant(DType t, double v, Loc loc = {});
Expr scalar_constant(DType t, std::int64_t v, Loc loc = {});

/// Both operands cast to their common type; a literal takes the other's. `op` is named in errors.
std::pair<Expr, Expr> unify(const Operand& a, const Operand& b, std::string_view op = {});
/// The same, and to f32 where that is no float; a literal takes that type, whatever the tensor's.
std::pair<Expr, Expr> unify_floats(const Operand& a, const Operand& b, std::string_view op = {});

}  // namespace arete

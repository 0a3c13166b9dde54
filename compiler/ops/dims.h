// Sizes as expressions and expressions as sizes.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// An integer scalar expression as a size: integer constants, scalar integer inputs, sizes of axes
/// (`x.shape(0)`), and sums, products, negations and floor divisions of these. Nothing for others.
std::optional<Dim> as_dim(const Expr& e);
/// The same, but what is not such an expression becomes a symbol of axis `opaque_axis`, which is
/// equal for the same expression only: so that `(e + 10) - e` is 10 for any e. Valid only while e
/// lives.
Dim as_dim_or_opaque(const Expr& e);
inline constexpr int opaque_axis = -2;
/// True where d depends on nothing but sizes of inputs: neither on values of scalars nor on
/// opaque expressions.
bool only_sizes(const Dim& d);
/// True where d depends on an opaque expression.
bool has_opaque(const Dim& d);
/// The i64 scalar of a constant size; a GraphError for others.
Expr dim_expr(const Dim& d, Loc loc);

/// One size as users write it: an integer, a Dim, or an integer scalar expression.
struct SizeArg {
    template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
    SizeArg(T v) : dim(static_cast<std::int64_t>(v)) {}
    SizeArg(const Dim& d) : dim(d) {}
    /// A GraphError where e is no size (see as_dim).
    SizeArg(const Expr& e, const char* file = __builtin_FILE(), int line = __builtin_LINE());
    Dim dim;
};

/// A shape as users write it: `{64, -1}`, `{x.shape(0), 10}`, a Shape or Sizes.
struct ShapeArg {
    ShapeArg() = default;
    ShapeArg(std::initializer_list<SizeArg> sizes) {
        for (const SizeArg& s : sizes) shape.push_back(s.dim);
    }
    ShapeArg(const Shape& s) : shape(s) {}
    ShapeArg(const Sizes& s) : shape(s.begin(), s.end()) {}
    Shape shape;
};

}  // namespace arete

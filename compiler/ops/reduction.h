// Reductions over axes: sum, prod, mean, max, min, argmax, argmin, any, all.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// Axes to reduce over: one, several, or (where none is given) all. Negative ones count from the
/// end.
struct Axes {
    Axes() = default;
    Axes(int axis) : list{axis}, every(false) {}
    Axes(std::initializer_list<int> axes) : list(axes.begin(), axes.end()), every(false) {}
    Axes(const Ints& axes) : list(axes), every(false) {}
    Ints list;
    bool every = true;
};

/// Sums and products: bool and integers give i64, floats their own type. With `keepdims` the
/// reduced axes stay, with size 1. A GraphError names an axis that is not there.
Expr sum(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// The gradient is right where factors are zero, too.
Expr prod(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// Integers give f32.
Expr mean(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// The mean squared distance from the mean, divided by the number of elements (NumPy's default).
Expr var(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// The dtype of x; NaN where an element is NaN. All tied elements get the gradient, as in Theano. A
/// GraphError where an axis of size 0 is reduced.
Expr max(const Operand& x, const Axes& axes = {}, bool keepdims = false);
Expr min(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// Position (i64) of the first extreme along one axis, or in the flattened tensor. A NaN counts as
/// extreme. No gradient.
Expr argmax(const Operand& x, const Axes& axes = {}, bool keepdims = false);
Expr argmin(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// True where any element is not zero.
Expr any(const Operand& x, const Axes& axes = {}, bool keepdims = false);

/// As an index, `x(all, 0)`, every element of an axis. Called, `all(x > 0)`: true where every
/// element is not zero.
inline constexpr struct All {
    Expr operator()(const Operand& x, const Axes& axes = {}, bool keepdims = false) const;
} all;

}  // namespace arete

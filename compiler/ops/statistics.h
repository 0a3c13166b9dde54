// Reductions made of others, and running totals along an axis.
#pragma once

#include "compiler/ops/reduction.h"

namespace arete {

/// The square root of var, slope 0 where that is 0; NumPy's std, a name that C++ has taken.
Expr stddev(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// The norm of the elements over all axes together: (sum |x|^order)^(1/order), of an infinite order
/// the largest |x| (of minus infinity the smallest), of order 0 the number of elements that are not
/// 0. Integers give f32. Slope 0 where a norm of order 2 or above is 0. A GraphError for an order
/// that is NaN, and where an extreme of no elements is asked for.
Expr norm(const Operand& x, double order = 2, const Axes& axes = {}, bool keepdims = false);
/// How many elements are not 0 (NaN is not), i64.
Expr count_nonzero(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// The largest less the smallest; a GraphError where there is none.
Expr ptp(const Operand& x, const Axes& axes = {}, bool keepdims = false);

// Without elements that are NaN. Integers have none.
Expr nansum(const Operand& x, const Axes& axes = {}, bool keepdims = false);
Expr nanprod(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// Of those that are left; NaN where none is.
Expr nanmean(const Operand& x, const Axes& axes = {}, bool keepdims = false);
/// NaN where all are NaN; a GraphError where there are no elements.
Expr nanmax(const Operand& x, const Axes& axes = {}, bool keepdims = false);
Expr nanmin(const Operand& x, const Axes& axes = {}, bool keepdims = false);

/// Totals of the elements up to each one along an axis, one after another, of the dtype that sum
/// has. As loops over the axis; their gradients are right where factors are zero, too.
Expr cumsum(const Operand& x, int axis = 0);
Expr cumprod(const Operand& x, int axis = 0);
/// The largest, and the smallest, element so far; NaN from the first NaN on. Of the dtype of x.
Expr cummax(const Operand& x, int axis = 0);
Expr cummin(const Operand& x, int axis = 0);

}  // namespace arete

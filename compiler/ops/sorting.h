// Orders, searches, counts, and results whose size depends on values.
#pragma once

#include <optional>
#include <vector>

#include "compiler/ops/dims.h"
#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// The elements along an axis in ascending order, NaN last; `descending`: the other way, NaN first.
Expr sort(const Operand& x, int axis = -1, bool descending = false);
/// The positions (i64) of these. Equal elements, and zeros of both signs, stay in their order.
Expr argsort(const Operand& x, int axis = -1, bool descending = false);

struct TopK {
    Expr values, positions;
};
/// The k largest (or smallest) elements along an axis, the first ones first, and their positions
/// (i64). Of equal ones those that come first. NaN is the largest, and the last of the smallest.
TopK topk(const Operand& x, std::int64_t k, int axis = -1, bool largest = true);

/// Where each value belongs in an ascending vector (i64): how many elements are smaller, or, for
/// `right`, not larger. NaN is the largest.
Expr searchsorted(const Operand& sorted, const Operand& values, bool right = false);

/// How often each of 0, 1, ..., length - 1 is among the integers of x (i64), or the sum of the
/// weights of these. Anything else in x is a RangeError.
Expr bincount(const Operand& x, const SizeArg& length, const std::optional<Operand>& weights = {});
/// How many elements of x are in each of the bins between ascending edges (i64), the last of which
/// includes its upper end. What is in none, and NaN, is not counted.
Expr histogram(const Operand& x, const Operand& edges);
/// The same of `bins` bins of one width.
Expr histogram(const Operand& x, std::int64_t bins, double low, double high);

/// The q-th quantile (q from 0 to 1, a number or a scalar) along an axis, of all elements where
/// none is given, between neighbours by their distance. NaN where there is one.
Expr quantile(const Operand& x, const Operand& q, std::optional<int> axis = {},
              bool keepdims = false);
/// The middle element, or the mean of both.
Expr median(const Operand& x, std::optional<int> axis = {}, bool keepdims = false);

/// x[..., indices[..., k, ...], ...] along an axis; the other axes are broadcast. Negative indices
/// count from the end; one out of range is a RangeError.
Expr take_along_axis(const Operand& x, const Operand& indices, int axis);
/// x[indices[k..., 0], indices[k..., 1], ...]: as many indices as the last axis is long. ONNX's
/// GatherND.
Expr gather_nd(const Operand& x, const Operand& indices);

struct NonZero {
    std::vector<Expr> indices;  ///< i64 [size], one an axis; 0 beyond `count`
    Expr count;                 ///< i64: how many there are, which may be more than `size`
};
/// The places of the first `size` elements that are not 0, in row-major order.
NonZero nonzero(const Operand& x, const SizeArg& size);

struct Selected {
    Expr values, count;
};
/// The first `size` of the rows of x (elements, where the mask has x's rank) for which the mask of
/// the shape of x's first axes holds, then zeros, and how many there are.
Selected boolean_mask(const Operand& x, const Operand& mask, const SizeArg& size);

struct Unique {
    Expr values;   ///< [size], ascending; behind the last one it is repeated
    Expr counts;   ///< i64 [size]: how often each occurs, then 0
    Expr inverse;  ///< i64, of x's shape: which one each element is
    Expr count;    ///< i64: how many there are, which may be more than `size`
};
/// The distinct elements of x. All NaN are one, the last.
Unique unique(const Operand& x, const SizeArg& size);

}  // namespace arete

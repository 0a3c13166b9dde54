// Ops that rearrange elements: reshape, dimshuffle, broadcast_to, concatenate.
#pragma once

#include "compiler/ops/dims.h"

namespace arete {

/// The same elements, in row-major order, under another shape; one size may be -1, which is then
/// what remains. Any dtype. A GraphError where the numbers of elements differ.
Expr reshape(const Operand& x, const ShapeArg& shape);
/// At most `outdim` axes: the first outdim - 1 stay, the others merge into one.
Expr flatten(const Operand& x, int outdim = 1);

/// An item of dimshuffle: an axis of the argument (not negative), or 'x' for a new axis of size 1.
struct DimItem {
    DimItem(int axis) : axis(axis < 0 ? -2 : axis) {}
    DimItem(char x) : axis(x == 'x' ? -1 : -2) {}
    int axis;  ///< -1: new; -2: an error
};
/// Reorders axes: axis k of the result is axis order[k] of x, or new where it is 'x'. Axes that are
/// left out must have size 1. `dimshuffle(b, {'x', 0, 'x', 'x'})`.
Expr dimshuffle(const Operand& x, std::initializer_list<DimItem> order);
Expr dimshuffle(const Operand& x, const std::vector<DimItem>& order);
/// Axes in the order given (negative ones count from the end); reversed where none is.
Expr transpose(const Operand& x, const std::vector<int>& axes = {});
/// A new axis of size 1 before axis `axis` (in the result's numbering; -1: at the end).
Expr expand_dims(const Operand& x, int axis);
/// Drops the given axes, which must have size 1; all of known size 1 where none is given.
Expr squeeze(const Operand& x, const std::vector<int>& axes = {});
/// x repeated to `shape` by NumPy's rule: axes of size 1 and missing leading axes are repeated.
Expr broadcast_to(const Operand& x, const ShapeArg& shape);
/// Tensors of one shape but for `axis`, one after another; dtypes are promoted.
Expr concatenate(const std::vector<Operand>& parts, int axis = 0);
/// Tensors of one shape along a new axis.
Expr stack(const std::vector<Operand>& parts, int axis = 0);
/// Number of elements, an i64 scalar; of some axes only where `axes` is given.
Expr size(const Operand& x);
Expr size(const Operand& x, const Ints& axes);

/// Tensors of one repeated value, with the dtype and shape of x, or with the given ones.
Expr zeros_like(const Operand& x);
Expr ones_like(const Operand& x);
Expr full(const ShapeArg& shape, const Operand& value, DType dtype);

/// x, promised to have this shape, which may have sizes that x's type leaves open. Where it turns
/// out to have another when a function is called, a GraphError says so at this line; `what` says
/// what the promise is for.
Expr specify_shape(const Operand& x, const ShapeArg& shape, std::string_view what = {});

/// What becomes of an axis of a gradient whose size may be another than that of its operand.
enum class Fit {
    broadcast,  ///< the operand was broadcast: the gradient is summed, or repeated
    equal,      ///< they are equal, which is checked where sizes are unknown
};
/// g with the dtype and shape of an operand: summed over the axes along which that was broadcast,
/// repeated along axes of size 1 along which g is constant. Along axes of which it is not known yet
/// which of them holds, `fit` decides.
Expr sum_to(const Expr& g, const TensorType& type, Loc loc, Fit fit = Fit::broadcast);

}  // namespace arete

// NumPy's functions that rearrange elements, made of the ops of movement.h and indexing.h: all have
// gradients, and kernels read through most of them. Axes may be negative; a GraphError names one
// that is not there.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "compiler/ops/dims.h"

namespace arete {

/// As many pieces of one size along an axis; a GraphError where the size does not divide.
std::vector<Expr> split(const Operand& x, int parts, int axis = 0);
/// Pieces of these sizes, whose sum must be that of the axis (Theano's splits_size).
std::vector<Expr> split(const Operand& x, const ShapeArg& sizes, int axis = 0);

/// The whole tensor as often as `reps` says along its last axes, or more; each element `repeats`
/// times beside itself along an axis, or where none is given of the flattened tensor.
Expr tile(const Operand& x, const std::vector<std::int64_t>& reps);
Expr repeat(const Operand& x, std::int64_t repeats, std::optional<int> axis = {});
/// Elements in the opposite order along axes, along all where none is given.
Expr flip(const Operand& x, const std::vector<int>& axes = {});
/// Elements moved by `shift` places along an axis, those that leave it to its other end; of the
/// flattened tensor where none is given.
Expr roll(const Operand& x, std::int64_t shift, std::optional<int> axis = {});
/// The same along several axes.
Expr roll(const Operand& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& axes);

/// What pad puts around a tensor. NumPy's names: a number; the outermost element; the elements from
/// the edge inwards, without it (`reflect`) or with it (`symmetric`); those of the other end
/// (`wrap`).
enum class PadMode : std::uint8_t { constant, edge, reflect, symmetric, wrap };
/// Elements before and after each axis. A GraphError where there are not as many widths as axes,
/// for a negative one, and where elements of an empty axis are asked for.
Expr pad(const Operand& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& widths,
         PadMode mode = PadMode::constant, const Operand& value = 0);

/// A matrix with the elements of a vector on its diagonal `k` (above the main one where k is
/// positive), and zeros; of a matrix or more diagonal(x, k).
Expr diag(const Operand& x, std::int64_t k = 0);
/// Elements whose place along axis2 is that along axis1 plus `offset`, along a new last axis. Sizes
/// of the two must be known.
Expr diagonal(const Operand& x, std::int64_t offset = 0, int axis1 = 0, int axis2 = 1);
/// Their sum, of the dtype that sum has.
Expr trace(const Operand& x, std::int64_t offset = 0, int axis1 = 0, int axis2 = 1);
/// Zeros above, and below, the diagonal `k` of the last two axes.
Expr tril(const Operand& x, std::int64_t k = 0);
Expr triu(const Operand& x, std::int64_t k = 0);

Expr swapaxes(const Operand& x, int axis1, int axis2);
/// Axes `source` at the places `destination`; the others keep their order.
Expr moveaxis(const Operand& x, const std::vector<int>& source,
              const std::vector<int>& destination);

/// Vectors repeated to grids of one shape: with "xy" the first runs along axis 1, and the second
/// along axis 0, with "ij" each along its own.
enum class Grid : std::uint8_t { xy, ij };
std::vector<Expr> meshgrid(const std::vector<Operand>& vectors, Grid indexing = Grid::xy);
/// A new last axis: 1 at the place that an integer names, else 0. Nowhere where it names none of
/// `classes` places.
Expr one_hot(const Operand& labels, const SizeArg& classes, DType dtype = DType::F32);

Expr zeros(const ShapeArg& shape, DType dtype);
Expr ones(const ShapeArg& shape, DType dtype);
/// 1 on the diagonal `k` of n rows and m columns (n where there is none), else 0.
Expr eye(const SizeArg& n, std::optional<SizeArg> m = {}, std::int64_t k = 0,
         DType dtype = DType::F32);
/// `num` numbers from start to stop, evenly spaced, with or without stop. Floats: integers give
/// f32.
Expr linspace(const Operand& start, const Operand& stop, std::int64_t num, bool endpoint = true);

}  // namespace arete

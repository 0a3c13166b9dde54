// Copies of tensors in which some elements are others: x(...) = v, x(...) += v and the like.
#pragma once

#include <initializer_list>

#include "compiler/ops/indexing.h"

namespace arete {

/// What becomes of an element and the values that are written to its place: the last one, in
/// row-major order; the sum, product, largest or smallest of the element and all of them. NaN is
/// the largest and the smallest.
enum class Scatter : std::uint8_t { set, add, mul, max, min };

/// x with what x(items...) reads set to v, which is broadcast to it and has x's kind of dtype.
/// Elements that an index array names several times get the last value. Nothing but these elements
/// is touched where x dies here: an update `W -> set_subtensor(W(rows), v)` costs what v costs.
/// Errors are those of the index.
Expr set_subtensor(const Expr& x, std::initializer_list<SliceArg> items, const Operand& v);
/// The same with v added. Values that meet at one element are all added, floats in f64, in
/// row-major order.
Expr inc_subtensor(const Expr& x, std::initializer_list<SliceArg> items, const Operand& v);
/// The same for any of the ways. `mul` with index arrays has no gradient for v.
Expr update_subtensor(Scatter how, const Expr& x, std::initializer_list<SliceArg> items,
                      const Operand& v);
/// As Theano writes it: `part` is what an index x(...) has given, and the result a copy of that x.
Expr set_subtensor(const Expr& part, const Operand& v);
Expr inc_subtensor(const Expr& part, const Operand& v);
Expr update_subtensor(Scatter how, const Expr& part, const Operand& v);

/// x with updates[i, j, ...] written to x[indices[i, j, ...], j, ...] (for axis 0, and so along any
/// axis). All three have one rank; `updates` has the shape of `indices`, whose other axes are no
/// longer than x's. Negative indices count from the end. ONNX's ScatterElements.
Expr scatter_elements(const Operand& x, const Operand& indices, const Operand& updates,
                      int axis = 0, Scatter how = Scatter::set);
/// x with updates[k..., :] written to x[indices[k..., 0], indices[k..., 1], ..., :]. ONNX's
/// ScatterND.
Expr scatter_nd(const Operand& x, const Operand& indices, const Operand& updates,
                Scatter how = Scatter::set);

/// Is it a scatter's result that is undefined beyond what it was given? Only that is ever read.
bool undefined_elsewhere(const Expr& e);

}  // namespace arete

// Reads at computed places: take and index arrays.
#pragma once

#include "compiler/ops/checks.h"

namespace arete {

/// Elements of x at integer `indices` (any rank) along `axis`: its size is replaced by the shape of
/// the indices. Negative indices count from the end; the call fails with a RangeError where one is
/// out of range.
Expr take(const Operand& x, const Operand& indices, int axis = 0);
/// x[i, j, ...] elementwise over index arrays that are broadcast together, on the first axes of x.
Expr advanced_index(const Operand& x, const std::vector<Expr>& indices);

std::span<const OpDef* const> gather_ops();

}  // namespace arete

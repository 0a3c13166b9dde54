// Images whose columns are sorted by phase, so that what a filter that steps reads in a row lies in
// a row.
#pragma once

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// x[..,w], stored with column q * step + r at [..,r,q] (zeros beyond the end), and seen as x again:
/// the address of column step * q + k is the sum q + k / step in row k % step. Vectors of the
/// columns 0, step, 2 step, ... are loads then, not gathers. x has sizes that are numbers.
Expr columns_by_phase(const Operand& x, std::int64_t step);

/// Is e what that function gives, or a view of it?
bool is_by_phase(const Expr& e);

std::span<const OpDef* const> phase_ops();

}  // namespace arete

// Index sequences, and indices that are checked when the function runs.
#pragma once

#include "compiler/ops/dims.h"
#include "compiler/ops/op.h"

namespace arete {

/// 0, 1, ..., stop - 1 (i64). The bounds are integers or sizes (see as_dim); start may be any
/// integer scalar as long as the length is known.
Expr arange(const Operand& stop);
Expr arange(const Operand& start, const Operand& stop, std::int64_t step = 1);
/// `index` as i64 in [0, size), negative ones wrapped; unless that is known already, the value of
/// an op that fails the call where it is out of range.
Expr checked_index(const Expr& index, const Dim& size, Loc loc);
/// `start` as i64, checked at run time: start + k * step must be in [0, size) for k in [0, length).
Expr checked_range(const Expr& start, const Dim& size, const Dim& length, std::int64_t step,
                   Loc loc);
/// True for a check_index or check_range node that cannot fail (an arange that fits, say), so that
/// it may be replaced by its operand. More is known once sizes are.
bool check_is_redundant(const Node& node);

/// arange(size).
Expr count_up(const Dim& size, Loc loc);
/// True for 0, 1, 2, ..., possibly behind a check.
bool counts_up(const Expr& e);
/// Type rules: input i must be i64.
void require_index(const InferArgs& a, std::size_t i);

std::span<const OpDef* const> check_ops();

}  // namespace arete

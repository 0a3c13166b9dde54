// Leaves: inputs, shared variables, constants.
#pragma once

#include "compiler/ops/op.h"

namespace arete {

extern const OpDef input_op;     ///< symbolic input, one id each
extern const OpDef param_op;     ///< parameter of a region, one id each
extern const OpDef shared_op;    ///< variable whose value lives between calls; has `storage`
extern const OpDef constant_op;  ///< attr value: Array

/// A symbolic input. `static_sizes` is empty (nothing known) or has one entry an axis, -1 where
/// unknown.
Expr make_input(DType dtype, int rank, std::string name, const Ints& static_sizes, Loc loc);
/// The Array behind a constant, null for other nodes.
const Array* constant_value(const Expr& e);
/// True, and the value, where e is a constant scalar (or an array of one repeated value).
bool is_constant_scalar(const Expr& e, double* value = nullptr);

}  // namespace arete

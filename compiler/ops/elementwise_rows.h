// The rows of elementwise.cpp, for the builders.
#pragma once

#include "compiler/ops/op.h"

namespace arete {

extern const OpDef add_op, sub_op, mul_op, div_op, floordiv_op, mod_op, neg_op, abs_op, sign_op,
    sqr_op, sqrt_op, exp_op, expm1_op, log_op, log1p_op, tanh_op, sin_op, cos_op, erf_op, pow_op,
    sigmoid_op, softplus_op, floor_op, ceil_op, round_op, relu_op, maximum_op, minimum_op, eq_op,
    neq_op, lt_op, le_op, and_op, or_op, xor_op, not_op, where_op, cast_op, stop_gradient_op;

/// `op` of `a`, which is converted to a float where it is none.
Expr unary_float(const OpDef& op, const Operand& a);

}  // namespace arete

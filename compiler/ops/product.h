// The slope of a product, and the slope of that.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// For each element of the last axis the product of the others: the gradient of prod, also beside
/// zeros, and where the product of all leaves the range of the dtype.
Expr prod_others(const Expr& x);

}  // namespace arete

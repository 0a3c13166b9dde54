// Constant folding.
#pragma once

#include "compiler/graph/node.h"

namespace arete {

/// The constant that an elementwise expression of scalar constants amounts to, computed by the op's
/// own scalar body. Empty where e is not constant.
Expr fold(const Expr& e);

}  // namespace arete

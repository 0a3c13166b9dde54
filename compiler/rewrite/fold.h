// Constant folding.
#pragma once

#include "compiler/graph/node.h"

namespace arete {

/// The constant that an elementwise expression of constants amounts to, computed by the op's own
/// scalar body with broadcasting, or a constant under another shape. Empty where e is not constant,
/// or has more than 64 elements.
Expr fold(const Expr& e);

}  // namespace arete

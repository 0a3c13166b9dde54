// Constant folding.
#pragma once

#include "compiler/graph/node.h"
#include "compiler/rewrite/rewrite.h"

namespace arete {

/// The constant that an elementwise expression of constants amounts to, with broadcasting, or a
/// constant under another shape: bit for bit what native code would compute of inputs. Empty where
/// e is not constant, or has more than 64 elements, or where its rounding is not known yet, or
/// where it is a function that is to be kept.
Expr fold(const Expr& e, Products products = Products::fused,
          Functions functions = Functions::folded);

}  // namespace arete

// Kernels that walk the same elements become one with several results.
#pragma once

#include <span>

#include "compiler/fuse/fusion.h"

namespace arete {

/// Merges groups that read the same elements of a stored operand in the same loops: the largest of
/// a window and its position, a sum and a maximum of one array, elementwise values of one shape.
/// Neither may need the other. Contractions stay apart: their operands are reused in registers, of
/// which two results leave each other half. What only one such group reads it computes, once an
/// iteration, rather than load it. Values in `keep` are results of the function.
void merge_siblings(Fusion& fusion, std::span<const Expr> keep);

}  // namespace arete

// Sums of products by letters.
#pragma once

#include <string_view>
#include <vector>

#include "compiler/ops/operand.h"

namespace arete {

/// NumPy's einsum: `einsum("bij,bjk->bik", {a, b})`. A letter stands for an axis of each operand
/// that has it; what the result lacks is summed. A letter twice in an operand takes its diagonal.
/// `...` are axes that are broadcast. Without `->` the result has the letters that occur once, in
/// the order of the alphabet. Axes of size 1 are broadcast. Products of two operands at a time, in
/// the order that takes the fewest multiplications; sizes that are not known count as 64. A
/// GraphError says what is wrong with the letters or which sizes differ.
Expr einsum(std::string_view letters, const std::vector<Operand>& operands,
            const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace arete

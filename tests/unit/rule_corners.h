// Operands for the tests of rules: corners of every dtype, in all company.
#pragma once

#include <utility>
#include <vector>

#include <arete/arete.h>

namespace arete::test {

/// Matrices in which corners meet corners (zeros of both signs, denormals, the smallest and the
/// largest numbers, infinities, NaN, integers that doubles cannot tell apart), single numbers, and
/// constants that guards ask for. The same index means the same numbers in every float dtype that
/// holds them.
struct CornerOperands {
    /// In the ordinary range no sum of them overflows or loses all that its terms are.
    CornerOperands(DType t, bool ordinary_range);
    std::vector<Expr> leaves;
    std::vector<std::pair<Expr, Array>> bindings;
};

}  // namespace arete::test

// The bool expressions that masks are made of: compared, and moved as the elements of a gradient.
#pragma once

#include "compiler/graph/node.h"

namespace arete {

inline bool is_op(const Node& n, std::string_view name) {
    return n.op->name == name;
}
/// A condition with as many axes as what it masks.
Expr with_rank(const Expr& e, int rank, Loc loc);
/// Does a condition on a tensor of some rank depend on the place along one of these axes?
bool varies(const Expr& e, int rank, const Ints& axes);
/// The condition on the result of the view `n` that `c` is on its operand. Without what only brings
/// back where it was, and not repeated where it need not be: otherwise a condition on whole rows
/// would not be known as one afterwards.
Expr viewed(const Node& n, std::size_t operand, const Expr& c, Loc loc);

}  // namespace arete

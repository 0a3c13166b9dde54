// What users look at: an expression as mathematics in one line, as a tree, as Graphviz source.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace arete {

/// The expression as mathematics in one line, with as few parentheses as keep its meaning:
/// "softmax(dot(x, w) + b)". Notation is NumPy's (`x[2:5]`, `sum(x, axis=1)`, `x.T`); unnamed
/// variables are written as their type, `<f32[3]>`; run-time checks of indices are left out. Where
/// the whole would be very long (shared subexpressions repeat), parts get names:
/// "$2 * $2 where $1 = exp(x); $2 = $1 + 1".
std::string pp(const Expr& e);

/// How pp writes.
struct PrettyPrint {
    bool checks = false;                              ///< run-time checks of indices, too
    std::vector<std::pair<Expr, std::string>> names;  ///< values to be written as these names
};
std::string pp(const Expr& e, const PrettyPrint& options);

/// Two expressions side by side, as what a rule replaced and what by: longer parts that both have
/// are written as letters. {"log(softmax(a))", "log_softmax(a)", {"a = dot(x, w) + b"}}.
struct PrettyPair {
    std::string first, second;
    std::vector<std::string> where;
};
PrettyPair pp_pair(const Expr& first, const Expr& second);

/// What debugprint writes.
struct DebugPrint {
    int depth = -1;     ///< levels of the tree that are written; -1: all
    bool lines = true;  ///< the user's lines, at the right
};

/// Theano's indented tree: op or name, attributes, an id for each value, type, and the user's line.
/// A value that was printed further up is not repeated: its id is, followed by "..." where it has
/// operands.
std::string debugprint(const Expr& e, const DebugPrint& options = {});
/// Several expressions one after another; ids and what was printed are common to all.
std::string debugprint(const std::vector<Expr>& outputs, const DebugPrint& options = {});

/// Graphviz source of everything that `e` needs.
std::string to_dot(const Expr& e);

/// The i-th element as text, bytes as numbers.
std::string element_text(const Array& a, std::int64_t i);

/// The text, or its beginning and dots where it is longer than `most` characters.
std::string shortened(std::string text, std::size_t most = 160);

}  // namespace arete

// What a compiled step computes, in terms of the graph.
#pragma once

#include <vector>

#include "compiler/pipeline/compile.h"

namespace arete {

/// A value that a step stores: the parameter it goes through, and what it stands for.
struct StoredValue {
    int parameter = -1;
    Expr value;
};

/// What step `step` stores, each slot once; nothing for copies and zeroing.
std::vector<StoredValue> stored_by(const Compiled& compiled, std::size_t step);

/// The nodes whose values step `step` computes: those stored, and what is inlined into them.
/// Inputs first.
std::vector<std::shared_ptr<const Node>> nodes_of_step(const Compiled& compiled, std::size_t step);

}  // namespace arete

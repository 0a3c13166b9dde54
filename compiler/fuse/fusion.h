// Which values share a kernel, and which are stored.
#pragma once

#include <string>
#include <vector>

#include "compiler/fuse/lower.h"
#include "compiler/ops/op.h"

namespace arete {

/// One kernel to be: the values it stores (of one shape) with everything inlined into them.
struct Group {
    std::vector<Expr> roots;
};

/// The partition of a graph into kernels, producers before consumers.
struct Fusion {
    std::vector<Group> groups;
    /// Why each stored value is stored, by node id of the graph; empty where it is inlined.
    std::vector<std::string> reasons;
    /// True for values that kernels load: leaves and roots of groups.
    bool stored(const Expr& e) const;

    std::vector<char> is_stored;  // by node id
    const Graph* graph = nullptr;
};

/// Decides by traits and sizes alone:
/// - views are read through, never stored;
/// - a producer is inlined into its only reader, unless the reader would compute it more than once
///   an element (operands of contractions, broadcasts) and it costs more than a load;
/// - cheap producers are inlined into several readers;
/// - a reduction takes the elementwise work after it into its own kernel, where that work has its
///   shape and no other reduction.
/// Values in `keep` are stored whatever else holds. Sizes must be concrete.
Fusion fuse(const Graph& graph, std::span<const Expr> keep);

/// Groups with the reason for each boundary, for ARETE_DUMP=fusion.
std::string to_string(const Fusion& fusion);

}  // namespace arete

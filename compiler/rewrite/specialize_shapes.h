// From symbolic sizes to concrete ones, and from composite ops to primitive ones.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

/// What is known of a call: sizes of the inputs and values of the integer scalars that sizes
/// depend on, by the leaf's id.
struct ShapeBinding {
    std::map<std::uint64_t, Sizes> sizes;
    std::map<std::uint64_t, std::int64_t> scalars;
};

/// The same graph with every size concrete: inputs get static types, size attributes are
/// evaluated, each op's type rule runs again, and ops that were waiting for sizes (Trait::Late) are
/// gone. Sizes that do not fit together are a GraphError that names the user's line.
std::vector<Expr> bind_shapes(std::span<const Expr> outputs, const ShapeBinding& binding);

/// Attributes with every Dim and Shape among them replaced.
Attrs bind_sizes(const Attrs& attrs, const std::function<Dim(const Dim&)>& bind);

/// Ids of inputs that some size depends on: integer scalars by their value, tensors by their sizes.
struct InputsInShapes {
    std::set<std::uint64_t> scalars, tensors;
};
InputsInShapes inputs_in_shapes(std::span<const Expr> outputs);

/// The graph with other expressions in the place of some, and sizes that were said in terms of
/// replaced inputs in terms of what replaces them.
std::vector<Expr> substitute(std::span<const Expr> outputs,
                             std::span<const std::pair<Expr, Expr>> pairs);

/// Replaces ops that are defined in terms of others (OpDef::expand) by their definition.
std::vector<Expr> expand_composites(std::span<const Expr> outputs);

}  // namespace arete

// From graph nodes to loop nests: the one place where OpDef's scalar and lower rules run.
#pragma once

#include <functional>
#include <vector>

#include "compiler/loops/kernel.h"
#include "compiler/ops/op.h"

namespace arete {

/// Where a run-time check came from.
struct CheckSite {
    Loc loc;
    std::string message;  ///< with "{}" for the element that failed

    /// Throws the RangeError.
    [[noreturn]] void raise(std::int64_t element) const;
};

/// A nest with the graph values its buffers stand for.
struct LoweredNest {
    loops::Nest nest;
    IdVector<loops::BufferId, Expr> buffers;
    std::vector<CheckSite> checks;  ///< a check's code is its position here
    std::vector<Loc> lines;         ///< the user's lines that it computes, each once
    /// Products that other nodes read too, which is why no sum may round them with itself: x -
    /// max(x) is then 0 for the largest x, whoever computes x.
    std::vector<loops::ValueId> shared_products;
    bool zero_first = false;  ///< a scatter: the result must be zeroed before it runs
    Expr onto;  ///< a scatter: what the result must be before it runs, where not empty
};

/// What the function of the host is called that computes a node: by the user, or as the op.
std::string host_name(const Node& node);

struct LoweredBody;

/// A node that is a step of its own (Trait::Step), with its regions lowered.
struct LoweredStep {
    std::shared_ptr<const Node> node;
    std::vector<LoweredBody> bodies;  ///< by region

    /// Whether a check in it may fail.
    bool checks() const;
    /// The user's lines that it computes.
    std::string lines() const;
};

/// What the groups of a graph have become.
struct LoweredGraph {
    std::vector<LoweredNest> nests;
    std::vector<LoweredStep> steps;
};

struct LoweredBody {
    Region region;
    LoweredGraph graph;
};

/// True for values that a nest loads from memory rather than computes.
using IsStored = std::function<bool(const Expr&)>;

/// True for values that several nodes read.
using IsShared = std::function<bool(const Expr&)>;

/// A nest that computes `roots` (all of one shape), inlining every value for which `stored` is
/// false. Sizes must be concrete. Without a name it is called after what it computes
/// (kernel_name.h).
LoweredNest lower_nest(std::span<const Expr> roots, const IsStored& stored, std::string name,
                       const IsShared& shared = {});

/// True for values of very many pieces, one after another, that are stored piece by piece: an
/// element that chooses among them would look at all.
bool by_pieces(const Node& node);

/// The nests that compute `roots`: one, or, of a value that is stored by pieces, one for each.
std::vector<LoweredNest> lower_nests(std::span<const Expr> roots, const IsStored& stored,
                                     const std::string& name, const IsShared& shared = {});

}  // namespace arete

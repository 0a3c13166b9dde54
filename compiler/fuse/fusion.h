// Which values share a kernel, and which are stored.
#pragma once

#include <string>
#include <vector>

#include "compiler/fuse/costs.h"
#include "compiler/fuse/group_order.h"
#include "compiler/fuse/lower.h"
#include "compiler/ops/op.h"

namespace arete {

/// What keeps a graph's kernels within a small multiple of computing every node once, to compile
/// and to run. The fuser stores what would exceed it, and the verifier checks it.
struct Bounds {
    /// Places at which one kernel evaluates a value that is not stored (evaluations.h).
    static constexpr std::int64_t in_one_kernel = 4;
    /// The same, all kernels together.
    static constexpr std::int64_t in_all_kernels = 16;
    /// Instructions of one iteration of a kernel.
    static constexpr std::int64_t instructions = 600;
    /// Terms of an index through views.
    static constexpr std::int64_t address_terms = 48;
    /// Nodes between a value that is not stored and its kernel's result.
    static constexpr int depth = 100;
};

/// One kernel to be: the values it stores (of one shape) with everything inlined into them.
struct Group {
    std::vector<Expr> roots;
};

/// The partition of a graph into kernels, producers before consumers.
struct Fusion {
    IdVector<GroupId, Group> groups;
    /// Why each stored value is stored; empty where it is inlined.
    IdVector<NodeId, std::string> reasons;
    /// True for values that kernels load: leaves and roots of groups.
    bool stored(const Expr& e) const;

    IdVector<NodeId, char> is_stored;
    const Graph* graph = nullptr;
};

/// Decides by traits, sizes and costs:
/// - results, checks, scatters and steps of their own and what these read, random numbers, and what
///   has several results are stored; views are read through, never stored;
/// - a reduction takes the elementwise work after it into its own kernel, where that work has its
///   shape and no other reduction, and is stored otherwise;
/// - what one kernel needs once an element is computed there;
/// - whatever is left, because several kernels need it or one needs it several times, is stored or
///   computed again, as costs least bytes: a minimum cut (recompute.h).
/// Values in `keep` are stored whatever else holds. Sizes must be concrete.
/// Then values of the same loops share a kernel (siblings.h).
Fusion fuse(const Graph& graph, std::span<const Expr> keep, const FusionCosts& costs = {});

/// The same without the last step: a kernel for each stored value.
Fusion choose_stored(const Graph& graph, std::span<const Expr> keep, const FusionCosts& costs = {});

/// Places that scatters may compute where they need them, and need not load: made of aranges and
/// single numbers, they are addresses that the loops' order shows in. So may numbers that are
/// repeated.
IdVector<NodeId, char> read_in_scatters(const Graph& graph);

/// The nodes that a group computes, ascending.
std::vector<NodeId> members(const Fusion& fusion, const Group& group);

/// Throws an InternalError where kernels made of these groups would not compute the graph: where a
/// value is neither stored by one group nor computed by its readers' groups; a group reads what no
/// group before it stores; one of `keep`, a check, a scatter or what it reads, or one of several
/// results is not stored; a stored value has no reason; or a reduction that is not stored is
/// computed by several groups, with another one, or is not one to one with the result of its group.
void verify(const Fusion& fusion, std::span<const Expr> keep);

/// Groups with the reason for each boundary, for ARETE_DUMP=fusion.
std::string to_string(const Fusion& fusion);

}  // namespace arete

// How often kernels evaluate what they compute for themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

/// Walks a graph from its results towards its inputs, and finds for each value which kernels need
/// it, and at how many places: a place is an index made of the kernel's loop variables, and the
/// guard under which it is read. A kernel evaluates a value that is not stored once for each of
/// its places in every iteration of its loops. So an elementwise chain has one place throughout,
/// what a difference of two slices reads has two, and along a chain of such readers places
/// multiply.
///
/// Nodes are visited in descending order, each by one of `start` and `pass_on`; leaves by neither.
/// A node's needs are known once all its readers have been visited.
class Evaluations {
  public:
    /// A kernel to be. It has its result's number, but where each piece of a result has its own
    /// (by_pieces).
    using KernelId = Id<struct KernelToBeTag>;
    static KernelId kernel_of(NodeId result) { return KernelId(result.number()); }

    struct Need {
        KernelId kernel;
        NodeId result;  ///< the node that it stores
        std::int64_t places = 0;
        /// Of the kernel's loops, where it stores one piece of the result alone; else -1.
        std::int64_t iterations = -1;
    };

    explicit Evaluations(const Graph& graph);
    ~Evaluations();

    /// Who needs node i, in ascending order.
    std::vector<Need> needs(NodeId i);
    /// True where an index at which node i is needed has more terms than this, nested ones
    /// included.
    bool long_address(NodeId i, std::int64_t most);
    /// Node i is the result of a kernel: its own, or, where there is `with`, that of another
    /// result, which has the same shape and loops.
    void start(NodeId i, NodeId with = {});
    /// Node i is computed by all kernels that need it.
    void pass_on(NodeId i);

  private:
    struct Place;
    struct Kernel;
    class Probe;
    using Places = std::vector<Place>;
    struct Demand {
        KernelId kernel;
        std::shared_ptr<const Places> places;
    };

    void settle(NodeId i);
    void read(NodeId i, KernelId kernel, const std::shared_ptr<const Places>& places);
    void ask(const Expr& e, KernelId kernel, std::shared_ptr<const Places> places);

    const Graph& graph_;
    IdVector<KernelId, std::unique_ptr<Kernel>> kernels_;
    IdVector<NodeId, std::vector<Demand>> demands_;
    IdVector<NodeId, char> settled_;  // one demand a kernel, each place once
};

}  // namespace arete

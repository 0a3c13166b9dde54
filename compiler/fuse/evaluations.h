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
    struct Need {
        int kernel = -1;  ///< a number of its own
        int result = -1;  ///< the node that it stores
        std::int64_t places = 0;
        /// Of the kernel's loops, where it stores one piece of the result alone; else -1.
        std::int64_t iterations = -1;
    };

    explicit Evaluations(const Graph& graph);
    ~Evaluations();

    /// Who needs node i, in ascending order. A kernel has its result's number, but where each piece
    /// of a result has its own (by_pieces).
    std::vector<Need> needs(int i);
    /// True where an index at which node i is needed has more terms than this, nested ones
    /// included.
    bool long_address(int i, std::int64_t most);
    /// Node i is the result of a kernel, which has its number unless `kernel` says that of another
    /// result, which has the same shape and loops.
    void start(int i, int kernel = -1);
    /// Node i is computed by all kernels that need it.
    void pass_on(int i);

  private:
    struct Place;
    struct Kernel;
    class Probe;
    using Places = std::vector<Place>;
    struct Demand {
        int kernel = -1;
        std::shared_ptr<const Places> places;
    };

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }
    void settle(int i);
    void read(int i, int kernel, const std::shared_ptr<const Places>& places);
    void ask(const Expr& e, int kernel, std::shared_ptr<const Places> places);

    const Graph& graph_;
    std::vector<std::unique_ptr<Kernel>> kernels_;  // by number
    std::vector<std::vector<Demand>> demands_;      // by node
    std::vector<char> settled_;                     // by node: one demand a kernel, each place once
};

}  // namespace arete

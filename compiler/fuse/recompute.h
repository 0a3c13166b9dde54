// Keep or recompute: which values kernels store, and which each of them computes for itself.
#pragma once

#include <cstdint>
#include <vector>

namespace arete {

/// A part of a graph whose values may be stored or computed anew by every kernel that needs them.
/// All costs are in bytes moved; arithmetic counts as the bytes that could move meanwhile.
struct KeepOrRecompute {
    /// Of what must not be: storing a view, computing a reduction twice.
    static constexpr std::int64_t never = std::int64_t{1} << 48;

    struct Load {
        int kernel = 0;
        std::int64_t cost = 0;  ///< to read the value there
        bool always = false;    ///< the kernel needs the value whatever becomes of other values
    };
    struct Value {
        bool given = false;        ///< in memory anyway: a leaf, or stored for another reason
        std::int64_t store = 0;    ///< to compute it in a kernel of its own, and to write it
        std::int64_t compute = 0;  ///< to compute it in all the kernels of `loads`
        std::vector<Load> loads;   ///< every kernel that needs it if no reader of it is stored
        std::vector<int> readers;  ///< values that are computed from it
    };
    std::vector<Value> values;

    /// How many kernels load value `i` where it is not recomputed: those that always need it, and
    /// those that recompute a reader.
    int loads(std::size_t i, const std::vector<char>& recomputed) const;
    /// The cost of a choice, by value 1 where it is recomputed. A recomputed value is charged in
    /// all its kernels, also in those that load a reader of it; so this is a bound from above then.
    std::int64_t cost(const std::vector<char>& recomputed) const;
};

/// The choice of least cost, as a minimum cut (Boost.Graph): values on the source's side are kept,
/// those on the sink's side are recomputed. It costs the edge from the source to recompute a
/// value; for each kernel, a vertex behind the value pulls to the sink's side once a reader there
/// is recomputed, and the edge to it costs the load; one more such vertex costs the store. Where
/// two choices are equal, more is recomputed.
///
/// That a minimum cut tells what to save and what to recompute is from functorch's partitioner
/// (https://pytorch.org/functorch/stable/generated/functorch.compile.min_cut_rematerialization_partition.html).
/// There one reader, the backward pass, loads what is saved; here each kernel loads for itself, and
/// all share one store.
std::vector<char> minimum_cost(const KeepOrRecompute& problem);

}  // namespace arete

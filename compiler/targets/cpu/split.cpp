// An axis a little longer than whole vectors: the elements beyond them get loops of their own.
#include "compiler/targets/cpu/split.h"

#include <algorithm>

#include "compiler/loops/kernel.h"

namespace arete {

using namespace loops;

Nest take_range(const Nest& nest, Var axis, std::int64_t start, std::int64_t size) {
    Nest out = same_loops(nest);
    IdVector<Var, Index> vars;
    for (Var v : nest.extents.ids()) vars.push_back(Index::var(v));
    out.extents[axis] = size;
    vars[axis] = size > 1 ? Index::var(axis) + Index(start) : Index(start);
    if (size == 1) std::erase(out.axes, axis);
    clone_body(nest, out, std::move(vars));
    return out;
}

std::optional<std::pair<Nest, Nest>> split_remainder(const Nest& nest, const Tiling& whole,
                                                     const Machine& machine) {
    // Short work is not worth the code.
    constexpr double short_work = 1000;
    if (nest.accumulators.empty() || !nest.checks.empty() || nest.stores.empty() ||
        whole.cycles < short_work)
        return {};
    std::size_t widest = 4;
    for (const StoreTo& s : nest.stores)
        widest = std::max(widest, size_of(nest.buffers[s.buffer].dtype));
    const auto lanes =
        static_cast<std::int64_t>(static_cast<std::size_t>(machine.vector_bytes) / widest);
    // What full vectors would take.
    double least = static_cast<double>(nest.accumulators.size()) /
                   (static_cast<double>(lanes) * machine.fma_per_cycle);
    for (const auto& axes : {nest.axes, nest.reduce_axes})
        for (Var v : axes) least *= static_cast<double>(nest.extents[v]);
    if (whole.cycles < 1.25 * least) return {};
    for (Var v : nest.axes) {
        const std::int64_t extent = nest.extents[v];
        const std::int64_t rest = extent % lanes;
        if (extent < lanes || rest == 0 || 2 * rest > lanes) continue;
        if (!std::all_of(nest.stores.begin(), nest.stores.end(), [&](const StoreTo& s) {
                return s.index.coefficient(v) == 1 && !s.index.uses_nested(v);
            }))
            continue;
        return std::pair{take_range(nest, v, 0, extent - rest),
                         take_range(nest, v, extent - rest, rest)};
    }
    return {};
}

}  // namespace arete

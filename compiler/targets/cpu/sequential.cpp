#include "compiler/targets/cpu/sequential.h"

#include <algorithm>

namespace arete {

using namespace loops;

namespace {

// The lanes of a vector of the narrowest type that is stored or read along the axis: what is wider
// takes several registers.
int lanes_for(const Nest& nest, const Machine& machine) {
    std::size_t widest = 4;
    for (const StoreTo& s : nest.stores)
        widest = std::max(widest, size_of(nest.buffers[s.buffer].dtype));
    return machine.vector_bytes / static_cast<int>(widest);
}

// Does what is stored lie side by side along the axis, and what is read so, too, or elsewhere than
// along it?
bool contiguous(const Nest& nest, Var axis) {
    const auto plain = [&](const Index& at) {
        return !at.uses(axis) || (!at.uses_nested(axis) && at.coefficient(axis) == 1);
    };
    for (ValueId id : needed(nest, roots(nest))) {
        const Instr& i = nest.values[id];
        if ((i.op == Op::Load || i.op == Op::LoadIf) && !plain(i.index)) return false;
    }
    // Of what a store's place is read from, nothing may be another along the axis.
    const auto same_along = [&](const Index& at) {
        std::vector<ValueId> read;
        at.for_each_value([&](ValueId v) { read.push_back(v); });
        const std::vector<ValueId> all = needed(nest, read);
        return std::none_of(all.begin(), all.end(),
                            [&](ValueId id) { return nest.values[id].index.uses(axis); });
    };
    return std::all_of(nest.stores.begin(), nest.stores.end(), [&](const StoreTo& s) {
        return !s.index.uses_nested(axis) && s.index.coefficient(axis) == 1 && same_along(s.index);
    });
}

}  // namespace

Kernel schedule_sequential(const Nest& nest, const Machine& machine) {
    const int lanes = lanes_for(nest, machine);
    if (nest.axes.empty() || !nest.accumulators.empty() || lanes < 2) return naive(nest);
    const Var inner = nest.axes.back();
    const std::int64_t extent = nest.extents[inner];
    if (extent < 2 || !contiguous(nest, inner) || !independent(nest, inner)) return naive(nest);
    Kernel k;
    k.name = nest.name;
    k.buffers = nest.buffers;
    k.comment = "in order, " + nest.var_names[inner] + " in vectors of " + std::to_string(lanes);
    IdVector<Var, Index> vars;
    std::vector<Var> outer;
    for (Var v : nest.extents.ids()) {
        const bool loop = std::find(nest.axes.begin(), nest.axes.end(), v) != nest.axes.end();
        vars.push_back(0);
        if (!loop || v == inner) continue;
        outer.push_back(k.add_var(nest.var_names[v], nest.extents[v]));
        vars[v] = Index::var(outer.back());
    }
    // One vector of the row from `start` on.
    const auto vector = [&](const Index& start, std::int64_t active) {
        const Var lane = k.add_var(nest.var_names[inner] + "v", active);
        Cloner clone(nest, k);
        clone.vars = vars;
        clone.vars[inner] = start + Index::var(lane);
        std::vector<Stmt> body;
        for (const StoreTo& s : nest.stores) body.push_back(clone.store(s));
        return Loop{lane, LoopKind::Vector, std::move(body), lanes};
    };
    std::vector<Stmt> row;
    const std::int64_t whole = extent / lanes, rest = extent % lanes;
    if (whole == 1) row.push_back(vector(0, lanes));
    if (whole > 1) {
        const Var step = k.add_var(nest.var_names[inner], whole);
        std::vector<Stmt> body{vector(Index::var(step) * lanes, lanes)};
        row.push_back(
            Loop{step, whole <= 4 ? LoopKind::Unrolled : LoopKind::Serial, std::move(body)});
    }
    if (rest > 0) row.push_back(vector(whole * lanes, rest));
    for (auto v = outer.rbegin(); v != outer.rend(); ++v) {
        Loop l{*v, LoopKind::Serial, std::move(row)};
        row.clear();
        row.push_back(std::move(l));
    }
    k.body = std::move(row);
    return k;
}

}  // namespace arete

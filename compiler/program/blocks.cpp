#include "compiler/program/blocks.h"

#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"

namespace arete {

using namespace loops;

Nest take_block(const Nest& nest, Var axis, std::int64_t blocks) {
    Nest out = same_loops(nest);
    IdVector<Var, Index> vars;
    for (Var v : nest.extents.ids()) vars.push_back(Index::var(v));
    const std::int64_t all = nest.extents[axis], size = all / blocks;
    ARETE_CHECK(all % blocks == 0, "{}: {} blocks of an axis of {}", nest.name, blocks, all);
    out.extents[axis] = size;
    const Index block = Index::var(out.add_var("block", blocks));
    vars[axis] = block * size;
    if (size > 1)
        vars[axis] = block * size + Index::var(axis);
    else
        std::erase(out.axes, axis);
    clone_body(nest, out, std::move(vars));
    return out;
}

}  // namespace arete

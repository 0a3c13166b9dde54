#include "compiler/targets/cuda/builder.h"

#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"

namespace arete::cuda {

Kernel kernel_for(const Nest& nest, std::string comment) {
    Kernel k;
    k.name = nest.name;
    k.comment = std::move(comment);
    k.buffers = nest.buffers;
    return k;
}

Cloner cloner_for(const Nest& nest, Kernel& kernel) {
    Cloner clone(nest, kernel);
    clone.vars.resize(nest.extents.size());
    return clone;
}

std::int64_t iterations(const Nest& nest, const std::vector<Var>& axes) {
    std::int64_t n = 1;
    for (Var v : axes) n *= nest.extents[v];
    return n;
}

void spread(const Nest& nest, const std::vector<Var>& axes, const Index& flat, const Kernel& kernel,
            IdVector<Var, Index>& vars) {
    Sizes sizes;
    for (Var v : axes) sizes.push_back(nest.extents[v]);
    const std::vector<Index> at = delinear(flat, sizes, kernel.extents);
    for (std::size_t i = 0; i < axes.size(); ++i) vars[axes[i]] = at[i];
}

Value below(Kernel& kernel, const Index& index, std::int64_t size) {
    if (index.range(kernel.extents).high < size) return {};
    const Value at = kernel.index(index);
    return lt(at, kernel.constant(DType::I64, size));
}

Value both(Value a, Value b) {
    if (a ? static_cast<bool>(b) : false) return a & b;
    return a ? a : b;
}

std::vector<Stmt> guarded(Value condition, std::vector<Stmt> body) {
    if (condition) {
        Stmt under = If{condition.id, std::move(body)};
        body.clear();
        body.push_back(std::move(under));
    }
    return body;
}

int neighbours_along(const Nest& nest, Var axis) {
    int n = 0;
    for (ValueId id : needed(nest, roots(nest))) {
        const Instr& i = nest.values[id];
        if (i.op == Op::Load || i.op == Op::LoadIf)
            n += i.index.coefficient(axis) == 1 || i.index.coefficient(axis) == -1;
    }
    for (const StoreTo& s : nest.stores) n += 2 * (s.index.coefficient(axis) == 1);
    return n;
}

std::vector<Var> coalesced(const Nest& nest, std::vector<Var> axes) {
    if (axes.empty()) return axes;
    auto best = axes.end() - 1;
    int most = neighbours_along(nest, *best);
    for (auto it = axes.begin(); it != axes.end(); ++it) {
        // A short axis fills no warp.
        const int n = nest.extents[*it] >= 8 ? neighbours_along(nest, *it) : 0;
        if (n > most) {
            best = it;
            most = n;
        }
    }
    std::rotate(best, best + 1, axes.end());
    return axes;
}

std::vector<Stmt> results(const Nest& nest, Cloner& clone) {
    std::vector<Stmt> out;
    for (const CheckThat& c : nest.checks) out.push_back(clone.check(c));
    for (const StoreTo& s : nest.stores) out.push_back(clone.store(s));
    return out;
}

void set_body(Kernel& kernel, const Shape& shape, std::vector<Stmt> body) {
    const auto around = [&](Var v, LoopKind kind, int dimension) {
        if (!v) return;
        Loop l{v, kind, std::move(body), 0, dimension};
        body.clear();
        body.push_back(std::move(l));
    };
    around(shape.block_x, LoopKind::Block, 0);
    around(shape.block_y, LoopKind::Block, 1);
    around(shape.grid_x, LoopKind::Grid, 0);
    around(shape.grid_y, LoopKind::Grid, 1);
    around(shape.grid_z, LoopKind::Grid, 2);
    kernel.body = std::move(body);
}

std::int64_t block_threads(std::int64_t all, const Card& card) {
    std::int64_t threads = 256;
    while (threads > 32 && ceil_div(all, threads) < card.processors) threads /= 2;
    return threads;
}

}  // namespace arete::cuda

#include "compiler/loops/collapse.h"

#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"

namespace arete::loops {

namespace {

// Every index expression of the nest that is evaluated in its loops.
std::vector<const Index*> indices(const Nest& nest) {
    std::vector<const Index*> out;
    for (ValueId id : needed(nest, roots(nest))) {
        const Instr& i = nest.values[id];
        if (i.op == Op::Load || i.op == Op::LoadIf || i.op == Op::IndexOf) out.push_back(&i.index);
    }
    for (const StoreTo& s : nest.stores) out.push_back(&s.index);
    for (const CheckThat& c : nest.checks) out.push_back(&c.element);
    return out;
}

// outer * extent(inner) + inner, or neither, in an index and in what it divides.
bool walks_as_one(const Index& e, Var outer, Var inner, std::int64_t extent) {
    if (e.coefficient(outer) != e.coefficient(inner) * extent) return false;
    return std::all_of(e.terms().begin(), e.terms().end(), [&](const Index::Term& t) {
        return !t.inner || walks_as_one(*t.inner, outer, inner, extent);
    });
}

bool mergeable(const Nest& nest, const std::vector<const Index*>& all, Var outer, Var inner) {
    std::int64_t extent = nest.extents[inner];
    return std::all_of(all.begin(), all.end(),
                       [&](const Index* e) { return walks_as_one(*e, outer, inner, extent); });
}

// The nest with axes[at] merged into axes[at + 1].
Nest merge(const Nest& nest, std::vector<Var> Nest::*axes, std::size_t at) {
    Var outer = (nest.*axes)[at], inner = (nest.*axes)[at + 1];
    Nest out = same_loops(nest);
    (out.*axes).erase((out.*axes).begin() + static_cast<std::ptrdiff_t>(at));
    out.extents[inner] *= nest.extents[outer];
    out.var_names[inner] = nest.var_names[outer] + nest.var_names[inner];
    IdVector<Var, Index> vars;
    for (Var v : nest.extents.ids()) vars.push_back(v == outer ? Index(0) : Index::var(v));
    clone_body(nest, out, std::move(vars));
    return out;
}

}  // namespace

Nest collapse_axes(const Nest& nest) {
    Nest now = nest;
    for (std::vector<Var> Nest::*axes : {&Nest::axes, &Nest::reduce_axes}) {
        // ArgMax and ArgMin report a position over the reduction axes, which merging preserves:
        // it is row-major.
        for (std::size_t i = 0; i + 1 < (now.*axes).size();) {
            if (mergeable(now, indices(now), (now.*axes)[i], (now.*axes)[i + 1])) {
                now = merge(now, axes, i);
                i = i ? i - 1 : 0;
            } else {
                ++i;
            }
        }
    }
    return now;
}

}  // namespace arete::loops

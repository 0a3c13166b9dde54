#include "compiler/targets/cpu/walk.h"

#include <functional>
#include <unordered_set>

namespace arete {

using namespace loops;

bool varies(const Nest& nest, const Index& e, Var v) {
    return e.uses(v) || varies_by_value(nest, e, v);
}

bool varies_by_value(const Nest& nest, const Index& e, Var v) {
    bool found = false;
    // Once each: values are shared, and paths to them as many as there are subsets.
    std::unordered_set<ValueId> seen;
    const std::function<void(ValueId)> look = [&](ValueId id) {
        if (found || !seen.insert(id).second) return;
        const Instr& i = nest.values[id];
        found = i.index.uses(v);
        for (ValueId a : operands(i)) look(a);
        if (!found) i.index.for_each_value(look);
    };
    e.for_each_value(look);
    return found;
}

}  // namespace arete

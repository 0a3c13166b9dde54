#include "compiler/targets/cpu/walk.h"

#include <functional>

namespace arete {

using namespace loops;

bool varies(const Nest& nest, const Index& e, Var v) {
    return e.uses(v) || varies_by_value(nest, e, v);
}

bool varies_by_value(const Nest& nest, const Index& e, Var v) {
    bool found = false;
    const std::function<void(ValueId)> look = [&](ValueId id) {
        const Instr& i = nest.values[id];
        if (found) return;
        found = i.index.uses(v);
        for (ValueId a : operands(i)) look(a);
        if (!found) i.index.for_each_value(look);
    };
    e.for_each_value(look);
    return found;
}

}  // namespace arete

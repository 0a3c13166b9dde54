// Which axes of a sequential nest may be walked in any order.
#include <algorithm>

#include "compiler/loops/nest.h"

namespace arete::loops {

namespace {

// Do two iterations that differ along the axis alone, or along others, too, never meet in what is
// stored? The axis must be a digit of the address: what is below it stays below one step, and what
// is above moves by multiples of its whole length.
bool is_digit(const Nest& nest, const Index& at, Var axis) {
    const std::int64_t step = at.coefficient(axis);
    if (step <= 0 || at.uses_nested(axis)) return false;
    const std::int64_t length = step * nest.extents[axis];
    Index below;
    for (const Index::Term& t : at.terms()) {
        if (t.kind == Index::Kind::Var && t.var() == axis) continue;
        if (t.coefficient % length == 0) continue;
        if (t.kind != Index::Kind::Var || t.coefficient < 0) return false;
        below = below + Index::var(t.var()) * t.coefficient;
    }
    const Range r = below.range(nest.extents);
    const std::int64_t first = at.constant() % length;
    return first >= 0 && r.low >= 0 && first % step + r.high < step &&
           first / step + nest.extents[axis] <= nest.extents[axis];
}

}  // namespace

bool independent(const Nest& nest, Var axis) {
    if (!nest.sequential) return true;
    return nest.checks.empty() &&
           std::all_of(nest.stores.begin(), nest.stores.end(),
                       [&](const StoreTo& s) { return is_digit(nest, s.index, axis); });
}

}  // namespace arete::loops

#include "compiler/program/partial_sums.h"

#include <algorithm>

namespace arete {

using namespace loops;

namespace {

// A part of the same variables that has the buffers which `roots` need.
class Half {
  public:
    Half(const Part& from, const std::vector<ValueId>& roots)
        : from_(from), clone_(from.nest, to_.nest) {
        to_.nest.name = from.nest.name;
        to_.nest.extents = from.nest.extents;
        to_.nest.var_names = from.nest.var_names;
        clone_.buffers.assign(from.nest.buffers.size(), BufferId());
        for (ValueId id : needed(from.nest, roots))
            if (const Instr& i = from.nest.values[id]; i.op == Op::Load || i.op == Op::LoadIf)
                add_buffer(i.buffer);
        for (Var v : from.nest.extents.ids()) clone_.vars.push_back(Index::var(v));
    }

    void add_buffer(BufferId old) {
        BufferId& now = clone_.buffers[old];
        if (now) return;
        now = add_buffer(from_.nest.buffers[old], from_.slots[old]);
    }
    BufferId add_buffer(Buffer b, SlotId slot) {
        to_.slots.push_back(slot);
        return to_.nest.add_buffer(std::move(b));
    }

    Nest& nest() { return to_.nest; }
    Cloner& clone() { return clone_; }
    Part take() { return std::move(to_); }

  private:
    const Part& from_;
    Part to_;
    Cloner clone_;
};

}  // namespace

std::optional<PartialSums> cut_sum(const Part& part, Var axis, std::int64_t count, SlotId slot) {
    const Nest& nest = part.nest;
    if (nest.accumulators.size() != 1 || nest.accumulators.front().reduction != Reduction::Sum ||
        !nest.checks.empty() || nest.sequential || nest.reduce_axes.size() < 2)
        return {};
    const Accumulator& sum = nest.accumulators.front();
    const std::int64_t all = nest.extents[axis];
    if (count < 2 || all % count != 0) return {};
    PartialSums out;
    out.sizes = {count};
    for (Var v : nest.axes) out.sizes.push_back(nest.extents[v]);
    const Buffer handed_on{nest.name + "_pieces", sum.dtype, out.sizes};
    const auto name = nest.var_names[axis] + "_piece";
    const auto place = [&](Var piece) {
        Index at = Index::var(piece);
        for (Var v : nest.axes) at = at * nest.extents[v] + Index::var(v);
        return at;
    };

    Half pieces(part, {sum.element});
    Nest& p = pieces.nest();
    p.name = handed_on.name;
    p.reduce_axes = nest.reduce_axes;
    out.piece = p.add_var(name, count);
    p.axes = nest.axes;
    p.axes.insert(p.axes.begin(), out.piece);
    const std::int64_t size = all / count;
    p.extents[axis] = size;
    Index& walked = pieces.clone().vars[axis];
    walked = Index::var(out.piece) * size;
    if (size > 1)
        walked = walked + Index::var(axis);
    else
        std::erase(p.reduce_axes, axis);
    p.accumulators = {{Reduction::Sum, pieces.clone().value(sum.element).id, sum.dtype}};
    const Value stored = p.acc(AccId(0), sum.dtype);
    p.stores.push_back({pieces.add_buffer(handed_on, slot), place(out.piece), stored.id, {}});
    out.pieces = pieces.take();

    Half total(part, loops::stored(nest));
    Nest& t = total.nest();
    t.axes = nest.axes;
    const Var piece = t.add_var(name, count);
    t.reduce_axes = {piece};
    const BufferId from = total.add_buffer(handed_on, slot);
    t.accumulators = {{Reduction::Sum, t.load(from, place(piece)).id, sum.dtype}};
    total.clone().accs = {t.acc(AccId(0), sum.dtype)};
    for (const StoreTo& s : nest.stores) {
        total.add_buffer(s.buffer);
        t.stores.push_back(total.clone().store(s));
    }
    out.total = total.take();
    return out;
}

}  // namespace arete

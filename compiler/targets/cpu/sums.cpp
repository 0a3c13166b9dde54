#include "compiler/targets/cpu/sums.h"

#include <algorithm>

#include "compiler/core/integers.h"
#include "compiler/loops/kernel.h"

namespace arete {

using namespace loops;

namespace {

// Chains. The end of one costs a load, an addition and a store, or twice that, a sum: where
// operands are read again and again that shows, where they are waited for it does not.
constexpr std::int64_t chain_of_products = 256, chain_of_others = 16;

// Parts of a product that are added in their own precision, and the same where each is a block of
// the reduction, for which it waits in memory.
constexpr std::int64_t plain_parts = 64, plain_blocks = 256;

// Instructions that an element takes.
std::int64_t work(const Nest& nest) {
    std::int64_t n = 0;
    for (ValueId id : needed(nest, accumulated(nest)))
        if (const Instr& i = nest.values[id]; arity(i.op) > 0)
            n += i.op == Op::Div || i.op == Op::Sqrt ? 8 : 1;
    return n;
}

// Whether an operand that moves with the reduction is read for several results.
bool reuses(const Nest& nest) {
    for (ValueId id : needed(nest, accumulated(nest))) {
        const Instr& i = nest.values[id];
        if (i.op != Op::Load && i.op != Op::LoadIf) continue;
        bool by_value = false;
        i.index.for_each_value([&](ValueId) { by_value = true; });
        const auto uses = [&](Var v) { return i.index.uses(v); };
        if (!by_value && std::any_of(nest.reduce_axes.begin(), nest.reduce_axes.end(), uses) &&
            !std::all_of(nest.axes.begin(), nest.axes.end(), uses))
            return true;
    }
    return false;
}

}  // namespace

SumOrder order_of_sums(const Nest& nest, const Tiling& t, Var cut, std::int64_t cut_size) {
    SumOrder out;
    if (std::none_of(nest.accumulators.begin(), nest.accumulators.end(), is_float_sum)) return out;
    const bool mean =
        std::any_of(nest.accumulators.begin(), nest.accumulators.end(),
                    [](const Accumulator& a) { return a.reduction == Reduction::Mean; });
    const std::int64_t steps = ceil_div(reduced_elements(nest), t.over_reduction ? t.lanes : 1);
    const bool products = reuses(nest);
    constexpr std::int64_t cheap = 6;
    out.pairs = t.over_reduction && !products && work(nest) <= cheap;
    if (mean) {
        out.in_parts = out.exact = true;
        return out;
    }
    out.chain = products ? chain_of_products : chain_of_others;
    out.in_parts = steps > out.chain;
    if (!out.in_parts) return out;
    std::int64_t blocks = 1;
    if (cut) blocks = ceil_div(nest.extents[cut], cut_size);
    out.exact = !products || blocks * ceil_div(ceil_div(steps, blocks), out.chain) >
                                 (cut ? plain_blocks : plain_parts);
    return out;
}

}  // namespace arete

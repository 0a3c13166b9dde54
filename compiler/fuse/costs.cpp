#include "compiler/fuse/costs.h"

#include <algorithm>

#include "compiler/fuse/lower.h"
#include "compiler/loops/math.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

// The nest of one node, all of whose operands are loaded.
loops::Nest alone(const Node& node) {
    // A handle that owns nothing: the node outlives it.
    const Expr root(std::shared_ptr<const Node>(std::shared_ptr<const Node>(), &node));
    return lower_nest(
               {&root, 1}, [](const Expr&) { return true; }, "probe")
        .nest;
}

std::int64_t words(DType t) {
    return std::max<std::int64_t>(4, static_cast<std::int64_t>(size_of(t))) / 4;
}

}  // namespace

std::int64_t elements(const Node& node) {
    return count(concrete(node.types[0].shape));
}

std::int64_t iterations(const Node& node) {
    if (node.is_leaf()) return 0;
    if (node.op->has(Trait::Scatters)) return count(concrete(node.inputs.back().shape()));
    std::int64_t total = elements(node);
    if (!node.op->has(Trait::Reduces)) return total;
    const loops::Nest nest = alone(node);
    for (loops::Var v : nest.reduce_axes) total *= nest.extents[v];
    return total;
}

Costs::Work Costs::count(const Node& node) const {
    loops::Nest nest = alone(node);
    loops::expand_math(nest);
    Work out;
    for (const loops::Instr& i : nest.values) {
        const bool loads = i.op == loops::Op::Load || i.op == loops::Op::LoadIf;
        if (loads && std::any_of(nest.axes.begin(), nest.axes.end(),
                                 [&](loops::Var v) { return i.index.uses_nested(v); }))
            out.bytes += machine_.scattered_load;
        if (loops::arity(i.op) == 0) continue;
        ++out.instructions;
        // Comparisons are as wide as what they compare.
        std::int64_t wide = words(i.dtype);
        for (loops::ValueId a : loops::operands(i))
            wide = std::max(wide, words(nest.values[a].dtype));
        const bool slow = i.op == loops::Op::Div || i.op == loops::Op::Sqrt;
        out.bytes += wide * (slow ? machine_.slow_instruction : machine_.instruction);
    }
    return out;
}

const Costs::Work& Costs::known(const Node& node) {
    static constexpr Work none;
    if (node.op->has(Trait::View)) return none;
    if (!def(node).scalar) {
        const auto [it, fresh] = others_.try_emplace(&node);
        if (fresh) it->second = count(node);
        return it->second;
    }
    // A scalar body depends on types, and on which operands are literals.
    std::string key(reinterpret_cast<const char*>(&node.op), sizeof node.op);
    key += static_cast<char>(node.types[0].dtype);
    for (const Expr& e : node.inputs)
        key += static_cast<char>(2 * static_cast<int>(e.dtype()) + (is_constant_scalar(e) ? 1 : 0));
    const auto [it, fresh] = known_.try_emplace(key);
    if (fresh) it->second = count(node);
    return it->second;
}

std::int64_t Costs::move(const Node& node, std::int64_t moved, std::int64_t pieces) const {
    const auto size = static_cast<std::int64_t>(size_of(node.types[0].dtype));
    const bool far = size * elements(node) / pieces > machine_.near_bytes;
    return size * moved * (far ? machine_.far_factor : 1);
}

std::int64_t Costs::load(const Node& node) const {
    return words(node.types[0].dtype);
}

}  // namespace arete

#include "compiler/fuse/costs.h"

#include <algorithm>

#include "compiler/fuse/lower.h"
#include "compiler/loops/math.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

constexpr std::int64_t cache_bytes = std::int64_t{1} << 20;

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

std::int64_t count_work(const Node& node) {
    loops::Nest nest = alone(node);
    loops::expand_math(nest);
    std::int64_t work = 0;
    for (const loops::Instr& i : nest.values) {
        const bool loads = i.op == loops::Op::Load || i.op == loops::Op::LoadIf;
        if (loads && std::any_of(nest.axes.begin(), nest.axes.end(),
                                 [&](loops::Var v) { return i.index.uses_nested(v); }))
            work += 16;
        if (loops::arity(i.op) == 0) continue;
        // Comparisons are as wide as what they compare.
        std::int64_t wide = words(i.dtype);
        for (int k = 0; k < loops::arity(i.op); ++k)
            wide = std::max(
                wide,
                words(nest.values[static_cast<std::size_t>(i.args[static_cast<std::size_t>(k)])]
                          .dtype));
        work += wide * (i.op == loops::Op::Div || i.op == loops::Op::Sqrt ? 8 : 1);
    }
    return work;
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
    for (loops::Var v : nest.reduce_axes) total *= nest.extents[static_cast<std::size_t>(v)];
    return total;
}

std::int64_t Costs::work(const Node& node) {
    if (node.op->has(Trait::View)) return 0;
    if (!def(node).scalar) return count_work(node);
    // A scalar body depends on types, and on which operands are literals.
    std::size_t key = reinterpret_cast<std::size_t>(node.op);
    const auto mix = [&](std::size_t v) { key = (key ^ v) * 0x9E3779B97F4A7C15u; };
    mix(static_cast<std::size_t>(node.types[0].dtype));
    for (const Expr& e : node.inputs)
        mix(2 * static_cast<std::size_t>(e.dtype()) + (is_constant_scalar(e) ? 1 : 0));
    const auto [it, fresh] = known_.try_emplace(key, 0);
    if (fresh) it->second = count_work(node);
    return it->second;
}

std::int64_t Costs::move(const Node& node, std::int64_t moved) const {
    const auto size = static_cast<std::int64_t>(size_of(node.types[0].dtype));
    return size * moved * (size * elements(node) > cache_bytes ? 4 : 1);
}

std::int64_t Costs::load(const Node& node) const {
    return words(node.types[0].dtype);
}

}  // namespace arete

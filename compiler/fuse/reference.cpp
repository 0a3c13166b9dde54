#include "compiler/fuse/reference.h"

#include <unordered_map>

#include "compiler/fuse/lower.h"
#include "compiler/ops/leaves.h"
#include "compiler/rewrite/specialize_shapes.h"

namespace arete {

std::vector<Array> reference_eval(std::span<const Expr> outputs,
                                  const std::vector<std::pair<Expr, Array>>& inputs) {
    ShapeBinding binding;
    for (const auto& [leaf, value] : inputs) {
        binding.sizes[leaf.node().id] = value.shape();
        if (value.rank() == 0 && !is_float(value.dtype()))
            binding.scalars[leaf.node().id] = value.as_int();
    }
    std::vector<Expr> bound = expand_composites(bind_shapes(outputs, binding));
    Graph graph(bound);
    std::unordered_map<const Node*, std::vector<Array>> values;
    auto value_of = [&](const Expr& e) -> Array& {
        return values.at(&e.node())[static_cast<std::size_t>(e.output())];
    };
    for (const auto& node : graph.nodes()) {
        std::vector<Array>& result = values[node.get()];
        switch (node->op->kind) {
            case OpInfo::Kind::Input: {
                const Array* found = nullptr;
                for (const auto& [leaf, value] : inputs)
                    if (leaf.node().id == node->id) found = &value;
                if (!found) fail<ArgumentError>(node->loc(), "no value for input '{}'", node->name);
                result = {*found};
                continue;
            }
            case OpInfo::Kind::Shared: result = {node->storage->value}; continue;
            case OpInfo::Kind::Constant: result = {*constant_value(Expr(node))}; continue;
            case OpInfo::Kind::Apply: break;
        }
        for (std::size_t k = 0; k < node->types.size(); ++k) {
            Expr root(node, static_cast<int>(k));
            result.push_back(zeros(root.dtype(), concrete(root.shape())));
            LoweredNest lowered = lower_nest(
                {&root, 1}, [](const Expr&) { return true; }, std::string(node->op->name));
            verify(lowered.nest);
            std::vector<void*> pointers;
            for (const Expr& b : lowered.buffers)
                pointers.push_back(same(b, root) ? result.back().raw() : value_of(b).raw());
            loops::Kernel kernel = naive(lowered.nest);
            pointers.resize(kernel.buffers.size(), nullptr);
            loops::Failure failure = interpret(kernel, pointers);
            if (failure.failed)
                lowered.checks[static_cast<std::size_t>(failure.code)].raise(failure.element);
        }
    }
    std::vector<Array> out;
    for (const Expr& e : bound) out.push_back(value_of(e));
    return out;
}

}  // namespace arete

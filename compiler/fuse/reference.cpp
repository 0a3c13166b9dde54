#include "compiler/fuse/reference.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "compiler/fuse/lower.h"
#include "compiler/ops/branch.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/scan.h"
#include "compiler/rewrite/specialize_shapes.h"

namespace arete {

namespace {

using ValueOf = std::function<Array&(const Expr&)>;

std::vector<Array> apply_op(const std::shared_ptr<const Node>& node, const ValueOf& value_of);

// The results of a region of concrete sizes for values of its parameters.
std::vector<Array> run_region(const Region& region, const std::vector<Array>& values) {
    const Graph graph(region.results);
    std::unordered_map<const Node*, std::vector<Array>> known;
    for (std::size_t k = 0; k < values.size(); ++k) known[&region.params[k].node()] = {values[k]};
    const ValueOf value_of = [&](const Expr& e) -> Array& {
        return known.at(&e.node())[e.output()];
    };
    for (const auto& node : graph.nodes()) {
        if (known.count(node.get())) continue;
        known[node.get()] = node->is_leaf() ? std::vector<Array>{*constant_value(Expr(node))}
                                            : apply_op(node, value_of);
    }
    std::vector<Array> out;
    for (const Expr& e : region.results) out.push_back(value_of(e));
    return out;
}

// Row i of an array: a window on its memory.
Array row(const Array& rows, std::int64_t i) {
    const Sizes sizes(rows.shape().begin() + 1, rows.shape().end());
    const auto bytes = static_cast<std::int64_t>(size_of(rows.dtype())) * count(sizes);
    return Array(rows.dtype(), sizes,
                 std::shared_ptr<void>(rows.storage(),
                                       static_cast<char*>(rows.storage().get()) + i * bytes));
}
void set_row(Array& rows, std::int64_t i, const Array& value) {
    std::memcpy(row(rows, i).raw(), value.raw(), value.bytes());
}

// What scan means, step by step (ops/scan.h).
std::vector<Array> run_scan(const Node& node, const ValueOf& value_of) {
    const ScanForm f(node);
    const Region& body = node.regions[0];
    const std::int64_t n = f.steps.value();
    std::vector<Array> histories, outputs;
    for (std::size_t j = 0; j < f.states.size(); ++j) {
        const Array& initial = value_of(node.inputs[f.state_input(j)]);
        Sizes sizes = initial.shape();
        sizes[0] += n;
        histories.emplace_back(initial.dtype(), sizes);
        std::memcpy(histories.back().raw(), initial.raw(), initial.bytes());
    }
    for (std::size_t l = 0; l < f.outputs.size(); ++l) {
        const TensorType& type = node.types[f.output_result(l)];
        outputs.push_back(zeros(type.dtype, concrete(type.shape)));
    }
    std::int64_t ran = 0;
    for (bool done = false; ran < n && !done; ++ran) {
        std::vector<Array> values;
        for (std::size_t k = 0; k < f.sequences.size(); ++k)
            values.push_back(row(value_of(node.inputs[k]),
                                 f.sequences[k].start.value() + f.sequences[k].stride * ran));
        for (std::size_t j = 0; j < f.states.size(); ++j)
            for (std::int64_t tap : f.states[j].taps)
                values.push_back(row(histories[j], f.states[j].depth() + ran + tap));
        for (std::size_t c = f.first_capture(); c < node.inputs.size(); ++c)
            values.push_back(value_of(node.inputs[c]));
        const std::vector<Array> now = run_region(body, values);
        for (std::size_t j = 0; j < f.states.size(); ++j)
            set_row(histories[j], f.states[j].depth() + ran, now[j]);
        for (std::size_t l = 0; l < f.outputs.size(); ++l)
            set_row(outputs[l], f.outputs[l].reversed ? n - 1 - ran : ran, now[f.output_result(l)]);
        done = f.until && now[f.until_result()].as_int() != 0;
    }
    // What no step has written repeats the last row.
    for (std::int64_t k = ran; k < n && ran > 0; ++k) {
        for (std::size_t j = 0; j < f.states.size(); ++j)
            set_row(histories[j], f.states[j].depth() + k,
                    row(histories[j], f.states[j].depth() + k - 1));
        for (Array& rows : outputs) set_row(rows, k, row(rows, k - 1));
    }
    std::vector<Array> out;
    for (std::size_t j = 0; j < f.states.size(); ++j) {
        if (!f.states[j].last) {
            out.push_back(histories[j]);
            continue;
        }
        const Sizes sizes = concrete(node.types[j].shape);
        out.push_back(Array(histories[j].dtype(), sizes, row(histories[j], n).storage()));
    }
    out.insert(out.end(), outputs.begin(), outputs.end());
    if (f.until) out.push_back(Array(ran));
    return out;
}

std::vector<Array> run_ifelse(const Node& node, const ValueOf& value_of) {
    std::vector<Array> values;
    for (std::size_t k = 1; k < node.inputs.size(); ++k) values.push_back(value_of(node.inputs[k]));
    const bool yes = value_of(node.inputs[0]).as_int() != 0;
    return run_region(node.regions[yes ? 0 : 1], values);
}

std::vector<Array> run_recompute(const Node& node, const ValueOf& value_of) {
    std::vector<Array> values;
    for (const Expr& e : node.inputs) values.push_back(value_of(e));
    return run_region(node.regions[0], values);
}

std::vector<Array> run_host(const Node& node, const ValueOf& value_of) {
    std::vector<Array> inputs, outputs;
    for (const Expr& e : node.inputs) inputs.push_back(value_of(e));
    for (const TensorType& t : node.types) outputs.push_back(zeros(t.dtype, concrete(t.shape)));
    try {
        def(node).host(node, inputs, outputs);
    } catch (const std::exception& e) {
        throw CallError(node.loc(), fmt::format("{}: {}", host_name(node), e.what()));
    }
    return outputs;
}

// The outputs of a node from those of its inputs, each in a nest of its own.
std::vector<Array> apply_op(const std::shared_ptr<const Node>& node, const ValueOf& value_of) {
    if (node->op == &scan_op.info) return run_scan(*node, value_of);
    if (node->op == &ifelse_op.info) return run_ifelse(*node, value_of);
    if (node->op == &recompute_op.info) return run_recompute(*node, value_of);
    if (def(*node).host) return run_host(*node, value_of);
    std::vector<Array> result;
    for (std::size_t k = 0; k < node->types.size(); ++k) {
        Expr root(node, static_cast<int>(k));
        result.push_back(zeros(root.dtype(), concrete(root.shape())));
        for (const LoweredNest& lowered : lower_nests(
                 {&root, 1}, [](const Expr&) { return true; }, std::string(node->op->name))) {
            verify(lowered.nest);
            if (!lowered.onto.empty())
                std::memcpy(result.back().raw(), value_of(lowered.onto).raw(),
                            result.back().bytes());
            IdVector<loops::BufferId, void*> pointers;
            for (const Expr& b : lowered.buffers)
                pointers.push_back(same(b, root) ? result.back().raw() : value_of(b).raw());
            loops::Kernel kernel = naive(lowered.nest);
            pointers.resize(kernel.buffers.size(), nullptr);
            loops::Failure failure = interpret(kernel, pointers);
            if (failure.failed) lowered.checks[failure.code].raise(failure.element);
        }
    }
    return result;
}

}  // namespace

std::vector<Array> ReferenceEvaluator::operator()(std::span<const Expr> outputs) {
    ShapeBinding binding;
    for (const auto& [leaf, value] : inputs_) {
        binding.sizes[leaf.node().id] = value.shape();
        if (value.rank() == 0 && !is_float(value.dtype()))
            binding.scalars[leaf.node().id] = value.as_int();
    }
    const std::vector<Expr> bound = transform(
        expand_composites(bind_shapes(outputs, binding)),
        [&](const auto&, Node copy) { return outputs_of(interner_.intern(std::move(copy))); });
    const ValueOf value_of = [&](const Expr& e) -> Array& {
        return values_.at(&e.node())[e.output()];
    };
    const Graph graph(bound);
    for (const auto& node : graph.nodes()) {
        if (values_.count(node.get())) continue;
        std::vector<Array> result;
        switch (node->op->kind) {
            case OpInfo::Kind::Input: {
                const Array* found = nullptr;
                for (const auto& [leaf, value] : inputs_)
                    if (leaf.node().id == node->id) found = &value;
                if (!found) fail<ArgumentError>(node->loc(), "no value for input '{}'", node->name);
                result = {*found};
                break;
            }
            case OpInfo::Kind::Shared: result = {node->storage->host_value()}; break;
            case OpInfo::Kind::Constant: result = {*constant_value(Expr(node))}; break;
            case OpInfo::Kind::Apply: result = apply_op(node, value_of); break;
        }
        values_[node.get()] = std::move(result);
    }
    std::vector<Array> out;
    for (const Expr& e : bound) out.push_back(value_of(e));
    return out;
}

std::vector<Array> reference_eval(std::span<const Expr> outputs,
                                  const std::vector<std::pair<Expr, Array>>& inputs) {
    return ReferenceEvaluator(inputs)(outputs);
}

std::vector<Array> reference_eval_from(std::span<const Expr> outputs,
                                       const std::vector<std::pair<Expr, Array>>& known) {
    const Graph graph({outputs.begin(), outputs.end()});
    std::unordered_map<const Node*, std::vector<Array>> values;
    const auto given = [&](const Expr& e) {
        for (const auto& [what, value] : known)
            if (same(what, e)) return true;
        return false;
    };
    // Only what the outputs need beyond what is known.
    IdVector<NodeId, char> needed(graph.size());
    for (const Expr& e : outputs) needed[graph.id(e)] = !given(e);
    // Kernels do not read what has no elements, nor what such is made of.
    const auto empty = [&](NodeId i) {
        const auto& types = graph.nodes()[i]->types;
        return std::all_of(types.begin(), types.end(),
                           [](const TensorType& t) { return count(concrete(t.shape)) == 0; });
    };
    for (NodeId i : graph.ids().reversed())
        if (needed[i] && !empty(i))
            for (const Expr& e : graph.nodes()[i]->inputs)
                if (!given(e)) needed[graph.id(e)] = 1;
    for (const auto& [what, value] : known) {
        std::vector<Array>& of = values[&what.node()];
        of.resize(what.node().types.size());
        of[what.output()] = value;
    }
    // What is known of a node with several outputs stays.
    const auto keep = [&](const std::shared_ptr<const Node>& node, std::vector<Array> result) {
        std::vector<Array>& of = values[node.get()];
        of.resize(node->types.size());
        for (std::size_t k = 0; k < result.size(); ++k)
            if (!given(Expr(node, static_cast<int>(k)))) of[k] = std::move(result[k]);
    };
    // An op may not look at an operand, since another one has no elements: then nobody has read it,
    // and what it is made of need not be known. So such values are computed when they are asked
    // for.
    IdVector<NodeId, char> unread(graph.size());
    const ValueOf value_of = [&](const Expr& e) -> Array& {
        if (!values.count(&e.node())) {
            if (e.node().op->kind == OpInfo::Kind::Input)
                fail<ArgumentError>(e.loc(), "no value for input '{}'", e.node().name);
            keep(e.node_ptr(), apply_op(e.node_ptr(), value_of));
        }
        return values.at(&e.node())[e.output()];
    };
    for (NodeId i : graph.ids()) {
        const std::shared_ptr<const Node>& node = graph.nodes()[i];
        if (!needed[i]) continue;
        if (empty(i)) {
            std::vector<Array> result;
            for (const TensorType& t : node->types) result.emplace_back(t.dtype, concrete(t.shape));
            keep(node, std::move(result));
            continue;
        }
        unread[i] = node->op->kind == OpInfo::Kind::Input;
        for (const Expr& e : node->inputs)
            if (!given(e)) unread[i] |= unread[graph.id(e)];
        if (unread[i]) continue;
        switch (node->op->kind) {
            case OpInfo::Kind::Input: break;
            case OpInfo::Kind::Shared: keep(node, {node->storage->host_value()}); break;
            case OpInfo::Kind::Constant: keep(node, {*constant_value(Expr(node))}); break;
            case OpInfo::Kind::Apply: keep(node, apply_op(node, value_of)); break;
        }
    }
    std::vector<Array> out;
    for (const Expr& e : outputs) out.push_back(value_of(e));
    return out;
}

}  // namespace arete

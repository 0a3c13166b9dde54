#include "compiler/rewrite/specialize_shapes.h"

#include <algorithm>
#include <unordered_set>

#include "compiler/ops/checkpoint.h"
#include "compiler/ops/custom.h"
#include "compiler/ops/dims.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

std::optional<Dim> lookup(const ShapeBinding& b, DimSymbol s) {
    if (s.axis < 0) {
        auto it = b.scalars.find(s.variable);
        return it == b.scalars.end() ? std::nullopt : std::optional<Dim>(it->second);
    }
    auto it = b.sizes.find(s.variable);
    if (it == b.sizes.end() || s.axis >= static_cast<int>(it->second.size())) return std::nullopt;
    return Dim(it->second[s.axis]);
}

}  // namespace

Attrs bind_sizes(const Attrs& attrs, const std::function<Dim(const Dim&)>& bind) {
    Attrs out = attrs;
    for (const auto& [key, value] : attrs.items()) {
        if (const Dim* d = std::get_if<Dim>(&value)) out = out.with(key, bind(*d));
        if (const Shape* s = std::get_if<Shape>(&value)) {
            Shape bound;
            for (const Dim& d : *s) bound.push_back(bind(d));
            out = out.with(key, bound);
        }
    }
    return out;
}

namespace {

void for_each_size(const Attrs& attrs, const std::function<void(const Dim&)>& f) {
    for (const auto& [key, value] : attrs.items()) {
        if (const Dim* d = std::get_if<Dim>(&value)) f(*d);
        if (const Shape* s = std::get_if<Shape>(&value))
            for (const Dim& d : *s) f(d);
    }
}

void for_each_dim(const Node& n, const std::function<void(const Dim&)>& f) {
    for (const TensorType& t : n.types)
        for (const Dim& d : t.shape) f(d);
    for_each_size(n.attrs, f);
}

// A size of a node, as it was before sizes were known, must be a number now.
void require_value(const Node& old, const Dim& size) {
    if (size.is_const()) return;
    ARETE_CHECK(size.impossible(), "{}: size {} is not known at the call", old.op->name,
                size.str());
    fail<GraphError>(old.loc(), "{}: sizes do not fit together: {}, and there is no {}",
                     old.op->name, old.types[0].str(), size.str());
}

}  // namespace

std::vector<Expr> bind_shapes(std::span<const Expr> outputs, const ShapeBinding& binding) {
    auto bind = [&](const Dim& d) {
        return d.bind([&](DimSymbol s) { return lookup(binding, s); });
    };
    return transform(outputs, [&](const std::shared_ptr<const Node>& shared_old, Node copy) {
        const Node& old = *shared_old;
        copy.attrs = bind_sizes(copy.attrs, bind);
        std::vector<TensorType> promised = copy.types;
        for (TensorType& t : promised)
            for (Dim& d : t.shape) d = bind(d);
        if (copy.is_leaf()) copy.types = promised;
        for_each_size(copy.attrs, [&](const Dim& d) { require_value(old, d); });
        if (!copy.is_leaf()) copy.types = infer_types(copy);
        for (std::size_t i = 0; i < promised.size(); ++i) {
            for (const Dim& d : copy.types[i].shape) require_value(old, d);
            if (!(copy.types[i] == promised[i]))
                fail<GraphError>(old.loc(), "{}: sizes that had to be equal differ: {} became {}",
                                 old.op->name, old.types[i].str(), copy.types[i].str());
        }
        if (copy.op == &op_from_graph_op.info || copy.op == &checkpoint_op.info)
            return inlined(copy);
        if (copy.op->has(Trait::Late)) return def(copy).expand(copy);
        return outputs_of(std::make_shared<const Node>(std::move(copy)));
    });
}

InputsInShapes inputs_in_shapes(std::span<const Expr> outputs) {
    InputsInShapes found;
    const std::function<void(const std::vector<Expr>&)> visit =
        [&](const std::vector<Expr>& roots) {
            const Graph graph(roots);
            for (const auto& node : graph.nodes()) {
                for_each_dim(*node, [&](const Dim& d) {
                    d.for_each_symbol([&](DimSymbol s) {
                        (s.axis < 0 ? found.scalars : found.tensors).insert(s.variable);
                    });
                });
                for (const Region& r : node->regions) {
                    visit(r.params);
                    visit(r.results);
                }
            }
        };
    visit({outputs.begin(), outputs.end()});
    return found;
}

std::vector<Expr> substitute(std::span<const Expr> outputs,
                             std::span<const std::pair<Expr, Expr>> pairs) {
    const auto symbol = [&](DimSymbol s) -> std::optional<Dim> {
        for (const auto& [what, by] : pairs) {
            if (what.node().op->kind != OpInfo::Kind::Input || what.node().id != s.variable)
                continue;
            return s.axis < 0 ? as_dim(by) : by.shape()[s.axis];
        }
        return std::nullopt;
    };
    const auto bind = [&](const Dim& d) { return d.bind(symbol); };
    return transform(outputs, [&](const std::shared_ptr<const Node>& old, Node copy) {
        std::vector<Expr> out = outputs_of(old);
        if (!copy.is_leaf()) {
            copy.attrs = bind_sizes(copy.attrs, bind);
            copy.types = infer_types(copy);
            out = outputs_of(std::make_shared<const Node>(std::move(copy)));
        } else if (copy.op == &param_op.info) {
            // Those of enclosing bodies, which are still being built, stay the same nodes.
            for (Dim& d : copy.types[0].shape) d = bind(d);
            if (copy.types != old->types)
                out = outputs_of(std::make_shared<const Node>(std::move(copy)));
        }
        for (const auto& [what, by] : pairs)
            if (what.node_ptr() == old) out[what.output()] = by;
        return out;
    });
}

namespace {

// Tells the nodes that a definition has just made, down to the operands, what they are parts of.
void set_origin(const std::vector<Expr>& made, const Node& of) {
    const Origin origin{of.origin.op ? of.origin.op : of.op, of.origin.gradient};
    std::unordered_set<const Node*> known;
    for (const Expr& x : of.inputs) known.insert(&x.node());
    std::vector<const Node*> open;
    for (const Expr& e : made) open.push_back(&e.node());
    while (!open.empty()) {
        const Node* node = open.back();
        open.pop_back();
        if (node->is_leaf() || !known.insert(node).second) continue;
        // Made a moment ago by this thread, as an object that is not const, and seen by no one
        // else.
        const_cast<Node*>(node)->origin = origin;
        for (const Expr& x : node->inputs) open.push_back(&x.node());
    }
}

}  // namespace

std::vector<Expr> expand_composites(std::span<const Expr> outputs) {
    std::vector<Expr> now(outputs.begin(), outputs.end());
    for (bool again = true; again;) {
        again = false;
        now = transform(now, [&](const std::shared_ptr<const Node>& old, Node copy) {
            if (copy.is_leaf()) return outputs_of(old);
            if (ExpandFn definition = def(copy).expand) {
                again = true;
                // The definition's nodes carry the line of the op that they define.
                std::vector<Expr> by = definition(copy);
                set_origin(by, copy);
                return by;
            }
            return outputs_of(std::make_shared<const Node>(std::move(copy)));
        });
    }
    return now;
}

}  // namespace arete

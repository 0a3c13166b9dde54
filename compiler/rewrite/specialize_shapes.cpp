#include "compiler/rewrite/specialize_shapes.h"

#include <algorithm>
#include <set>

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
    return Dim(it->second[static_cast<std::size_t>(s.axis)]);
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

void for_each_dim(const Node& n, const std::function<void(const Dim&)>& f) {
    for (const TensorType& t : n.types)
        for (const Dim& d : t.shape) f(d);
    for (const auto& [key, value] : n.attrs.items()) {
        if (const Dim* d = std::get_if<Dim>(&value)) f(*d);
        if (const Shape* s = std::get_if<Shape>(&value))
            for (const Dim& d : *s) f(d);
    }
}

}  // namespace

std::vector<Expr> bind_shapes(std::span<const Expr> outputs, const ShapeBinding& binding) {
    auto bind = [&](const Dim& d) {
        return d.bind([&](DimSymbol s) { return lookup(binding, s); });
    };
    return transform(outputs, [&](const std::shared_ptr<const Node>& shared_old, Node copy) {
        const Node& old = *shared_old;
        copy.attrs = bind_sizes(copy.attrs, bind);
        for (TensorType& t : copy.types)
            for (Dim& d : t.shape) d = bind(d);
        std::vector<TensorType> promised = copy.types;
        if (!copy.is_leaf()) copy.types = infer_types(copy);
        for (std::size_t i = 0; i < promised.size(); ++i) {
            ARETE_CHECK(is_static(copy.types[i].shape), "{}: size {} is not known at the call",
                        old.op->name, copy.types[i].str());
            if (!(copy.types[i] == promised[i]))
                fail<GraphError>(old.loc(), "{}: sizes that had to be equal differ: {} became {}",
                                 old.op->name, old.types[i].str(), copy.types[i].str());
        }
        return outputs_of(std::make_shared<const Node>(std::move(copy)));
    });
}

std::vector<std::uint64_t> scalars_in_shapes(std::span<const Expr> outputs) {
    std::set<std::uint64_t> found;
    Graph graph({outputs.begin(), outputs.end()});
    for (const auto& node : graph.nodes())
        for_each_dim(*node, [&](const Dim& d) {
            d.for_each_symbol([&](DimSymbol s) {
                if (s.axis < 0) found.insert(s.variable);
            });
        });
    return {found.begin(), found.end()};
}

std::vector<Expr> expand_composites(std::span<const Expr> outputs) {
    std::vector<Expr> now(outputs.begin(), outputs.end());
    for (bool again = true; again;) {
        again = false;
        now = transform(now, [&](const std::shared_ptr<const Node>& old, Node copy) {
            if (copy.is_leaf()) return outputs_of(old);
            if (ExpandFn definition = def(copy).expand) {
                again = true;
                // The definition's nodes carry the line of the op that they define.
                return std::vector<Expr>{definition(copy)};
            }
            return outputs_of(std::make_shared<const Node>(std::move(copy)));
        });
    }
    return now;
}

}  // namespace arete

#include "compiler/ops/op.h"

#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"

namespace arete {

std::string InferArgs::describe(std::size_t i) const {
    const Node& n = inputs[i].node();
    std::string who = n.name.empty() ? fmt::format("argument {}", i + 1) : n.name;
    return fmt::format("{} is {}", who, inputs[i].type().str());
}

void InferArgs::error(std::string_view message) const {
    throw GraphError(loc, fmt::format("{}: {}", op.info.name, message));
}

std::vector<TensorType> infer_types(const Node& node) {
    return def(node).infer({def(node), node.inputs, node.attrs, node.loc()});
}

std::vector<Expr> apply_all(const OpDef& op, std::vector<Expr> inputs, Attrs attrs, Loc loc) {
    for (const Expr& e : inputs)
        if (e.empty()) fail<GraphError>(loc, "{}: use of an empty expression", op.info.name);
    ARETE_CHECK(op.arity < 0 || op.arity == static_cast<int>(inputs.size()), "{} of {} inputs",
                op.info.name, inputs.size());
    auto node = std::make_shared<Node>();
    node->op = &op.info;
    node->inputs = std::move(inputs);
    node->attrs = std::move(attrs);
    if (loc) node->locs = {loc};
    node->types = infer_types(*node);
    std::vector<Expr> out;
    for (std::size_t i = 0; i < node->types.size(); ++i)
        out.emplace_back(node, static_cast<int>(i));
    return out;
}

Expr apply(const OpDef& op, std::vector<Expr> inputs, Attrs attrs, Loc loc) {
    return apply_all(op, std::move(inputs), std::move(attrs), loc)[0];
}

const OpDef* find_op(std::string_view name) {
    for (const OpDef* op : all_ops())
        if (op->info.name == name) return op;
    return nullptr;
}

std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b) {
    const Shape& longer = a.size() < b.size() ? b : a;
    const Shape& shorter = a.size() < b.size() ? a : b;
    Shape out = longer;
    const std::size_t skip = longer.size() - shorter.size();
    for (std::size_t i = 0; i < shorter.size(); ++i) {
        const Dim &s = shorter[i], &l = longer[skip + i];
        if (s == l || s == Dim(1)) continue;
        if (l == Dim(1))
            out[skip + i] = s;
        else if (s.is_const() && l.is_const())
            return std::nullopt;
        else if (s.is_const())
            out[skip + i] = s;
    }
    return out;
}

namespace {

Shape broadcast_all(const InferArgs& a) {
    Shape out;
    for (std::size_t i = 0; i < a.inputs.size(); ++i) {
        auto both = broadcast_shapes(out, a.type(i).shape);
        if (!both) {
            std::string all;
            for (std::size_t k = 0; k < a.inputs.size(); ++k)
                all += (k ? ", " : "") + a.describe(k);
            a.error("shapes cannot be broadcast together: " + all);
        }
        out = *both;
    }
    return out;
}

void require_one_dtype(const InferArgs& a) {
    for (std::size_t i = 1; i < a.inputs.size(); ++i)
        if (a.type(i).dtype != a.type(0).dtype)
            a.error(fmt::format("dtypes differ: {}, {}", a.describe(0), a.describe(i)));
}

}  // namespace

std::vector<TensorType> infer_elementwise(const InferArgs& a) {
    require_one_dtype(a);
    return {{a.type(0).dtype, broadcast_all(a)}};
}

std::vector<TensorType> infer_elementwise_bool(const InferArgs& a) {
    require_one_dtype(a);
    return {{DType::Bool, broadcast_all(a)}};
}

std::vector<TensorType> infer_elementwise_float(const InferArgs& a) {
    if (!is_float(a.type(0).dtype)) a.error("needs a float: " + a.describe(0));
    return infer_elementwise(a);
}

std::vector<TensorType> infer_same(const InferArgs& a) {
    return {a.type(0)};
}

}  // namespace arete

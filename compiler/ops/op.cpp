#include "compiler/ops/op.h"

#include <memory>
#include <mutex>
#include <unordered_map>

#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"
#include "compiler/ops/rows.h"

namespace arete {

std::string InferArgs::describe(std::size_t i) const {
    const Node& n = inputs[i].node();
    std::string who = n.name.empty() ? fmt::format("argument {}", i + 1) : n.name;
    return fmt::format("{} is {}", who, inputs[i].type().str());
}

void InferArgs::error(std::string_view message) const {
    throw GraphError(loc, fmt::format("{}: {}", op.info.name, message));
}

namespace {

// Sizes of a type that a rule gave: they are what some memory may have, as far as they are known.
void check_sizes(const Node& node, const TensorType& type) {
    auto refuse = [&](std::string_view why) {
        fail<GraphError>(node.loc(), "{}: its result would be {}, {}", node.op->name, type.str(),
                         why);
    };
    auto bytes = static_cast<std::int64_t>(size_of(type.dtype));
    for (const Dim& d : type.shape) {
        if (!d.is_const()) {
            if (d.impossible()) refuse("and there is no such size");
            continue;
        }
        const std::int64_t size = d.value();
        if (size < 0) refuse("which has a negative size");
        if (size != 0 && (__builtin_mul_overflow(bytes, size, &bytes) || bytes > largest_tensor))
            refuse("which is too large for any memory");
    }
}

}  // namespace

std::vector<TensorType> infer_types(const Node& node) {
    std::vector<TensorType> types = def(node).infer(
        {def(node), node.inputs, node.attrs, node.loc(), node.regions, node.payload.get()});
    for (const TensorType& t : types) check_sizes(node, t);
    return types;
}

namespace {

// `op` under a name of its own, where it has that of another row.
const OpDef& with_own_name(const OpDef& op) {
    static const std::unordered_map<std::string_view, const OpDef*> rows = [] {
        std::unordered_map<std::string_view, const OpDef*> out;
        for (const OpDef* row : all_ops()) out.emplace(row->info.name, row);
        return out;
    }();
    const auto found = rows.find(op.info.name);
    if (found == rows.end() || found->second == &op) return op;
    struct Renamed {
        std::string name;
        OpDef op;
    };
    static std::mutex mutex;
    static auto& renamed = *new std::unordered_map<const OpDef*, std::unique_ptr<Renamed>>;
    const std::lock_guard lock(mutex);
    std::unique_ptr<Renamed>& own = renamed[&op];
    if (!own) {
        own = std::make_unique<Renamed>(Renamed{fmt::format("user_{}", op.info.name), op});
        own->op.info.name = own->name;
    }
    return own->op;
}

}  // namespace

std::vector<Expr> apply_all(const OpDef& row, std::vector<Expr> inputs, Attrs attrs, Loc loc,
                            std::vector<Region> regions, std::shared_ptr<const Payload> payload) {
    const OpDef& op = with_own_name(row);
    for (const Expr& e : inputs)
        if (e.empty()) fail<GraphError>(loc, "{}: use of an empty expression", op.info.name);
    ARETE_CHECK(op.arity < 0 || op.arity == static_cast<int>(inputs.size()), "{} of {} inputs",
                op.info.name, inputs.size());
    return with_memory(loc, "op", op.info.name, [&] {
        auto node = std::make_shared<Node>();
        node->op = &op.info;
        node->inputs = std::move(inputs);
        node->attrs = std::move(attrs);
        node->regions = std::move(regions);
        node->payload = std::move(payload);
        if (loc) node->locs = {loc};
        node->types = infer_types(*node);
        std::vector<Expr> out;
        for (std::size_t i = 0; i < node->types.size(); ++i)
            out.emplace_back(node, static_cast<int>(i));
        return out;
    });
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
        if (differ(s, l) && !(s == Dim(1)) && !(l == Dim(1))) return std::nullopt;
        out[skip + i] = broadcast(s, l);
    }
    return out;
}

bool broadcasts(const OpDef& op) {
    return op.scalar || op.infer == infer_elementwise || op.infer == infer_elementwise_bool ||
           op.infer == infer_elementwise_float || op.info.name == "broadcast_to";
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

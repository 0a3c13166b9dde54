#include "compiler/ops/leaves.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "compiler/core/convert.h"
#include "compiler/ops/operand.h"

namespace arete {

constinit const OpDef input_op{
    .info = {.name = "input", .kind = OpInfo::Kind::Input}, .doc = "A symbolic input.", .arity = 0};
constinit const OpDef param_op{.info = {.name = "param", .kind = OpInfo::Kind::Input},
                               .doc = "A parameter of a region.",
                               .arity = 0};
constinit const OpDef shared_op{.info = {.name = "shared", .kind = OpInfo::Kind::Shared},
                                .doc = "A variable whose value lives between calls.",
                                .arity = 0};
constinit const OpDef constant_op{.info = {.name = "constant", .kind = OpInfo::Kind::Constant},
                                  .doc = "A literal array.",
                                  .arity = 0};

Expr make_leaf(const OpDef& op, TensorType type, Loc loc, std::string name) {
    auto node = std::make_shared<Node>();
    node->op = &op.info;
    node->types = {std::move(type)};
    node->name = std::move(name);
    if (loc) node->locs = {loc};
    if (op.info.kind != OpInfo::Kind::Constant) node->id = next_id();
    return Expr(std::move(node));
}

Expr make_input(DType dtype, int rank, std::string name, const Ints& static_sizes, Loc loc) {
    if (!static_sizes.empty() && static_cast<int>(static_sizes.size()) != rank)
        fail<GraphError>(loc, "input '{}': {} static sizes for rank {}", name, static_sizes.size(),
                         rank);
    auto node = std::make_shared<Node>();
    node->op = &input_op.info;
    node->name = std::move(name);
    if (loc) node->locs = {loc};
    node->id = next_id();
    TensorType type{dtype, {}};
    std::string label = node->name.empty() ? fmt::format("input{}", node->id) : node->name;
    for (int axis = 0; axis < rank; ++axis) {
        std::int64_t known = static_sizes.empty() ? -1 : static_sizes[axis];
        type.shape.push_back(
            known >= 0 ? Dim(known)
                       : Dim::symbol({node->id, axis}, fmt::format("{}.shape({})", label, axis)));
    }
    node->types = {std::move(type)};
    return Expr(std::move(node));
}

Expr constant(const Array& value, const char* file, int line) {
    return with_memory(file ? Loc{file, line} : Loc{}, "constant", "", [&] {
        auto node = std::make_shared<Node>();
        node->op = &constant_op.info;
        Shape shape(value.shape().begin(), value.shape().end());
        node->types = {{value.dtype(), std::move(shape)}};
        // A copy: later writes to the user's array do not show.
        node->attrs = Attrs{{"value", value.copy()}};
        if (file) node->locs = {Loc{file, line}};
        return Expr(std::move(node));
    });
}

Expr scalar_constant(DType t, double v, Loc loc) {
    Array a(t, {});
    visit(t, [&](auto tag) { *a.data<decltype(tag)>() = convert<decltype(tag)>(v); });
    return constant(a, loc.file, loc.line);
}

Expr scalar_constant(DType t, std::int64_t v, Loc loc) {
    Array a(t, {});
    visit(t, [&](auto tag) { *a.data<decltype(tag)>() = convert<decltype(tag)>(v); });
    return constant(a, loc.file, loc.line);
}

const Array* constant_value(const Expr& e) {
    return e.node().op->kind == OpInfo::Kind::Constant ? &e.node().attrs.get<Array>("value")
                                                       : nullptr;
}

bool is_constant_scalar(const Expr& e, double* value) {
    const Array* a = constant_value(e);
    if (!a || a->size() == 0) return false;
    // By their bytes: as doubles neighbouring i64 are equal, and so are 0 and -0.
    const std::size_t size = size_of(a->dtype());
    const auto* first = static_cast<const char*>(a->raw());
    for (std::int64_t i = 1; i < a->size(); ++i)
        if (std::memcmp(first, first + static_cast<std::size_t>(i) * size, size) != 0) return false;
    if (value) *value = a->as_double(0);
    return true;
}

Operand::Operand(const Array& a, const char* file, int line)
    : loc{file, line}, expr_(constant(a, file, line)) {}

Expr Operand::expr() const {
    if (!literal_) {
        if (expr_.empty()) fail<GraphError>(loc, "use of an empty expression");
        return expr_;
    }
    const std::optional<DType> t = literal_->dtype();
    if (!t) fail<GraphError>(loc, "no dtype holds the literal {}", literal_->str());
    return constant(literal_->as(*t), loc.file, loc.line);
}

Expr Operand::beside(DType t, std::string_view op) const {
    if (!literal_) return expr();
    const DType d = literal_->dtype_beside(t);
    if (!literal_->fits(d))
        fail<GraphError>(loc, "{}{}the literal {} is out of the range of {}, which it takes beside {}",
                         op, op.empty() ? "" : ": ", literal_->str(), name(d), name(t));
    return constant(literal_->as(d), loc.file, loc.line);
}

}  // namespace arete

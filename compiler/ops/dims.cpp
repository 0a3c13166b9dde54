#include "compiler/ops/dims.h"

#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

std::optional<Dim> convert(const Expr& e, bool allow_opaque) {
    auto otherwise = [&]() -> std::optional<Dim> {
        if (!allow_opaque) return std::nullopt;
        auto identity = reinterpret_cast<std::uintptr_t>(&e.node());
        return Dim::symbol({identity, opaque_axis}, "?");
    };
    if (e.rank() != 0 || is_float(e.dtype()) || e.dtype() == DType::Bool) return std::nullopt;
    if (const Array* c = constant_value(e)) return Dim(c->as_int());
    const Node& n = e.node();
    if (n.op == &input_op.info)
        return Dim::symbol({n.id, -1}, n.name.empty() ? fmt::format("input{}", n.id) : n.name);
    const std::string_view op = n.op->name;
    if (op == "shape") return n.inputs[0].shape()[n.attrs.get<std::int64_t>("axis")];
    auto operand = [&](std::size_t i) { return convert(n.inputs[i], allow_opaque); };
    // Bytes wrap early: what is cast to them is not its operand, and their sums are not those of sizes.
    if (e.dtype() == DType::U8) return otherwise();
    if (op == "cast" || op == "stop_gradient") {
        auto a = operand(0);
        return a ? a : otherwise();
    }
    if (op == "neg") {
        auto a = operand(0);
        return a ? Dim(0) - *a : otherwise();
    }
    const bool add = op == "add", sub = op == "sub", mul = op == "mul", div = op == "floordiv";
    if (!add && !sub && !mul && !div) return otherwise();
    auto a = operand(0), b = operand(1);
    if (!a || !b) return otherwise();
    return add ? *a + *b : sub ? *a - *b : mul ? *a * *b : floordiv(*a, *b);
}

}  // namespace

std::optional<Dim> as_dim(const Expr& e) {
    return convert(e, false);
}

Dim as_dim_or_opaque(const Expr& e) {
    auto d = convert(e, true);
    ARETE_CHECK(d, "{} is no integer scalar", e.type().str());
    return *d;
}

bool only_sizes(const Dim& d) {
    bool only = true;
    d.for_each_symbol([&](DimSymbol s) { only = only && s.axis >= 0; });
    return only;
}

bool has_opaque(const Dim& d) {
    bool found = false;
    d.for_each_symbol([&](DimSymbol s) { found = found || s.axis == opaque_axis; });
    return found;
}

Expr dim_expr(const Dim& d, Loc loc) {
    if (!d.is_const()) fail<GraphError>(loc, "the size {} is not constant", d.str());
    return scalar_constant(DType::I64, d.value(), loc);
}

SizeArg::SizeArg(const Expr& e, const char* file, int line) {
    auto d = as_dim(e);
    if (!d)
        fail<GraphError>(Loc{file, line},
                         "a size must be an integer made of constants, scalar inputs and sizes of "
                         "inputs, but {}",
                         describe(e, "this one"));
    dim = *d;
}

}  // namespace arete

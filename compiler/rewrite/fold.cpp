#include "compiler/rewrite/fold.h"

#include <algorithm>

#include "compiler/loops/kernel.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"

namespace arete {

namespace {

// Above this, a folded array would cost more to keep than to compute.
constexpr std::int64_t max_elements = 64;

loops::Scalar scalar_at(const Array& a, std::int64_t i) {
    return is_float(a.dtype()) ? loops::Scalar::of(a.dtype(), a.as_double(i))
                               : loops::Scalar::of(a.dtype(), a.as_int(i));
}

void set(Array& a, std::int64_t i, const loops::Scalar& s) {
    visit(a.dtype(), [&](auto tag) {
        using T = decltype(tag);
        a.data<T>()[i] =
            is_float(s.dtype) ? static_cast<T>(s.as_double()) : static_cast<T>(s.as_int());
    });
}

// The value of an op's scalar body; nothing where it depends on more than its arguments.
std::optional<loops::Scalar> evaluate(const Node& n, std::span<const loops::Scalar> arguments) {
    loops::Code code;
    std::vector<loops::Value> args;
    for (const loops::Scalar& s : arguments) {
        loops::Instr c;
        c.constant = s;
        c.dtype = s.dtype;
        args.push_back(code.append(c));
    }
    const loops::Value result = def(n).scalar({args, n.types[0].dtype, n.attrs});
    std::vector<loops::Scalar> values(code.values.size());
    for (loops::ValueId id : loops::needed(code, {&result.id, 1})) {
        const loops::Instr& i = code.values[static_cast<std::size_t>(id)];
        if (i.op == loops::Op::Const) {
            values[static_cast<std::size_t>(id)] = i.constant;
            continue;
        }
        if (loops::arity(i.op) == 0) return std::nullopt;
        loops::Scalar x[3];
        for (int k = 0; k < loops::arity(i.op); ++k)
            x[k] = values[static_cast<std::size_t>(i.args[static_cast<std::size_t>(k)])];
        values[static_cast<std::size_t>(id)] =
            loops::evaluate(i.op, i.dtype, {x, static_cast<std::size_t>(loops::arity(i.op))});
    }
    return values[static_cast<std::size_t>(result.id)];
}

// Where the element of a result at row-major position `at` is in an operand broadcast to it.
std::int64_t broadcast_position(std::int64_t at, const Sizes& result, const Sizes& operand) {
    std::int64_t position = 0, stride = 1;
    for (std::size_t k = result.size(); k-- > 0;) {
        const std::int64_t index = at % result[k];
        at /= result[k];
        const std::size_t missing = result.size() - operand.size();
        if (k < missing) continue;
        if (operand[k - missing] != 1) position += index * stride;
        stride *= operand[k - missing];
    }
    return position;
}

}  // namespace

Expr fold(const Expr& e) {
    const Node& n = e.node();
    const bool alias = n.op->has(Trait::Alias);
    if ((!def(n).scalar && !alias) || n.inputs.empty() || !is_static(e.shape())) return {};
    for (const Expr& x : n.inputs)
        if (!constant_value(x)) return {};
    const Sizes sizes = concrete(e.shape());
    const std::int64_t elements = count(sizes);
    if (elements > max_elements || elements == 0) return {};
    const bool uniform = std::all_of(n.inputs.begin(), n.inputs.end(),
                                     [](const Expr& x) { return is_constant_scalar(x); });
    const Loc loc = n.loc();
    // A number stays a number under views, which rules see through.
    if (alias && elements == 1) return {};
    if (alias) return constant(constant_value(n.inputs[0])->reshaped(sizes), loc.file, loc.line);
    Array out(e.dtype(), sizes);
    std::optional<loops::Scalar> value;
    for (std::int64_t i = 0; i < elements; ++i) {
        if (i == 0 || !uniform) {
            std::vector<loops::Scalar> arguments;
            for (const Expr& x : n.inputs) {
                const Array& a = *constant_value(x);
                arguments.push_back(scalar_at(a, broadcast_position(i, sizes, a.shape())));
            }
            value = evaluate(n, arguments);
            if (!value) return {};
        }
        set(out, i, *value);
    }
    return constant(out, loc.file, loc.line);
}

}  // namespace arete

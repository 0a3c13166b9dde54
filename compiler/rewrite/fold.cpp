#include "compiler/rewrite/fold.h"

#include "compiler/loops/kernel.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"

namespace arete {

namespace {

// Above this, a folded array would cost more to keep than to compute.
constexpr std::int64_t max_elements = 64;

loops::Scalar scalar_at(const Array& a) {
    return is_float(a.dtype()) ? loops::Scalar::of(a.dtype(), a.as_double())
                               : loops::Scalar::of(a.dtype(), a.as_int());
}

Array array_of(const loops::Scalar& s, const Sizes& sizes) {
    Array one(s.dtype, sizes);
    visit(s.dtype, [&](auto tag) {
        using T = decltype(tag);
        T* p = one.data<T>();
        T v = is_float(s.dtype) ? static_cast<T>(s.as_double()) : static_cast<T>(s.as_int());
        for (std::int64_t i = 0; i < one.size(); ++i) p[i] = v;
    });
    return one;
}

}  // namespace

Expr fold(const Expr& e) {
    const Node& n = e.node();
    const OpDef& op = def(n);
    if (!op.scalar || n.inputs.empty() || !is_static(e.shape())) return {};
    Sizes sizes = concrete(e.shape());
    if (count(sizes) > max_elements || count(sizes) == 0) return {};
    loops::Code code;
    std::vector<loops::Value> args;
    for (const Expr& x : n.inputs) {
        if (!is_constant_scalar(x)) return {};
        loops::Instr c;
        c.constant = scalar_at(*constant_value(x));
        c.dtype = c.constant.dtype;
        args.push_back(code.append(c));
    }
    loops::Value result = op.scalar({args, e.dtype(), n.attrs});
    std::vector<loops::Scalar> values(code.values.size());
    for (loops::ValueId id : loops::needed(code, {&result.id, 1})) {
        const loops::Instr& i = code.values[static_cast<std::size_t>(id)];
        if (i.op == loops::Op::Const) {
            values[static_cast<std::size_t>(id)] = i.constant;
            continue;
        }
        if (loops::arity(i.op) == 0) return {};
        loops::Scalar x[3];
        for (int k = 0; k < loops::arity(i.op); ++k)
            x[k] = values[static_cast<std::size_t>(i.args[static_cast<std::size_t>(k)])];
        values[static_cast<std::size_t>(id)] =
            loops::evaluate(i.op, i.dtype, {x, static_cast<std::size_t>(loops::arity(i.op))});
    }
    Loc loc = n.loc();
    return constant(array_of(values[static_cast<std::size_t>(result.id)], sizes), loc.file,
                    loc.line);
}

}  // namespace arete

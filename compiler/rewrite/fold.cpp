#include "compiler/rewrite/fold.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"

namespace arete {

namespace {

// Above this, a folded array would cost more to keep than to compute.
constexpr std::int64_t max_elements = 64;

// The nest that applies n's scalar body to the elements of arrays, one an input, and the array that
// follows them; nothing where the body depends on more than its arguments. As native code has it:
// the same products are fused with sums, and the same polynomials stand for functions.
std::optional<loops::Nest> nest_of(const Node& n, std::int64_t elements, Products products) {
    loops::Nest nest;
    nest.name = std::string(n.op->name);
    const loops::Var i = nest.add_var("i", elements);
    nest.axes = {i};
    std::vector<loops::Value> arguments;
    for (const Expr& x : n.inputs) {
        const loops::BufferId buffer = nest.add_buffer({"x", x.dtype(), {elements}});
        arguments.push_back(nest.load(buffer, loops::Index::var(i)));
    }
    const loops::Value result = def(n).scalar({arguments, n.types[0].dtype, n.attrs});
    const loops::BufferId out = nest.add_buffer({"y", n.types[0].dtype, {elements}});
    nest.stores.push_back({out, loops::Index::var(i), result.id, {}});
    loops::form_fma(nest);
    loops::expand_math(nest);
    bool fuses = false;
    for (const loops::ValueId id : loops::needed(nest, {&nest.stores[0].value, 1})) {
        const loops::Op op = nest.values[id].op;
        if (op == loops::Op::IndexOf) return std::nullopt;
        fuses = fuses || op == loops::Op::MulAdd;
    }
    if (!fuses || products == Products::fused) return nest;
    if (products == Products::unknown) return std::nullopt;
    return loops::with_values(
        nest, [](const loops::Instr& old, std::span<const loops::Value> x) -> loops::Value {
            return old.op == loops::Op::MulAdd ? x[0] * x[1] + x[2] : loops::Value{};
        });
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

// The first elements of `a`, broadcast to these sizes, in their row-major order.
Array repeated(const Array& a, const Sizes& sizes, std::int64_t elements) {
    Array out(a.dtype(), elements == count(sizes) ? sizes : Sizes{elements});
    const std::size_t size = size_of(a.dtype());
    const bool one = a.size() == 1;
    for (std::int64_t i = 0; i < elements; ++i) {
        const std::int64_t from = one ? 0 : broadcast_position(i, sizes, a.shape());
        std::memcpy(static_cast<char*>(out.raw()) + static_cast<std::size_t>(i) * size,
                    static_cast<const char*>(a.raw()) + static_cast<std::size_t>(from) * size,
                    size);
    }
    return out;
}

}  // namespace

Expr fold(const Expr& e, Products products, Functions functions) {
    const Node& n = e.node();
    if (functions == Functions::kept && n.op->has(Trait::Saturates)) return {};
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
    const std::int64_t computed = uniform ? 1 : elements;
    const std::optional<loops::Nest> nest = nest_of(n, computed, products);
    if (!nest) return {};
    std::vector<Array> arrays;
    for (const Expr& x : n.inputs) arrays.push_back(repeated(*constant_value(x), sizes, computed));
    arrays.emplace_back(e.dtype(), Sizes{computed});
    std::vector<void*> buffers;
    for (Array& a : arrays) buffers.push_back(a.raw());
    loops::Kernel kernel = loops::naive(*nest);
    buffers.resize(kernel.buffers.size(), nullptr);
    loops::interpret(kernel, buffers);
    const Array& out = arrays.back();
    return constant(uniform ? repeated(out, sizes, elements) : out.reshaped(sizes), loc.file,
                    loc.line);
}

}  // namespace arete

#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

bool alike(const Expr& a, const Expr& b, int depth) {
    if (a.empty() || b.empty()) return a.empty() && b.empty();
    if (same(a, b)) return true;
    const Node &m = a.node(), &n = b.node();
    if (depth == 0 || m.is_leaf() || m.op != n.op || a.output() != b.output() || m.id != n.id ||
        m.inputs.size() != n.inputs.size() || !m.regions.empty() || !(m.attrs == n.attrs) ||
        m.types != n.types)
        return false;
    for (std::size_t k = 0; k < m.inputs.size(); ++k)
        if (!alike(m.inputs[k], n.inputs[k], depth - 1)) return false;
    return true;
}

std::vector<Expr> no_gradient(const PullbackArgs& a) {
    return std::vector<Expr>(a.x.size());
}

std::string describe(const Expr& e, std::string_view fallback) {
    const std::string& name = e.node().name;
    return fmt::format("{} is {}", name.empty() ? fallback : std::string_view(name),
                       e.type().str());
}

std::int64_t normalize_axis(std::int64_t axis, int rank, std::string_view op, Loc loc) {
    if (axis < -rank || axis >= rank)
        fail<GraphError>(loc, "{}: axis {} of a tensor of rank {}", op, axis, rank);
    return axis < 0 ? axis + rank : axis;
}

Index to_index(Value v) {
    const ir::Instr& i = v.code->values[v.id];
    if (i.op == ir::Op::Const) return i.constant.as_int();
    if (i.op == ir::Op::IndexOf) return i.index;
    return Index::value(v.id);
}

std::vector<Index> broadcast_index(std::span<const Index> out, const Sizes& sizes) {
    std::vector<Index> index(sizes.size());
    const std::size_t skip = out.size() - sizes.size();
    for (std::size_t k = 0; k < sizes.size(); ++k)
        if (sizes[k] != 1) index[k] = out[skip + k];
    return index;
}

Value zero(Lowering& l) {
    return l.code.constant(l.node.types[0].dtype, std::int64_t{0});
}

const Index& Guard::inside(const Index& e, std::int64_t size) {
    const ir::Range r = e.range(code_.extents);
    if (r.low < 0) require(ir::ge(code_.index(e), 0.0));
    if (r.high >= size) require(ir::lt(code_.index(e), static_cast<double>(size)));
    return e;
}

void Guard::require(Value condition) {
    ok_ = ok_ ? ok_ & condition : condition;
}

Value Guard::load(Lowering& l, int input, std::span<const Index> index) const {
    return ok_ ? l.load_if(ok_, input, index) : l.load(input, index);
}

Value Guard::load(Lowering& l, int input, std::span<const Index> index, Value fallback) const {
    return ok_ ? ir::select(ok_, load(l, input, index), fallback) : load(l, input, index);
}

}  // namespace arete

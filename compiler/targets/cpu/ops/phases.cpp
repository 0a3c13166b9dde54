#include "compiler/targets/cpu/ops/phases.h"

#include <array>

#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;

extern const OpDef columns_by_phase_op;

namespace {

std::vector<TensorType> infer_by_phase(const InferArgs& a) {
    TensorType t = a.type(0);
    const auto step = a.attrs.get<std::int64_t>("step");
    if (t.rank() < 1 || step < 1) a.error("needs columns and a positive step: " + a.describe(0));
    const Dim columns = t.shape.back();
    t.shape.back() = Dim(step);
    t.shape.push_back(floordiv(columns + Dim(step - 1), Dim(step)));
    return {t};
}

Value lower_by_phase(Lowering& l, std::span<const Index> out) {
    const Sizes x = l.shape(0);
    if (count(x) == 0) return zero(l);
    const auto step = l.node.attrs.get<std::int64_t>("step");
    std::vector<Index> at(out.begin(), out.end() - 1);
    Guard guard(l.code);
    at.back() = guard.inside(out.back() * step + out[out.size() - 2], x.back());
    return guard.load(l, 0, at);
}

std::vector<Sample> by_phase_samples() {
    auto build = [](std::int64_t step) {
        return [=](std::span<const Expr> x) { return columns_by_phase(x[0], step); };
    };
    return {{"whole phases", {{{2, 3, 4, 6}}}, build(2), false},
            {"a rest", {{{3, 37}}}, build(3), false},
            {"a step beyond the end", {{{4, 2}}}, build(5), false}};
}

}  // namespace

constinit const OpDef columns_by_phase_op{
    .info = {.name = "columns_by_phase", .traits = Trait::Stored},
    .doc = "column q * step + r at [r, q]",
    .infer = infer_by_phase,
    .lower = lower_by_phase,
    .samples = by_phase_samples};

Expr columns_by_phase(const Operand& x, std::int64_t step) {
    const Shape& sizes = x.expr().shape();
    const Expr sorted = apply(columns_by_phase_op, {x.expr()}, {{"step", step}}, x.loc);
    std::vector<DimItem> order;
    for (int k = 0; k <= x.expr().rank(); ++k) order.emplace_back(k);
    std::swap(order.back(), order[order.size() - 2]);
    Shape whole = sizes;
    whole.back() = sorted.shape().back() * Dim(step);
    const Expr e = reshape(at(dimshuffle(at(sorted, x.loc), order), x.loc), whole);
    if (whole == sizes) return e;
    return slice_window(e, Shape(sizes.size(), Dim(0)), Ints(sizes.size(), 1), sizes, x.loc);
}

bool is_by_phase(const Expr& e) {
    constexpr int views = 4;
    Expr inner = e;
    for (int k = 0; k < views && !inner.node().is_leaf(); ++k) {
        if (inner.node().op == &columns_by_phase_op.info) return true;
        if (inner.node().inputs.size() != 1) return false;
        inner = inner.node().inputs[0];
    }
    return false;
}

std::span<const OpDef* const> phase_ops() {
    static constexpr std::array rows = {&columns_by_phase_op};
    return rows;
}

}  // namespace arete

// An elementwise op and a lowered op of one's own, defined outside of the library: two rows.
#include <cstdio>

#include <arete/arete.h>

#include "compiler/ops/rows.h"

using namespace arete;

namespace {

// [region row]
/// a / (1 + |a|). The row is the whole definition: type rule, one element, gradient.
constinit const OpDef my_softsign_op{
    .info = {.name = "my_softsign"},
    .doc = "a / (1 + |a|)",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return x[0] / (1.0 + loops::abs(x[0])); },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {a.g[0] / sqr(1 + abs(a.x[0]))};
    }};
// [end]

// [region builder]
/// What users call: an Operand takes expressions, arrays and numbers, and knows the caller's line.
Expr my_softsign(const Operand& a) {
    return apply(my_softsign_op, {a.expr()}, {}, a.loc);
}
// [end]

// [region lowered_row]
/// Sums of `width` neighbours along the last axis.
extern const OpDef window_sum_op;

std::vector<TensorType> infer_window_sum(const InferArgs& a) {
    TensorType t = a.type(0);
    if (t.rank() < 1) a.error("needs an axis: " + a.describe(0));
    t.shape.back() = t.shape.back() - Dim(a.attrs.get<std::int64_t>("width")) + Dim(1);
    if (t.shape.back().is_const() && t.shape.back().value() < 0)
        a.error("the window is wider than the axis: " + a.describe(0));
    return {t};
}

// Element `out` of the result: a sum over one reduction axis of what the operand has at out + r.
loops::Value lower_window_sum(Lowering& l, std::span<const loops::Index> out) {
    const loops::Index r = l.reduce_axis("r", l.node.attrs.get<std::int64_t>("width"));
    std::vector<loops::Index> at(out.begin(), out.end());
    at.back() = at.back() + r;
    return l.reduce(loops::Reduction::Sum, l.load(0, at));
}

// Every element of g goes to the `width` elements it was summed from: the same sum over g with
// zeros around it.
std::vector<Expr> pullback_window_sum(const PullbackArgs& a) {
    Shape edge = a.g[0].shape();
    edge.back() = Dim(a.node.attrs.get<std::int64_t>("width") - 1);
    const Expr zeros = broadcast_to(scalar_constant(a.g[0].dtype(), 0.0), edge);
    return {apply(window_sum_op, {concatenate({zeros, a.g[0], zeros}, -1)}, a.node.attrs,
                  a.node.loc())};
}

constinit const OpDef window_sum_op{.info = {.name = "window_sum", .traits = Trait::Reduces},
                                    .doc = "sums of attr width neighbours along the last axis",
                                    .infer = infer_window_sum,
                                    .lower = lower_window_sum,
                                    .pullback = pullback_window_sum};

Expr window_sum(const Operand& x, std::int64_t width) {
    return apply(window_sum_op, {x.expr()}, {{"width", width}}, x.loc);
}
// [end]

}  // namespace

int main() {
    try {
        // [region use]
        auto x = vector<float>("x");
        auto y = my_softsign(x);
        auto dy = grad(sum(y), x);
        auto f = function({.inputs = {x}, .outputs = {y, dy}});
        const auto values = f(std::vector<float>{-3, -1, 0, 1, 3});
        fmt::print("my_softsign  {}\nsoftsign' {}\n", values[0].str(), values[1].str());
        // [end]

        // [region use_lowered]
        auto s = window_sum(my_softsign(x), 2);
        auto ds = grad(sum(sqr(s)), x);
        auto g = function({.inputs = {x}, .outputs = {s, ds}});
        const auto sums = g(std::vector<float>{-3, -1, 0, 1, 3});
        fmt::print("window_sum {}\ngradient   {}\n", sums[0].str(), sums[1].str());
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

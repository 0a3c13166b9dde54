// Softmax, sums of exponentials, their logarithms and their gradients.
#include <algorithm>
#include <limits>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/ops/special.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

// ---- softmax

// softmax_grad(s, q) = s (q - sum(q s)), for q = g / s: g - s sum(g), without the quotient.
Expr softmax_minus_total(const Match& m, const Expr& g) {
    const Operand whole = on(m, broadcast_to(on(m, g), m.root().shape()));
    const Expr total = sum(whole, axis_of(m.root()), true);
    return whole - on(m, get(m, 's') * on(m, total));
}

bool is_placing(const OpDef& d) {
    return d.placing.view != nullptr;
}
// The operand that is the gradient.
std::size_t gradient_operand(const Expr& e) {
    const int k = def(e.node()).placing.gradient;
    return k < 0 ? e.node().inputs.size() - 1 : static_cast<std::size_t>(k);
}

// Is this mask false only where e is zero anyway, since nothing was put there?
bool is_mask_of_places(const Expr& mask, const Expr& e) {
    if (!is_placing(def(e.node())) || mask.node().op != e.node().op || !(attrs(mask) == attrs(e)))
        return false;
    const std::vector<Expr>&have = mask.node().inputs, &want = e.node().inputs;
    const std::size_t gradient = gradient_operand(e);
    for (std::size_t k = 0; k < want.size(); ++k)
        if (k != gradient && !same(have[k], want[k])) return false;
    const Expr& chosen = have[gradient];
    double value = 0;
    return is_constant_scalar(is_op(chosen, "broadcast_to") ? chosen.node().inputs[0] : chosen,
                              &value) &&
           value == 1;
}

// g / s or -(g / s), where g may be smaller than s, or either with zeros in the place of some.
Expr without_quotient(const Match& m, const Expr& e, const Expr& s) {
    if (is_op(e, "neg")) {
        const Expr inner = without_quotient(m, e.node().inputs[0], s);
        return inner.empty() ? Expr() : -on(m, inner);
    }
    double zero = 1;
    if (is_op(e, "where") && is_constant_scalar(e.node().inputs[2], &zero) && zero == 0) {
        const Expr inner = without_quotient(m, e.node().inputs[1], s);
        const Expr& mask = e.node().inputs[0];
        if (inner.empty() || is_mask_of_places(mask, inner)) return inner;
        return where(on(m, mask), on(m, inner), on(m, e.node().inputs[2]));
    }
    if (!is_op(e, "div") || !same(e.node().inputs[1], s)) return {};
    return broadcast_to(on(m, e.node().inputs[0]), e.shape());
}

Expr grad_of_quotient(const Match& m, const Expr& q) {
    const Expr g = without_quotient(m, q, m['s']);
    return g.empty() ? Expr() : softmax_minus_total(m, g);
}

// Does `view` read its first operand at the places at which `place` puts its gradient?
bool same_places(const Expr& view, const Expr& place, std::size_t gradient) {
    std::vector<Expr> reads_by(view.node().inputs.begin() + 1, view.node().inputs.end());
    std::vector<Expr> puts_by = place.node().inputs;
    puts_by.erase(puts_by.begin() + static_cast<std::ptrdiff_t>(gradient));
    if (is_op(place, "one_hot_rows")) {  // row i, column y[i]
        if (reads_by.size() != 2 || !counts_up(reads_by[0])) return false;
        reads_by.erase(reads_by.begin());
    }
    if (reads_by.size() != puts_by.size() ||
        !std::equal(reads_by.begin(), reads_by.end(), puts_by.begin(), same))
        return false;
    // The sizes are those of the window here and of the whole there.
    for (const auto& [key, value] : attrs(view).items()) {
        const auto& given = attrs(place).items();
        const auto it = std::find_if(given.begin(), given.end(),
                                     [&, k = key](const auto& item) { return item.first == k; });
        if (key != "sizes" && (it == given.end() || !(Attrs{{key, value}} == Attrs{*it})))
            return false;
    }
    return true;
}

// The same where g was put at the places at which s was read; several gradients that meet at one
// place are divided by the same s.
Expr grad_of_picked(const Match& m, const Expr& h) {
    if (!is_placing(def(h.node()))) return {};
    const std::size_t k = gradient_operand(h);
    const Expr& q = h.node().inputs[k];
    const Expr& quotient = is_op(q, "neg") ? q.node().inputs[0] : q;
    if (!is_op(quotient, "div")) return {};
    const Expr& picked = quotient.node().inputs[1];
    if (picked.node().op != def(h.node()).placing.view || !same(picked.node().inputs[0], m['s']) ||
        !same_places(picked, h, k))
        return {};
    std::vector<Expr> inputs = h.node().inputs;
    inputs[k] = without_quotient(m, q, picked);
    return softmax_minus_total(m, apply(def(h.node()), inputs, attrs(h), m.loc()));
}

// softmax_grad of a term of a sum; `better` is set where a quotient goes away.
Expr grad_of_term(const Match& m, const Expr& e, bool& better) {
    const Expr q = broadcast_to(on(m, e), m.root().shape());
    for (const auto way : {grad_of_quotient, grad_of_picked})
        if (const Expr g = way(m, q); !g.empty()) {
            better = true;
            return g;
        }
    return apply(def(m.root().node()), {m['s'], q}, attrs(m.root()), m.loc());
}

template <Expr (*Combine)(const Operand&, const Operand&)>
Expr grad_of_terms(const Match& m) {
    bool better = false;
    const Expr a = grad_of_term(m, m['a'], better), b = grad_of_term(m, m['b'], better);
    return better ? Combine(on(m, a), on(m, b)) : Expr();
}

bool along_one_axis(const Match& m) {
    const Ints& axes = attrs(m.root()).get<Ints>("axes");
    return axes.size() == 1 && axes[0] == axis_of(m['s']);
}

Expr reduced_x(const Match& m) {
    return apply(def(m.root().node()), {m['x']}, attrs(m.root()), m.loc());
}

// ---- log(sum(exp(x)))

Shape with_units(Shape shape, const Ints& axes) {
    for (std::int64_t k : axes) shape[k] = 1;
    return shape;
}

// Does e, broadcast against a tensor of this shape, stand for what keepdims would give?
bool is_kept(const Expr& e, const Shape& of, const Ints& axes) {
    if (e.shape().size() > of.size()) return false;
    Shape padded(of.size() - e.shape().size(), Dim(1));
    padded.insert(padded.end(), e.shape().begin(), e.shape().end());
    return padded == with_units(of, axes);
}

// e is sum(exp(x)) with the shape that keepdims gives it, as such or by a reshape; its axes.
const Ints* sum_over_axes(const Expr& e, const Expr& exp_x) {
    const Expr& s = is_op(e, "reshape") || is_op(e, "dimshuffle") ? e.node().inputs[0] : e;
    if (!is_op(s, "sum") || !same(s.node().inputs[0], exp_x)) return nullptr;
    return is_kept(e, exp_x.shape(), axes_of(s)) ? &axes_of(s) : nullptr;
}

Expr softmax_of_exps(const Match& m) {
    const Ints* axes = sum_over_axes(m['t'], m['e']);
    return axes ? if_same_type(m, softmax(get(m, 'x'), Axes(*axes))) : Expr();
}

// The gradient of log(sum(exp(x))): exp(x) times g / sum(exp(x)), the quotient under views that
// give it back its axes.
Expr log_sum_exp_grad(const Match& m) {
    std::vector<const Node*> views;
    const Expr* v = &m['v'];
    while (is_op(*v, "reshape") || is_op(*v, "dimshuffle") || is_op(*v, "broadcast_to")) {
        views.push_back(&v->node());
        v = &v->node().inputs[0];
    }
    if (!is_op(*v, "div")) return {};
    const Expr& s = v->node().inputs[1];
    if (!is_op(s, "sum") || !same(s.node().inputs[0], m['e'])) return {};
    Expr g = broadcast_to(on(m, v->node().inputs[0]), v->shape());
    for (std::size_t k = views.size(); k-- > 0;)
        g = apply(def(*views[k]), {g}, views[k]->attrs, m.loc());
    const bool repeated = g.shape() == m['e'].shape() && !views.empty();
    if (!repeated && !is_kept(g, m['e'].shape(), axes_of(s))) return {};
    const Expr share = softmax(get(m, 'x'), Axes(axes_of(s)));
    return if_same_type(m, on(m, g) * on(m, share));
}

// x - logsumexp(x) along one axis.
Expr log_softmax_by_difference(const Match& m) {
    const Expr& t = m['t'];
    const Expr& s = is_op(t, "reshape") || is_op(t, "dimshuffle") ? t.node().inputs[0] : t;
    if (!is_op(s, "logsumexp") || !same(s.node().inputs[0], m['x'])) return {};
    const Ints& axes = axes_of(s);
    if (axes.size() != 1 || !is_kept(t, m['x'].shape(), axes)) return {};
    return if_same_type(m, log_softmax(get(m, 'x'), static_cast<int>(axes[0])));
}

// log(1 - softmax(x)): the largest element of a line may be all of it but for rounding, and what is
// left is the sum of the others. They are summed from log_softmax: the difference of two sums of
// large x would have lost what is asked for.
Expr log_of_others(const Match& m, const Operand& x, int axis) {
    const Operand top = on(m, argmax(x, axis, true));
    const Expr& e = x.expr();
    std::vector<DimItem> order(static_cast<std::size_t>(e.rank()), 'x');
    order[axis] = 0;
    const Expr places = arange(on(m, e.shape(axis, m.loc().file, m.loc().line)));
    const Operand is_top = on(m, eq(on(m, dimshuffle(on(m, places), order)), top));
    const Operand nothing =
        on(m, scalar_constant(e.dtype(), -std::numeric_limits<double>::infinity(), m.loc()));
    const Expr logs = log_softmax(x, axis);
    const Expr of_top = logsumexp(on(m, where(is_top, nothing, on(m, logs))), axis, true);
    return where(is_top, on(m, of_top), on(m, log1mexp(on(m, logs))));
}

Expr log_one_minus_softmax(const Match& m) {
    std::vector<const Node*> views;
    const Expr* e = &m['s'];
    while (!e->node().is_leaf() && is_view(def(e->node()))) {
        views.push_back(&e->node());
        e = &views.back()->inputs[0];
    }
    if (!is_op(*e, "softmax")) return {};
    Expr out = log_of_others(m, on(m, e->node().inputs[0]), axis_of(*e));
    for (std::size_t k = views.size(); k-- > 0;) {
        std::vector<Expr> inputs = views[k]->inputs;
        inputs[0] = broadcast_to(on(m, out), inputs[0].shape());
        out = apply(def(*views[k]), inputs, views[k]->attrs, m.loc());
    }
    return if_same_type(m, out);
}

}  // namespace

std::span<const Rule> softmax_rules() {
    static const Rule table[] = {
        // softmax, its logarithm, and their gradients
        {"log_softmax", "log(softmax(x)) = x - max(x) - log(sum(exp(x - max(x))))",
         op("log", named('s', "softmax", any('x'))),
         [](const Match& m) { return log_softmax(get(m, 'x'), axis_of(m['s'])); }},
        {"softmax_grad_of_log", "s (g/s - sum(g/s s)) = g - s sum(g), for s = softmax(x)",
         op("softmax_grad", any('s'), any('q')),
         [](const Match& m) { return grad_of_quotient(m, m['q']); }},
        {"softmax_grad_of_picked", "the same for g/s[i], put where s[i] was read",
         op("softmax_grad", any('s'), some('h', "gradient of a view", is_placing)),
         [](const Match& m) { return grad_of_picked(m, m['h']); }},
        {
            "softmax_grad_of_sum",
            "softmax_grad is linear: terms divided by s are taken apart",
            op("softmax_grad", any('s'), op("add", any('a'), any('b'))),
            grad_of_terms < operator+> },
            {"softmax_grad_of_difference", "the same for a difference",
             op("softmax_grad", any('s'), op("sub", any('a'), any('b'))),
             grad_of_terms<static_cast<Expr (*)(const Operand&, const Operand&)>(operator-)>},
            {"argmax_softmax",
             "softmax keeps the order: argmax(softmax(x)) = argmax(x), but for the place of a NaN",
             op("argmax", named('s', "softmax", any('x'))), reduced_x, along_one_axis},
            {"argmax_log_softmax", "argmax(log_softmax(x)) = argmax(x)",
             op("argmax", named('s', "log_softmax", any('x'))), reduced_x, along_one_axis},
            {"argmax_increasing", "argmax(f(x)) = argmax(x) for increasing f",
             op("argmax", some('f', "increasing", is_increasing, any('x'))), reduced_x},

            {"log_one_minus_softmax",
             "log(1 - softmax(x)): the sum of the others, where one is the largest",
             op("log", op("sub", num(1), any('s'))), log_one_minus_softmax},
            {"log1p_minus_softmax", "log1p(-softmax(x)), the same",
             op("log1p", op("neg", any('s'))), log_one_minus_softmax},

            // sums of exponentials
            {"log_sum_exp", "log(sum(exp(x))) = log(sum(exp(x - max(x)))) + max(x)",
             op("log", named('t', "sum", exp_of('x'))),
             [](const Match& m) {
                 return logsumexp(get(m, 'x'), axes_of(m['t']),
                                  attrs(m['t']).get<bool>("keepdims"));
             }},
            {"exp_over_sum", "exp(x) / sum(exp(x)) = softmax(x)",
             op("div", named('e', "exp", any('x')), any('t')), softmax_of_exps},
            {"log_sum_exp_grad", "g / sum(exp(x)) * exp(x) = g * softmax(x)",
             op("mul", any('v'), named('e', "exp", any('x'))), log_sum_exp_grad},
            {"minus_log_sum_exp", "x - log(sum(exp(x))) = log(softmax(x))",
             op("sub", any('x'), any('t')), log_softmax_by_difference},
        };
    return table;
}

}  // namespace arete::rules

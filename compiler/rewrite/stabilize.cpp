// Forms that neither overflow nor cancel, after Theano's stabilize phase. Canonical rules have run
// before and run again on what is made here, so signs are outside, squares are sqr, and so on.
// tests/end_to_end/test_stability.cpp shows for each rule where the written form fails.
#include <algorithm>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/ops/special.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

Pattern one_plus(Pattern x) {
    return op("add", std::move(x), num(1));
}
Pattern one_minus(Pattern x) {
    return op("sub", num(1), std::move(x));
}
Pattern exp_of(char x) {
    return op("exp", any(x));
}
Pattern exp_of_minus(char x) {
    return op("exp", op("neg", any(x)));
}
Pattern sigmoid_of_minus(char x) {
    return op("sigmoid", op("neg", any(x)));
}

Expr sigmoid_of_x(const Match& m) {
    return if_same_type(m, sigmoid(get(m, 'x')));
}
Expr sigmoid_of_minus_x(const Match& m) {
    return if_same_type(m, sigmoid(on(m, -get(m, 'x'))));
}
Expr y_times_sigmoid_of_x(const Match& m) {
    return get(m, 'y') * on(m, sigmoid(get(m, 'x')));
}
Expr y_times_sigmoid_of_minus_x(const Match& m) {
    return get(m, 'y') * on(m, sigmoid(on(m, -get(m, 'x'))));
}

// ---- softmax

// softmax_grad(s, q) = s (q - sum(q s)), for q = g / s: g - s sum(g), without the quotient.
Expr softmax_minus_total(const Match& m, const Expr& g) {
    const Operand whole = on(m, broadcast_to(on(m, g), m.root().shape()));
    const Expr total = sum(whole, axis_of(m.root()), true);
    return whole - on(m, get(m, 's') * on(m, total));
}

// g / s or -(g / s), where g may be smaller than s.
Expr without_quotient(const Match& m, const Expr& e, const Expr& s) {
    if (is_op(e, "neg")) {
        const Expr inner = without_quotient(m, e.node().inputs[0], s);
        return inner.empty() ? Expr() : -on(m, inner);
    }
    if (!is_op(e, "div") || !same(e.node().inputs[1], s)) return {};
    return broadcast_to(on(m, e.node().inputs[0]), e.shape());
}

Expr grad_of_quotient(const Match& m, const Expr& q) {
    const Expr g = without_quotient(m, q, m['s']);
    return g.empty() ? Expr() : softmax_minus_total(m, g);
}

// Ops that put a gradient where a view has read; the operand that is the gradient (-1: the last),
// the others being what the view reads by.
struct Placing {
    std::string_view op, view;
    int gradient;
};
constexpr Placing placings[] = {{"one_hot_rows", "advanced_index", 1},
                                {"advanced_index_grad", "advanced_index", -1},
                                {"take_grad", "take", 1},
                                {"slice_grad", "slice", 0},
                                {"dynamic_slice_grad", "dynamic_slice", 0}};

const Placing* placing_of(const OpDef& d) {
    for (const Placing& p : placings)
        if (p.op == d.info.name) return &p;
    return nullptr;
}
bool is_placing(const OpDef& d) {
    return placing_of(d) != nullptr;
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
    const Placing* placing = placing_of(def(h.node()));
    if (!placing) return {};
    const std::size_t k = placing->gradient < 0 ? h.node().inputs.size() - 1
                                                : static_cast<std::size_t>(placing->gradient);
    const Expr& q = h.node().inputs[k];
    const Expr& quotient = is_op(q, "neg") ? q.node().inputs[0] : q;
    if (!is_op(quotient, "div")) return {};
    const Expr& picked = quotient.node().inputs[1];
    if (!is_op(picked, placing->view) || !same(picked.node().inputs[0], m['s']) ||
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

// log(view(softmax(x))) = view(log_softmax(x)), whatever the view reads.
Expr log_softmax_of_view(const Match& m) {
    std::vector<Expr> inputs = m['v'].node().inputs;
    const Expr& s = inputs[0];
    if (!is_op(s, "softmax")) return {};
    inputs[0] = log_softmax(on(m, s.node().inputs[0]), axis_of(s));
    return apply(def(m['v'].node()), inputs, attrs(m['v']), m.loc());
}

bool along_one_axis(const Match& m) {
    const Ints& axes = attrs(m.root()).get<Ints>("axes");
    return axes.size() == 1 && axes[0] == axis_of(m['s']);
}

Expr reduced_x(const Match& m) {
    return apply(def(m.root().node()), {m['x']}, attrs(m.root()), m.loc());
}

// ---- log(sum(exp(x)))

const Ints& axes_of(const Expr& e) {
    return attrs(e).get<Ints>("axes");
}

Shape with_units(Shape shape, const Ints& axes) {
    for (std::int64_t k : axes) shape[static_cast<std::size_t>(k)] = 1;
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

bool is_static_root(const Match& m) {
    return is_static(m.root().shape());
}

// e with the shape of what it replaces: a gradient may be a number that stands for many.
Expr whole(const Match& m, const Expr& e) {
    return broadcast_to(on(m, e), m.root().shape());
}

}  // namespace

std::span<const Rule> stabilize_rules() {
    static const Rule table[] = {
        // softmax, its logarithm, and their gradients
        {"log_softmax", "log(softmax(x)) = x - max(x) - log(sum(exp(x - max(x))))",
         op("log", named('s', "softmax", any('x'))),
         [](const Match& m) { return log_softmax(get(m, 'x'), axis_of(m['s'])); }},
        {"log_softmax_picked", "log(softmax(x)[i]) = log(softmax(x))[i], for any view",
         op("log", some('v', "view", is_view)), log_softmax_of_view},
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

            // sums of exponentials
            {"log_sum_exp", "log(sum(exp(x))) = log(sum(exp(x - max(x)))) + max(x)",
             op("log", named('t', "sum", exp_of('x'))),
             [](const Match& m) {
                 return logsumexp(get(m, 'x'), axes_of(m['t']),
                                  attrs(m['t']).get<bool>("keepdims"));
             }},
            {"exp_over_sum", "exp(x) / sum(exp(x)) = softmax(x)",
             op("div", named('e', "exp", any('x')), any('t')), softmax_of_exps, is_static_root},
            {"log_sum_exp_grad", "g / sum(exp(x)) * exp(x) = g * softmax(x)",
             op("mul", any('v'), named('e', "exp", any('x'))), log_sum_exp_grad, is_static_root},
            {"log_add_exp", "log(exp(x) + exp(y)) = logaddexp(x, y)",
             op("log", op("add", exp_of('x'), exp_of('y'))),
             [](const Match& m) { return logaddexp(get(m, 'x'), get(m, 'y')); }},
            {"log_add_exp_grad", "g / (exp(x) + exp(y)) * exp(x) = g * sigmoid(x - y)",
             op("mul", op("div", any('g'), op("add", exp_of('x'), exp_of('y'))), exp_of('x')),
             [](const Match& m) {
                 return if_same_type(
                     m, get(m, 'g') * on(m, sigmoid(on(m, get(m, 'x') - get(m, 'y')))));
             }},

            // softplus and sigmoid
            {"softplus", "log(1 + exp(x)) = softplus(x)", op("log", one_plus(exp_of('x'))),
             [](const Match& m) { return if_same_type(m, softplus(get(m, 'x'))); }},
            {"softplus_log1p", "log1p(exp(x)) = softplus(x)", op("log1p", exp_of('x')),
             [](const Match& m) { return softplus(get(m, 'x')); }},
            {"log_sigmoid", "log(sigmoid(x)) = -softplus(-x)", op("log", op("sigmoid", any('x'))),
             [](const Match& m) { return -on(m, softplus(on(m, -get(m, 'x')))); }},
            {"log1p_sigmoid", "log1p(-sigmoid(x)) = -softplus(x)",
             op("log1p", op("neg", op("sigmoid", any('x')))),
             [](const Match& m) { return -on(m, softplus(get(m, 'x'))); }},
            {"softplus_minus", "softplus(x) - x = softplus(-x)",
             op("sub", op("softplus", any('x')), any('x')),
             [](const Match& m) { return softplus(on(m, -get(m, 'x'))); }},
            {"minus_softplus", "x - softplus(x) = -softplus(-x)",
             op("sub", any('x'), op("softplus", any('x'))),
             [](const Match& m) { return -on(m, softplus(on(m, -get(m, 'x')))); }},
            {"one_minus_sigmoid", "1 - sigmoid(x) = sigmoid(-x)",
             one_minus(op("sigmoid", any('x'))), sigmoid_of_minus_x},
            {"sigmoid_minus_one", "sigmoid(x) - 1 = -sigmoid(-x)",
             op("sub", op("sigmoid", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, -on(m, sigmoid(on(m, -get(m, 'x'))))); }},
            {"exp_over_one_plus_exp", "exp(x) / (1 + exp(x)) = sigmoid(x)",
             op("div", exp_of('x'), one_plus(exp_of('x'))), sigmoid_of_x},
            {"over_one_plus_exp", "y / (1 + exp(x)) = y * sigmoid(-x)",
             op("div", any('y'), one_plus(exp_of('x'))),
             [](const Match& m) { return if_same_type(m, y_times_sigmoid_of_minus_x(m)); }},
            {"sigmoid_times_exp", "sigmoid(x) * exp(-x) = sigmoid(-x)",
             op("mul", op("sigmoid", any('x')), exp_of_minus('x')), sigmoid_of_minus_x},
            {"sigmoid_times_exp_minus", "sigmoid(-x) * exp(x) = sigmoid(x)",
             op("mul", sigmoid_of_minus('x'), exp_of('x')), sigmoid_of_x},
            {"y_sigmoid_times_exp", "y * sigmoid(x) * exp(-x) = y * sigmoid(-x)",
             op("mul", op("mul", any('y'), op("sigmoid", any('x'))), exp_of_minus('x')),
             y_times_sigmoid_of_minus_x},
            {"y_sigmoid_times_exp_minus", "y * sigmoid(-x) * exp(x) = y * sigmoid(x)",
             op("mul", op("mul", any('y'), sigmoid_of_minus('x')), exp_of('x')),
             y_times_sigmoid_of_x},
            {"sqr_sigmoid_times_exp", "sigmoid(x)^2 * exp(-x) = sigmoid(x) * sigmoid(-x)",
             op("mul", op("sqr", named('y', "sigmoid", any('x'))), exp_of_minus('x')),
             y_times_sigmoid_of_minus_x},
            {"sqr_sigmoid_times_exp_minus", "sigmoid(-x)^2 * exp(x) = sigmoid(-x) * sigmoid(x)",
             op("mul", op("sqr", named('y', "sigmoid", op("neg", any('x')))), exp_of('x')),
             y_times_sigmoid_of_x},
            {"log_sigmoid_grad", "g / s * (s * y) = g * y, for s = sigmoid(x)",
             op("mul", op("div", any('g'), named('s', "sigmoid", any('x'))),
                op("mul", any('s'), any('y'))),
             [](const Match& m) { return whole(m, get(m, 'g') * get(m, 'y')); }},

            // logarithms and exponentials near 1 and 0
            {"log1p", "log(1 + x) = log1p(x)", op("log", one_plus(any('x'))),
             [](const Match& m) { return if_same_type(m, log1p(get(m, 'x'))); }},
            {"log1p_minus", "log(1 - x) = log1p(-x)", op("log", one_minus(any('x'))),
             [](const Match& m) { return if_same_type(m, log1p(on(m, -get(m, 'x')))); }},
            {"expm1", "exp(x) - 1 = expm1(x)", op("sub", op("exp", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, expm1(get(m, 'x'))); }},
            {"one_minus_exp", "1 - exp(x) = -expm1(x)", one_minus(exp_of('x')),
             [](const Match& m) { return if_same_type(m, -on(m, expm1(get(m, 'x')))); }},
            {"log1mexp", "log(1 - exp(x)) = log(-expm1(x)) or log1p(-exp(x))",
             op("log", op("neg", op("expm1", any('x')))),
             [](const Match& m) { return log1mexp(get(m, 'x')); }},
            {"log1mexp_log1p", "log1p(-exp(x)) = log(1 - exp(x))",
             op("log1p", op("neg", exp_of('x'))),
             [](const Match& m) { return log1mexp(get(m, 'x')); }},
            {"log_exp", "log(exp(x)) = x", op("log", exp_of('x')), just_x},
            {"log_exp_grad", "g / exp(x) * exp(x) = g",
             op("mul", op("div", any('g'), named('e', "exp", any('x'))), any('e')),
             [](const Match& m) { return whole(m, m['g']); }},
            {"log1p_expm1", "log1p(expm1(x)) = x", op("log1p", op("expm1", any('x'))), just_x},

            // roots
            {"sqrt_sqr", "sqrt(sqr(x)) = |x|", op("sqrt", op("sqr", any('x'))),
             [](const Match& m) { return abs(get(m, 'x')); }},
            {"log_sqr", "log(sqr(x)) = 2 log|x|", op("log", op("sqr", any('x'))),
             [](const Match& m) {
                 return on(m, log(on(m, abs(get(m, 'x'))))) *
                        on(m, scalar_constant(m.root().dtype(), 2.0, m.loc()));
             }},
            {"over_sqrt", "x / sqrt(x) = sqrt(x), also the limits at 0 and infinity",
             op("div", any('x'), op("sqrt", any('x'))),
             [](const Match& m) { return sqrt(get(m, 'x')); }},
            {"sqrt_over", "sqrt(x) / x = 1 / sqrt(x), also the limits at 0 and infinity",
             op("div", op("sqrt", any('x')), any('x')),
             [](const Match& m) {
                 return on(m, scalar_constant(m.root().dtype(), 1.0, m.loc())) /
                        on(m, sqrt(get(m, 'x')));
             }},

            // the error function
            {"one_minus_erf", "1 - erf(x) = erfc(x)", one_minus(op("erf", any('x'))),
             [](const Match& m) { return if_same_type(m, erfc(get(m, 'x'))); }},
            {"erf_minus_one", "erf(x) - 1 = -erfc(x)", op("sub", op("erf", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, -on(m, erfc(get(m, 'x')))); }},
            {"one_plus_erf", "1 + erf(x) = erfc(-x)", one_plus(op("erf", any('x'))),
             [](const Match& m) { return if_same_type(m, erfc(on(m, -get(m, 'x')))); }},
            {"one_minus_erfc", "1 - erfc(x) = erf(x)", one_minus(op("erfc", any('x'))),
             [](const Match& m) { return if_same_type(m, erf(get(m, 'x'))); }},
            {"erfc_minus_one", "erfc(x) - 1 = -erf(x)", op("sub", op("erfc", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, -on(m, erf(get(m, 'x')))); }},
            {"log_erfc", "log(erfc(x)) = log(erfcx(x)) - x^2", op("log", op("erfc", any('x'))),
             [](const Match& m) { return log_erfc(get(m, 'x')); }},
            {"exp_times_erfc", "exp(x^2) * erfc(x) = erfcx(x)",
             op("mul", op("exp", op("sqr", any('x'))), op("erfc", any('x'))),
             [](const Match& m) { return erfcx(get(m, 'x')); }},
            {"log_erfc_grad", "g / erfc(x) * (exp(-x^2) * y) = g * y / erfcx(x)",
             op("mul", op("div", any('g'), op("erfc", any('x'))),
                op("mul", op("exp", op("neg", op("sqr", any('x')))), any('y'))),
             [](const Match& m) {
                 return if_same_type(m,
                                     on(m, get(m, 'g') * get(m, 'y')) / on(m, erfcx(get(m, 'x'))));
             }},
        };
    return table;
}

}  // namespace arete

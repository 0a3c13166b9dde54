// Forms that neither overflow nor cancel, after Theano's stabilize phase.
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

int axis_of(const Expr& e) {
    return static_cast<int>(e.node().attrs.get<std::int64_t>("axis"));
}

// A g that is broadcast would be summed over too few elements.
bool g_is_whole(const Match& m) {
    return m['g'].type() == m.root().type();
}

Pattern one_plus(Pattern x) {
    return op("add", std::move(x), num(1));
}

}  // namespace

std::span<const Rule> stabilize_rules() {
    static const Rule table[] = {
        {"log_softmax", "log(softmax(x)) = x - max(x) - log(sum(exp(x - max(x))))",
         op("log", named('s', "softmax", any('x'))),
         [](const Match& m) { return log_softmax(get(m, 'x'), axis_of(m['s'])); }},
        {"softmax_grad_of_log", "s (g/s - sum(g/s s)) = g - s sum(g), for s = softmax(x)",
         op("softmax_grad", any('s'), op("div", any('g'), any('s'))),
         [](const Match& m) {
             Expr total = sum(get(m, 'g'), axis_of(m.root()), true);
             return get(m, 'g') - on(m, get(m, 's') * on(m, total));
         },
         g_is_whole},
        {"softmax_grad_of_minus_log", "as softmax_grad_of_log, of -(g/s)",
         op("softmax_grad", any('s'), op("neg", op("div", any('g'), any('s')))),
         [](const Match& m) {
             Expr total = sum(get(m, 'g'), axis_of(m.root()), true);
             return on(m, get(m, 's') * on(m, total)) - get(m, 'g');
         },
         g_is_whole},
        {"softplus", "log(1 + exp(x)) = softplus(x)", op("log", one_plus(op("exp", any('x')))),
         [](const Match& m) { return softplus(get(m, 'x')); }},
        {"softplus_log1p", "log1p(exp(x)) = softplus(x)", op("log1p", op("exp", any('x'))),
         [](const Match& m) { return softplus(get(m, 'x')); }},
        {"log_sigmoid", "log(sigmoid(x)) = -softplus(-x)", op("log", op("sigmoid", any('x'))),
         [](const Match& m) { return -on(m, softplus(on(m, -get(m, 'x')))); }},
        {"one_minus_sigmoid", "1 - sigmoid(x) = sigmoid(-x)",
         op("sub", num(1), op("sigmoid", any('x'))),
         [](const Match& m) { return if_same_type(m, sigmoid(on(m, -get(m, 'x')))); }},
        {"log1p", "log(1 + x) = log1p(x)", op("log", one_plus(any('x'))),
         [](const Match& m) { return if_same_type(m, log1p(get(m, 'x'))); }},
        {"expm1", "exp(x) - 1 = expm1(x)", op("sub", op("exp", any('x')), num(1)),
         [](const Match& m) { return if_same_type(m, expm1(get(m, 'x'))); }},
    };
    return table;
}

}  // namespace arete

// Elementwise functions near the places where their usual formulas overflow or cancel.
#include <numbers>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/special.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/matcher.h"

namespace arete::rules {

namespace {

Pattern one_plus(Pattern x) {
    return op("add", std::move(x), num(1));
}
Pattern one_minus(Pattern x) {
    return op("sub", num(1), std::move(x));
}

Expr sigmoid_of_minus_x(const Match& m) {
    return if_same_type(m, sigmoid(on(m, -get(m, 'x'))));
}

// 2 sigmoid(factor x)
Expr twice_sigmoid(const Match& m, double factor) {
    const Expr s = sigmoid(on(m, get(m, 'x') * number(m, factor)));
    return if_same_type(m, on(m, s) * number(m, 2));
}

// As a multiple of what has a gradient also where erfcx overflows. Divided by its value at 0, so
// that it is 1 there, exactly: log(1 - exp(-sqr(x)) / erfc(x)) would be NaN.
Expr inverse_of_erfcx(const Match& m) {
    return on(m, erfc_hazard(get(m, 'x'))) / number(m, 2 * std::numbers::inv_sqrtpi);
}

Expr minus_two_log_cosh(const Match& m) {
    return if_same_type(m, on(m, log_cosh(get(m, 'x'))) * number(m, -2));
}

// log(1 + tanh(-factor x / 2))
Expr log1p_tanh(const Match& m, double factor) {
    const Expr s = softplus(on(m, get(m, 'x') * number(m, factor)));
    return if_same_type(m, number(m, std::numbers::ln2) - on(m, s));
}

// a (1 + sign f), where f saturates at both ends.
Expr scaled_one_plus(const Match& m, double sign) {
    double a = 0;
    if (!is_constant_scalar(m['a'], &a)) return {};
    if (m['f'].node().is_leaf()) return {};
    const Expr f = with_views_inside(m['f']);
    if (f.type() != m.root().type() || !(is_op(f, "tanh") || is_op(f, "erf"))) return {};
    const Operand x = on(m, f.node().inputs[0]);
    if (is_op(f, "tanh")) return on(m, sigmoid(on(m, x * number(m, 2 * sign)))) * number(m, 2 * a);
    return on(m, erfc(sign > 0 ? on(m, -x) : x)) * number(m, a);
}

Expr minus_scaled_erfc(const Match& m) {
    double a = 0, b = 0;
    if (!is_constant_scalar(m['a'], &a) || !is_constant_scalar(m['b'], &b) || b != 2 * a) return {};
    return if_same_type(m, on(m, erfc(on(m, -get(m, 'x')))) * number(m, a));
}

}  // namespace

std::span<const Rule> stable_elementwise_rules() {
    static const Rule table[] = {
            {"log_add_exp_grad", "g / (exp(x) + exp(y)) * exp(x) = g * sigmoid(x - y)",
             op("mul", op("div", any('g'), op("add", exp_of('x'), exp_of('y'))), exp_of('x')),
             [](const Match& m) {
                 return if_same_type(
                     m, get(m, 'g') * on(m, sigmoid(on(m, get(m, 'x') - get(m, 'y')))));
             }},

            // softplus, sigmoid and tanh
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
            {"softplus_difference", "softplus(x) - softplus(-x) = x",
             op("sub", op("softplus", any('x')), op("softplus", op("neg", any('x')))), just_x},
            {"softplus_difference_minus", "softplus(-x) - softplus(x) = -x",
             op("sub", op("softplus", op("neg", any('x'))), op("softplus", any('x'))),
             [](const Match& m) { return -get(m, 'x'); }},
            {"exp_minus_softplus", "exp(-softplus(x)) = sigmoid(-x)",
             op("exp", op("neg", op("softplus", any('x')))), sigmoid_of_minus_x},
            {"log_softplus", "log(softplus(x)) of an x so small that softplus underflows",
             op("log", op("softplus", any('x'))),
             [](const Match& m) { return log_softplus(get(m, 'x')); }},
            {"one_plus_tanh", "1 + tanh(x) = 2 sigmoid(2x)", one_plus(op("tanh", any('x'))),
             [](const Match& m) { return twice_sigmoid(m, 2); }},
            {"one_minus_tanh", "1 - tanh(x) = 2 sigmoid(-2x)", one_minus(op("tanh", any('x'))),
             [](const Match& m) { return twice_sigmoid(m, -2); }},
            {"tanh_minus_one", "tanh(x) - 1 = -2 sigmoid(-2x)",
             op("sub", op("tanh", any('x')), num(1)),
             [](const Match& m) {
                 const Expr e = twice_sigmoid(m, -2);
                 return e.empty() ? Expr() : -on(m, e);
             }},
            {"log1p_tanh", "log1p(tanh(x)) = log(2) - softplus(-2x)",
             op("log1p", op("tanh", any('x'))), [](const Match& m) { return log1p_tanh(m, -2); }},
            {"log1p_minus_tanh", "log1p(-tanh(x)) = log(2) - softplus(2x)",
             op("log1p", op("neg", op("tanh", any('x')))),
             [](const Match& m) { return log1p_tanh(m, 2); }},
            {"log1p_erf", "log1p(erf(x)) = log(erfc(-x))", op("log1p", op("erf", any('x'))),
             [](const Match& m) { return log_erfc(on(m, -get(m, 'x'))); }},
            {"log1p_minus_erf", "log1p(-erf(x)) = log(erfc(x))",
             op("log1p", op("neg", op("erf", any('x')))),
             [](const Match& m) { return log_erfc(get(m, 'x')); }},
            {"plus_scaled", "a f(x) + a = a (1 + f(x)), for tanh and erf",
             op("add", op("mul", any('f'), any('a')), any('a')),
             [](const Match& m) { return scaled_one_plus(m, 1); }},
            {"minus_scaled", "a - a f(x) = a (1 - f(x)), for tanh and erf",
             op("sub", any('a'), op("mul", any('f'), any('a'))),
             [](const Match& m) { return scaled_one_plus(m, -1); }},
            {"minus_scaled_erfc", "2 a - a erfc(x) = a erfc(-x)",
             op("sub", any('b'), op("mul", op("erfc", any('x')), any('a'))), minus_scaled_erfc},
            {"log_one_minus_sqr_tanh", "log(1 - tanh(x)^2) = -2 log(cosh(x))",
             op("log", one_minus(op("sqr", op("tanh", any('x'))))), minus_two_log_cosh},
            {"log1p_minus_sqr_tanh", "log1p(-tanh(x)^2) = -2 log(cosh(x))",
             op("log1p", op("neg", op("sqr", op("tanh", any('x'))))), minus_two_log_cosh},
            {"one_minus_sigmoid", "1 - sigmoid(x) = sigmoid(-x)",
             one_minus(op("sigmoid", any('x'))), sigmoid_of_minus_x},
            {"sigmoid_minus_one", "sigmoid(x) - 1 = -sigmoid(-x)",
             op("sub", op("sigmoid", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, -on(m, sigmoid(on(m, -get(m, 'x'))))); }},
            // logarithms and exponentials near 1 and 0
            {"log1p", "log(1 + x) = log1p(x)", op("log", one_plus(any('x'))),
             [](const Match& m) { return if_same_type(m, log1p(get(m, 'x'))); }},
            {"log1p_minus", "log(1 - x) = log1p(-x)", op("log", one_minus(any('x'))),
             [](const Match& m) { return if_same_type(m, log1p(on(m, -get(m, 'x')))); }},
            {"expm1", "exp(x) - 1 = expm1(x)", op("sub", op("exp", any('x')), num(1)),
             [](const Match& m) { return if_same_type(m, expm1(get(m, 'x'))); }},
            {"one_minus_exp", "1 - exp(x) = -expm1(x)", one_minus(exp_of('x')),
             [](const Match& m) { return if_same_type(m, -on(m, expm1(get(m, 'x')))); }},
            {"log_exp", "log(exp(x)) = x", op("log", exp_of('x')), just_x},
            {"log1p_expm1", "log1p(expm1(x)) = x", op("log1p", op("expm1", any('x'))), just_x},

            // roots
            {"sqrt_sqr", "sqrt(sqr(x)) = |x|", op("sqrt", op("sqr", any('x'))),
             [](const Match& m) { return abs(get(m, 'x')); }},
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
            {"exp_over_erfc", "exp(-x^2) / erfc(x) = 1 / erfcx(x)",
             op("div", op("exp", op("neg", op("sqr", any('x')))), op("erfc", any('x'))),
             [](const Match& m) { return if_same_type(m, inverse_of_erfcx(m)); }},
            {"bell_over_erfc", "exp(-x^2) / erfc(x) = 1 / erfcx(x)",
             op("div", op("bell", any('x')), op("erfc", any('x'))),
             [](const Match& m) { return if_same_type(m, inverse_of_erfcx(m)); }},
            {"log_erfc_grad", "g / erfc(x) * (exp(-x^2) * y) = g * y / erfcx(x)",
             op("mul", op("div", any('g'), op("erfc", any('x'))),
                op("mul", op("bell", any('x')), any('y'))),
             [](const Match& m) {
                 return if_same_type(
                     m, on(m, get(m, 'g') * get(m, 'y')) * on(m, inverse_of_erfcx(m)));
             }},
    };
    return table;
}

}  // namespace arete::rules

// Cases of rules that join several functions: logarithms of products, factors that cancel, tanh and
// softplus beside their mirror images.
#include "tests/end_to_end/stability_references.h"

namespace arete::test {

namespace {

// -2 log(cosh(x)), where cosh(x) - 1 = 2 sinh(x / 2)^2.
L log_one_minus_sqr_tanh(L x) {
    return std::fabs(x) < 1 ? -2 * std::log1p(2 * std::pow(std::sinh(x / 2), 2))
                            : -2 * std::log(std::cosh(x));
}

}  // namespace

const std::vector<Case>& compound_cases() {
    using E = const Expr&;
    static const std::vector<Case> table = {
        {{"softplus_difference"},
         "softplus(x) - softplus(-x)",
         {1e-10f, 3},
         {},
         [](E x, E) { return softplus(x) - softplus(-x); },
         each([](L x) { return x; })},
        {{"softplus_difference_minus"},
         "softplus(-x) - softplus(x)",
         {1e-10f, 3},
         {},
         [](E x, E) { return softplus(-x) - softplus(x); },
         each([](L x) { return -x; })},
        {{"exp_minus_softplus"},
         "exp(-softplus(x))",
         {8.1f, 9.3f, 10.7f, 11.9f, 12.3f, 13.7f},
         {},
         [](E x, E) { return exp(-softplus(x)); },
         each([](L x) { return sigmoid_of(-x); })},
        {{"log_softplus"},
         "log(softplus(x))",
         {-200, 3},
         {},
         [](E x, E) { return log(softplus(x)); },
         each([](L x) { return std::log(softplus_of(x)); })},
        {{"one_plus_tanh"},
         "1 + tanh(x)",
         {-20, 1},
         {},
         [](E x, E) { return 1 + tanh(x); },
         each([](L x) { return 2 * sigmoid_of(2 * x); })},
        {{"one_minus_tanh"},
         "1 - tanh(x)",
         {20, 1},
         {},
         [](E x, E) { return 1 - tanh(x); },
         each([](L x) { return 2 * sigmoid_of(-2 * x); })},
        {{"tanh_minus_one"},
         "tanh(x) - 1",
         {20, 1},
         {},
         [](E x, E) { return tanh(x) - 1; },
         each([](L x) { return -2 * sigmoid_of(-2 * x); })},
        {{"tanh_of_exp"},
         "(exp(x) - 1) / (exp(x) + 1)",
         {100, 1e-10f},
         {},
         [](E x, E) { return (exp(x) - 1) / (exp(x) + 1); },
         each([](L x) { return std::tanh(x / 2); })},
        {{"tanh_of_exps"},
         "(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
         {100, 1e-10f},
         {},
         [](E x, E) { return (exp(x) - exp(-x)) / (exp(x) + exp(-x)); },
         each([](L x) { return std::tanh(x); })},
        {{"log_one_minus_sqr_tanh"},
         "log(1 - tanh(x)^2)",
         {20, 100, 1e-4f},
         {},
         [](E x, E) { return log(1 - sqr(tanh(x))); },
         each(log_one_minus_sqr_tanh)},
        {{"log1p_minus_sqr_tanh"},
         "log1p(-tanh(x)^2)",
         {20, 15},
         {},
         [](E x, E) { return log1p(-sqr(tanh(x))); },
         each(log_one_minus_sqr_tanh)},
        {{"log_of_product"},
         "log(softmax(x) * sigmoid(y))",
         {0, -200, 1, 0.5f},
         {-200, 3, 2, 1},
         [](E x, E y) { return log(softmax(x) * sigmoid(y)); },
         [](const Numbers& x, const Numbers& y) {
             Numbers out;
             for (std::size_t i = 0; i < x.size(); ++i)
                 out.push_back(x[i] - log_total(x) - softplus_of(-y[i]));
             return out;
         }},
        {{"log_of_product"},
         "log(0.5 * erfc(x))",
         {30, 2},
         {},
         [](E x, E) { return log(0.5 * erfc(x)); },
         each([](L x) { return std::log(std::erfc(x) / 2); })},
        {{"log_of_quotient"},
         "log(sigmoid(x) / (1 - sigmoid(x)))",
         {200, -200},
         {},
         [](E x, E) {
             const Expr p = sigmoid(x);
             return log(sqrt(p) / sqrt(sqr(1 - p)));
         },
         each([](L x) { return -softplus_of(-x) / 2 + softplus_of(x); })},
        {{"log_of_power"},
         "log(sigmoid(x)^2.5)",
         {-200, 3},
         {},
         [](E x, E) { return log(pow(sigmoid(x), 2.5)); },
         each([](L x) { return -2.5L * softplus_of(-x); })},
        {{"log_of_root"},
         "log(sqrt(sigmoid(x)))",
         {-200, 3},
         {},
         [](E x, E) { return log(sqrt(sigmoid(x))); },
         each([](L x) { return -softplus_of(-x) / 2; })},
        {{"log_of_cast"},
         "log(cast(softmax(x)))",
         {0, -800, 1, 0.5f},
         {},
         [](E x, E) { return cast(log(cast(softmax(x), DType::F64)), x.dtype()); },
         [](const Numbers& x, const Numbers&) {
             Numbers out;
             for (L v : x) out.push_back(v - log_total(x));
             return out;
         }},
        {{"minus_log_sum_exp"},
         "x - log(sum(exp(x)))",
         {1000, 1000.5f, 999},
         {},
         [](E x, E) { return x - log(sum(exp(x), 1, true)); },
         [](const Numbers& x, const Numbers&) {
             Numbers out;
             for (L v : x) out.push_back(v - log_total(x));
             return out;
         }},
        {{"cancel_quotients"},
         "exp(x) / (exp(x) * y)",
         {-200, 100},
         {3, 5},
         [](E x, E y) { return exp(x) * y / exp(x); },
         pairs([](L, L y) { return y; })},
        {{"cancel_in_sum"},
         "gradient of y * log(p) + (1 - y) * log(1 - p) by parts",
         {20, -20, 100},
         {0, 1, 0},
         [](E x, E y) {
             const Expr p = sigmoid(x);
             return through(p, y * log(p) + (1 - y) * log(1 - p), x);
         },
         pairs([](L x, L y) { return y * sigmoid_of(-x) - (1 - y) * sigmoid_of(x); })},
        {{"exp_over_erfc"},
         "exp(-x^2) / erfc(x)",
         {12, 0.1f},
         {},
         [](E x, E) { return exp(-x * x) / erfc(x); },
         each([](L x) { return 1 / scaled_erfc(x); })},
        {{"bell_over_erfc"},
         "bell(x) / erfc(x)",
         {12, 0.1f},
         {},
         [](E x, E) { return bell(x) / erfc(x); },
         each([](L x) { return 1 / scaled_erfc(x); })},
    };
    return table;
}

}  // namespace arete::test

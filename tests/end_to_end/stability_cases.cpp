// The table of test_stability.cpp.
#include "tests/end_to_end/stability_cases.h"

#include <cmath>
#include <numeric>

#include "tests/end_to_end/stability_references.h"

namespace arete::test {

const std::vector<Case>& stability_cases() {
    static const std::vector<Case> all = [] {
        std::vector<Case> out = basic_cases();
        const std::vector<Case>& more = compound_cases();
        out.insert(out.end(), more.begin(), more.end());
        return out;
    }();
    return all;
}

const std::vector<Case>& basic_cases() {
    using E = const Expr&;
    static const std::vector<Case> table = {
        // softmax; one element is so small that its probability is 0
        {{"log_softmax"},
         "log(softmax(x))",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) { return log(softmax(x)); },
         [](const Numbers& x, const Numbers&) {
             Numbers out;
             for (L v : x) out.push_back(v - log_total(x));
             return out;
         }},
        {{"log_of_view"},
         "log(softmax(x)[i, j])",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) { return log(softmax(x)(arange(1), labels({1}))); },
         [](const Numbers& x, const Numbers&) { return Numbers{x[1] - log_total(x)}; }},
        {{"log_of_view"},
         "log(softmax(x)[:, 1:3])",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) { return log(softmax(x)(all, slice(1, 3))); },
         [](const Numbers& x, const Numbers&) {
             return Numbers{x[1] - log_total(x), x[2] - log_total(x)};
         }},
        {{"softmax_grad_of_log"},
         "gradient of log(softmax(x))[0, 1]",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p)(0, 1), x);
         },
         [](const Numbers& x, const Numbers&) { return one_hot_minus_softmax(x, 1); }},
        {{"softmax_grad_of_picked"},
         "gradient of log(softmax(x)[i, j])",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p(arange(1), labels({1}))), x);
         },
         [](const Numbers& x, const Numbers&) { return one_hot_minus_softmax(x, 1); }},
        {{"softmax_grad_of_picked"},
         "gradient of -log(softmax(x)[i, j])",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, -log(p(arange(1), labels({1}))), x);
         },
         [](const Numbers& x, const Numbers&) {
             Numbers out = one_hot_minus_softmax(x, 1);
             for (L& v : out) v = -v;
             return out;
         }},
        {{"softmax_grad_of_picked"},
         "gradient of log(softmax(x)[:, 1:2])",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p(all, slice(1, 2))), x);
         },
         [](const Numbers& x, const Numbers&) { return one_hot_minus_softmax(x, 1); }},
        {{"softmax_grad_of_picked"},
         "gradient of log(take(softmax(x), [1], 1))",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(take(p, labels({1}), 1)), x);
         },
         [](const Numbers& x, const Numbers&) { return one_hot_minus_softmax(x, 1); }},
        {{"softmax_grad_of_sum"},
         "gradient of log(softmax(x))[0, 1] + 3 softmax(x)[0, 0]",
         {0, -200, 1, 0.5},
         {},
         [](E x, E) {
             const Expr p = softmax(x);
             return through(p, log(p(0, 1)) + 3 * p(0, 0), x);
         },
         [](const Numbers& x, const Numbers&) {
             Numbers out = one_hot_minus_softmax(x, 1);
             const Numbers s = softmax_of(x), other = one_hot_minus_softmax(x, 0);
             for (std::size_t i = 0; i < x.size(); ++i) out[i] += 3 * s[0] * other[i];
             return out;
         }},
        {{"softmax_grad_of_difference"},
         "gradient of sum(y * p) - sum(y * log(p)), for p = softmax(x)",
         {0, -200, 1, 0.5},
         {0, 1, 0, 0},
         [](E x, E y) {
             const Expr p = softmax(x);
             return through(p, sum(y * p) - sum(y * log(p)), x);
         },
         [](const Numbers& x, const Numbers& y) {
             const Numbers s = softmax_of(x);
             const L chosen = std::inner_product(s.begin(), s.end(), y.begin(), L(0)),
                     weights = std::accumulate(y.begin(), y.end(), L(0));
             Numbers out;
             for (std::size_t i = 0; i < x.size(); ++i)
                 out.push_back(s[i] * (y[i] - chosen) - (y[i] - s[i] * weights));
             return out;
         }},
        {{"log_one_minus_softmax"},
         "log(1 - softmax(x))",
         {30, -200, 1, 0.5},
         {},
         [](E x, E) { return log(1 - softmax(x))(0, slice(0, 1)); },
         [](const Numbers& x, const Numbers& y) {
             return Numbers{log_one_minus_softmax(x, y)[0]};
         }},
        {{"log_one_minus_softmax"},
         "log(1 - softmax(x)[i, j])",
         {30, -200, 1, 0.5},
         {},
         [](E x, E) { return log(1 - softmax(x)(arange(1), labels({0}))); },
         [](const Numbers& x, const Numbers& y) {
             return Numbers{log_one_minus_softmax(x, y)[0]};
         }},
        {{"log1p_minus_softmax"},
         "log1p(-softmax(x))",
         {1, 30, -200, 0.5},
         {},
         [](E x, E) { return log1p(-softmax(x))(0, slice(1, 2)); },
         [](const Numbers& x, const Numbers& y) {
             return Numbers{log_one_minus_softmax(x, y)[1]};
         }},
        // two elements that differ become equal
        {{"argmax_softmax"},
         "argmax(softmax(x))",
         {0, 1e-9f},
         {},
         [](E x, E) { return argmax(softmax(x), 1); },
         number(1)},
        {{"argmax_log_softmax"},
         "argmax(log_softmax(x))",
         {0, 1e-9f},
         {},
         [](E x, E) { return argmax(log_softmax(x), 1); },
         number(1)},
        {{"argmax_increasing"},
         "argmax(sigmoid(x))",
         {50, 60},
         {},
         [](E x, E) { return argmax(sigmoid(x), 1); },
         number(1)},

        // exp overflows from 89 on
        {{"log_sum_exp"},
         "log(sum(exp(x)))",
         {100, 101, -5},
         {},
         [](E x, E) { return log(sum(exp(x), 1)); },
         [](const Numbers& x, const Numbers&) { return Numbers{log_total(x)}; }},
        {{"exp_over_sum"},
         "exp(x) / sum(exp(x), 1, keepdims)",
         {100, 101, 99},
         {},
         [](E x, E) { return exp(x) / sum(exp(x), 1, true); },
         softmax_of},
        {{"exp_over_sum"},
         "exp(x) / sum(exp(x)) over both axes",
         {100, 101, 99},
         {},
         [](E x, E) { return exp(x) / sum(exp(x)); },
         softmax_of},
        {{"log_sum_exp_grad"},
         "gradient of log(sum(exp(x)))",
         {100, 101, 99},
         {},
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, log(sum(e)), x);
         },
         softmax_of},
        {{"log_sum_exp_grad"},
         "gradient of log(sum(exp(x), 1))",
         {100, 101, 99},
         {},
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, 3 * log(sum(e, 1)), x);
         },
         [](const Numbers& x, const Numbers&) {
             Numbers out = softmax_of(x);
             for (L& v : out) v *= 3;
             return out;
         }},
        {{"log_of_exponentials"},
         "log(exp(x) + exp(y))",
         {100, -200, 3},
         {101, -201.5f, 2},
         [](E x, E y) { return log(exp(x) + exp(y)); },
         pairs([](L x, L y) {
             return log_total({x, y});
         })},
        {{"log_add_exp_grad"},
         "gradient of y log(exp(x) + exp(y))",
         {100, -200, 3},
         {101, -201.5f, 2},
         [](E x, E y) {
             const Expr e = exp(x);
             return through(e, y * log(e + exp(y)), x);
         },
         pairs([](L x, L y) { return y * sigmoid_of(x - y); })},
        {{"quotient_of_exponentials", "cancel_factors"},
         "gradient of log(exp(x) + exp(y))",
         {100, -200, 3},
         {101, -201.5f, 2},
         [](E x, E y) {
             const Expr e = exp(x);
             return through(e, log(e + exp(y)), x);
         },
         pairs([](L x, L y) { return sigmoid_of(x - y); })},

        {{"log_of_exponentials"},
         "log(1 + exp(x))",
         {100, -20, -0.5f},
         {},
         [](E x, E) { return log(1 + exp(x)); },
         each(softplus_of)},
        {{"log1p_of_exponentials"},
         "log1p(exp(x))",
         {100, 2},
         {},
         [](E x, E) { return log1p(exp(x)); },
         each(softplus_of)},
        {{"log_sigmoid"},
         "log(sigmoid(x))",
         {-200, 20},
         {},
         [](E x, E) { return log(sigmoid(x)); },
         each([](L x) { return -softplus_of(-x); })},
        {{"one_minus_sigmoid", "log_sigmoid"},
         "log(1 - sigmoid(x))",
         {200, -20},
         {},
         [](E x, E) { return log(1 - sigmoid(x)); },
         each([](L x) { return -softplus_of(x); })},
        {{"log1p_sigmoid"},
         "log1p(-sigmoid(x))",
         {50, -20},
         {},
         [](E x, E) { return log1p(-sigmoid(x)); },
         each([](L x) { return -softplus_of(x); })},
        {{"softplus_minus"},
         "softplus(x) - x",
         {50, -3},
         {},
         [](E x, E) { return softplus(x) - x; },
         each([](L x) { return softplus_of(-x); })},
        {{"minus_softplus"},
         "x - softplus(x)",
         {50, -3},
         {},
         [](E x, E) { return x - softplus(x); },
         each([](L x) { return -softplus_of(-x); })},
        {{"one_minus_sigmoid"},
         "1 - sigmoid(x)",
         {50, -3},
         {},
         [](E x, E) { return 1 - sigmoid(x); },
         each([](L x) { return sigmoid_of(-x); })},
        {{"sigmoid_minus_one"},
         "sigmoid(x) - 1",
         {50, -3},
         {},
         [](E x, E) { return sigmoid(x) - 1; },
         each([](L x) { return -sigmoid_of(-x); })},
        {{"quotient_of_exponentials"},
         "exp(x) / (1 + exp(x))",
         {100, -3},
         {},
         [](E x, E) { return exp(x) / (1 + exp(x)); },
         each(sigmoid_of)},
        {{"quotient_of_exponentials"},
         "1 / (1 + exp(x))",
         {95, -3},
         {},
         [](E x, E) { return 1 / (1 + exp(x)); },
         each([](L x) { return sigmoid_of(-x); })},
        {{"quotient_of_exponentials"},
         "y / (1 + exp(-x))",
         {-95, 3},
         {3, 3},
         [](E x, E y) { return y / (1 + exp(-x)); },
         pairs([](L x, L y) { return y * sigmoid_of(x); })},
        {{"cancel_factors"},
         "sigmoid(x) * exp(-x)",
         {-95, 3},
         {},
         [](E x, E) { return sigmoid(x) * exp(-x); },
         each([](L x) { return sigmoid_of(-x); })},
        {{"cancel_factors"},
         "sigmoid(-x) * exp(x)",
         {95, -3},
         {},
         [](E x, E) { return sigmoid(-x) * exp(x); },
         each(sigmoid_of)},
        {{"cancel_factors"},
         "y * sigmoid(x) * exp(-x)",
         {-95, 3},
         {2, 5},
         [](E x, E y) { return y * sigmoid(x) * exp(-x); },
         pairs([](L x, L y) { return y * sigmoid_of(-x); })},
        {{"cancel_factors"},
         "y * sigmoid(-x) * exp(x)",
         {95, -3},
         {2, 5},
         [](E x, E y) { return y * sigmoid(-x) * exp(x); },
         pairs([](L x, L y) { return y * sigmoid_of(x); })},
        {{"quotient_of_exponentials", "cancel_factors"},
         "gradient of 1 / (1 + exp(-x))",
         {-95, 3},
         {},
         [](E x, E) {
             const Expr e = exp(-x);
             return through(e, 1 / (1 + e), x);
         },
         each([](L x) { return sigmoid_of(x) * sigmoid_of(-x); })},
        {{"quotient_of_exponentials", "cancel_factors"},
         "gradient of 1 / (1 + exp(x))",
         {95, -3},
         {},
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, 1 / (1 + e), x);
         },
         each([](L x) { return -sigmoid_of(x) * sigmoid_of(-x); })},
        {{"quotient_of_exponentials", "cancel_factors"},
         "gradient of y / (1 + exp(-x))",
         {-95, 3},
         {2, 5},
         [](E x, E y) {
             const Expr e = exp(-x);
             return through(e, y / (1 + e), x);
         },
         pairs([](L x, L y) { return y * sigmoid_of(x) * sigmoid_of(-x); })},
        {{"cancel_factors"},
         "gradient of log(sigmoid(x))",
         {-200, 3},
         {},
         [](E x, E) {
             const Expr p = sigmoid(x);
             return through(p, log(p), x);
         },
         each([](L x) { return sigmoid_of(-x); })},
        {{"cancel_factors"},
         "gradient of log(1 - sigmoid(x))",
         {200, 3},
         {},
         [](E x, E) {
             const Expr p = sigmoid(x);
             return through(p, log(1 - p), x);
         },
         each([](L x) { return -sigmoid_of(x); })},

        {{"log1p"}, "log(1 + x)", {1e-10f, 2}, {}, [](E x, E) { return log(1 + x); }, each([](L x) {
             return std::log1p(x);
         })},
        {{"log1p_minus"},
         "log(1 - x)",
         {1e-10f, 0.5f},
         {},
         [](E x, E) { return log(1 - x); },
         each([](L x) { return std::log1p(-x); })},
        {{"expm1"}, "exp(x) - 1", {1e-10f, 2}, {}, [](E x, E) { return exp(x) - 1; }, each([](L x) {
             return std::expm1(x);
         })},
        {{"one_minus_exp"},
         "1 - exp(x)",
         {1e-10f, 2},
         {},
         [](E x, E) { return 1 - exp(x); },
         each([](L x) { return -std::expm1(x); })},
        {{"log_of_exponentials"},
         "log(1 - exp(x))",
         {-1e-10f, -30, -0.7f},
         {},
         [](E x, E) { return log(1 - exp(x)); },
         each(log1mexp_of)},
        {{"log1p_of_exponentials"},
         "log1p(-exp(x))",
         {-1e-10f, -30, -0.7f},
         {},
         [](E x, E) { return log1p(-exp(x)); },
         each(log1mexp_of)},
        {{"log_exp"},
         "log(exp(x))",
         {200, -200, 1e-10f},
         {},
         [](E x, E) { return log(exp(x)); },
         each([](L x) { return x; })},
        {{"cancel_factors"},
         "gradient of log(exp(x))",
         {200, -200},
         {},
         [](E x, E) {
             const Expr e = exp(x);
             return through(e, 3 * log(e), x);
         },
         each([](L) { return L(3); })},
        {{"log1p_expm1"},
         "log1p(expm1(x))",
         {200, -50},
         {},
         [](E x, E) { return log1p(expm1(x)); },
         each([](L x) { return x; })},

        {{"sqrt_sqr"},
         "sqrt(x^2)",
         {1e30f, -1e-30f},
         {},
         [](E x, E) { return sqrt(pow(x, 2)); },
         each([](L x) { return std::fabs(x); })},
        {{"log_sqr"},
         "log(x * x)",
         {1e30f, -1e-30f},
         {},
         [](E x, E) { return log(x * x); },
         each([](L x) { return 2 * std::log(std::fabs(x)); })},
        {{"over_sqrt"},
         "x / sqrt(x)",
         {0, 5},
         {},
         [](E x, E) { return x / sqrt(x); },
         each([](L x) { return std::sqrt(x); })},
        {{"sqrt_over"},
         "sqrt(x) / x",
         {0, 5},
         {},
         [](E x, E) { return sqrt(x) / x; },
         each([](L x) { return 1 / std::sqrt(x); })},

        {{"one_minus_erf"},
         "1 - erf(x)",
         {4, 9.5f, 0.1f, -2},
         {},
         [](E x, E) { return 1 - erf(x); },
         each([](L x) { return std::erfc(x); })},
        {{"erf_minus_one"},
         "erf(x) - 1",
         {4, 0.1f, -2},
         {},
         [](E x, E) { return erf(x) - 1; },
         each([](L x) { return -std::erfc(x); })},
        {{"one_plus_erf"},
         "1 + erf(x)",
         {-4, 0.1f, 2},
         {},
         [](E x, E) { return 1 + erf(x); },
         each([](L x) { return std::erfc(-x); })},
        {{"one_minus_erfc"},
         "1 - erfc(x)",
         {1e-10f, 1},
         {},
         [](E x, E) { return 1 - erfc(x); },
         each([](L x) { return std::erf(x); })},
        {{"erfc_minus_one"},
         "erfc(x) - 1",
         {1e-10f, 1},
         {},
         [](E x, E) { return erfc(x) - 1; },
         each([](L x) { return -std::erf(x); })},
        {{"log_erfc"},
         "log(erfc(x))",
         {12, 30, 0.6f, 0.1f, -3},
         {},
         [](E x, E) { return log(erfc(x)); },
         each([](L x) { return std::log(std::erfc(x)); })},
        {{"one_minus_erf", "log_erfc"},
         "log(1 - erf(x))",
         {12, 0.1f},
         {},
         [](E x, E) { return log(1 - erf(x)); },
         each([](L x) { return std::log(std::erfc(x)); })},
        {{"exp_times_erfc"},
         "exp(x^2) * erfc(x)",
         {12, 0.1f, -2},
         {},
         [](E x, E) { return exp(x * x) * erfc(x); },
         each(scaled_erfc)},
        {{"log_erfc_grad"},
         "gradient of log(erfc(x))",
         {12, 0.1f},
         {},
         [](E x, E) {
             const Expr u = erfc(x);
             return through(u, log(u), x);
         },
         each([](L x) { return -two_over_sqrt_pi / scaled_erfc(x); })},
        {{"log_erfc_grad"},
         "gradient of log(1 - erf(x))",
         {12, 0.1f},
         {},
         [](E x, E) {
             const Expr u = erf(x);
             return through(u, log(1 - u), x);
         },
         each([](L x) { return -two_over_sqrt_pi / scaled_erfc(x); })},
    };
    return table;
}

}  // namespace arete::test

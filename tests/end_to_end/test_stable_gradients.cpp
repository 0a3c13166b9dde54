// Costs as users write them, with their first and second derivatives, where the formula as written
// overflows, underflows or cancels. The references are derived by hand and computed in long double.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

using L = long double;
using E = const Expr&;

L sigma(L x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
L softplus_l(L x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
L slope_l(L x) {
    return sigma(x) * sigma(-x);
}
L log_cosh_l(L x) {
    const L a = std::fabs(x);
    return a < 1 ? std::log1p(2 * std::pow(std::sinh(a / 2), 2))
                 : a + std::log1p(std::exp(-2 * a)) - std::numbers::ln2_v<L>;
}
// log of the normal distribution function and its derivatives by the Mills ratio.
L log_phi_l(L x) {
    return std::log(std::erfc(-x / std::numbers::sqrt2_v<L>) / 2);
}
L mills_l(L x) {
    return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<L>) /
           (std::erfc(-x / std::numbers::sqrt2_v<L>) / 2);
}

struct Formula {
    const char* name;
    std::function<Expr(E)> build;
    std::function<L(L)> value, first, second;
    L most = 200;      ///< points up to here
    double ulps = 64;  ///< of the larger of the result and what it is a small difference of
    /// The magnitude of the terms of value, first and second derivative that the stable form adds.
    std::function<L(L)> terms = [](L) { return L(0); };
};

Formula cross_entropy(const char* name, double y, std::function<Expr(E)> p) {
    return {name,
            [y, p](E z) {
                const Expr q = p(z);
                return -y * log(q) - (1 - y) * log(1 - q);
            },
            [y](L z) { return y * softplus_l(-z) + (1 - y) * softplus_l(z); },
            [y](L z) { return y == 1   ? -sigma(-z)
                              : y == 0 ? sigma(z)
                                       : sigma(z) - y; },
            slope_l,
            200,
            64,
            [](L) { return L(1); }};
}

std::vector<Formula> formulas() {
    std::vector<Formula> out;
    const std::pair<const char*, std::function<Expr(E)>> sigmoids[] = {
        {"sigmoid", [](E z) { return sigmoid(z); }},
        {"1 / (1 + exp(-z))", [](E z) { return 1 / (1 + exp(-z)); }},
        {"exp(z) / (1 + exp(z))", [](E z) { return exp(z) / (1 + exp(z)); }},
        {"(1 + tanh(z / 2)) / 2", [](E z) { return 0.5 * (1 + tanh(z / 2)); }}};
    for (const auto& [name, p] : sigmoids)
        for (const double y : {0.0, 1.0, 0.25}) out.push_back(cross_entropy(name, y, p));
    out.push_back({"log(1 - tanh(x)^2)", [](E x) { return log(1 - sqr(tanh(x))); },
                   [](L x) { return -2 * log_cosh_l(x); }, [](L x) { return -2 * std::tanh(x); },
                   [](L x) { return -8 * slope_l(2 * x); }, 200, 64, [](L) { return L(1); }});
    out.push_back({"log(1 - tanh(x))", [](E x) { return log(1 - tanh(x)); },
                   [](L x) { return std::numbers::ln2_v<L> - softplus_l(2 * x); },
                   [](L x) { return -2 * sigma(2 * x); }, [](L x) { return -4 * slope_l(2 * x); },
                   200, 64, [](L) { return L(1); }});
    out.push_back({"log(1 + tanh(x))", [](E x) { return log(1 + tanh(x)); },
                   [](L x) { return std::numbers::ln2_v<L> - softplus_l(-2 * x); },
                   [](L x) { return 2 * sigma(-2 * x); }, [](L x) { return -4 * slope_l(2 * x); },
                   200, 64, [](L) { return L(1); }});
    out.push_back({"log((1 + erf(x / sqrt(2))) / 2)",
                   [](E x) { return log(0.5 * (1 + erf(x / std::numbers::sqrt2))); }, log_phi_l,
                   mills_l, [](L x) { return -mills_l(x) * (x + mills_l(x)); }, 30, 2000,
                   [](L x) { return 1 + x * x; }});
    out.push_back(
        {"log(1 + exp(x))", [](E x) { return log(1 + exp(x)); }, softplus_l, sigma, slope_l});
    out.push_back({"log(softplus(x))", [](E x) { return log(softplus(x)); },
                   [](L x) { return x < -60 ? x - std::exp(x) / 2 : std::log(softplus_l(x)); },
                   [](L x) { return x < -60 ? 1 - std::exp(x) / 2 : sigma(x) / softplus_l(x); },
                   [](L x) {
                       if (x < -30) return -std::exp(x) / 2;
                       const L r = sigma(x) / softplus_l(x);
                       return slope_l(x) / softplus_l(x) - r * r;
                   },
                   200, 256, [](L) { return L(1); }});
    out.push_back({"log(p / (1 - p))",
                   [](E x) {
                       const Expr p = sigmoid(x);
                       return log(p / (1 - p));
                   },
                   [](L x) { return x; }, [](L) { return L(1); }, [](L) { return L(0); }});
    out.push_back({"1 / sigmoid(x)", [](E x) { return 1 / sigmoid(x); },
                   [](L x) { return 1 + std::exp(-x); }, [](L x) { return -std::exp(-x); },
                   [](L x) { return std::exp(-x); }, 80, 256});
    out.push_back(
        {"sqrt(sigmoid(x))", [](E x) { return sqrt(sigmoid(x)); },
         [](L x) { return std::sqrt(sigma(x)); },
         [](L x) { return std::sqrt(sigma(x)) * sigma(-x) / 2; },
         [](L x) { return std::sqrt(sigma(x)) * (sigma(-x) * sigma(-x) / 4 - slope_l(x) / 2); }, 80,
         256, [](L) { return L(1e-3); }});
    out.push_back({"-(1 - p)^2 log(p)",
                   [](E x) {
                       const Expr p = sigmoid(x);
                       return -sqr(1 - p) * log(p);
                   },
                   [](L x) { return sigma(-x) * sigma(-x) * softplus_l(-x); },
                   [](L x) {
                       const L p = sigma(x), q = sigma(-x);
                       return -2 * q * q * p * softplus_l(-x) - q * q * q;
                   },
                   [](L x) {
                       const L p = sigma(x), q = sigma(-x), s = softplus_l(-x);
                       return 4 * q * q * p * p * s - 2 * q * q * q * p * s + 2 * q * q * q * p +
                              3 * q * q * q * p;
                   },
                   200, 256, [](L) { return L(1e-3); }});
    out.push_back({"p log(p) + (1 - p) log(1 - p)",
                   [](E x) {
                       const Expr p = sigmoid(x);
                       return p * log(p) + (1 - p) * log(1 - p);
                   },
                   [](L x) { return -sigma(x) * softplus_l(-x) - sigma(-x) * softplus_l(x); },
                   [](L x) { return slope_l(x) * x; },
                   [](L x) { return slope_l(x) * (1 + x * (sigma(-x) - sigma(x))); }, 200, 256,
                   [](L x) { return slope_l(x) * (1 + std::fabs(x)); }});
    out.push_back({"e / (e + 1)",
                   [](E x) {
                       const Expr e = exp(x);
                       return e / (e + 1);
                   },
                   sigma, slope_l, [](L x) { return slope_l(x) * (sigma(-x) - sigma(x)); }, 200, 64,
                   [](L) { return L(1); }});
    out.push_back({"log(exp(3x) / (1 + exp(3x)))",
                   [](E x) { return log(exp(3 * x) / (1 + exp(3 * x))); },
                   [](L x) { return -softplus_l(-3 * x); }, [](L x) { return 3 * sigma(-3 * x); },
                   [](L x) { return -9 * slope_l(3 * x); }, 60});
    return out;
}

std::vector<double> points(L most) {
    std::vector<double> out;
    for (const double x : {0.0,  1e-3, 0.1,  0.7,  1.0,  3.0,  8.0,  9.5,  15.0,  17.0,  18.5,
                           20.0, 25.0, 30.0, 37.0, 45.0, 60.0, 80.0, 89.0, 100.0, 150.0, 200.0})
        if (x <= static_cast<double>(most)) {
            out.push_back(x);
            out.push_back(-x);
        }
    return out;
}

void check_close(const Array& got, const std::vector<double>& x, const std::function<L(L)>& want,
                 const std::function<L(L)>& terms, double ulps, DType t) {
    const double eps = t == DType::F32 ? 0x1p-24 : 0x1p-53;
    const double tiny = t == DType::F32 ? 0x1p-126 : 0x1p-1022;
    const double most = t == DType::F32 ? 3.4e38 : 1.7e308;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const L w = want(static_cast<L>(x[i]));
        const double g = got.as_double(static_cast<std::int64_t>(i));
        CAPTURE(x[i]);
        CAPTURE(g);
        CAPTURE(static_cast<double>(w));
        if (std::fabs(w) > most) continue;
        const L scale = std::max(std::fabs(w), terms(static_cast<L>(x[i])));
        CHECK(std::fabs(static_cast<L>(g) - w) <= ulps * eps * scale + tiny);
    }
}

}  // namespace

TEST_CASE("stable gradients: formulas, first and second derivatives") {
    for (const DType t : {DType::F32, DType::F64})
        for (const Formula& f : formulas()) {
            CAPTURE(std::string(f.name));
            CAPTURE(name(t));
            const std::vector<double> at_points = points(f.most);
            std::vector<double> x;  // as the dtype has them
            for (double v : at_points) x.push_back(t == DType::F32 ? static_cast<float>(v) : v);
            for (const bool known : {true, false}) {
                const auto n = static_cast<std::int64_t>(x.size());
                const Expr z = known ? tensor(t, 1, "z", {n}) : tensor(t, 1, "z");
                const Expr y = f.build(z), g = grad(sum(y), z),
                           h = grad(sum(g), z, {.disconnected_inputs = Disconnected::zero});
                const auto fn = function({.inputs = {z},
                                          .outputs = {y, g, h},
                                          .on_unused_input = OnUnusedInput::ignore});
                const Array argument = Array(x).astype(t);
                const std::vector<Array> got = fn(argument);
                check_close(got[0], x, f.value, f.terms, f.ulps, t);
                check_close(got[1], x, f.first, f.terms, f.ulps, t);
                check_close(got[2], x, f.second, f.terms, f.ulps, t);
                // Each alone: what is beside an output must not change it.
                check_close(function({.inputs = {z},
                                      .outputs = {g},
                                      .on_unused_input = OnUnusedInput::ignore})(argument)[0],
                            x, f.first, f.terms, f.ulps, t);
            }
        }
}

namespace {

// What may lie between the parts of a formula: the inner function is applied to a matrix [2,n]
// whose first row is x, and the view brings it back to [n].
struct View {
    const char* name;
    std::function<Expr(E)> of;
};
std::vector<View> views(std::int64_t n) {
    return {{"slice", [](E e) { return e(0); }},
            {"rows", [n](E e) { return reshape(e(slice(0, 1)), {n}); }},
            {"transpose", [](E e) { return e.T()(all, 0); }},
            {"reshape",
             [n](E e) {
                 return reshape(e, {2, 1, n})(0, 0);
             }},
            {"reversed twice",
             [](E e) { return e(all, slice(none, none, -1))(0, slice(none, none, -1)); }},
            {"broadcast",
             [n](E e) {
                 return broadcast_to(e, {3, 2, n})(1, 0);
             }},
            {"take", [n](E e) { return e(0)(arange(n)); }},
            {"dimshuffle",
             [](E e) {
                 return dimshuffle(e, {0, 'x', 1})(0, 0);
             }},
            {"wider", [](E e) { return cast(e, DType::F64)(0); }}};
}

struct Split {
    const char* name;
    std::function<Expr(E)> inner, outer;
    std::function<L(L)> value, first, second;
};
std::vector<Split> splits() {
    const auto sig = [](E x) { return sigmoid(x); };
    return {{"log(1 - view(sigmoid(x)))", sig, [](E p) { return log(1 - p); },
             [](L x) { return -softplus_l(x); }, [](L x) { return -sigma(x); },
             [](L x) { return -slope_l(x); }},
            {"log(view(1 - sigmoid(x)))", [](E x) { return 1 - sigmoid(x); },
             [](E p) { return log(p); }, [](L x) { return -softplus_l(x); },
             [](L x) { return -sigma(x); }, [](L x) { return -slope_l(x); }},
            {"log(1 + view(exp(x)))", [](E x) { return exp(x); }, [](E e) { return log(1 + e); },
             softplus_l, sigma, slope_l},
            {"log(1 / (1 + view(exp(-x))))", [](E x) { return exp(-x); },
             [](E e) { return log(1 / (1 + e)); }, [](L x) { return -softplus_l(-x); },
             [](L x) { return sigma(-x); }, [](L x) { return -slope_l(x); }},
            {"log(view(e / (1 + e)))",
             [](E x) {
                 const Expr e = exp(x);
                 return e / (1 + e);
             },
             [](E p) { return log(p); }, [](L x) { return -softplus_l(-x); },
             [](L x) { return sigma(-x); }, [](L x) { return -slope_l(x); }},
            {"log(1 - sqr(view(tanh(x))))", [](E x) { return tanh(x); },
             [](E t) { return log(1 - sqr(t)); }, [](L x) { return -2 * log_cosh_l(x); },
             [](L x) { return -2 * std::tanh(x); }, [](L x) { return -8 * slope_l(2 * x); }},
            {"log(view(exp(x)))", [](E x) { return exp(x); }, [](E e) { return log(e); },
             [](L x) { return x; }, [](L) { return L(1); }, [](L) { return L(0); }}};
}

}  // namespace

TEST_CASE("stable gradients: views and casts between the parts of a formula") {
    for (const DType t : {DType::F32, DType::F64})
        for (const bool known : {true, false})
            for (const Split& f : splits()) {
                std::vector<double> x = points(80);
                for (double& v : x)
                    if (t == DType::F32) v = static_cast<float>(v);
                const auto n = static_cast<std::int64_t>(x.size());
                std::vector<double> two_rows = x;
                two_rows.resize(2 * x.size(), 0.5);
                for (const View& view : views(n)) {
                    CAPTURE(std::string(f.name));
                    CAPTURE(std::string(view.name));
                    CAPTURE(name(t));
                    CAPTURE(known);
                    const Expr z = known ? tensor(t, 2, "z", {2, n}) : tensor(t, 2, "z");
                    const Expr y = f.outer(view.of(f.inner(z))), g = grad(sum(y), z),
                               h = grad(sum(g), z, {.disconnected_inputs = Disconnected::zero});
                    const auto fn = function({.inputs = {z},
                                              .outputs = {y, g(0), h(0)},
                                              .on_unused_input = OnUnusedInput::ignore});
                    const std::vector<Array> got = fn(Array(two_rows, {2, n}).astype(t));
                    const auto terms = [](L) { return L(1); };
                    check_close(got[0], x, f.value, terms, 256, t);
                    check_close(got[1], x, f.first, terms, 256, t);
                    check_close(got[2], x, f.second, terms, 256, t);
                }
            }
}

TEST_CASE("stable gradients: softmax and its logarithm behind views, written out and in parts") {
    const std::vector<double> x{0, -200, 1, 0.5, 90, -90, 30, 3};
    const auto log_total = [](const double* row) {
        L most = row[0], sum = 0;
        for (int k = 0; k < 4; ++k) most = std::max(most, L(row[k]));
        for (int k = 0; k < 4; ++k) sum += std::exp(row[k] - most);
        return most + std::log(sum);
    };
    // Labels 1 and 2.
    const std::vector<std::pair<const char*, std::function<Expr(E)>>> costs = {
        {"log(softmax(x).T())",
         [](E z) {
             const Expr l = log(softmax(z).T());
             return -(l(1, 0) + l(2, 1));
         }},
        {"written out",
         [](E z) {
             const Expr l = log(exp(z) / sum(exp(z), 1, true));
             return -(l(0, 1) + l(1, 2));
         }},
        {"written out, divided by a view",
         [](E z) {
             const Expr e = exp(z), l = log(e / dimshuffle(sum(e, 1), {0, 'x'}));
             return -(l(0, 1) + l(1, 2));
         }},
        {"reshaped",
         [](E z) {
             const Expr l = log(reshape(softmax(z), {8}));
             return -(l(1) + l(6));
         }},
        {"picked, then the logarithm",
         [](E z) {
             return -sum(log(softmax(z)(arange(2), Array(std::vector<std::int64_t>{1, 2}))));
         }},
        {"exp of log_softmax",
         [](E z) {
             const Expr l = log(exp(log_softmax(z)));
             return -(l(0, 1) + l(1, 2));
         }},
        {"x - log(sum(exp(x)))",
         [](E z) {
             const Expr l = z - log(sum(exp(z), 1, true));
             return -(l(0, 1) + l(1, 2));
         }},
        {"times a sigmoid", [](E z) {
             const Expr l = log(softmax(z) * sigmoid(z)) - log(sigmoid(z));
             return -(l(0, 1) + l(1, 2));
         }}};
    for (const DType t : {DType::F32, DType::F64})
        for (const auto& [name, cost] : costs) {
            CAPTURE(std::string(name));
            const Expr z = tensor(t, 2, "z"), c = cost(z), g = grad(c, z);
            const auto got =
                function({.inputs = {z}, .outputs = {c, g}})(Array(x, {2, 4}).astype(t));
            const double eps = t == DType::F32 ? 0x1p-24 : 0x1p-53;
            const L want = log_total(&x[0]) - x[1] + log_total(&x[4]) - x[6];
            CHECK(std::fabs(got[0].as_double() - static_cast<double>(want)) <= 8 * eps * 300);
            for (int k = 0; k < 8; ++k) {
                const L p = std::exp(x[k] - log_total(&x[k / 4 * 4]));
                const L slope = p - (k == 1 || k == 6);
                CAPTURE(k);
                CHECK(std::fabs(static_cast<double>(got[1].as_double(k) - slope)) <=
                      256 * eps * static_cast<double>(std::fabs(slope)) + 1e-37);
            }
        }
}

TEST_CASE("stable gradients: a gradient is asked for at what a rule would pass over") {
    const Expr z = vector<double>("z", {3}), p = sigmoid(z), y = vector<double>("y", {3});
    const Expr cost = sum(-y * log(p) - (1 - y) * log(1 - p));
    const auto both = grad(cost, {p, z});
    const auto f = function({.inputs = {z, y}, .outputs = {both[0], both[1], grad(cost, z)}});
    const std::vector<double> zs{-40, 0.5, 40}, ys{0, 0.25, 1};
    const auto got = f(Array(zs), Array(ys));
    for (int k = 0; k < 3; ++k) {
        const L s = sigma(zs[k]), q = sigma(-zs[k]);
        const L yk = ys[k];
        const L by_p = -yk / s + (yk == 1 ? 0 : (1 - yk) / q), by_z = s - yk;
        CAPTURE(k);
        CHECK(got[0].as_double(k) == doctest::Approx(static_cast<double>(by_p)).epsilon(1e-12));
        for (const int which : {1, 2})
            CHECK(got[which].as_double(k) ==
                  doctest::Approx(static_cast<double>(yk == 1 ? -q : by_z)).epsilon(1e-12));
    }
    // No gradient flows through what is to be constant, although a rule would join it with the
    // rest.
    const Expr held =
        grad(cost, z, {.consider_constant = {p}, .disconnected_inputs = Disconnected::zero});
    const auto h =
        function({.inputs = {z, y}, .outputs = {held}, .on_unused_input = OnUnusedInput::ignore})(
            Array(zs), Array(ys));
    for (int k = 0; k < 3; ++k) CHECK(h[0].as_double(k) == 0);
    // stop_gradient, too.
    const Expr stopped = log(1 - stop_gradient(sigmoid(z))) + z;
    const auto s = function({.inputs = {z},
                             .outputs = {grad(sum(stopped), z)},
                             .on_unused_input = OnUnusedInput::ignore})(Array(zs));
    for (int k = 0; k < 3; ++k) CHECK(s[0].as_double(k) == 1);
}

TEST_CASE("softmax and its kin along an axis without elements") {
    for (const DType t : {DType::F32, DType::F64})
        for (const bool known : {true, false}) {
            const Expr x = known ? tensor(t, 2, "x", {0, 2}) : tensor(t, 2, "x");
            const auto f = function(
                {.inputs = {x},
                 .outputs = {log(sum(exp(x), 0)), logsumexp(x, 0), softmax(x, 0), log_softmax(x, 0),
                             logsumexp(x, 1), grad(sum(logsumexp(x, 0)), x)}});
            const auto got = f(zeros(t, {0, 2}));
            for (const int k : {0, 1}) {
                REQUIRE(got[k].size() == 2);
                for (int i = 0; i < 2; ++i)
                    CHECK(got[k].as_double(i) == -std::numeric_limits<double>::infinity());
            }
            CHECK(got[2].shape() == Sizes{0, 2});
            CHECK(got[3].shape() == Sizes{0, 2});
            CHECK(got[4].shape() == Sizes{0});
            CHECK(got[5].shape() == Sizes{0, 2});
        }
}

TEST_CASE("stable gradients: sizes that are not known have several names") {
    const Expr x = vector<double>("x"), y = vector<double>("y");
    const Expr cost = sum(-y * log(sigmoid(-x * -y)) + log(1 + exp(x * -y)));
    const auto f = function({.inputs = {x, y}, .outputs = {grad(cost, x)}});
    const std::vector<double> xs{-3, 0.5, 700}, ys{1, -2, 0.5};
    const auto got = f(Array(xs), Array(ys));
    for (std::size_t k = 0; k < 3; ++k) {
        const L u = L(xs[k]) * L(ys[k]), want = -ys[k] * ys[k] * sigma(-u) - ys[k] * sigma(-u);
        CHECK(got[0].as_double(static_cast<std::int64_t>(k)) ==
              doctest::Approx(static_cast<double>(want)).epsilon(1e-13));
    }
}

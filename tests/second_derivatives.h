// Random functions of a vector with their first and second derivatives.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <arete/arete.h>

namespace arete::test {

struct SecondDerivative {
    std::vector<Expr> inputs, outputs;
};

/// Elementwise work, softmax, reductions and products in random order over f64[n] or f64[m,n], some
/// values used twice; a cost, its gradient, and the gradient of that along a direction.
inline SecondDerivative random_second_derivative(unsigned seed) {
    std::mt19937 random(seed);
    const auto draw = [&](unsigned n) { return static_cast<std::size_t>(random() % n); };
    const bool matrices = draw(2) == 0;
    const std::int64_t n = static_cast<std::int64_t>(1 + draw(6)), m = matrices ? 1 + n % 4 : 1;
    const bool scalar_x = draw(6) == 0;
    const auto input = [&](const char* name) -> Expr {
        if (matrices) return matrix<double>(name, {m, n});
        return vector<double>(name, {n});
    };
    SecondDerivative out;
    const Expr x = scalar_x ? Expr(scalar<double>("x")) : input("x");
    const Expr c = input("c");
    out.inputs = {x, c};
    std::vector<Expr> values{c * x, c + x};
    const auto any = [&] {
        // Late values more often: depth.
        const std::size_t back = std::min(draw(4), values.size() - 1);
        return values[values.size() - 1 - back];
    };
    const auto axis = [&] { return matrices && draw(3) != 0 ? 1 : 0; };
    const int steps = static_cast<int>(2 + draw(6));
    for (int k = 0; k < steps; ++k) {
        const Expr a = any(), b = any();
        switch (draw(14)) {
            case 0: values.push_back(softmax(a)); break;
            case 1: values.push_back(log(softmax(a))); break;
            case 2: values.push_back(a * b); break;
            case 3: values.push_back(a + b * 0.5); break;
            case 4: values.push_back(tanh(a)); break;
            case 5: values.push_back(sigmoid(a) * b); break;
            case 6: values.push_back(exp(a * 0.1)); break;
            case 7: values.push_back(a / (1.0 + sqr(b))); break;
            case 8: values.push_back(a * sum(b, {axis()}, true)); break;
            case 9: values.push_back(a - mean(b, {axis()}, true)); break;
            case 10: values.push_back(a * max(b, {axis()}, true)); break;
            case 11: values.push_back(a + prod(b * 0.5, {axis()}, true)); break;
            case 12: values.push_back(where(a > 0.0, a, b * 0.1)); break;
            case 13: values.push_back(sqrt(1.0 + sqr(a)) + b); break;
        }
    }
    const Expr last = values.back();
    Expr cost;
    switch (draw(5)) {
        case 0: cost = sum(sqr(last)); break;
        case 1: cost = prod(last); break;
        case 2: cost = mean(last * any()); break;
        case 3: cost = sum(log(softmax(last)) * c); break;
        case 4: cost = prod(c * x * x) + sum(last); break;
    }
    const GradOptions lenient{.disconnected_inputs = Disconnected::zero};
    const Expr g = grad(cost, x, lenient);
    const Expr along = draw(2) == 0 ? sum(g) : sum(g * sqr(x + 1.0));
    const Expr h = grad(along, x, lenient);
    switch (draw(3)) {
        case 0: out.outputs = {g, h}; break;
        case 1: out.outputs = {cost, g, h}; break;
        case 2: out.outputs = {h}; break;
    }
    return out;
}

}  // namespace arete::test

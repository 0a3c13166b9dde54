// Derivatives are expressions, so they can be derived again.
#include <cstdio>

#include <arete/arete.h>

using namespace arete;

int main() {
    try {
        // [region scalar]
        auto x = scalar<double>("x");
        auto y = pow(x, 3.0) + exp(-x);
        auto dy = grad(y, x);
        auto d2y = grad(dy, x);
        auto f = function({.inputs = {x}, .outputs = {y, dy, d2y}});
        for (double at : {0.0, 0.5, 1.0}) {
            const auto values = f(at);
            fmt::print("x = {}: y = {:.6f}, y' = {:.6f}, y'' = {:.6f}\n", at,
                       values[0].item<double>(), values[1].item<double>(),
                       values[2].item<double>());
        }
        // [end]

        // [region hessian_vector]
        // The product of a Hessian and a vector, without the Hessian: the gradient of (gradient . v).
        auto z = vector<double>("z");
        auto v = vector<double>("v");
        auto cost = sum(sqr(z) * sqr(z)) + prod(z);
        auto gz = grad(cost, z);
        auto hv = grad(sum(gz * v), z);
        auto product = function({.inputs = {z, v}, .outputs = {hv}});
        fmt::print("H v = {}\n", product(std::vector{1.0, 2.0, 3.0}, std::vector{1.0, 0.0, -1.0})[0]
                                     .str());
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

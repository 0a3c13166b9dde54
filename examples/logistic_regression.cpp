// Logistic regression on two clouds of points: the smallest complete training loop.
#include <cstdio>

#include <arete/arete.h>

using namespace arete;

namespace {

constexpr std::int64_t kRows = 400, kFeatures = 2;

/// Points around (-1, -1) with class 0 and around (1, 1) with class 1.
struct Points {
    Array x, y;
};

Points make_points(std::uint64_t seed) {
    Generator random(seed);
    Points points{random.normal({kRows, kFeatures}, 0, 0.8), Array(DType::F32, {kRows})};
    float* x = points.x.data<float>();
    float* y = points.y.data<float>();
    for (std::int64_t i = 0; i < kRows; ++i) {
        y[i] = static_cast<float>(i % 2);
        for (std::int64_t k = 0; k < kFeatures; ++k) x[i * kFeatures + k] += 2 * y[i] - 1;
    }
    return points;
}

}  // namespace

int main() {
    try {
        const Points points = make_points(1);

        // [region build]
        auto x = matrix<float>("x");
        auto y = vector<float>("y");
        auto w = shared(zeros<float>({kFeatures}), "w");
        auto b = shared(zeros<float>({}), "b");

        auto p_1 = sigmoid(dot(x, w) + b);  // probability of class 1
        auto prediction = p_1 > 0.5;
        auto xent = -y * log(p_1) - (1 - y) * log(1 - p_1);
        auto cost = mean(xent) + 0.01 * sum(sqr(w));
        auto g = grad(cost, {w, b});
        // [end]

        // [region compile]
        auto train = function({.inputs = {x, y},
                               .outputs = {cost},
                               .updates = {{w, w - 0.1 * g[0]}, {b, b - 0.1 * g[1]}}});
        auto error = function({.inputs = {x, y}, .outputs = {mean(neq(prediction, y))}});
        // [end]

        // [region run]
        for (int step = 0; step < 200; ++step) {
            const auto c = train(points.x, points.y)[0].item<float>();
            if (step % 50 == 0) fmt::print("step {:3}: cost {:.4f}\n", step, c);
        }
        fmt::print("errors: {:.1f} %, w = {}\n",
                   100 * error(points.x, points.y)[0].item<float>(), w.get_value().str());
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

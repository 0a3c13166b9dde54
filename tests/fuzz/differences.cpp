// Gradients beside differences of what they are gradients of, in long double.
#include <cmath>
#include <random>

#include "compiler/ops/leaves.h"
#include "tests/fuzz/run.h"

namespace arete::fuzz {

namespace {

// Lanes are the cost at x + t h d for these t.
constexpr std::array<double, lanes> places{0, 1, -1, 0.5, -0.5, 0.25, -0.25, 0};

bool has_op(const Expr& e, std::string_view name) {
    const Graph graph({e});
    for (const auto& node : graph.nodes())
        if (node->op->name == name) return true;
    return false;
}

const Array* value_of(const Case& c, const Expr& leaf) {
    for (std::size_t k = 0; k < c.inputs.size(); ++k)
        if (same(c.inputs[k], leaf)) return &c.values[k];
    for (std::size_t k = 0; k < c.shared.size(); ++k)
        if (same(c.shared[k], leaf)) return &c.state[k];
    return nullptr;
}

// A message where the gradient of g.cost is not the slope along a random direction; `sure` is false
// where there is no telling.
std::optional<std::string> off_slope(const Case& c, const GradientOf& g, std::uint64_t seed,
                                     bool& sure) {
    sure = false;
    const Array* at = value_of(c, g.wrt);
    if (!at) return std::nullopt;
    Binding leaves;
    for (std::size_t k = 0; k < c.inputs.size(); ++k)
        if (!same(c.inputs[k], g.wrt)) leaves.emplace_back(c.inputs[k], widen(c.values[k]));
    std::mt19937_64 random(seed);
    std::vector<long double> direction;
    Wide x = widen(*at);
    const long double h = 1e-4L;
    for (std::int64_t k = 0; k < at->size(); ++k) {
        direction.push_back(static_cast<long double>(random() >> 11) * 0x1p-52L - 1);
        for (std::size_t l = 0; l < lanes; ++l)
            x.f[static_cast<std::size_t>(k) * lanes + l] += places[l] * h * direction.back();
    }
    leaves.emplace_back(g.wrt, x);
    const std::vector<Expr> roots{g.cost, g.gradient};
    const Evaluation e = evaluate(roots, leaves, {seed, 0, true});
    const Wide &cost = e.values[0], &gradient = e.values[1];
    if (e.failed || cost.size() != 1 || cost.wild[0]) return std::nullopt;
    const auto& f = cost.f;
    for (std::size_t l = 0; l < lanes; ++l)
        if (!std::isfinite(f[l])) return std::nullopt;
    const auto difference = [&](std::size_t l) { return (f[l] - f[l + 1]) / (2 * places[l] * h); };
    const long double d1 = difference(1), d2 = difference(3), d4 = difference(5);
    const long double r1 = (4 * d2 - d1) / 3, r2 = (4 * d4 - d2) / 3;
    long double slope = 0, size = 0;
    for (std::int64_t k = 0; k < gradient.size(); ++k) {
        const auto element = static_cast<std::size_t>(k);
        if (gradient.wild[element]) return std::nullopt;
        const long double term = gradient.f[element * lanes] * direction[element];
        slope += term;
        size += std::fabs(term);
    }
    const long double forward = (f[5] - f[0]) / (0.25L * h), backward = (f[0] - f[6]) / (0.25L * h);
    const long double noise = 1e-17L * (std::fabs(f[0]) + 1e-30L) / h;
    // A kink, or a slope that changes within the step: nothing can be said.
    const long double largest_slope = std::fabs(forward) + std::fabs(backward) + std::fabs(d1);
    if (std::fabs(forward - backward) > 0.01L * largest_slope + 100 * noise) return std::nullopt;
    if (std::fabs(r1 - r2) > 1e-4L * largest_slope + 100 * noise) return std::nullopt;
    if (noise > 1e-7L * std::max(largest_slope, 1.0L)) return std::nullopt;
    sure = true;
    const long double scale = std::fabs(r2) + size + noise;
    // Where the function is regular, so is its gradient.
    if (std::isfinite(slope) &&
        std::fabs(slope - r2) <= 1e-4L * scale + 100 * std::fabs(r1 - r2) + 1000 * noise)
        return std::nullopt;
    return fmt::format("the cost rises by {:.12g}, its gradient with respect to {} says {:.12g}",
                       static_cast<double>(r2), g.wrt.node().name, static_cast<double>(slope));
}

}  // namespace

// Differences need room: a step is nothing beside large numbers, and crosses many steps of what is
// constant in pieces.
bool moderate(const Case& c, const std::vector<Expr>& roots) {
    const auto fits = [](const Array& a) {
        for (std::int64_t k = 0; is_float(a.dtype()) && k < a.size(); ++k) {
            const double v = std::fabs(a.as_double(k));
            if (std::isnan(v) || v > 1e3 || (v > 0 && v < 1e-6)) return false;
        }
        return true;
    };
    for (const auto* all : {&c.values, &c.state})
        for (const Array& a : *all)
            if (!fits(a)) return false;
    const Graph graph(roots);
    for (const auto& node : graph.nodes()) {
        const Array* a = constant_value(Expr(node));
        if (a && !fits(*a)) return false;
    }
    return true;
}

std::optional<Finding> check_gradients(const Case& c) {
    for (std::size_t k = 0; k < c.gradients.size(); ++k) {
        const GradientOf& g = c.gradients[k];
        if (has_op(g.cost, "stop_gradient") || !moderate(c, {g.cost})) continue;
        // Twice, along other directions: a step may have crossed something.
        std::optional<std::string> wrong;
        for (std::uint64_t turn = 0; turn < 3; ++turn) {
            bool sure = false;
            try {
                wrong = off_slope(c, g, c.seed * 3 + turn, sure);
            } catch (const TooMuchWork&) {
                wrong.reset();
            } catch (const GraphError&) {
                wrong.reset();  // sizes that are refused, in a part that no result needs
            }
            if (!wrong) break;
        }
        if (wrong) return Finding{Finding::Kind::Gradient, "differences", *wrong};
    }
    return std::nullopt;
}

}  // namespace arete::fuzz

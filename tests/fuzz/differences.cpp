// Gradients beside differences of what they are gradients of, in long double.
#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "frontend/variables.h"
#include "tests/fuzz/run.h"

namespace arete::fuzz {

namespace {

// Lanes are the cost at x + t h d for these t.
constexpr std::array<double, lanes> places{0, 1, -1, 0.5, -0.5, 0.25, -0.25, 0};

ShapeBinding binding_of(const Binding& leaves) {
    ShapeBinding binding;
    for (const auto& [leaf, value] : leaves) {
        binding.sizes[leaf.node().id] = value.sizes;
        if (value.sizes.empty() && !is_float(value.dtype))
            binding.scalars[leaf.node().id] = value.i[0];
    }
    return binding;
}

// Where element `at` of a tensor is in one of these sizes, some of which may be 1 instead.
std::int64_t broadcast_position(std::int64_t at, const Sizes& sizes, const Sizes& operand) {
    std::int64_t position = 0, stride = 1;
    for (std::size_t k = sizes.size(); k-- > 0;) {
        position += operand[k] == 1 ? 0 : at % sizes[k] * stride;
        at /= sizes[k];
        stride *= operand[k];
    }
    return position;
}

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

bool is_extreme(const Node& n) {
    return (n.op->name == "max" || n.op->name == "min") && is_float(n.types[0].dtype);
}

// The cost with sums in the place of max and min that have the value and the derivatives which are
// documented: each of several equal elements moves the result as if it were alone. Elements that
// are equal at `leaves` are chosen, wherever they go from there.
Expr with_documented_ties(const Expr& cost, Binding& leaves) {
    const Graph given({cost});
    if (std::none_of(given.nodes().begin(), given.nodes().end(),
                     [](const auto& n) { return is_extreme(*n); }))
        return cost;
    const Expr bound = bind_shapes({&cost, 1}, binding_of(leaves))[0];
    const Graph graph({bound});
    std::vector<Expr> asked;  // operand and result of each
    for (const auto& n : graph.nodes())
        if (is_extreme(*n)) asked.insert(asked.end(), {n->inputs[0], Expr(n)});
    const Evaluation e = evaluate(asked, leaves, {1, 0, true});
    std::size_t next = 0;
    std::vector<Expr> smooth = transform({&bound, 1}, [&](const auto& node, Node copy) {
        if (!is_extreme(*node)) return outputs_of(std::make_shared<const Node>(std::move(copy)));
        const Wide &x = e.values[next], &m = e.values[next + 1];
        next += 2;
        const Axes axes(node->attrs.template get<Ints>("axes"));
        Sizes kept = x.sizes;
        for (std::int64_t k : axes.list) kept[k] = 1;
        const auto leaf = [&](DType t, const Sizes& sizes) {
            return tensor(t, static_cast<int>(sizes.size()), "", sizes);
        };
        const Expr top = leaf(m.dtype, m.sizes), chosen = leaf(x.dtype, x.sizes);
        Wide is_chosen = x;
        for (std::int64_t k = 0; k < x.size(); ++k) {
            const auto at = static_cast<std::size_t>(k * lanes);
            const auto of = static_cast<std::size_t>(broadcast_position(k, x.sizes, kept)) * lanes;
            for (std::size_t l = 0; l < lanes; ++l) is_chosen.f[at + l] = x.f[at] == m.f[of];
        }
        leaves.emplace_back(top, m);
        leaves.emplace_back(chosen, std::move(is_chosen));
        const Expr from = copy.inputs[0] - reshape(top, Shape(kept.begin(), kept.end()));
        return std::vector<Expr>{
            top + sum(chosen * from, axes, node->attrs.template get<bool>("keepdims"))};
    });
    return smooth[0];
}

// Does it hold a function that is constant in pieces?
bool has_rounding(const Expr& e) {
    for (const char* op :
         {"floor", "ceil", "round", "trunc", "floordiv", "mod", "trunc_div", "fmod", "copysign"})
        if (has_op(e, op)) return true;
    return false;
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
    Binding here = leaves;
    here.emplace_back(g.wrt, widen(*at));
    const std::size_t own = here.size();
    const Expr smooth = with_documented_ties(g.cost, here);
    leaves.emplace_back(g.wrt, x);
    leaves.insert(leaves.end(), here.begin() + static_cast<std::ptrdiff_t>(own), here.end());
    // With all that is computed on the way: where that is infinite, there is no derivative.
    std::vector<Expr> roots{smooth, g.gradient};
    const Graph on_the_way({smooth});
    for (const auto& node : on_the_way.nodes())
        if (!node->is_leaf() && node->types.size() == 1 && is_float(node->types[0].dtype))
            roots.emplace_back(node);
    const Evaluation e = evaluate(roots, leaves, {seed, 0, true});
    for (std::size_t k = 2; k < e.values.size(); ++k)
        for (const long double v : e.values[k].f)
            if (!std::isfinite(v)) return std::nullopt;
    // Numbers that are all integers, as large ones are, rise although they are rounded.
    constexpr long double whole_from = 0x1p40L;
    if (has_rounding(g.cost) && !(std::fabs(e.values[0].f[0]) < whole_from)) return std::nullopt;
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
    // What even long doubles lose, as of 1 - sigmoid(x).
    const Evaluation lost = evaluate({&smooth, 1}, here, {seed, 0, true, true});
    const auto [least, most] =
        std::minmax_element(lost.values[0].f.begin(), lost.values[0].f.end());
    const long double noise = (1e-17L * (std::fabs(f[0]) + 1e-30L) + (*most - *least)) / h;
    // A kink, or a slope that changes within the step: nothing can be said.
    const long double largest_slope = std::fabs(forward) + std::fabs(backward) + std::fabs(d1);
    if (std::fabs(forward - backward) > 0.01L * largest_slope + 100 * noise) return std::nullopt;
    if (std::fabs(r1 - r2) > 1e-4L * largest_slope + 100 * noise) return std::nullopt;
    if (noise > 1e-7L * std::max(largest_slope, 1.0L)) return std::nullopt;
    if (!std::isfinite(r2)) return std::nullopt;
    sure = true;
    // Flat: what is small beside 1 may have been lost on the way, as the slope of log(sigmoid(x)).
    if (largest_slope == 0 && std::fabs(slope) * h < 1e-17L) return std::nullopt;
    const long double scale = std::fabs(r2) + size + noise;
    // Where the function is regular, so is its gradient. At a small kink it is a slope of either
    // side, or between these.
    const long double allowed = 1e-4L * scale + 100 * std::fabs(r1 - r2) + 1000 * noise;
    if (slope >= std::min({r2, forward, backward}) - allowed &&
        slope <= std::max({r2, forward, backward}) + allowed)
        return std::nullopt;
    // As it was computed from a formula whose operations and constants round: each is off by a unit
    // in the last place of its dtype, though of no range. That bounds what a gradient may be off by
    // whose terms cancel.
    long double low = slope, high = slope;
    for (std::uint64_t turn = 0; turn < 4; ++turn) {
        const Evaluation rounded = evaluate({&g.gradient, 1}, here, {seed + turn, 1, false});
        for (std::size_t l = 1; l < nearest; ++l) {
            long double sum = 0;
            for (std::int64_t k = 0; k < gradient.size(); ++k)
                sum += rounded.values[0].f[static_cast<std::size_t>(k) * lanes + l] * direction[k];
            low = std::min(low, sum);
            high = std::max(high, sum);
        }
    }
    if (std::isfinite(high - low) && std::fabs(slope - r2) <= 2 * (high - low)) return std::nullopt;
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

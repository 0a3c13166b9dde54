// A small fuzzer: random graphs, and the gradients of their sums, native against the reference
// evaluator (no rewriting, no fusion, no schedule). The seeds are fixed; a failure prints the
// graph.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/ops/op.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/specialize_shapes.h"

using namespace arete;

namespace {

/// Sizes around the widths of vectors, most of them odd.
constexpr std::int64_t sizes_drawn[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 19, 23, 31, 32, 33, 37};
constexpr std::int64_t most_elements = 2500;

/// An expression with what is known of its values.
struct Item {
    Expr e;
    double bound = 2;    ///< about the largest absolute value
    bool exact = false;  ///< the same bits however it is compiled: may be compared, rounded, ...
};

class Grower {
  public:
    Grower(std::uint64_t seed, DType t) : random_(seed), t_(t) {
        for (const OpDef* op : all_ops()) {
            if (!op->scalar || !op->samples) continue;
            const Sample s = op->samples()[0];
            const auto integer = [](const SampleInput& in) { return in.integer; };
            if (std::none_of(s.inputs.begin(), s.inputs.end(), integer)) rows_.push_back(s);
        }
        const int leaves = 2 + below(2);
        for (int k = 0; k < leaves; ++k) add_leaf();
    }

    /// Appends `n` operations and returns the last expressions made.
    std::vector<Expr> grow(int n) {
        for (int k = 0; k < n; ++k) step();
        std::vector<Expr> out{pool_.back().e};
        if (below(2)) out.push_back(pool_[pool_.size() - 2].e);
        return out;
    }

    std::vector<Expr> leaves;
    std::vector<Array> values;

  private:
    int below(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
    static std::int64_t elements(const Expr& e) { return size_of(e.shape()).value(); }

    void add_leaf() {
        Sizes sizes;
        const int rank = below(4);
        std::int64_t n = 1;
        for (int k = 0; k < rank; ++k) {
            std::int64_t s = sizes_drawn[below(std::size(sizes_drawn))];
            if (k > 0 && below(4) == 0) s = sizes.back();
            if (n * s > most_elements) s = 1;
            n *= s;
            sizes.push_back(s);
        }
        Array value(t_, sizes);
        std::uniform_real_distribution<double> uniform(-2, 2);
        for (std::int64_t i = 0; i < n; ++i) {
            const double v = uniform(random_);
            if (t_ == DType::F32)
                value.data<float>()[i] = static_cast<float>(v);
            else
                value.data<double>()[i] = v;
        }
        leaves.push_back(tensor(t_, rank, fmt::format("x{}", leaves.size()), sizes));
        values.push_back(value);
        pool_.push_back({leaves.back(), 2, true});
    }

    Item pick() {
        // Mostly what was made last, so that graphs are deep.
        const int n = static_cast<int>(pool_.size());
        return below(2) ? pool_.back() : pool_[static_cast<std::size_t>(below(n))];
    }
    Item pick_exact() {
        std::vector<Item> all;
        for (const Item& i : pool_)
            if (i.exact) all.push_back(i);
        return all[static_cast<std::size_t>(below(static_cast<int>(all.size())))];
    }

    // x brought into [low, high] where it may be elsewhere.
    Item within(const Item& x, double low, double high) {
        const bool inside = x.bound <= 2 && low == -2 && high == 2;
        if (inside || (low == -2 && high == 2 && x.bound <= 10 && below(2))) return x;
        const double middle = (low + high) / 2, half = (high - low) / 2;
        return {middle + half * tanh(x.e), std::max(std::fabs(low), std::fabs(high)), false};
    }

    // Something that broadcasts with `shape`: an item of fitting sizes, or one made of x.
    Item beside(const Item& x, const Shape& shape, bool exact) {
        std::vector<Item> fitting{x};
        for (const Item& i : pool_) {
            if (exact && !i.exact) continue;
            const auto both = broadcast_shapes(i.e.shape(), shape);
            if (both && size_of(*both).value() <= most_elements) fitting.push_back(i);
        }
        if (!exact && x.e.rank() > 0 && below(3) == 0)
            return {mean(x.e, below(x.e.rank()), true), x.bound, false};
        return fitting[static_cast<std::size_t>(below(static_cast<int>(fitting.size())))];
    }

    Item elementwise() {
        const Sample& s = rows_[static_cast<std::size_t>(below(static_cast<int>(rows_.size())))];
        // What jumps is applied only to values that are the same everywhere.
        const bool exact = !s.differentiable;
        const Item first = exact ? pick_exact() : pick();
        std::vector<Expr> operands;
        double bound = 0;
        bool inputs_exact = true;
        Shape shape = first.e.shape();
        for (std::size_t k = 0; k < s.inputs.size(); ++k) {
            Item x = k == 0 ? first : beside(first, shape, exact);
            shape = *broadcast_shapes(shape, x.e.shape());
            if (!exact) x = within(x, s.inputs[k].low, s.inputs[k].high);
            inputs_exact = inputs_exact && x.exact;
            bound = std::max(bound, x.bound);
            operands.push_back(x.e);
        }
        Expr e = s.build(operands);
        if (e.dtype() != t_) e = cast(e, t_);
        return {e, bound <= 2 ? 8.0 : exact ? 60.0 : 3e4, false};
    }

    Item reduction() {
        const Item x = pick();
        Axes axes;
        if (x.e.rank() > 0 && below(4)) axes = Axes(below(x.e.rank()));
        const bool keep = below(2);
        const double n = static_cast<double>(elements(x.e));
        switch (below(7)) {
            case 0: return {sum(x.e, axes, keep), x.bound * n, false};
            case 1: return {mean(x.e, axes, keep), x.bound, false};
            case 2: return {max(x.e, axes, keep), x.bound, x.exact};
            case 3: return {min(x.e, axes, keep), x.bound, x.exact};
            case 4: return {var(within(x, -2, 2).e, axes, keep), 1e3, false};
            case 5: return {prod(within(x, 0.9, 1.1).e, axes, keep), 1e9, false};
            default: return {cast(argmax(pick_exact().e), t_) / 100, 40, false};
        }
    }

    Item product() {
        const Item x = within(pick(), -2, 2);
        if (x.e.rank() == 2) {
            for (const Item& y : pool_)
                if (y.e.rank() >= 1 && y.e.rank() <= 2 && below(2)) {
                    const Item z = within(y, -2, 2);
                    if (z.e.shape()[0] == x.e.shape()[1]) return {dot(x.e, z.e), 1e3, false};
                }
            const bool wide = x.e.shape()[0].value() > 50;
            return {wide ? dot(x.e.T(), x.e) : dot(x.e, x.e.T()), 1e3, false};
        }
        if (x.e.rank() == 3) return {batched_dot(x.e, transpose(x.e, {0, 2, 1})), 1e3, false};
        const Expr flat = flatten(x.e);
        return {below(2) || elements(flat) > 50 ? dot(flat, flat) : outer(flat, flat), 1e4, false};
    }

    Item movement() {
        const Item x = pick();
        const int rank = x.e.rank();
        const auto item = [&](const Expr& e) { return Item{e, x.bound, x.exact}; };
        if (rank == 0)
            return item(broadcast_to(x.e, {3, sizes_drawn[below(std::size(sizes_drawn))]}));
        const int axis = below(rank);
        const std::int64_t n = x.e.shape()[static_cast<std::size_t>(axis)].value();
        switch (below(8)) {
            case 0: return item(flatten(x.e, 1 + below(rank)));
            case 1: return item(reshape(x.e, {-1, x.e.shape()[static_cast<std::size_t>(axis)]}));
            case 2: return item(rank == 1 ? dimshuffle(x.e, {'x', 0}) : x.e.T());
            case 3: return item(rank < 4 ? expand_dims(x.e, axis) : x.e);
            case 4: {
                if (elements(x.e) > 400) return item(x.e.T());
                Shape shape = x.e.shape();
                shape.insert(shape.begin(), Dim(1 + below(6)));
                return item(broadcast_to(x.e, shape));
            }
            case 5: {
                const std::int64_t start = below(static_cast<int>(n));
                const std::int64_t step = 1 + below(3);
                const Slice s = below(2) ? slice(start, none, step) : slice(start, none, -step);
                if (axis == 0) return item(x.e(s));
                return item(axis == 1 ? x.e(all, s) : x.e(all, all, s));
            }
            case 6:
                return elements(x.e) > 1000 ? item(x.e.T()) : item(concatenate({x.e, x.e}, axis));
            default: {
                std::vector<std::int64_t> rows;
                for (int k = 0; k < 3; ++k) rows.push_back(below(static_cast<int>(n)));
                return item(take(x.e, Array(rows), axis));
            }
        }
    }

    Item composite() {
        const Item x = within(pick(), -2, 2);
        if (x.e.rank() == 0) return {sqr(x.e), 4, false};
        const int axis = below(x.e.rank());
        switch (below(3)) {
            case 0: return {softmax(x.e, axis), 1, false};
            case 1: return {log_softmax(x.e, axis), 10, false};
            default: return {logsumexp(x.e, axis, below(2)), 10, false};
        }
    }

    void step() {
        const int kind = below(16);
        Item made = kind < 8    ? elementwise()
                    : kind < 11 ? movement()
                    : kind < 13 ? reduction()
                    : kind < 15 ? product()
                                : composite();
        if (elements(made.e) > 2 * most_elements || made.e.rank() > 4) return step();
        pool_.push_back(made);
    }

    std::mt19937_64 random_;
    DType t_;
    std::vector<Sample> rows_;
    std::vector<Item> pool_;
};

/// The largest difference relative to the largest value; infinite where one is NaN alone.
double distance(const Array& got, const Array& expected) {
    if (got.dtype() != expected.dtype() || got.shape() != expected.shape()) return HUGE_VAL;
    double scale = 1, worst = 0;
    for (std::int64_t i = 0; i < got.size(); ++i)
        if (std::isfinite(expected.as_double(i)))
            scale = std::max(scale, std::fabs(expected.as_double(i)));
    for (std::int64_t i = 0; i < got.size(); ++i) {
        const double a = got.as_double(i), b = expected.as_double(i);
        if (a == b || (std::isnan(a) && std::isnan(b))) continue;
        const double d = std::fabs(a - b);
        worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
    }
    return worst / scale;
}

/// What was compared, so that the fuzzer cannot become empty by and by.
struct Tally {
    std::int64_t values = 0, finite = 0, nonzero = 0;
    void add(const Array& a) {
        for (std::int64_t i = 0; i < a.size(); ++i, ++values) {
            finite += std::isfinite(a.as_double(i));
            nonzero += a.as_double(i) != 0;
        }
    }
};

// Gradients of a cost of bounded slope, weighted so that no two elements are alike.
std::vector<Expr> gradients(const Expr& output, const std::vector<Expr>& leaves) {
    const Expr flat = flatten(output);
    const Expr weights = sin(cast(arange(flat.shape(0)), output.dtype()) + 1);
    const Expr cost = sum(sqrt(1 + sqr(flat)) * weights);
    const Graph graph({cost});
    std::vector<Expr> wrt;
    for (const Expr& leaf : leaves)
        if (graph.contains(leaf.node())) wrt.push_back(leaf);
    return grad(cost, wrt, {.disconnected_inputs = Disconnected::zero});
}

void check(std::uint64_t seed, DType t, double tolerance, Tally& tally, Mode mode) {
    Grower grower(seed, t);
    std::vector<Expr> outputs = grower.grow(4 + static_cast<int>(seed % 9));
    const std::vector<Expr>& leaves = grower.leaves;
    const std::size_t plain = outputs.size();
    for (const Expr& g : gradients(outputs[0], leaves)) outputs.push_back(g);
    std::vector<std::pair<Expr, Array>> bindings;
    for (std::size_t k = 0; k < leaves.size(); ++k)
        bindings.emplace_back(leaves[k], grower.values[k]);
    std::string failure;
    std::vector<Array> expected, got;
    try {
        expected = reference_eval(outputs, bindings);
        got = function({.inputs = leaves,
                        .outputs = outputs,
                        .on_unused_input = OnUnusedInput::ignore,
                        .mode = mode})
                  .call(grower.values);
        for (std::size_t k = 0; k < got.size(); ++k) {
            tally.add(expected[k]);
            const double d = distance(got[k], expected[k]);
            if (!(d <= tolerance))
                failure += fmt::format("{} {} is off by {:.3g}: {}, expected {}\n",
                                       k < plain ? "output" : "gradient", k, d, got[k].str(),
                                       expected[k].str());
        }
    } catch (const std::exception& e) {
        failure = e.what();
    }
    CHECK_MESSAGE(
        failure.empty(), "seed ", seed, " of ", std::string(name(t)), ": ", failure, "\n",
        to_string(
            Graph({outputs.begin(),
                   outputs.begin() + static_cast<std::ptrdiff_t>(
                                         failure.find("output") == 0 ? plain : outputs.size())})));
}

/// `graphs` graphs, or ARETE_FUZZ times as many.
void check_all(std::uint64_t first, std::uint64_t graphs, DType t, double tolerance,
               Mode mode = Mode::fast_run) {
    const char* times = std::getenv("ARETE_FUZZ");
    if (times) graphs *= static_cast<std::uint64_t>(std::atoi(times));
    Tally tally;
    for (std::uint64_t seed = first; seed < first + graphs; ++seed)
        check(seed, t, tolerance, tally, mode);
    CHECK(tally.values > 300 * static_cast<std::int64_t>(graphs));
    CHECK(tally.finite > 0.99 * static_cast<double>(tally.values));
    CHECK(tally.nonzero > 0.4 * static_cast<double>(tally.values));
}

}  // namespace

TEST_CASE("random graphs: native f64 results and gradients are the reference's") {
    check_all(0, 140, DType::F64, 1e-9);
}

TEST_CASE("random graphs: native f32 results and gradients are the reference's") {
    check_all(1000000, 60, DType::F32, 2e-3);
}

TEST_CASE("random graphs: rewriting comes to rest, and a second run fires nothing") {
    const char* times = std::getenv("ARETE_FUZZ");
    const std::uint64_t graphs = 300 * static_cast<std::uint64_t>(times ? std::atoi(times) : 1);
    std::size_t firings = 0, most = 0, nodes = 0;
    for (std::uint64_t seed = 0; seed < graphs; ++seed) {
        CAPTURE(seed);
        Grower grower(seed + 5000, seed % 2 ? DType::F32 : DType::F64);
        std::vector<Expr> e = grower.grow(4 + static_cast<int>(seed % 23));
        for (const Expr& g : gradients(e[0], grower.leaves)) e.push_back(g);
        const std::size_t size = Graph(e).size();
        nodes += size;
        for (const Phase phase : {Phase::Canonicalize, Phase::Stabilize, Phase::Specialize}) {
            if (phase == Phase::Specialize) e = expand_composites(e);
            RewriteLog first, second;
            e = rewrite(e, phase, &first);
            CAPTURE(to_string(Graph(e)));
            const auto again = rewrite(e, phase, &second);
            CAPTURE(second.str());
            CHECK(second.firings.empty());
            CHECK(to_string(Graph(again)) == to_string(Graph(e)));
            // Each firing makes the graph simpler; it takes no more of them than there are nodes to
            // do something about.
            CHECK(first.firings.size() < 4 * size + 40);
            firings += first.firings.size();
            most = std::max(most, first.firings.size());
        }
    }
    CHECK(firings > 3 * graphs);
    MESSAGE("rewrites of ", graphs, " graphs of ", nodes, " nodes: ", firings, ", at most ", most,
            " in one");
}

TEST_CASE("random graphs: Mode::debug finds nothing to object to") {
    check_all(2000, 25, DType::F64, 1e-9, Mode::debug);
    check_all(1002000, 15, DType::F32, 2e-3, Mode::debug);
}

TEST_CASE("random graphs: fast_compile gives the reference's results") {
    check_all(3000, 25, DType::F64, 1e-9, Mode::fast_compile);
    check_all(1003000, 15, DType::F32, 2e-3, Mode::fast_compile);
}

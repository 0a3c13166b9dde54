// Every differentiable row of every table, without naming one: its first and second derivatives
// against differences, at the points of its samples and at corners, which samples avoid: zeros,
// ties, small integers. At a corner the differences to both sides are compared first: where they
// agree there is a derivative, and it must be found; where the function has a kink the gradient
// must be finite; elsewhere it is infinite, or jumps, and nothing is asked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/support.h"
#include "tests/targets.h"

using namespace arete;
using namespace arete::test;

namespace {

/// What is looked at of larger inputs.
constexpr std::int64_t most_elements = 24;
constexpr double step = 1e-6, tolerance = 2e-4, jump = 1e3;
constexpr double corners[] = {0, 1, -1, 2, 0.5, -0.5, 3, -2, 0, 1};

/// How many derivatives were compared, so that the test cannot become empty by and by.
struct Tally {
    int first = 0, kinks = 0, second = 0;
};

/// A scalar function of the inputs' float elements made of a sample, its gradient g, a scalar
/// function of that, and its gradient h. Elements of the result and of g that are not finite are
/// left out of both scalars.
class Derivatives {
  public:
    Derivatives(const Sample& sample, std::uint64_t seed, bool at_corners)
        : drawn_(draw(sample, DType::F64, seed)) {
        Generator random(seed + 100);
        for (std::size_t i = 0; i < drawn_.leaves.size(); ++i) {
            if (!is_float(drawn_.leaves[i].dtype())) continue;
            which_.push_back(i);
            if (at_corners) to_corners(drawn_.values[i], random);
        }
        const Expr e = sample.build(drawn_.leaves);
        if (which_.empty() || e.dtype() != DType::F64) return;
        std::vector<Expr> wrt;
        for (std::size_t i : which_) wrt.push_back(drawn_.leaves[i]);
        const Array value = function_of({e}).call(drawn_.values)[0];
        const Expr cost = weighted(e, value, 1);
        std::vector<Expr> first = grad(cost, wrt, {.disconnected_inputs = Disconnected::zero});
        gradient_ = function_of(first).call(drawn_.values);
        Expr slope;
        for (std::size_t k = 0; k < first.size(); ++k) {
            const Expr part = weighted(first[k], gradient_[k], 2 + static_cast<double>(k));
            slope = slope.empty() ? part : slope + part;
        }
        hessian_ = function_of(grad(slope, wrt, {.disconnected_inputs = Disconnected::zero}))
                       .call(drawn_.values);
        scalars_ = function_of({cost, slope});
        usable_ = true;
    }

    bool usable() const { return usable_; }

    void check(const std::string& where, bool smooth, Tally& tally) {
        for (std::size_t k = 0; k < which_.size(); ++k) {
            const std::int64_t n = gradient_[k].size();
            const std::int64_t stride = std::max<std::int64_t>(1, n / most_elements);
            for (std::int64_t i = 0; i < n; i += stride) check(where, k, i, smooth, tally);
        }
    }

  private:
    static void to_corners(Array& a, Generator& random) {
        const Array u = random.uniform(a.shape(), 0, 1);
        for (std::int64_t i = 0; i < a.size(); ++i)
            a.data<double>()[i] =
                corners[static_cast<std::size_t>(u.as_double(i) * std::size(corners))];
    }

    Function function_of(const std::vector<Expr>& outputs) const {
        return function({.inputs = drawn_.leaves,
                         .outputs = outputs,
                         .on_unused_input = OnUnusedInput::ignore,
                         .mode = Mode::interpret});
    }

    static Expr weighted(const Expr& e, const Array& value, double phase) {
        Array weights(DType::F64, value.shape()), finite(DType::Bool, value.shape());
        for (std::int64_t i = 0; i < value.size(); ++i) {
            weights.data<double>()[i] = std::cos(phase + static_cast<double>(i));
            finite.data<bool>()[i] = std::isfinite(value.as_double(i));
        }
        return sum(where(finite, cast(e, DType::F64) * weights, 0));
    }

    void check(const std::string& where, std::size_t k, std::int64_t i, bool smooth, Tally& tally) {
        double& x = drawn_.values[which_[k]].data<double>()[i];
        const double kept = x;
        const auto at = [&](double v) {
            x = v;
            const std::vector<Array> s = scalars_.call(drawn_.values);
            x = kept;
            return std::array{s[0].item<double>(), s[1].item<double>()};
        };
        const auto here = at(kept), above = at(kept + step), below = at(kept - step);
        for (std::size_t order : {0, 1}) {
            const double up = (above[order] - here[order]) / step,
                         down = (here[order] - below[order]) / step;
            const double got = (order ? hessian_ : gradient_)[k].as_double(i);
            const double steepest = std::fabs(up) + std::fabs(down);
            const double scale = tolerance * (1 + steepest);
            const bool agree = std::fabs(up - down) < scale;
            // Infinite, a jump, or a kink of the gradient, at which any value will do.
            if (!(steepest < (smooth ? 1e9 : jump)) || (!agree && order == 1)) {
                CHECK_MESSAGE(!smooth, where, " is not smooth at element ", i, " of input ", k);
                continue;
            }
            ++(!agree ? tally.kinks : order ? tally.second : tally.first);
            CHECK_MESSAGE((agree ? std::fabs(got - up) < scale : std::isfinite(got)), where,
                          ": derivative ", order + 1, " by element ", i, " of input ", k,
                          ", which is ", kept, ", is ", got, ", expected ", down, " to ", up,
                          "\n inputs ", drawn_.values[which_[k]].str());
        }
    }

    Drawn drawn_;
    std::vector<std::size_t> which_;
    std::vector<Array> gradient_, hessian_;
    Function scalars_;
    bool usable_ = false;
};

template <class Visit>
void each_sample(const Visit& visit) {
    for (const OpDef* op : test::ops_of_all_targets()) {
        // What it is a constant to is gradients alone.
        if (!op->samples || !op->pullback || op->info.name == "stop_gradient") continue;
        for (const Sample& sample : op->samples())
            visit(sample, fmt::format("{} ({})", op->info.name, sample.name));
    }
}

}  // namespace

TEST_CASE("every differentiable op has two derivatives where its samples are smooth") {
    Tally tally;
    each_sample([&](const Sample& sample, const std::string& where) {
        if (!sample.differentiable) return;
        INFO(where);
        Derivatives d(sample, 77, false);
        if (d.usable()) d.check(where, true, tally);
    });
    CHECK(tally.first > 2500);
    CHECK(tally.second > 2500);
    CHECK(tally.kinks == 0);
}

TEST_CASE("every differentiable op has its derivatives at zeros, ties and other corners") {
    Tally tally;
    each_sample([&](const Sample& sample, const std::string& where) {
        INFO(where);
        for (const std::uint64_t seed : {5, 6}) {
            Derivatives d(sample, seed, true);
            if (d.usable()) d.check(where, false, tally);
        }
    });
    CHECK(tally.first > 5000);
    CHECK(tally.second > 4000);
    CHECK(tally.kinks > 50);
}

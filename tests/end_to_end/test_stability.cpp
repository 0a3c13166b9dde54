// Every stabilising rule: an expression and inputs for which the formula as written fails in f32,
// by overflow or by cancellation, and the compiled function is right to 4 ulp.
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/end_to_end/stability_cases.h"

using namespace arete;

namespace {

using test::Case;
using test::L;
using test::Numbers;

constexpr double ulps_allowed = 4;

/// Distance from the true value in units of the last place of T; infinite where only one is NaN, or
/// where an infinity is missing or wrong.
template <class T>
double ulps(double got, long double want) {
    using Limits = std::numeric_limits<T>;
    constexpr double wrong = std::numeric_limits<double>::infinity();
    if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : wrong;
    const double rounded = static_cast<double>(static_cast<T>(want));
    if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : wrong;
    int exponent = 0;
    std::frexp(want, &exponent);
    const int last = std::max(exponent, Limits::min_exponent) - Limits::digits;
    return static_cast<double>(std::fabs(static_cast<L>(got) - want) / std::ldexp(1.0L, last));
}

template <class T>
double worst(const Array& got, const Numbers& want) {
    REQUIRE(got.size() == static_cast<std::int64_t>(want.size()));
    double out = 0;
    for (std::size_t i = 0; i < want.size(); ++i)
        out = std::max(out, ulps<T>(got.as_double(static_cast<std::int64_t>(i)), want[i]));
    return out;
}

Numbers wide(const std::vector<float>& v) {
    return {v.begin(), v.end()};
}

}  // namespace

/// The expression of a case for one dtype.
struct Built {
    Built(const Case& c, DType t) {
        const Sizes sizes{1, static_cast<std::int64_t>(c.x.size())};
        const Expr x = tensor(t, 2, "x", sizes), y = tensor(t, 2, "y", sizes);
        e = c.build(x, y);
        inputs = {x};
        values = {Array(c.x, sizes).astype(t)};
        if (c.y.empty()) return;
        inputs.push_back(y);
        values.push_back(Array(c.y, sizes).astype(t));
    }
    Array written() const {
        std::vector<std::pair<Expr, Array>> bindings;
        for (std::size_t k = 0; k < inputs.size(); ++k) bindings.emplace_back(inputs[k], values[k]);
        return reference_eval({&e, 1}, bindings)[0];
    }
    Array compiled() const { return function({.inputs = inputs, .outputs = {e}}).call(values)[0]; }
    Expr e;
    std::vector<Expr> inputs;
    std::vector<Array> values;
};

TEST_CASE("stability: the written form fails in f32, the compiled one is right to 4 ulp") {
    for (const Case& c : test::stability_cases()) {
        CAPTURE(c.written);
        const Built f(c, DType::F32);
        const Numbers want = c.reference(wide(c.x), wide(c.y));
        const Array written = f.written(), compiled = f.compiled();
        CAPTURE(written.str());
        CAPTURE(compiled.str());
        CHECK(!(worst<float>(written, want) <= ulps_allowed));
        CHECK(worst<float>(compiled, want) <= ulps_allowed);

        RewriteLog log;
        const std::vector<Expr> canonical = rewrite({&f.e, 1}, Phase::Canonicalize);
        rewrite(canonical, Phase::Stabilize, &log);
        for (const std::string& rule : c.rules) {
            CAPTURE(rule);
            CAPTURE(log.str());
            bool fired = false;
            for (const RewriteLog::Firing& r : log.firings) fired = fired || r.rule->name == rule;
            CHECK(fired);
        }
    }
}

TEST_CASE("stability: in f64 the compiled form is right to 4 ulp as well") {
    for (const Case& c : test::stability_cases()) {
        CAPTURE(c.written);
        const Array compiled = Built(c, DType::F64).compiled();
        CAPTURE(compiled.str());
        CHECK(worst<double>(compiled, c.reference(wide(c.x), wide(c.y))) <= ulps_allowed);
    }
}

TEST_CASE("stability: every stabilising rule has a case") {
    std::set<std::string> tested;
    for (const Case& c : test::stability_cases()) tested.insert(c.rules.begin(), c.rules.end());
    for (const Rule& r : stabilize_rules()) {
        CAPTURE(r.name);
        CHECK(tested.count(r.name) == 1);
    }
}

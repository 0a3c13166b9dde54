// Gradients, and gradients of gradients, beside values derived by hand: as they are written, and in
// every mode.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>

#include "compiler/fuse/reference.h"
#include "tests/support.h"

namespace arete::test {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double NaN = std::numeric_limits<double>::quiet_NaN();

using X = const Expr&;
using Build = std::function<Expr(X)>;
using Values = std::vector<double>;

struct Case {
    const char* name;
    Build cost;
    Values x;
    Values first;        ///< the gradient of sum(cost)
    Values second = {};  ///< the gradient of the sum of that; empty: not looked at
};

inline bool close(const Array& got, const Values& expected, double tolerance) {
    if (got.size() != static_cast<std::int64_t>(expected.size())) return false;
    for (std::int64_t i = 0; i < got.size(); ++i) {
        const double a = got.as_double(i), b = expected[i];
        if (a == b || (std::isnan(a) && std::isnan(b))) continue;
        if (!(std::fabs(a - b) <= tolerance * (1 + std::fabs(b)))) return false;
    }
    return true;
}

inline void check(const Case& c, DType t, double tolerance) {
    INFO(std::string(c.name), " of ", std::string(name(t)));
    const auto n = static_cast<std::int64_t>(c.x.size());
    const Expr x = tensor(t, 1, "x", {n});
    Array value = Array(c.x).astype(t);
    const Expr first = grad(sum(c.cost(x)), x, {.disconnected_inputs = Disconnected::zero});
    std::vector<Expr> outputs{first};
    if (!c.second.empty())
        outputs.push_back(grad(sum(first), x, {.disconnected_inputs = Disconnected::zero}));
    const std::vector<std::pair<Expr, Array>> binding{{x, value}};
    const auto compare = [&](const std::vector<Array>& got, const char* how) {
        CHECK_MESSAGE(close(got[0], c.first, tolerance), how, ": first is ", got[0].str());
        if (got.size() > 1)
            CHECK_MESSAGE(close(got[1], c.second, tolerance), how, ": second is ", got[1].str());
    };
    compare(reference_eval(outputs, binding), "as written");
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
        Function f = function({.inputs = {x},
                               .outputs = outputs,
                               .on_unused_input = OnUnusedInput::ignore,
                               .mode = mode});
        compare(f.call(std::array{value}), mode == Mode::fast_run       ? "fast_run"
                                           : mode == Mode::fast_compile ? "fast_compile"
                                                                        : "interpret");
    }
}

inline void check_all(std::initializer_list<Case> cases) {
    for (const Case& c : cases) {
        check(c, DType::F64, 1e-12);
        check(c, DType::F32, 1e-5);
    }
}

inline Expr matrix_of(X x) {
    return reshape(x, {2, 2});
}
inline Expr numbers(const Values& values, Sizes sizes = {}) {
    if (sizes.empty()) sizes = {static_cast<std::int64_t>(values.size())};
    return constant(Array(values, sizes));
}
inline Expr bools(const std::vector<int>& values) {
    return constant(Array(values).astype(DType::Bool));
}
inline const double e = std::exp(1.0);

}  // namespace arete::test

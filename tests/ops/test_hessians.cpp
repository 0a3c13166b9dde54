// Hessians are symmetric, whatever the row: which operand is derived by first does not matter. Of
// elementwise rows element by element at all pairs of corners, of every other row as a bilinear
// form at random points and at zeros and ties.
#include <array>
#include <cmath>
#include <limits>

#include "compiler/fuse/reference.h"
#include "compiler/ops/op.h"
#include "tests/support.h"
#include "tests/targets.h"

#include <doctest/doctest.h>

using namespace arete;
using namespace arete::test;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr GradOptions zero{.disconnected_inputs = Disconnected::zero};

bool alike(double a, double b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return a == b || std::fabs(a - b) <= 1e-9 * (1 + std::fabs(a) + std::fabs(b));
}

/// A cost that a row has where it is a sum of what it gives, with weights.
Expr weighted(const Expr& e, double phase) {
    const std::int64_t n = size_of(e.shape()).value();
    Array w(DType::F64, {n});
    for (std::int64_t i = 0; i < n; ++i)
        w.data<double>()[i] = std::cos(phase + static_cast<double>(i));
    return sum(reshape(e, {n}) * constant(w));
}

}  // namespace

TEST_CASE("hessians: mixed derivatives of two operands are equal at all pairs of corners") {
    const double corners[] = {0,    -0.0, 1,     -1,     0.5,      2,         3,    -3,
                              1e-3, 1e10, -1e10, 1e-300, infinite, -infinite, 1e300};
    const auto n = static_cast<std::int64_t>(std::size(corners));
    Array first(DType::F64, {n * n}), second(DType::F64, {n * n});
    for (std::int64_t i = 0; i < n * n; ++i) {
        first.data<double>()[i] = corners[i / n];
        second.data<double>()[i] = corners[i % n];
    }
    const Expr x = vector<double>("x", {n * n}), y = vector<double>("y", {n * n});
    int rows = 0;
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->scalar || !op->pullback || !op->samples || op->arity != 2) continue;
        const std::vector<Expr> both{x, y};
        const Expr e = op->samples()[0].build(both);
        if (e.dtype() != DType::F64) continue;
        INFO(std::string(op->info.name));
        const Expr gx = grad(sum(e), x, zero), gy = grad(sum(e), y, zero);
        const std::vector<Expr> mixed{grad(sum(gx), y, zero), grad(sum(gy), x, zero)};
        const auto got = reference_eval(mixed, {{x, first}, {y, second}});
        for (std::int64_t i = 0; i < n * n; ++i) {
            // x^n has no such derivative at 0^1, and none is asked where x or n is infinite.
            const double u = first.as_double(i), v = second.as_double(i);
            const bool none = (u == 0 && v == 1) || std::isinf(u) || std::isinf(v);
            if (none && op->info.name == std::string_view("pow")) continue;
            // Of an angle it is 1 / h^2, which has overflowed.
            if (op->info.name == std::string_view("atan2") && std::hypot(u, v) < 1e-200) continue;
            const double a = got[0].as_double(i), b = got[1].as_double(i);
            CHECK_MESSAGE(alike(a, b), "at ", u, ", ", v, ": ", a, " and ", b);
        }
        ++rows;
    }
    CHECK(rows > 6);
}

TEST_CASE("hessians: of every row they are symmetric, at random points and at zeros and ties") {
    int compared = 0;
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->pullback || !op->samples) continue;
        for (const Sample& sample : op->samples())
            for (const bool at_corners : {false, true}) {
                INFO(std::string(op->info.name), ": ", sample.name,
                     at_corners ? " at corners" : "");
                Drawn drawn = draw(sample, DType::F64, 31);
                std::vector<Expr> wrt;
                std::vector<std::pair<Expr, Array>> bindings;
                for (std::size_t i = 0; i < drawn.leaves.size(); ++i) {
                    Array& v = drawn.values[i];
                    if (is_float(v.dtype())) wrt.push_back(drawn.leaves[i]);
                    if (is_float(v.dtype()) && at_corners)
                        for (std::int64_t k = 0; k < v.size(); ++k)
                            v.data<double>()[k] = std::array{0.0, 1.0, 2.0, 0.0, -1.0}[k * 7 % 5];
                    bindings.emplace_back(drawn.leaves[i], v);
                }
                const Expr e = sample.build(drawn.leaves);
                if (wrt.empty() || e.dtype() != DType::F64) continue;
                const std::vector<Expr> g = grad(weighted(e, 1), wrt, zero);
                const auto along = [&](const std::vector<Expr>& of, double phase) {
                    Expr total;
                    for (std::size_t k = 0; k < of.size(); ++k) {
                        const Expr part = weighted(of[k], phase + static_cast<double>(k));
                        total = total.empty() ? part : total + part;
                    }
                    return total;
                };
                const Expr uv = along(grad(along(g, 2), wrt, zero), 5),
                           vu = along(grad(along(g, 5), wrt, zero), 2);
                const auto got = reference_eval(std::vector<Expr>{uv, vu}, bindings);
                const double a = got[0].as_double(), b = got[1].as_double();
                if (!std::isfinite(a) && !std::isfinite(b)) continue;
                CHECK_MESSAGE(alike(a, b), a, " and ", b);
                compared += a != 0;
            }
    }
    CHECK(compared > 100);
}

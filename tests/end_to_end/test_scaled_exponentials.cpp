// Formulas with exponentials whose coefficients vary: values, first and second derivatives by both
// variables, beside the very formula in numbers that hold all intermediate results.
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/end_to_end/jet.h"

using namespace arete;
using arete::test::Big;
using arete::test::Jet;

namespace {

struct Written {
    const char* text;
    std::function<Expr(const Expr& x, const Expr& y)> build;
    std::function<Jet(const Jet& x, const Jet& y)> exact;
    /// How large the terms are that cancel in a derivative.
    double terms = 0;
    bool of_zero = false;  ///< also for y = 0
};

#define WRITTEN(formula, ...)                                                                      \
    Written {                                                                                      \
#formula, [](const Expr& x, const Expr& y)                                                 \
                       -> Expr { return formula; }, [](const Jet& x, const Jet& y)                 \
                                                         -> Jet { return formula; } __VA_OPT__(, ) \
                                                             __VA_ARGS__                           \
    }

std::vector<Written> quotients() {
    return {WRITTEN(1 / (y + exp(x)), 1),
            WRITTEN(1 / (y + exp(-x)), 1),
            WRITTEN(1 / (1 + y * exp(x)), 1, true),
            WRITTEN(1 / (y * exp(-x) + 1), 1, true),
            WRITTEN(y / (y + exp(x)), 2e3),
            WRITTEN(exp(x) / (y + exp(x)), 1),
            WRITTEN(y * exp(x) / (1 + y * exp(x)), 2e3),
            WRITTEN((exp(x) - y) / (exp(x) + y), 2e3),
            WRITTEN(x / (y + exp(x)), 1),
            WRITTEN(2 / (y * exp(x) + y * exp(-x)), 1),
            WRITTEN(exp(x) / (exp(x) + y * exp(2 * x) + 1), 1, true),
            WRITTEN(exp(x) / sqr(y + exp(x)), 1),
            WRITTEN(1 / sqr(y + exp(x)), 1),
            WRITTEN(1 / sqrt(1 + y * exp(x)), 1, true),
            WRITTEN(1 / pow(1 + y * exp(x), 3.0), 1, true),
            WRITTEN(exp(x) * (1 / (y + exp(x))), 1),
            WRITTEN(1 / (y + 3 * sqr(exp(x)))),
            WRITTEN(1 - 1 / (1 + y * exp(x)), 1, true)};
}

std::vector<Written> logarithms() {
    return {WRITTEN(log(y + exp(x)), 1),          WRITTEN(log(1 + y * exp(x)), 1, true),
            WRITTEN(log1p(y * exp(x)), 1, true),  WRITTEN(log(2 + y * exp(-x)), 1, true),
            WRITTEN(log(y * exp(x)), 1),          WRITTEN(log(exp(x) / (y + exp(x))), 1),
            WRITTEN(log(exp(-x) + y * exp(x)), 1)};
}

std::vector<Written> exponentials() {
    return {WRITTEN(exp(-y * exp(x))),
            WRITTEN(exp(-(y * exp(-x)))),
            WRITTEN(exp(x - y * exp(x))),
            WRITTEN(y * exp(x) * exp(-y * exp(x))),
            WRITTEN(exp(y * x - exp(x))),
            WRITTEN(1 - exp(-y * exp(x)), 1),
            WRITTEN(-expm1(-y * exp(x)), 1),
            WRITTEN(exp(-y * (exp(x) + exp(-x)))),
            WRITTEN(exp(-0.5 * sqr(y) * exp(-x))),
            WRITTEN(sigmoid(y * exp(x)), 100),
            WRITTEN(tanh(y * exp(x)), 100),
            WRITTEN(1 / (1 + exp(-y * exp(x))), 1)};
}

constexpr double ys[] = {0.5, 1, 3, 0.03, 20, 0};
constexpr double xs[] = {0.25, 1,  3.5, 10,  20,  37,  45,  60,  87,  88.5, 89,
                         95,   99, 105, 150, 300, 360, 700, 712, 750, 1000};

// f and its derivatives by x, y, x twice, x and y, y and x, y twice.
std::array<Big, 7> derivatives(const Written& w, double x, double y) {
    const Jet by_x = w.exact(Jet(x, 1, 0), y), by_y = w.exact(x, Jet(y, 1, 0)),
              by_both = w.exact(Jet(x, 1, 0), Jet(y, 1, 0));
    Big mixed = (by_both.dd - by_x.dd - by_y.dd) / 2;
    // Beyond what these numbers tell.
    if (abs(mixed) < abs(by_both.dd) * Big(0x1p-500)) mixed = Big(HUGE_VAL);
    return {by_x.v, by_x.d, by_y.d, by_x.dd, mixed, mixed, by_y.dd};
}

// A value that is within the range of the dtype has to be right, to what exponents round.
void check(const std::vector<Written>& all) {
    for (const Written& w : all)
        for (const DType t : {DType::F32, DType::F64}) {
            std::vector<double> x, y;
            for (const double v : xs)
                for (const double at : {v, -v})
                    for (const double of : ys) {
                        // What overflows by itself is at most the largest number.
                        if (of == 0 && (!w.of_zero || (v > 85 && v < 95) || v > 600)) continue;
                        x.push_back(t == DType::F32 ? static_cast<float>(at) : at);
                        y.push_back(t == DType::F32 ? static_cast<float>(of) : of);
                    }
            const auto n = static_cast<std::int64_t>(x.size());
            const Expr a = tensor(t, 1, "x", {n}), b = tensor(t, 1, "y", {n});
            const Expr f = w.build(a, b);
            const GradOptions any{.disconnected_inputs = Disconnected::zero};
            const Expr fx = grad(sum(f), a, any), fy = grad(sum(f), b, any);
            const std::vector<Expr> outputs{f,
                                            fx,
                                            fy,
                                            grad(sum(fx), a, any),
                                            grad(sum(fx), b, any),
                                            grad(sum(fy), a, any),
                                            grad(sum(fy), b, any)};
            const auto got = function(
                {.inputs = {a, b}, .outputs = outputs, .on_unused_input = OnUnusedInput::ignore})(
                Array(x).astype(t), Array(y).astype(t));
            const double eps = t == DType::F32 ? 0x1p-24 : 0x1p-53;
            const double tiny = t == DType::F32 ? 0x1p-126 : 0x1p-1022;
            const double most = t == DType::F32 ? 3.3e38 : 1.7e308;
            for (std::size_t i = 0; i < x.size(); ++i) {
                const std::array<Big, 7> want = derivatives(w, x[i], y[i]),
                                         by_x = derivatives(w, x[i] * (1 + eps), y[i]),
                                         by_y = derivatives(w, x[i], y[i] * (1 + eps));
                for (std::size_t k = 0; k < 7; ++k) {
                    const double g = got[k].as_double(static_cast<std::int64_t>(i));
                    const double v = want[k].convert_to<double>();
                    const std::string where =
                        fmt::format("{} of {}, x = {}, y = {}, derivative {}: {} instead of {}",
                                    w.text, name(t), x[i], y[i], k, g, v);
                    if (abs(want[k]) > most) continue;
                    // What an exponent rounds.
                    const double exponent =
                        std::max(std::fabs(x[i]), v == 0 ? 0 : std::fabs(std::log(std::fabs(v))));
                    const Big ill = abs(by_x[k] - want[k]) + abs(by_y[k] - want[k]);
                    const double allowed = 16 * (ill.convert_to<double>() + tiny) +
                                           eps * (64 + 64 * exponent) * std::fabs(v) +
                                           eps * (64 + 4 * std::fabs(x[i])) * w.terms;
                    CHECK_MESSAGE(std::fabs(g - v) <= allowed, where);
                }
            }
        }
}

}  // namespace

TEST_CASE("scaled exponentials: quotients") {
    check(quotients());
}

TEST_CASE("scaled exponentials: logarithms") {
    check(logarithms());
}

TEST_CASE("scaled exponentials: exponentials, and what saturates") {
    check(exponentials());
}

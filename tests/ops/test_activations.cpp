// Activations beside their definitions in long double, and their first two derivatives beside
// values derived by hand, at infinities too.
#include "tests/ops/gradient_cases.h"

using namespace arete;
using namespace arete::test;

namespace {

using Real = long double;

Real normal_cdf(Real x) {
    return std::erfc(-x / std::sqrt(Real(2))) / 2;
}
Real logistic(Real x) {
    return 1 / (1 + std::exp(-x));
}
Real within(Real x, Real low, Real high) {
    return std::min(std::max(x, low), high);
}

struct Definition {
    const char* name;
    Build build;
    Real (*value)(Real);
    Real below, above;  ///< the limits at infinities
};

constexpr Real far = std::numeric_limits<Real>::infinity();
constexpr Real selu_scale = 1.0507009873554804934193349852946L,
               selu_alpha = 1.6732632423543772848170429916717L;

const Definition definitions[] = {
    {"elu", [](X x) { return elu(x); }, [](Real x) { return x > 0 ? x : std::expm1(x); }, -1, far},
    {"elu 0.5", [](X x) { return elu(x, 0.5); },
     [](Real x) { return x > 0 ? x : std::expm1(x) / 2; }, -0.5L, far},
    {"selu", [](X x) { return selu(x); },
     [](Real x) { return selu_scale * (x > 0 ? x : selu_alpha * std::expm1(x)); },
     -selu_scale* selu_alpha, far},
    {"celu 2", [](X x) { return celu(x, 2); },
     [](Real x) { return x > 0 ? x : 2 * std::expm1(x / 2); }, -2, far},
    {"leaky_relu", [](X x) { return leaky_relu(x); }, [](Real x) { return x > 0 ? x : 0.01L * x; },
     -far, far},
    {"prelu", [](X x) { return prelu(x, 0.25); }, [](Real x) { return x > 0 ? x : x / 4; }, -far,
     far},
    {"thresholded_relu", [](X x) { return thresholded_relu(x, 1.5); },
     [](Real x) { return x > 1.5L ? x : 0; }, 0, far},
    {"gelu", [](X x) { return gelu(x); }, [](Real x) { return x * normal_cdf(x); }, 0, far},
    {"gelu by tanh", [](X x) { return gelu(x, Gelu::tanh); },
     [](Real x) { return x * logistic(1.5957691216057307L * (x + 0.044715L * x * x * x)); }, 0,
     far},
    {"silu", [](X x) { return silu(x); }, [](Real x) { return x * logistic(x); }, 0, far},
    {"mish", [](X x) { return mish(x); },
     [](Real x) { return x * std::tanh(std::log1p(std::exp(x))); }, 0, far},
    {"softsign", [](X x) { return softsign(x); }, [](Real x) { return x / (1 + std::fabs(x)); }, -1,
     1},
    {"hard_sigmoid", [](X x) { return hard_sigmoid(x); },
     [](Real x) { return within(0.2L * x + 0.5L, 0, 1); }, 0, 1},
    {"hard_sigmoid of slope 1/4", [](X x) { return hard_sigmoid(x, 0.25); },
     [](Real x) { return within(x / 4 + 0.5L, 0, 1); }, 0, 1},
    {"hard_swish", [](X x) { return hard_swish(x); },
     [](Real x) { return x * within(x / 6 + 0.5L, 0, 1); }, 0, far},
};

}  // namespace

TEST_CASE("activations: values are those of their definitions") {
    Values points{inf, -inf, 0, 1e-6, -1e-6, 1, -1, 0.5, -0.5, 3, -3, 3.5, 12, -12, 35, -35, 50};
    for (int k = -40; k <= 40; ++k) points.push_back(k * 0.17);
    for (const Definition& d : definitions)
        for (const DType t : {DType::F32, DType::F64}) {
            const Expr x = tensor(t, 1, "x", {static_cast<std::int64_t>(points.size())});
            const Array value = Array(points).astype(t);
            const Array got =
                function({.inputs = {x}, .outputs = {d.build(x)}}).call(std::array{value})[0];
            // 32 units in the last place, of what a gate has of its large exponents.
            const Real unit = t == DType::F32 ? 0x1p-24L : 0x1p-53L;
            for (std::int64_t i = 0; i < value.size(); ++i) {
                const Real at = value.as_double(i);
                const Real want = std::isinf(at) ? (at > 0 ? d.above : d.below) : d.value(at);
                const Real found = got.as_double(i);
                const Real size = unit * std::fabs(want) * (std::isinf(at) ? 32 : 32 + 4 * at * at);
                const Real least = t == DType::F32 ? std::numeric_limits<float>::min()
                                                   : std::numeric_limits<double>::min();
                CHECK_MESSAGE((found == want || std::fabs(found - want) <= size + least),
                              std::string(d.name), " of ", std::string(name(t)), " at ", double(at),
                              " is ", double(found), ", expected ", double(want));
            }
        }
}

TEST_CASE("activations: slopes, and slopes of these, are right where a gate is shut or open") {
    const double s = 0.7310585786300049;  // sigmoid(1)
    const double scale = 1.0507009873554805, alpha = 1.6732632423543772;
    check_all({
        {"elu",
         [](X x) { return elu(x); },
         {-inf, -1, 0, 2, inf},
         {0, 1 / e, 1, 1, 1},
         {0, 1 / e, 1, 0, 0}},
        {"selu",
         [](X x) { return selu(x); },
         {-inf, -1, 2},
         {0, scale * alpha / e, scale},
         {0, scale * alpha / e, 0}},
        {"celu", [](X x) { return celu(x, 2); }, {-inf, -2, 2}, {0, 1 / e, 1}, {0, 0.5 / e, 0}},
        {"leaky_relu",
         [](X x) { return leaky_relu(x); },
         {-inf, -1, 0, 2},
         {0.01, 0.01, 0.01, 1},
         {0, 0, 0, 0}},
        {"prelu",
         [](X x) { return prelu(x, 0.25); },
         {-inf, -1, 3, inf},
         {0.25, 0.25, 1, 1},
         {0, 0, 0, 0}},
        {"thresholded_relu",
         [](X x) { return thresholded_relu(x); },
         {-inf, 1, 2},
         {0, 0, 1},
         {0, 0, 0}},
        {"gelu",
         [](X x) { return gelu(x); },
         {-inf, -50, 0, 1, 50, inf},
         {0, 0, 0.5, 1.0833154705876863, 1, 1},
         {0, 0, 0.7978845608028654, 0.24197072451914337, 0, 0}},
        {"gelu by tanh",
         [](X x) { return gelu(x, Gelu::tanh); },
         {-inf, -50, 0, 50, inf},
         {0, 0, 0.5, 1, 1},
         {0, 0, 0.7978845608028654, 0, 0}},
        {"silu",
         [](X x) { return silu(x); },
         {-inf, -900, 0, 1, 900, inf},
         {0, 0, 0.5, s * (2 - s), 1, 1},
         {0, 0, 0.5, s * (1 - s) * (3 - 2 * s), 0, 0}},
        {"mish",
         [](X x) { return mish(x); },
         {-inf, -900, 0, 900, inf},
         {0, 0, 0.6, 1, 1},
         {0, 0, 0.64, 0, 0}},
        {"softsign",
         [](X x) { return softsign(x); },
         {-inf, -1, 0, 3, inf},
         {0, 0.25, 1, 0.0625, 0},
         {0, 0.25, 0, -0.03125, 0}},
        {"hard_sigmoid",
         [](X x) { return hard_sigmoid(x); },
         {-inf, -3, 0, 3, inf},
         {0, 0, 0.2, 0, 0},
         {0, 0, 0, 0, 0}},
        {"hard_swish",
         [](X x) { return hard_swish(x); },
         {-inf, -4, 0, 1, 4, inf},
         {0, 0, 0.5, 5.0 / 6, 1, 1},
         {0, 0, 1.0 / 3, 1.0 / 3, 0, 0}},
    });
}

TEST_CASE("activations: clip and its kin") {
    check_all({
        {"clip",
         [](X x) { return clip(x, -1, 2); },
         {-inf, -1, 0, 2, 3},
         {0, 1, 1, 1, 0},
         {0, 0, 0, 0, 0}},
        {"rsqrt", [](X x) { return rsqrt(x); }, {1, 4, inf}, {-0.5, -0.0625, 0}},
        {"reciprocal", [](X x) { return reciprocal(x); }, {1, -2}, {-1, -0.25}, {2, -0.25}},
        {"copysign",
         [](X x) {
             return copysign(x, Expr(constant(Array(Values{-1.0, 2, -3}).astype(x.dtype()))));
         },
         {2, -3, 0},
         {-1, -1, 0},
         {0, 0, 0}},
        {"fmod", [](X x) { return fmod(x, 3); }, {7, -7}, {1, 1}, {0, 0}},
        {"fmod by the divisor", [](X x) { return fmod(7, x); }, {3, -2}, {-2, 3}, {0, 0}},
    });
    const auto i = vector<std::int32_t>("i");
    const auto x = vector<float>("x");
    const auto f = function(
        {.inputs = {i, x},
         .outputs = {isinf(i), isfinite(i), signbit(i), isinf(x), isfinite(x), clip(i, 0, 5)}});
    const auto got = f.call(std::array{Array(std::vector<std::int32_t>{-3, 0, 7}),
                                       Array(std::vector<float>{-INFINITY, NAN, 1})});
    CHECK(got[0].str() == "bool[3] {false, false, false}");
    CHECK(got[1].str() == "bool[3] {true, true, true}");
    CHECK(got[2].str() == "bool[3] {true, false, false}");
    CHECK(got[3].str() == "bool[3] {true, false, false}");
    CHECK(got[4].str() == "bool[3] {false, false, true}");
    CHECK(got[5].str() == "i32[3] {0, 0, 5}");
}

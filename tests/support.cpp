#include "tests/support.h"

#include <cmath>
#include <limits>

namespace arete::test {

Drawn draw(const Sample& sample, DType t, std::uint64_t seed) {
    Drawn out;
    Generator random(seed);
    for (const SampleInput& in : sample.inputs) {
        DType dtype = in.integer ? DType::I64 : t;
        Array uniform = random.uniform(in.sizes, 0, 1);
        Array value(dtype, in.sizes);
        double low = in.low, high = in.high;
        if (dtype == DType::U8 || dtype == DType::Bool) low = std::max(low, 0.0);
        for (std::int64_t i = 0; i < value.size(); ++i) {
            double u = uniform.as_double(i);
            double v =
                is_float(dtype)
                    ? low + u * (high - low)
                    : std::floor(std::ceil(low) + u * (std::floor(high) - std::ceil(low) + 1));
            visit(dtype, [&](auto tag) {
                using T = decltype(tag);
                value.data<T>()[i] =
                    std::is_same_v<T, bool> ? static_cast<T>(u > 0.5) : static_cast<T>(v);
            });
        }
        out.leaves.push_back(tensor(dtype, static_cast<int>(in.sizes.size()),
                                    fmt::format("x{}", out.leaves.size()), in.sizes));
        out.values.push_back(std::move(value));
    }
    return out;
}

double difference(const Array& got, const Array& expected) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    if (got.dtype() != expected.dtype() || got.shape() != expected.shape()) return infinite;
    double worst = 0;
    for (std::int64_t i = 0; i < got.size(); ++i) {
        double a = got.as_double(i), b = expected.as_double(i);
        if (a == b || (std::isnan(a) && std::isnan(b))) continue;
        double d = std::fabs(a - b) / (1 + std::fabs(b));
        if (std::isnan(d)) return infinite;
        worst = std::max(worst, d);
    }
    return worst;
}

}  // namespace arete::test

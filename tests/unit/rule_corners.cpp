#include "tests/unit/rule_corners.h"

#include <cmath>
#include <limits>
#include <tuple>

namespace arete::test {

namespace {

constexpr std::int64_t rows = 5, columns = 7;

template <class T>
std::vector<T> corners(bool ordinary_range) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) {
        const T eps = Limits::epsilon();
        std::vector<T> out{0,
                           T(-0.0),
                           1,
                           -1,
                           T(0.5),
                           2,
                           T(-3.5),
                           1 + eps,
                           1 - eps / 2,
                           T(16777217),
                           Limits::infinity(),
                           -Limits::infinity(),
                           Limits::quiet_NaN(),
                           T(9007199254740993.0)};
        if (!ordinary_range)
            for (const T v : {Limits::min(), -Limits::min(), Limits::denorm_min(),
                              3 * Limits::denorm_min(), Limits::max(), -Limits::max(),
                              std::sqrt(Limits::max()), std::sqrt(Limits::min())})
                out.push_back(v);
        return out;
    } else if constexpr (std::is_same_v<T, bool>) {
        return {false, true, true, false, true};
    } else {
        std::vector<T> out{0, 1, 2, 3, 7, Limits::max(), Limits::min()};
        out.push_back(static_cast<T>(Limits::max() - 1));
        out.push_back(static_cast<T>(Limits::min() + 1));
        if constexpr (sizeof(T) == 8)
            for (const std::int64_t k : {-1L, 1L << 53, (1L << 53) + 1, -(1L << 53) - 1, 1L << 31})
                out.push_back(static_cast<T>(k));
        return out;
    }
}

}  // namespace

CornerOperands::CornerOperands(DType t, bool ordinary_range) {
    visit(t, [&](auto tag) {
        using T = decltype(tag);
        const std::vector<T> values = corners<T>(ordinary_range);
        const auto array = [&](const Sizes& sizes, std::size_t step, std::size_t from) {
            Array a(t, sizes);
            for (std::int64_t i = 0; i < a.size(); ++i)
                a.data<T>()[i] =
                    values[(from + static_cast<std::size_t>(i) * step) % values.size()];
            return a;
        };
        for (const auto& [sizes, step, from] : {std::tuple{Sizes{rows, columns}, 1u, 0u},
                                                {Sizes{rows, columns}, 3u, 1u},
                                                {Sizes{rows, columns}, 5u, 4u},
                                                {Sizes{1, columns}, 1u, 2u},
                                                {Sizes{columns, rows}, 1u, 0u},
                                                {Sizes{rows, 1}, 3u, 0u},
                                                {Sizes{}, 1u, 0u},
                                                {Sizes{}, 1u, 4u},
                                                {Sizes{}, 1u, 10u},
                                                {Sizes{1, 1}, 1u, 11u}}) {
            const Array value = array(sizes, step, from);
            leaves.push_back(tensor(t, value.rank(), "x", value.shape()));
            bindings.emplace_back(leaves.back(), value);
        }
    });
    for (const double v : {2.0, 0.5, -3.0, -0.25, 1e30, 1e-30, 3e-39, 0.1, -1.0, 8.0})
        if (is_float(t) || (v == std::floor(v) && std::fabs(v) < 100 && (v > 0 || t != DType::U8)))
            leaves.push_back(scalar_constant(t, v));
    if (!is_float(t) && t != DType::Bool)
        for (const std::int64_t v : {std::int64_t{1} << 53, (std::int64_t{1} << 53) + 1,
                                     std::numeric_limits<std::int64_t>::min(),
                                     std::int64_t{std::numeric_limits<std::int32_t>::min()}})
            leaves.push_back(scalar_constant(t, v));
    leaves.push_back(scalar_constant(DType::Bool, 1.0));
    leaves.push_back(vector<bool>("c", {columns}));
    bindings.emplace_back(
        leaves.back(), Array(std::vector<std::int64_t>{1, 0, 1, 1, 0, 0, 1}).astype(DType::Bool));
}

}  // namespace arete::test

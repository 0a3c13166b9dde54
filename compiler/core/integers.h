// Division of integers, rounded as sizes and addresses need it.
#pragma once

#include <cstdint>

namespace arete {

/// The quotient rounded up, for a >= 0 and b > 0: how many pieces of b cover a.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// The quotient rounded down, for b != 0: -1 / 2 is -1.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
    const std::int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

}  // namespace arete

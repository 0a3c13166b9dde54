// Division of integers, rounded as sizes and addresses need it.
#pragma once

#include <cstdint>

namespace arete {

/// The quotient rounded up, for a >= 0 and b > 0: how many pieces of b cover a.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// The quotient rounded down, for b != 0 (and not for the least integer by -1): -1 / 2 is -1.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
    const std::int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

/// The product, or the nearest number of 64 bits where it does not fit.
constexpr std::int64_t saturating_product(std::int64_t a, std::int64_t b) {
    std::int64_t out = 0;
    if (!__builtin_mul_overflow(a, b, &out)) return out;
    return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}
/// The sum, likewise.
constexpr std::int64_t saturating_sum(std::int64_t a, std::int64_t b) {
    std::int64_t out = 0;
    if (!__builtin_add_overflow(a, b, &out)) return out;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

}  // namespace arete

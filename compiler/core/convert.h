// What converting an element to another dtype gives.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "compiler/core/dtype.h"

namespace arete {

/// `v` as a To, alike wherever elements are converted (astype, literals, folding, the interpreter;
/// native code is printed to agree): float to integer truncates towards zero, saturates, and makes
/// NaN 0; an integer wraps to a narrower one; to float rounds to nearest, ties to even; to bool
/// tests for non-zero, which NaN is.
template <Element To, Element From>
To convert(From v) {
    if constexpr (std::is_same_v<To, bool>) {
        return v != From(0);
    } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
        using L = std::numeric_limits<To>;
        if (std::isnan(v)) return 0;
        // The largest integer may round up to a power of two, which is out of range as well.
        if (v <= static_cast<From>(L::min())) return L::min();
        if (v >= static_cast<From>(L::max())) return L::max();
        return static_cast<To>(v);
    } else {
        return static_cast<To>(v);
    }
}

}  // namespace arete

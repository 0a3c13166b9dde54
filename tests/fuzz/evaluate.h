// What a graph is worth: every node of the unrewritten graph by itself, in numbers wider than its
// own, and beside that in its own with rounding at random.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace arete::fuzz {

/// A value is computed this many times at once. Lanes differ in how floats are rounded.
inline constexpr int lanes = 8;
/// Lane 0: long doubles, nothing is rounded and nothing leaves their range. Lanes 1 and 2: the same
/// with relative errors of the dtype's size; in lane 2 decisions see numbers of the dtype. Lane 3:
/// rounded to nearest, as written. The others: rounded at random, sums in other orders, products in
/// sums fused (and not rounded, nor infinite, before); in the last two, zeros that are computed
/// have any sign.
inline constexpr int first_own = 3, nearest = 3, first_fused = 5, first_signed = 6;

using Mask = std::uint8_t;  ///< a bit a lane
inline constexpr Mask wide_lanes = (1 << first_own) - 1, all_lanes = 0xff;

/// A tensor in all lanes.
struct Wide {
    DType dtype = DType::F32;
    Sizes sizes;
    std::vector<long double> f;   ///< floats: element i, lane l at i * lanes + l
    std::vector<std::int64_t> i;  ///< everything else
    /// Lanes in which an element may be anything, since it left even the range of long doubles; and
    /// in which it is no zero but too small for one.
    std::vector<Mask> wild, faint;
    std::vector<char> inexact;  ///< something was rounded on the way

    std::int64_t size() const { return static_cast<std::int64_t>(wild.size()); }
};
/// The same value in all lanes.
Wide widen(const Array& a);

struct Noise {
    std::uint64_t seed = 1;
    double amplitude = 1;  ///< of an operation's error, in units in the last place
    /// Every lane as lane 0, for leaves that differ from lane to lane. Then not even conversions
    /// round: what is computed is a function of real numbers.
    bool exact = false;
    /// The same, but for errors of long doubles' own size in all lanes but the first.
    bool fine = false;
};

/// Values and the lanes in which a run-time check has failed.
struct Evaluation {
    std::vector<Wide> values;
    Mask failed = 0;
};

/// The graph needs more work than a small test should.
struct TooMuchWork : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A leaf and what it is.
using Binding = std::vector<std::pair<Expr, Wide>>;

/// Values of `outputs`. Shared variables not among `leaves` have their present value. Throws a
/// GraphError where sizes that were assumed equal are not.
Evaluation evaluate(std::span<const Expr> outputs, const Binding& leaves, const Noise& noise = {},
                    std::int64_t most_work = 20'000'000);

}  // namespace arete::fuzz

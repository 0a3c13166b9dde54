// Pooling over the last two axes.
#pragma once

#include <array>

#include "compiler/ops/operand.h"

namespace arete {

/// What becomes of a window. Averages are of floats (integers become f32); `average_inc_pad`
/// divides by the elements of the window with those of the padding among them, `average_exc_pad`
/// by those of the image alone.
enum class PoolMode : std::uint8_t { max, sum, average_inc_pad, average_exc_pad };

/// Theano's names and their order.
struct Pool2dOptions {
    bool ignore_border = true;  ///< false: windows that leave the image count with what is inside
    std::array<std::int64_t, 2> stride = {0, 0};  ///< 0: the window's own size
    std::array<std::int64_t, 2> pad = {0, 0};     ///< rows above and below, columns left and right
    PoolMode mode = PoolMode::max;
};

/// One element for each window of ws[0] x ws[1] in the last two axes, of which there are
/// floor((h + 2 * pad - ws) / stride) + 1 along an axis of h, and none where that is not positive.
/// Without `ignore_border` they are as many as begin inside of the image, or, where they overlap,
/// as many as are needed to cover it (none where it is smaller than a window). The maximum takes no
/// notice of padding, and at ties the first (in row-major order) gets the gradient. Any dtype. A
/// GraphError says which option is out of range; as in Theano, padding is less than a window and
/// goes with `ignore_border`.
Expr pool2d(const Operand& x, std::array<std::int64_t, 2> ws, const Pool2dOptions& options = {});

/// The attribute pool of what has to do with pooling: height and width of a window.
inline const Ints& pool_of(const Attrs& attrs) {
    return attrs.get<Ints>("pool");
}

}  // namespace arete

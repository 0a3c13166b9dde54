// Convolution and pooling over the last two axes.
#pragma once

#include <array>

#include "compiler/ops/operand.h"

namespace arete {

struct Conv2dOptions {
    bool filter_flip = true;  ///< a true convolution, as in Theano; false: cross-correlation
};

/// x[n,ci,h,w] with the filters w[co,ci,kh,kw], where the filter lies wholly inside ('valid') and
/// moves by 1: [n, co, h - kh + 1, w - kw + 1]. Floats of one dtype (integers become f32). A
/// GraphError names the shapes where channels differ or the image is smaller than the filter.
Expr conv2d(const Operand& x, const Operand& w, const Conv2dOptions& options = {});
/// Zeros around the last two axes: `rows` above and below, `columns` left and right.
Expr pad2d(const Operand& x, std::int64_t rows, std::int64_t columns);
/// Largest element of each window of pool[0] x pool[1] in the last two axes. Windows do not
/// overlap, and what is beyond the last whole one is ignored. At ties the first (in row-major
/// order) gets the gradient. Any dtype.
Expr pool2d(const Operand& x, std::array<std::int64_t, 2> pool);

}  // namespace arete

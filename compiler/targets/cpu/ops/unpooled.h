// Gradients of a convolution whose result was max-pooled. All elements of the gradient that reaches
// it but one a window are zero: the products here have no term for those.
#pragma once

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

struct Sliding;

/// Of y = conv2d(x, w), with steps and dilations of 1, and its gradient
/// unpool2d(places, g) for windows of `pool` that do not overlap: the filters' gradient, of shape
/// w. `places` and g are [n,co,ph,pw], x is [n,ci,h,w]. Multiplies pool[0] * pool[1] times less
/// than conv2d_grad_weights, and reads x with its channels last, where a filter's row is one run.
Expr unpooled_grad_weights(const Operand& x, const Operand& places, const Operand& g,
                           const Ints& pool, const Sliding& sliding, const Shape& filter);

/// The images' gradient of the same, for images of height and width `image`. Each window sends one
/// patch of (kh + pool[0] - 1) x (kw + pool[1] - 1) pixels to the image, the sum over co of g times
/// the filter, moved to the place that the maximum had: a product of
/// kh * kw * pool[0] * pool[1] / ((kh + pool[0] - 1) * (kw + pool[1] - 1)) times fewer
/// multiplications than that of columns.h, and as many times fewer sums of overlapping elements.
Expr unpooled_grad_input(const Operand& w, const Operand& places, const Operand& g,
                         const Ints& pool, const Sliding& sliding, const Shape& image);

std::span<const OpDef* const> unpooled_ops();

}  // namespace arete

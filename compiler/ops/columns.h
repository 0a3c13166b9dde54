// The data gradient of a convolution as a product and shifted sums: no arithmetic on padding, nor
// on the zeros that a step would put between the gradient's elements.
#pragma once

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

struct Sliding;

/// The gradient of conv2d(x, w) with respect to x, whose last two sizes are `image`, from w and the
/// gradient g of the result (sliding.h says which axes they have). For steps of 1 these are the
/// values of conv2d of the padded g (which is how the gradient is first written), in
/// h*w / (oh*ow) times fewer multiplications, at the price of an intermediate of n*c*kh*kw*oh*ow
/// elements. Rewrites choose it where the padding is a large part of the work.
Expr conv2d_grad_input_by_columns(const Operand& w, const Operand& g, const Sliding& sliding,
                                  const Shape& image);

std::span<const OpDef* const> columns_ops();

}  // namespace arete

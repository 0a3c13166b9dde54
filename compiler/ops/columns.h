// The data gradient of a convolution as a product and shifted sums: no arithmetic on padding.
#pragma once

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// The gradient of conv2d(x, w) with respect to x[n,ci,h,w] from w[co,ci,kh,kw] and the gradient
/// g[n,co,h-kh+1,w-kw+1] of the result. The same values as conv2d of the padded g (which is how the
/// gradient is first written), in h*w / ((h-kh+1)*(w-kw+1)) times fewer multiplications, at the
/// price of an intermediate of n*ci*kh*kw*(h-kh+1)*(w-kw+1) elements. Rewrites choose it where the
/// padding is a large part of the work. `filter_flip` is the convolution's.
Expr conv2d_grad_input_by_columns(const Operand& w, const Operand& g, bool filter_flip);

std::span<const OpDef* const> columns_ops();

}  // namespace arete

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

/// How one axis of a filter met one axis of images: axis `taps` of the columns counts the former's
/// taps, axis `places` where it stood. What is left has the pixels where the places were.
struct Taps {
    std::size_t taps, places;
    bool flip;
    std::int64_t step, dilation;

    static Taps of(const Attrs& attrs);
    Attrs attrs(const Dim& pixels) const;
    /// The places' axis once that of the taps is gone.
    std::size_t pixels() const { return places - (taps < places ? 1 : 0); }
    loops::Index stored(const loops::Index& tap, std::int64_t count) const {
        return flip ? loops::Index(count - 1) - tap : tap;
    }
};

/// The columns summed up along `taps` where they meet the same of so many pixels. Pixel
/// i = q * step + r is at [q, r]: two axes instead of one, and a last q may be beyond the end. For
/// filters that are not dilated.
Expr add_taps(const Operand& columns, const Taps& taps, const Dim& pixels);

std::span<const OpDef* const> columns_ops();

}  // namespace arete

// How filters move over images: what the rows of convolution and of its gradients share.
#pragma once

#include "compiler/ops/rows.h"

namespace arete {

/// The attributes of a convolution that moves a filter inside an image. Axis k is 0 for rows and 1
/// for columns. Images are [n,c,h,w] and filters [co,ci,kh,kw]; with groups both have the group as
/// an axis of its own, [n,g,c,h,w] and [g,co,ci,kh,kw], so that addresses have no quotients.
struct Sliding {
    bool flip = true;  ///< the filter is read backwards: a true convolution
    Ints step{1, 1};
    Ints dilation{1, 1};

    static Sliding of(const Attrs& attrs);
    /// Only what is not 1 becomes an attribute, so that usual convolutions stay short in dumps.
    Attrs attrs() const;
    bool steps() const { return step != Ints{1, 1}; }

    /// Pixels that a filter of so many taps spans.
    Dim span(const Dim& taps, std::size_t k) const;
    /// Positions of the filter inside an image.
    Dim places(const Dim& image, const Dim& taps, std::size_t k) const;
    /// The pixel that `tap` meets at `place`.
    loops::Index pixel(const loops::Index& place, const loops::Index& tap, std::size_t k) const {
        return place * step[k] + tap * dilation[k];
    }
    /// Where the filter stores the tap.
    loops::Index stored(const loops::Index& tap, std::int64_t taps) const {
        return flip ? loops::Index(taps - 1) - tap : tap;
    }
};

/// Size of the k-th of the last two axes.
template <class List>
const auto& last_two(const List& sizes, std::size_t k) {
    return sizes[sizes.size() - 2 + k];
}

/// The channels of images; how many of one group where there are groups.
const Dim& channels(const Shape& s);

/// A GraphError unless both inputs have rank 4, or 5 with groups, and are floats of one dtype.
void require_images(const InferArgs& a);

/// A shape with attr pad: rows above and below, and columns left and right.
Shape padded_shape(Shape shape, const Shape& pad);
/// x with that many zeros around it.
Expr padded(const Expr& x, const Shape& pad, Loc loc);

/// With filters' axes (co, ci), or (g, co, ci), in the other order: the filters of the gradient.
Expr swap_channels(const Expr& w, Loc loc = {});
/// The order that `swap_channels` gives to dimshuffle.
Ints swapped_order(int rank);

/// Gradient of conv2d(x, w) with respect to filters of shape `filter`, from the images and the
/// gradient g of the result.
Expr filter_gradient(const Expr& x, const Expr& g, const Sliding& s, const Shape& filter);

/// Gradient with respect to images of the shape `image`, around which the convolution had attr pad,
/// where the filter steps.
Expr conv2d_grad_input(const Expr& w, const Expr& g, const Sliding& s, const Shape& image,
                       const Shape& pad);
extern const OpDef conv2d_grad_input_op;

}  // namespace arete

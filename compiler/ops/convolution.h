// Convolution over the last two axes, and padding.
#pragma once

#include <array>

#include "compiler/ops/operand.h"
#include "compiler/ops/pooling.h"

namespace arete {

/// What is added before and after the elements of an axis.
struct Sides {
    std::int64_t before = 0, after = 0;
};

enum class Border : std::uint8_t {
    valid,  ///< nothing: the filter lies wholly inside the image
    full,   ///< the filter's size less 1 on each side: wherever it overlaps the image at all
    half,   ///< half the filter's size on each side: odd filters with step 1 keep the image's size
};

/// Zeros around the images of a convolution: `Border::half`, `2` (all four sides), `{1, 2}` (rows
/// above and below, columns left and right), or `{{0, 1}, {2, 3}}` (above and below; left and
/// right). Where a filter is dilated, `full` and `half` mean the size that it spans.
struct BorderMode {
    BorderMode(Border border = Border::valid) : border(border) {}
    BorderMode(std::int64_t all) : BorderMode(all, all) {}
    BorderMode(int all) : BorderMode(std::int64_t{all}) {}
    BorderMode(std::int64_t rows, std::int64_t columns)
        : BorderMode(Sides{rows, rows}, Sides{columns, columns}) {}
    BorderMode(Sides rows, Sides columns) : rows(rows), columns(columns) {}

    Border border = Border::valid;  ///< beside which rows and columns are 0
    Sides rows, columns;
};

/// Theano's names and their order.
struct Conv2dOptions {
    BorderMode border_mode;
    std::array<std::int64_t, 2> subsample = {1, 1};  ///< the filter's step along rows and columns
    bool filter_flip = true;  ///< a true convolution; false: cross-correlation
    std::array<std::int64_t, 2> filter_dilation = {1, 1};  ///< distance of neighbouring taps
    std::int64_t num_groups = 1;  ///< channels and filters are cut into as many independent parts
};

/// x[n,c,h,w] with the filters w[co,c/num_groups,kh,kw]: [n,co,oh,ow] with
/// oh = floor((h + padding - (kh - 1) * dilation - 1) / subsample) + 1 and ow likewise. Floats of
/// one dtype (integers become f32). Derivable any number of times in both operands. A GraphError
/// names the shapes where channels do not fit, where channels or filters cannot be divided into the
/// groups, where the padded image is smaller than the filter, and where an option is out of range.
Expr conv2d(const Operand& x, const Operand& w, const Conv2dOptions& options = {});
/// Zeros around the last two axes: `rows` above and below, `columns` left and right. Any dtype.
Expr pad2d(const Operand& x, std::int64_t rows, std::int64_t columns);
Expr pad2d(const Operand& x, Sides rows, Sides columns);

}  // namespace arete

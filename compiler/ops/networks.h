// What layers of networks are made of: normalisations, attention, recurrent cells.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "compiler/ops/convolution.h"
#include "compiler/ops/operand.h"
#include "compiler/ops/reduction.h"

namespace arete {

/// A factor and a summand, or neither.
using Affine = std::optional<std::pair<Operand, Operand>>;

/// (x - mean) / sqrt(variance + epsilon) over the last `axes` axes, then times the factor plus the
/// summand, which have the shape of these axes: Ba, Kiros and Hinton (2016).
Expr layer_norm(const Operand& x, const Affine& affine = {}, int axes = 1, double epsilon = 1e-5);
/// x / sqrt(mean(x^2) + epsilon) over the last axis, times the factor if there is one: Zhang and
/// Sennrich (2019).
Expr rms_norm(const Operand& x, const std::optional<Operand>& factor = {}, double epsilon = 1e-5);

struct BatchNorm {
    Expr output;
    Expr mean, variance;  ///< of each channel in this batch; the variance divides by the number
};
/// Of x[n,c,...], by the mean and variance of each channel in the batch: Ioffe and Szegedy (2015).
/// Factor and summand are vectors of c.
BatchNorm batch_norm(const Operand& x, const Affine& affine = {}, double epsilon = 1e-5);
/// The same by a mean and variance that are given, vectors of c: as networks are used after
/// training.
Expr batch_norm_inference(const Operand& x, const Operand& mean, const Operand& variance,
                          const Affine& affine = {}, double epsilon = 1e-5);
/// Of x[n,c,...], by the mean and variance of each of `groups` groups of channels: Wu and He
/// (2018).
Expr group_norm(const Operand& x, std::int64_t groups, const Affine& affine = {},
                double epsilon = 1e-5);
/// By the mean and variance of each channel of each image: Ulyanov, Vedaldi and Lempitsky (2016).
Expr instance_norm(const Operand& x, const Affine& affine = {}, double epsilon = 1e-5);
/// Of x[n,c,...]: x / (k + alpha / size * s)^beta, s the sum of squares of `size` neighbouring
/// channels. ONNX's LRN.
Expr local_response_norm(const Operand& x, std::int64_t size, double alpha = 1e-4,
                         double beta = 0.75, double k = 1);

struct AttentionOptions {
    bool causal = false;          ///< position i sees those up to i + (keys - queries)
    std::optional<Operand> mask;  ///< bool: what may be seen; float: added to the scores
    std::optional<double> scale;  ///< of the scores; 1 / sqrt(d) if not said
};
/// softmax(scale * q k') v for q[...,h,n,d], k[...,g,m,d], v[...,g,m,e]: [...,h,n,e]. Where h is a
/// multiple of g, as many heads share each of k's and v's. The mask is broadcast to [...,h,n,m]. A
/// query that sees nothing gives 0.
Expr attention(const Operand& q, const Operand& k, const Operand& v,
               const AttentionOptions& options = {});

/// x[...,n,d] turned by angles[n,d/2] in planes: of x's first and second half, or, `interleaved`,
/// of neighbouring elements. Su and others (2021).
Expr rotary_embedding(const Operand& x, const Operand& angles, bool interleaved = false);

/// One step of a long short-term memory, Hochreiter and Schmidhuber (1997), with gates in PyTorch's
/// order: input, forget, cell, output. x[n,i], h[n,s], c[n,s], w[4s,i], u[4s,s], b[4s]. New h and
/// c.
std::pair<Expr, Expr> lstm_cell(const Operand& x, const Operand& h, const Operand& c,
                                const Operand& w, const Operand& u, const Operand& b);
/// One step of a gated recurrent unit, Cho and others (2014), with gates in PyTorch's order: reset,
/// update, new; the reset gate is applied behind the product. x[n,i], h[n,s], w[3s,i], u[3s,s],
/// b[3s] beside w, d[3s] beside u. New h.
Expr gru_cell(const Operand& x, const Operand& h, const Operand& w, const Operand& u,
              const Operand& b, const Operand& d);

struct Conv1dOptions {
    BorderMode border_mode;  ///< of which the columns count
    std::int64_t subsample = 1;
    bool filter_flip = true;
    std::int64_t filter_dilation = 1;
    std::int64_t num_groups = 1;
};
/// x[n,c,l] with the filters w[co,c/num_groups,k], as conv2d.
Expr conv1d(const Operand& x, const Operand& w, const Conv1dOptions& options = {});
struct Pool1dOptions {
    bool ignore_border = true;
    std::int64_t stride = 0;  ///< 0: the window's own size
    std::int64_t pad = 0;
    PoolMode mode = PoolMode::max;
};
/// Windows of ws elements along the last axis, as pool2d.
Expr pool1d(const Operand& x, std::int64_t ws, const Pool1dOptions& options = {});

}  // namespace arete

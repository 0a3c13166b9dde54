// Functions of other ops: the compiler sees no more than these, and fuses them.
#include "compiler/ops/networks.h"

#include <algorithm>
#include <cmath>

#include "compiler/ops/activations.h"
#include "compiler/ops/checks.h"
#include "compiler/ops/elementary.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rearrange.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/softmax.h"
#include "compiler/ops/tensordot.h"

namespace arete {

namespace {

// Expressions written on one line of the user's.
class Writing {
  public:
    Writing(const Operand& x, std::string_view op, int least_rank)
        : loc(x.loc), op_(op), x(x.expr()) {
        if (!is_float(x.expr().dtype())) this->x = cast(x, DType::F32);
        if (this->x.rank() < least_rank)
            fail<GraphError>(loc, "{}: needs {} axes: {}", op, least_rank, describe(x.expr()));
    }

    Operand operator()(const Expr& e) const { return at(e, loc); }

    // A vector of the channels, beside x.
    Expr of_channels(const Operand& v) const {
        const Expr e = v.beside(x.dtype(), op_);
        if (e.rank() != 1 || differ(e.shape()[0], x.shape()[1]))
            fail<GraphError>(loc, "{}: needs a number for each channel: {}, {}", op_,
                             describe(e, "the argument"), describe(x));
        Shape shape(static_cast<std::size_t>(x.rank()) - 1, 1);
        shape[0] = x.shape()[1];
        return reshape((*this)(e), shape);
    }

    Expr scaled(const Expr& y, const Affine& affine) const {
        if (!affine) return y;
        const Expr product = (*this)(y) * (*this)(of_channels(affine->first));
        return (*this)(product) + (*this)(of_channels(affine->second));
    }

    Expr normalised(const Expr& e, const Expr& mean, const Expr& variance, double epsilon) const {
        const Expr far = (*this)(e) - (*this)(mean);
        return (*this)(far) * (*this)(rsqrt((*this)((*this)(variance) + epsilon)));
    }

    Expr normalised(const Expr& e, const Axes& axes, double epsilon) const {
        return normalised(e, mean((*this)(e), axes, true), var((*this)(e), axes, true), epsilon);
    }

    Loc loc;

  private:
    std::string_view op_;

  public:
    Expr x;
};

Ints axes_from(int first, int rank) {
    Ints out;
    for (int k = first; k < rank; ++k) out.push_back(k);
    return out;
}

}  // namespace

Expr layer_norm(const Operand& operand, const Affine& affine, int axes, double epsilon) {
    const Writing on(operand, "layer_norm", std::max(1, axes));
    const Expr y = on.normalised(on.x, axes_from(on.x.rank() - axes, on.x.rank()), epsilon);
    if (!affine) return y;
    const Expr product = on(y) * on(affine->first.beside(y.dtype(), "layer_norm"));
    return on(product) + on(affine->second.beside(y.dtype(), "layer_norm"));
}

Expr rms_norm(const Operand& operand, const std::optional<Operand>& factor, double epsilon) {
    const Writing on(operand, "rms_norm", 1);
    const Expr size = mean(on(sqr(on(on.x))), -1, true);
    const Expr y = on(on.x) * on(rsqrt(on(on(size) + epsilon)));
    return factor ? on(y) * on(factor->beside(y.dtype(), "rms_norm")) : y;
}

BatchNorm batch_norm(const Operand& operand, const Affine& affine, double epsilon) {
    const Writing on(operand, "batch_norm", 2);
    Ints axes = axes_from(2, on.x.rank());
    axes.insert(axes.begin(), 0);
    const Expr m = mean(on(on.x), axes, true), v = var(on(on.x), axes, true);
    const Shape channels{on.x.shape()[1]};
    return {on.scaled(on.normalised(on.x, m, v, epsilon), affine), reshape(on(m), channels),
            reshape(on(v), channels)};
}

Expr batch_norm_inference(const Operand& operand, const Operand& mean, const Operand& variance,
                          const Affine& affine, double epsilon) {
    const Writing on(operand, "batch_norm", 2);
    return on.scaled(on.normalised(on.x, on.of_channels(mean), on.of_channels(variance), epsilon),
                     affine);
}

Expr group_norm(const Operand& operand, std::int64_t groups, const Affine& affine, double epsilon) {
    const Writing on(operand, "group_norm", 2);
    const Shape& shape = on.x.shape();
    if (groups < 1 || (shape[1].is_const() && shape[1].value() % groups != 0))
        fail<GraphError>(on.loc, "group_norm: {} groups of the channels of {}", groups,
                         describe(on.x));
    Shape apart{shape[0], Dim(groups), floordiv(shape[1], Dim(groups))};
    apart.insert(apart.end(), shape.begin() + 2, shape.end());
    const Expr cut = reshape(on(on.x), apart);
    const Expr y = on.normalised(cut, axes_from(2, cut.rank()), epsilon);
    return on.scaled(reshape(on(y), shape), affine);
}

Expr instance_norm(const Operand& operand, const Affine& affine, double epsilon) {
    const Writing on(operand, "instance_norm", 3);
    return on.scaled(on.normalised(on.x, axes_from(2, on.x.rank()), epsilon), affine);
}

Expr local_response_norm(const Operand& operand, std::int64_t size, double alpha, double beta,
                         double k) {
    const Writing on(operand, "local_response_norm", 2);
    if (size < 1) fail<GraphError>(on.loc, "local_response_norm: size {}", size);
    std::vector<std::pair<std::int64_t, std::int64_t>> around(
        static_cast<std::size_t>(on.x.rank()));
    around[1] = {(size - 1) / 2, size / 2};
    const Expr squares = pad(on(sqr(on(on.x))), around);
    Expr total;
    for (std::int64_t c = 0; c < size; ++c) {
        Shape starts(on.x.shape().size(), 0);
        starts[1] = c;
        const Expr one =
            slice_window(squares, starts, Ints(on.x.shape().size(), 1), on.x.shape(), on.loc);
        total = total.empty() ? one : on(total) + on(one);
    }
    const Expr base = on(on(total) * (alpha / static_cast<double>(size))) + k;
    return on(on.x) * on(pow(on(base), -beta));
}

Expr attention(const Operand& query, const Operand& key, const Operand& value,
               const AttentionOptions& options) {
    const Writing on(query, "attention", 2);
    const Expr q = on.x, k = key.beside(q.dtype(), "attention"),
               v = value.beside(q.dtype(), "attention");
    const auto axis = [](const Expr& e, int from_end) {
        return e.shape()[e.shape().size() - static_cast<std::size_t>(from_end)];
    };
    bool fits = k.rank() == q.rank() && v.rank() == q.rank();
    fits = fits && !differ(axis(q, 1), axis(k, 1)) && !differ(axis(k, 2), axis(v, 2));
    std::int64_t shared = 1;  // heads that share a key
    // Numbers of heads that are not known must turn out equal.
    if (fits && q.rank() > 2 && axis(q, 3).is_const() && axis(k, 3).is_const()) {
        const std::int64_t h = axis(q, 3).value(), g = axis(k, 3).value();
        fits = !differ(axis(k, 3), axis(v, 3)) && (h == g || (g > 0 && h % g == 0));
        if (fits && h != g) shared = h / g;
    }
    if (!fits)
        fail<GraphError>(on.loc, "attention: shapes do not fit: {}, {}, {}", describe(q, "q"),
                         describe(k, "k"), describe(v, "v"));
    const auto repeated = [&](const Expr& e) {
        return shared == 1 ? e : repeat(on(e), shared, e.rank() - 3);
    };
    double scale = 0;
    Expr by;
    if (options.scale) {
        scale = *options.scale;
        by = scalar_constant(q.dtype(), scale, on.loc);
    } else {
        const Expr d = q.shape(-1, on.loc.file, on.loc.line);
        by = rsqrt(on(cast(on(d), q.dtype())));
    }
    const Expr scores = on(matmul(on(q), on(swapaxes(on(repeated(k)), -1, -2)))) * on(by);
    Expr seen;  // what may be
    const auto also = [&](const Expr& e) {
        seen = seen.empty() ? e : static_cast<Expr>(on(seen) && on(e));
    };
    if (options.causal) {
        const Expr rows = expand_dims(on(count_up(axis(q, 2), on.loc)), 1),
                   columns = expand_dims(on(count_up(axis(k, 2), on.loc)), 0);
        const Expr ahead =
            on(k.shape(-2, on.loc.file, on.loc.line)) - on(q.shape(-2, on.loc.file, on.loc.line));
        also(on(columns) <= on(on(rows) + on(ahead)));
    }
    Expr biased = scores;
    if (options.mask) {
        const Expr m = options.mask->expr();
        const auto both = broadcast_shapes(m.shape(), scores.shape());
        if (!both || both->size() != scores.shape().size())
            fail<GraphError>(on.loc, "attention: {} for scores {}", describe(m, "the mask"),
                             to_string(scores.shape()));
        if (m.dtype() == DType::Bool)
            also(m);
        else
            biased = on(scores) + on(cast(*options.mask, q.dtype()));
    }
    if (!seen.empty())
        biased = where(on(seen), on(biased), -std::numeric_limits<double>::infinity());
    Expr weights = softmax(on(biased), -1);
    if (!seen.empty()) weights = where(on(seen), on(weights), 0);
    return matmul(on(weights), on(repeated(v)));
}

Expr rotary_embedding(const Operand& operand, const Operand& angles, bool interleaved) {
    const Writing on(operand, "rotary_embedding", 2);
    const Expr x = on.x, a = angles.beside(x.dtype(), "rotary_embedding");
    const Dim& d = x.shape().back();
    if (!d.is_const() || d.value() % 2 != 0 || a.rank() != 2 ||
        differ(a.shape()[1], Dim(d.value() / 2)) ||
        differ(a.shape()[0], x.shape()[x.shape().size() - 2]))
        fail<GraphError>(on.loc,
                         "rotary_embedding: needs an angle for each position and each pair of an "
                         "even last axis: {}, {}",
                         describe(x), describe(a, "the angles"));
    const Dim half(d.value() / 2);
    Shape planes(x.shape().begin(), x.shape().end() - 1);
    planes.push_back(interleaved ? half : Dim(2));
    planes.push_back(interleaved ? Dim(2) : half);
    const Expr cut = reshape(on(x), planes);
    const int across = interleaved ? -1 : -2;
    const auto part = [&](std::int64_t k) {
        const auto along = static_cast<std::size_t>(cut.rank() + across);
        Shape starts(planes.size(), 0), sizes = planes;
        starts[along] = k;
        sizes[along] = 1;
        const Expr one = slice_window(cut, starts, Ints(planes.size(), 1), sizes, on.loc);
        sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(along));
        return reshape(on(one), sizes);
    };
    const Expr u = part(0), v = part(1), c = cos(on(a)), s = sin(on(a));
    const Expr first = on(on(u) * on(c)) - on(on(v) * on(s)),
               second = on(on(u) * on(s)) + on(on(v) * on(c));
    return reshape(on(stack({on(first), on(second)}, across)), x.shape());
}

namespace {

// Gate k of as many columns as the state has.
Expr gate(const Writing& on, const Expr& all, std::int64_t k, const Expr& state) {
    const Dim size = state.shape()[1];
    return slice_window(all, {0, size * Dim(k)}, {1, 1}, {all.shape()[0], size}, on.loc);
}

Expr affine_of(const Writing& on, const Operand& x, const Operand& w, const Operand& b,
               const Expr& state, std::int64_t gates, std::string_view op) {
    const Expr m = w.expr(), v = b.expr();
    const auto all = [&](const Dim& n) {
        return state.rank() == 2 && state.shape()[1].is_const() && n.is_const() &&
               n.value() != gates * state.shape()[1].value();
    };
    if (state.rank() != 2 || m.rank() != 2 || v.rank() != 1 || all(m.shape()[0]) ||
        all(v.shape()[0]))
        fail<GraphError>(on.loc, "{}: weights of {} gates: {}, {}, {}", op, gates,
                         describe(state, "the state"), describe(m, "the weights"),
                         describe(v, "the biases"));
    return on(dot(x, on(transpose(on(m))))) + on(v);
}

}  // namespace

std::pair<Expr, Expr> lstm_cell(const Operand& x, const Operand& h, const Operand& c,
                                const Operand& w, const Operand& u, const Operand& b) {
    const Writing on(x, "lstm_cell", 2);
    const Expr state = c.expr();
    const Expr input = affine_of(on, x, w, b, state, 4, "lstm_cell");
    const Expr all = on(input) + on(dot(h, on(transpose(on(u.expr())))));
    const Expr i = sigmoid(on(gate(on, all, 0, state))), f = sigmoid(on(gate(on, all, 1, state))),
               g = tanh(on(gate(on, all, 2, state))), o = sigmoid(on(gate(on, all, 3, state)));
    const Expr next = on(on(f) * on(state)) + on(on(i) * on(g));
    return {on(o) * on(tanh(on(next))), next};
}

Expr gru_cell(const Operand& x, const Operand& h, const Operand& w, const Operand& u,
              const Operand& b, const Operand& d) {
    const Writing on(x, "gru_cell", 2);
    const Expr state = h.expr();
    const Expr a = affine_of(on, x, w, b, state, 3, "gru_cell"),
               e = affine_of(on, h, u, d, state, 3, "gru_cell");
    const auto sum_of = [&](std::int64_t k) {
        return on(gate(on, a, k, state)) + on(gate(on, e, k, state));
    };
    const Expr r = sigmoid(on(sum_of(0))), z = sigmoid(on(sum_of(1)));
    const Expr n = tanh(on(on(gate(on, a, 2, state)) + on(on(r) * on(gate(on, e, 2, state)))));
    return on(n) + on(on(z) * on(on(state) - on(n)));
}

Expr conv1d(const Operand& x, const Operand& w, const Conv1dOptions& options) {
    const Writing on(x, "conv1d", 0);
    const Expr filters = w.expr();
    if (on.x.rank() != 3 || filters.rank() != 3)
        fail<GraphError>(on.loc, "conv1d: needs x[n,c,l] and w[co,c,k]: {}, {}", describe(on.x),
                         describe(filters, "the filters"));
    BorderMode border = options.border_mode;
    if (border.border != Border::valid) {
        // Of the one row there is nothing above and below.
        const Dim span = Dim(options.filter_dilation) * (filters.shape()[2] - Dim(1));
        if (!span.is_const())
            fail<GraphError>(on.loc, "conv1d: the filters' size must be known: {}",
                             describe(filters, "the filters"));
        const std::int64_t side =
            border.border == Border::full ? span.value() : (span.value() + 1) / 2;
        border = BorderMode(Sides{0, 0}, Sides{side, side});
    }
    border.rows = {0, 0};
    const Expr y = conv2d(on(expand_dims(on(on.x), 2)), on(expand_dims(on(filters), 2)),
                          {.border_mode = border,
                           .subsample = {1, options.subsample},
                           .filter_flip = options.filter_flip,
                           .filter_dilation = {1, options.filter_dilation},
                           .num_groups = options.num_groups});
    return squeeze(on(y), {2});
}

Expr pool1d(const Operand& operand, std::int64_t ws, const Pool1dOptions& options) {
    const Expr x = operand.expr();
    if (x.rank() < 1) fail<GraphError>(operand.loc, "pool1d: needs an axis: {}", describe(x));
    const auto on = [&](const Expr& e) { return at(e, operand.loc); };
    const Expr y = pool2d(on(expand_dims(operand, -2)), {1, ws},
                          {.ignore_border = options.ignore_border,
                           .stride = {1, options.stride},
                           .pad = {0, options.pad},
                           .mode = options.mode});
    return squeeze(on(y), {-2});
}

}  // namespace arete

// Rows that expand into elementwise ops and reductions before fusion; until then their gradients
// stay short, and rewrites see log(softmax(x)) for what it is.
#include "compiler/ops/softmax.h"

#include <algorithm>
#include <array>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

extern const OpDef softmax_op, softmax_grad_op, log_softmax_op, logsumexp_op, logsumexp_of_op;

namespace {

int axis_of(const Node& node) {
    return static_cast<int>(node.attrs.get<std::int64_t>("axis"));
}

bool may_agree(const Dim& a, const Dim& b) {
    return !differ(a, b);
}

std::vector<TensorType> infer_softmax(const InferArgs& a) {
    if (!is_float(a.type(0).dtype)) a.error("needs a float: " + a.describe(0));
    for (std::size_t i = 1; i < a.inputs.size(); ++i)
        if (a.type(i).dtype != a.type(0).dtype ||
            !std::equal(a.type(i).shape.begin(), a.type(i).shape.end(), a.type(0).shape.begin(),
                        a.type(0).shape.end(), may_agree))
            a.error(fmt::format("types differ: {}, {}", a.describe(0), a.describe(i)));
    return {a.type(0)};
}

// The largest element, or the finite number next to it: the difference of two infinities would be
// NaN, also where exp(x) / sum(exp(x)) is not.
Expr shift_of(const Operand& x, const Axes& axes, bool keepdims) {
    const Loc loc = x.loc;
    const DType t = x.expr().dtype();
    const double largest =
        t == DType::F32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    const Operand m = at(max(x, axes, keepdims), loc);
    const Operand high = at(scalar_constant(t, largest, loc), loc),
                  low = at(scalar_constant(t, -largest, loc), loc);
    return minimum(at(maximum(m, low), loc), high);
}

// x less that, so that exp cannot overflow but of infinity.
Expr shifted(const Expr& x, int axis, Loc loc) {
    return at(x, loc) - at(shift_of(at(x, loc), axis, true), loc);
}

// Along an axis of size 0 there is no largest element, and nothing to compute.
bool is_empty(const Node& node) {
    return size_of(node.inputs[0].shape()) == Dim(0);
}

std::vector<Expr> expand_softmax(const Node& node) {
    if (is_empty(node)) return {node.inputs[0]};
    const Loc loc = node.loc();
    const Expr e = exp(at(shifted(node.inputs[0], axis_of(node), loc), loc));
    return {at(e, loc) / at(sum(at(e, loc), axis_of(node), true), loc)};
}

std::vector<Expr> expand_log_softmax(const Node& node) {
    if (is_empty(node)) return {node.inputs[0]};
    const Loc loc = node.loc();
    const Expr d = shifted(node.inputs[0], axis_of(node), loc);
    const Expr total = sum(at(exp(at(d, loc)), loc), axis_of(node), true);
    return {at(d, loc) - at(log(at(total, loc)), loc)};
}

// Not negative, ascending, each once.
Ints sorted_axes(const Axes& axes, const Expr& x, std::string_view op, Loc loc) {
    Ints out;
    for (int k = 0; axes.every && k < x.rank(); ++k) out.push_back(k);
    for (std::int64_t k : axes.list) out.push_back(normalize_axis(k, x.rank(), op, loc));
    std::sort(out.begin(), out.end());
    if (std::adjacent_find(out.begin(), out.end()) != out.end())
        fail<GraphError>(loc, "{}: an axis is given twice", op);
    return out;
}

std::vector<TensorType> infer_logsumexp(const InferArgs& a) {
    infer_softmax(a);
    const Ints& axes = a.attrs.get<Ints>("axes");
    for (std::int64_t k : axes)
        if (k < 0 || k >= a.type(0).rank())
            a.error(fmt::format("no axis {}: {}", k, a.describe(0)));
    TensorType out{a.type(0).dtype, {}};
    for (std::size_t k = 0; k < a.type(0).shape.size(); ++k)
        if (!contains(axes, k))
            out.shape.push_back(a.type(0).shape[k]);
        else if (a.attrs.get<bool>("keepdims"))
            out.shape.push_back(1);
    return {out};
}

std::vector<Expr> expand_logsumexp(const Node& node) {
    const Loc loc = node.loc();
    auto here = [&](const Expr& e) { return at(e, loc); };
    const Operand x = here(node.inputs[0]);
    const Axes axes(node.attrs.get<Ints>("axes"));
    const bool keepdims = node.attrs.get<bool>("keepdims");
    if (is_empty(node)) return {log(here(sum(x, axes, keepdims)))};
    const Expr e = exp(here(x - here(shift_of(x, axes, true))));
    return {here(log(here(sum(here(e), axes, keepdims)))) + here(shift_of(x, axes, keepdims))};
}

std::vector<Expr> pullback_logsumexp(const PullbackArgs& a) {
    const Ints& axes = a.node.attrs.get<Ints>("axes");
    Shape kept = a.x[0].shape();
    for (std::int64_t k : axes) kept[k] = 1;
    return {reshape(a.g[0], kept) * softmax(a.x[0], Axes(axes))};
}

// The largest x that has a weight decides the shift: those without may be far above it.
std::vector<Expr> expand_logsumexp_of(const Node& node) {
    const Loc loc = node.loc();
    auto here = [&](const Expr& e) { return at(e, loc); };
    const Operand x = here(node.inputs[0]), w = here(node.inputs[1]);
    const Axes axes(node.attrs.get<Ints>("axes"));
    const bool keepdims = node.attrs.get<bool>("keepdims");
    if (is_empty(node)) return {log(here(sum(x, axes, keepdims)))};
    const Expr nothing =
        scalar_constant(node.types[0].dtype, -std::numeric_limits<double>::infinity(), loc);
    const Expr used = here(neq(w, Operand(0.0, loc.file, loc.line))) || here(isnan(x));
    const Operand kept = here(where(here(used), x, here(nothing)));
    // What multiplies an infinite weight must not become 0.
    const double most = node.types[0].dtype == DType::F32 ? 80 : 700;
    const Operand infinity = here(scalar_constant(node.types[0].dtype,
                                                  std::numeric_limits<double>::infinity(), loc)),
                  least = here(scalar_constant(node.types[0].dtype, -most, loc));
    const Operand d = here(kept - here(shift_of(kept, axes, true)));
    const Expr infinite = eq(here(abs(w)), infinity);
    const Expr e = exp(here(where(here(infinite), here(maximum(d, least)), d)));
    return {here(log(here(sum(here(w * here(e)), axes, keepdims)))) +
            here(shift_of(kept, axes, keepdims))};
}

// exp(x - y), times w for x. Where w is 0 that may be as large as it likes: the product is 0 there,
// with the slope by w that it has.
std::vector<Expr> pullback_logsumexp_of(const PullbackArgs& a) {
    const Expr &x = a.x[0], &w = a.x[1];
    Shape kept = x.shape();
    for (std::int64_t k : a.node.attrs.get<Ints>("axes")) kept[k] = 1;
    const Expr d = x - reshape(a.y[0], kept), g = reshape(a.g[0], kept);
    const double most = x.dtype() == DType::F32 ? 80 : 700;
    return {g * (w * exp(where(neq(w, 0), d, minimum(d, most)))), g * exp(d)};
}

std::vector<Expr> expand_softmax_grad(const Node& node) {
    const Loc loc = node.loc();
    const Operand y = at(node.inputs[0], loc), g = at(node.inputs[1], loc);
    return {y * at(g - at(sum(at(g * y, loc), axis_of(node), true), loc), loc)};
}

template <Expr (*Build)(const Operand&, int)>
std::vector<Sample> softmax_samples() {
    using X = std::span<const Expr>;
    return {{"rows", {{{5, 10}}}, [](X x) { return Build(x[0], -1); }},
            {"columns", {{{7, 3}}}, [](X x) { return Build(x[0], 0); }},
            {"vector", {{{17}}}, [](X x) { return Build(x[0], 0); }},
            {"large", {{{4, 9}, 80, 100}}, [](X x) { return Build(x[0], 1); }}};
}

std::vector<Sample> logsumexp_samples() {
    using X = std::span<const Expr>;
    return {{"rows", {{{5, 10}}}, [](X x) { return logsumexp(x[0]); }},
            {"everything", {{{7, 3}}}, [](X x) { return logsumexp(x[0], Axes()); }},
            {"two axes, kept",
             {{{3, 4, 5}}},
             [](X x) {
                 return logsumexp(x[0], {0, 2}, true);
             }},
            {"large", {{{4, 9}, 80, 100}}, [](X x) { return logsumexp(x[0], 0); }}};
}

std::vector<Sample> logsumexp_of_samples() {
    using X = std::span<const Expr>;
    return {{"rows", {{{5, 10}}, {{5, 10}, 0.1, 2}}, [](X x) { return logsumexp(x[0], x[1], -1); }},
            {"everything",
             {{{7, 3}}, {{7, 3}, 0.1, 2}},
             [](X x) { return logsumexp(x[0], x[1], Axes()); }},
            {"some weights are 0", {{{4, 9}, 80, 100}, {{4, 9}, 0.5, 2}}, [](X x) {
                 return logsumexp(x[0], where(x[0] < 95, x[1], 0), 0, true);
             }}};
}

std::vector<Sample> softmax_grad_samples() {
    return {{"rows",
             {{{5, 10}}, {{5, 10}}},
             [](std::span<const Expr> x) {
                 return apply(softmax_grad_op, {x[0], x[1]}, {{"axis", std::int64_t{1}}}, {});
             },
             true,
             true}};
}

}  // namespace

constinit const OpDef softmax_op{
    .info = {.name = "softmax", .traits = Trait::NotNegative},
    .doc = "exp(x) / sum(exp(x)) along attr axis",
    .infer = infer_softmax,
    .expand = expand_softmax,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        return {apply(softmax_grad_op, {a.y[0], a.g[0]}, a.node.attrs, {})};
    },
    .samples = softmax_samples<softmax>};
constinit const OpDef log_softmax_op{
    .info = {.name = "log_softmax"},
    .doc = "log(softmax(x)) along attr axis",
    .infer = infer_softmax,
    .expand = expand_log_softmax,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        const int axis = axis_of(a.node);
        return {a.g[0] - softmax(a.x[0], axis) * sum(a.g[0], axis, true)};
    },
    .samples = softmax_samples<log_softmax>};
constinit const OpDef logsumexp_op{.info = {.name = "logsumexp"},
                                   .doc = "log(sum(exp(x))) over attr axes",
                                   .infer = infer_logsumexp,
                                   .expand = expand_logsumexp,
                                   .pullback = pullback_logsumexp,
                                   .samples = logsumexp_samples};
constinit const OpDef logsumexp_of_op{.info = {.name = "logsumexp_of"},
                                      .doc = "log(sum(w exp(x))) over attr axes",
                                      .arity = 2,
                                      .infer = infer_logsumexp,
                                      .expand = expand_logsumexp_of,
                                      .pullback = pullback_logsumexp_of,
                                      .samples = logsumexp_of_samples};
constinit const OpDef softmax_grad_op{
    .info = {.name = "softmax_grad"},
    .doc = "gradient of softmax, from its result and the gradient of that",
    .arity = 2,
    .infer = infer_softmax,
    .expand = expand_softmax_grad,
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> {
        const Expr &y = a.x[0], &g = a.x[1], &gg = a.g[0];
        const int axis = axis_of(a.node);
        return {gg * (g - sum(g * y, axis, true)) - g * sum(gg * y, axis, true),
                apply(softmax_grad_op, {y, gg}, a.node.attrs, {})};
    },
    .samples = softmax_grad_samples};

// ---- builders

namespace {

Expr along(const OpDef& op, const Operand& operand, int axis) {
    Expr x = operand.expr();
    const std::int64_t k = normalize_axis(axis, x.rank(), op.info.name, operand.loc);
    return apply(op, {cast(at(x, operand.loc), float_of(x.dtype()))}, {{"axis", k}}, operand.loc);
}

}  // namespace

Expr softmax(const Operand& x, int axis) {
    return along(softmax_op, x, axis);
}
Expr log_softmax(const Operand& x, int axis) {
    return along(log_softmax_op, x, axis);
}

Expr softmax(const Operand& operand, const Axes& which) {
    const Loc loc = operand.loc;
    const Expr x = operand.expr();
    const Ints axes = sorted_axes(which, x, "softmax", loc);
    if (axes.size() == 1) return softmax(operand, static_cast<int>(axes[0]));
    // The axes become the last one, and go back afterwards.
    Shape merged, moved;
    std::vector<int> order, back(static_cast<std::size_t>(x.rank()));
    Dim together = 1;
    for (const bool last : {false, true})
        for (int k = 0; k < x.rank(); ++k) {
            if (contains(axes, k) != last) continue;
            const Dim& size = x.shape()[k];
            back[k] = static_cast<int>(order.size());
            order.push_back(k);
            moved.push_back(size);
            if (last)
                together = together * size;
            else
                merged.push_back(size);
        }
    merged.push_back(together);
    auto here = [&](const Expr& e) { return at(e, loc); };
    const Expr flat = softmax(here(reshape(here(transpose(operand, order)), merged)), -1);
    return transpose(here(reshape(here(flat), moved)), back);
}

Expr logsumexp(const Operand& operand, const Axes& which, bool keepdims) {
    const Expr x = cast(operand, float_of(operand.expr().dtype()));
    const Ints axes = sorted_axes(which, x, "logsumexp", operand.loc);
    if (axes.empty()) return x;
    return apply(logsumexp_op, {x}, {{"axes", axes}, {"keepdims", keepdims}}, operand.loc);
}

Expr logsumexp(const Operand& operand, const Operand& weights, const Axes& which, bool keepdims) {
    const auto [x, w] = unify_floats(operand, weights, "logsumexp");
    const std::optional<Shape> shape = broadcast_shapes(x.shape(), w.shape());
    if (!shape)
        fail<GraphError>(operand.loc, "logsumexp: shapes cannot be broadcast together: {}, {}",
                         describe(x), describe(w, "the weights"));
    const Expr whole = broadcast_to(at(x, operand.loc), *shape);
    const Ints axes = sorted_axes(which, whole, "logsumexp", operand.loc);
    return apply(logsumexp_of_op, {whole, broadcast_to(at(w, operand.loc), *shape)},
                 {{"axes", axes}, {"keepdims", keepdims}}, operand.loc);
}

Expr categorical_crossentropy(const Operand& p, const Operand& targets) {
    const Loc loc = p.loc;
    auto here = [&](const Expr& e) { return at(e, loc); };
    const Expr q = p.expr(), y = targets.expr();
    auto refuse = [&](std::string_view why) {
        fail<GraphError>(loc, "categorical_crossentropy: {}: {}, {}", why,
                         describe(q, "the first argument"), describe(y, "the second"));
    };
    if (q.rank() != 2 || y.rank() < 1 || y.rank() > 2)
        refuse("needs a matrix, and a vector of labels or a matrix");
    Expr logs = log(here(q));
    if (y.rank() == 2) return -here(sum(here(here(y) * here(logs)), 1));
    if (is_float(y.dtype()) || y.dtype() == DType::Bool) refuse("labels must be integers");
    if (differ(q.shape()[0], y.shape()[0])) refuse("numbers of rows and labels differ");
    // One label a row: a single one is not for all rows, also where sizes are not known yet.
    const Expr labels = specify_shape(at(y, targets.loc), Shape{q.shape()[0]},
                                      "categorical_crossentropy: labels, one a row");
    Expr rows = arange(here(q.shape(0, loc.file, loc.line)));
    return -here(advanced_index(here(logs), {rows, labels}));
}

std::span<const OpDef* const> softmax_ops() {
    static constexpr std::array rows = {&softmax_op, &log_softmax_op, &logsumexp_op,
                                        &logsumexp_of_op, &softmax_grad_op};
    return rows;
}

}  // namespace arete

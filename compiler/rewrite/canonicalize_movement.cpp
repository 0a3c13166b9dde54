// Chains of views become one view; what is done to elements comes before what moves them.
#include <algorithm>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

// ---- sizes

bool static_shape(const Match& m) {
    return m['x'].shape()[axis_of(m.root())].is_const();
}

Expr shape_value(const Match& m) {
    const Dim& size = m['x'].shape()[axis_of(m.root())];
    return scalar_constant(DType::I64, size.value(), m.loc());
}

bool cannot_fail(const Match& m) {
    return check_is_redundant(m.root().node());
}

// ---- dimshuffle, reshape, broadcast_to

bool identity_order(const Match& m) {
    const Ints& order = attrs(m.root()).get<Ints>("order");
    for (std::size_t i = 0; i < order.size(); ++i)
        if (order[i] != static_cast<std::int64_t>(i)) return false;
    return order.size() == m['x'].shape().size();
}

// dimshuffle(dimshuffle(x, inner), outer) reads axis inner[outer[k]].
Expr compose_orders(const Match& m) {
    const Ints& outer = attrs(m.root()).get<Ints>("order");
    const Ints& inner = attrs(m['d']).get<Ints>("order");
    Ints order;
    for (std::int64_t k : outer) order.push_back(k < 0 ? -1 : inner[k]);
    return apply(def(m.root().node()), {m['x']}, {{"order", order}}, m.loc());
}

// Does a dimshuffle only add and drop axes of size 1?
bool keeps_order(const Expr& e) {
    std::int64_t last = -1;
    for (std::int64_t k : attrs(e).get<Ints>("order")) {
        if (k < 0 || e.node().inputs[0].shape()[k] == Dim(1)) continue;
        if (k < last) return false;
        last = k;
    }
    return true;
}

bool d_keeps_order(const Match& m) {
    return keeps_order(m['d']);
}

// A view that gives its operand further axes of size 1 in front.
bool adds_leading_axes(const Expr& e) {
    if (!is_op(e, "reshape") && !(is_op(e, "dimshuffle") && keeps_order(e))) return false;
    const Shape &x = e.node().inputs[0].shape(), &to = e.shape();
    if (x.size() >= to.size()) return false;
    const std::size_t extra = to.size() - x.size();
    for (std::size_t k = 0; k < to.size(); ++k)
        if (!(to[k] == (k < extra ? Dim(1) : x[k - extra]))) return false;
    return true;
}

bool all_static(const Match& m) {
    return is_static(m.root().shape()) && is_static(m['x'].shape());
}

bool one_element(const Match& m) {
    return all_static(m) && size_of(m['x'].shape()) == Dim(1);
}

Expr repeated(const Match& m) {
    return broadcast_to(get(m, 'x'), m.root().shape());
}

// ---- elementwise ops and views

// Views that give each element of their operand at least once, so that what is done to the
// elements afterwards can be done before.
bool keeps_elements(const Expr& e) {
    return is_op(e, "reshape") || is_op(e, "dimshuffle") || is_op(e, "broadcast_to");
}

// f(view(x), view(y), constant) = view(f(x, y, constant)), for one and the same view.
Expr before_view(const Match& m) {
    const Node& n = m.root().node();
    const Expr* view = nullptr;
    std::vector<Expr> inputs;
    for (const Expr& e : n.inputs) {
        if (e.rank() == 0 && is_constant_scalar(e)) {
            inputs.push_back(e);
            continue;
        }
        if (!keeps_elements(e)) return {};
        const Expr& x = e.node().inputs[0];
        if (view && !(e.node().op == view->node().op && attrs(e) == attrs(*view) &&
                      x.shape() == view->node().inputs[0].shape()))
            return {};
        view = &e;
        inputs.push_back(x);
    }
    if (!view || view->shape() != m.root().shape()) return {};
    const Expr inner = apply(def(n), inputs, n.attrs, m.loc());
    if (inner.shape() != view->node().inputs[0].shape()) return {};
    return if_same_type(m, apply(def(view->node()), {inner}, attrs(*view), m.loc()));
}

// An operand is repeated, and gets leading axes, by broadcasting anyway.
Expr without_broadcast(const Match& m) {
    const Node& n = m.root().node();
    for (std::size_t i = 0; i < n.inputs.size(); ++i) {
        if (!is_op(n.inputs[i], "broadcast_to") && !adds_leading_axes(n.inputs[i])) continue;
        std::vector<Expr> inputs = n.inputs;
        inputs[i] = inputs[i].node().inputs[0];
        const Expr e = apply(def(n), inputs, n.attrs, m.loc());
        if (e.type() == m.root().type()) return e;
    }
    return {};
}

bool has_operands(const Match& m) {
    return !m.root().node().inputs.empty() && is_static(m.root().shape());
}

// ---- slices

struct Window {
    explicit Window(const Expr& e)
        : starts(attrs(e).get<Shape>("starts")),
          sizes(attrs(e).get<Shape>("sizes")),
          steps(attrs(e).get<Ints>("steps")) {}
    Shape starts, sizes;
    Ints steps;
    bool whole(const Shape& of) const {
        for (std::size_t k = 0; k < of.size(); ++k)
            if (!(starts[k] == Dim(0)) || steps[k] != 1 || !(sizes[k] == of[k])) return false;
        return true;
    }
    Expr of(const Expr& x, Loc loc) const {
        return whole(x.shape()) ? x : slice_window(x, starts, steps, sizes, loc);
    }
};

Expr whole_slice(const Match& m) {
    return Window(m.root()).whole(m['x'].shape()) ? m['x'] : Expr();
}

Expr slice_of_slice(const Match& m) {
    Window outer(m.root());
    const Window inner(m['s']);
    for (std::size_t k = 0; k < outer.starts.size(); ++k) {
        outer.starts[k] = inner.starts[k] + outer.starts[k] * Dim(inner.steps[k]);
        outer.steps[k] *= inner.steps[k];
    }
    return outer.of(m['x'], m.loc());
}

// Along a repeated axis there is only the one element.
Expr slice_of_repeated(const Match& m) {
    Window w(m.root());
    const auto extra = static_cast<std::ptrdiff_t>(w.starts.size() - m['x'].shape().size());
    w.starts.erase(w.starts.begin(), w.starts.begin() + extra);
    w.sizes.erase(w.sizes.begin(), w.sizes.begin() + extra);
    w.steps.erase(w.steps.begin(), w.steps.begin() + extra);
    for (std::size_t k = 0; k < w.starts.size(); ++k)
        if (m['x'].shape()[k] == Dim(1)) w.starts[k] = 0, w.steps[k] = 1, w.sizes[k] = 1;
    return broadcast_to(on(m, w.of(m['x'], m.loc())), m.root().shape());
}

bool has_elements(const Match& m) {
    if (!all_static(m)) return false;
    const Sizes sizes = concrete(m.root().shape());
    return std::find(sizes.begin(), sizes.end(), 0) == sizes.end();
}

// A slice that lies within one part of a concatenation is a slice of that part.
Expr slice_of_part(const Match& m) {
    const Expr& whole = m['k'];
    if (!is_static(m.root().shape()) || !is_static(whole.shape())) return {};
    Window w(m.root());
    const auto axis = static_cast<std::size_t>(axis_of(whole));
    if (!w.starts[axis].is_const() || w.sizes[axis] == Dim(0)) return {};
    const std::int64_t first = w.starts[axis].value(),
                       last = first + (w.sizes[axis].value() - 1) * w.steps[axis];
    std::int64_t begin = 0;
    for (const Expr& part : whole.node().inputs) {
        const std::int64_t end = begin + part.shape()[axis].value();
        if (std::min(first, last) >= begin && std::max(first, last) < end) {
            w.starts[axis] = first - begin;
            return w.of(part, m.loc());
        }
        begin = end;
    }
    return {};
}

// A dynamic slice whose starts have turned out to be constants.
Expr constant_slice(const Match& m) {
    const Node& n = m.root().node();
    const Shape& in = n.inputs[0].shape();
    const Shape& sizes = n.attrs.get<Shape>("sizes");
    const Ints& steps = n.attrs.get<Ints>("steps");
    Shape starts;
    for (std::size_t k = 0; k < in.size(); ++k) {
        const Array* start = constant_value(n.inputs[k + 1]);
        if (!start || !in[k].is_const() || !sizes[k].is_const()) return {};
        const std::int64_t first = start->as_int(),
                           last = first + (sizes[k].value() - 1) * steps[k];
        const bool inside = std::min(first, last) >= 0 && std::max(first, last) < in[k].value();
        if (sizes[k].value() > 0 && !inside) return {};
        starts.emplace_back(sizes[k].value() > 0 ? first : 0);
    }
    return slice_window(n.inputs[0], starts, steps, sizes, m.loc());
}

// ---- concatenate

bool is_concatenate(const OpDef& d) {
    return d.info.name == "concatenate";
}
bool is_dynamic_slice(const OpDef& d) {
    return d.info.name == "dynamic_slice";
}

// Parts that are concatenations along the same axis, taken apart; a single part is the whole.
Expr flat_concatenation(const Match& m) {
    const Node& n = m.root().node();
    if (n.inputs.size() == 1) return n.inputs[0];
    std::vector<Expr> parts;
    for (const Expr& e : n.inputs) {
        const bool inner = is_op(e, "concatenate") && axis_of(e) == axis_of(m.root());
        if (inner)
            parts.insert(parts.end(), e.node().inputs.begin(), e.node().inputs.end());
        else
            parts.push_back(e);
    }
    if (parts.size() == n.inputs.size()) return {};
    return apply(def(n), parts, n.attrs, m.loc());
}

}  // namespace

std::span<const Rule> movement_rules() {
    static const Rule table[] = {
        // Not among the elementwise rules, which gradients are derived after.
        {"stop_gradient", "the value of stop_gradient(x) is x", op("stop_gradient", any('x')),
         just_x},

        {"shape_known", "shape(x) is a number once sizes are known", op("shape", any('x')),
         shape_value, static_shape},
        {"check_redundant", "an index that cannot leave its range needs no check",
         op("check_index", any('x')), just_x, cannot_fail},
        {"check_range_redundant", "a slice that cannot leave its axis needs no check",
         op("check_range", any('x')), just_x, cannot_fail},

        {"dimshuffle_identity", "axes in their own order", op("dimshuffle", any('x')), just_x,
         identity_order},
        {"dimshuffle_chain", "dimshuffle of dimshuffle is one dimshuffle",
         op("dimshuffle", named('d', "dimshuffle", any('x'))), compose_orders},
        {"reshape_same", "reshape to its own shape", op("reshape", any('x')), just_x},
        {"reshape_chain", "reshape of reshape is one reshape",
         op("reshape", op("reshape", any('x'))),
         [](const Match& m) { return reshape(get(m, 'x'), m.root().shape()); }},
        {"dimshuffle_reshape", "dimshuffle of reshape is one reshape, where axes keep their order",
         named('d', "dimshuffle", op("reshape", any('x'))),
         [](const Match& m) { return reshape(get(m, 'x'), m.root().shape()); }, d_keeps_order},
        {"reshape_dimshuffle", "reshape of dimshuffle is one reshape, where axes keep their order",
         op("reshape", named('d', "dimshuffle", any('x'))),
         [](const Match& m) { return reshape(get(m, 'x'), m.root().shape()); }, d_keeps_order},
        {"broadcast_same", "broadcast to its own shape", op("broadcast_to", any('x')), just_x},
        {"broadcast_chain", "broadcast_to of broadcast_to is one broadcast_to",
         op("broadcast_to", op("broadcast_to", any('x'))), repeated, all_static},
        {"broadcast_reshape", "broadcast_to adds leading axes by itself",
         op("broadcast_to", named('v', "reshape", any('x'))), repeated,
         [](const Match& m) { return all_static(m) && adds_leading_axes(m['v']); }},
        {"view_of_repeated", "any view of one repeated element is that element repeated",
         some(0, "view", is_view, op("broadcast_to", any('x'))),
         [](const Match& m) {
             return broadcast_to(on(m, reshape(get(m, 'x'), {})), m.root().shape());
         },
         one_element},

        {"elementwise_before_view",
         "f(view(x)) = view(f(x)) for reshape, dimshuffle and broadcast_to",
         some('f', "elementwise", is_elementwise), before_view, has_operands},
        {"broadcast_implied",
         "broadcasting repeats x and adds leading axes: f(broadcast_to(x), y) = f(x, y)",
         some('f', "elementwise", is_elementwise), without_broadcast, has_operands},

        {"slice_whole", "a slice of everything", op("slice", any('x')), whole_slice},
        {"slice_slice", "slice of slice is one slice", op("slice", named('s', "slice", any('x'))),
         slice_of_slice},
        {"slice_broadcast", "slice of broadcast_to is broadcast_to of a slice",
         op("slice", op("broadcast_to", any('x'))), slice_of_repeated, has_elements},
        {"slice_concatenate", "a slice within one part of a concatenation is a slice of that part",
         op("slice", some('k', "concatenate", is_concatenate)), slice_of_part},
        {"dynamic_slice_constant", "a dynamic slice from constants is a slice",
         some('d', "dynamic_slice", is_dynamic_slice), constant_slice},
        {"concatenate_chain",
         "concatenate(concatenate(x, y), z) = concatenate(x, y, z); of one, itself",
         some('k', "concatenate", is_concatenate), flat_concatenation},
    };
    return table;
}

}  // namespace arete::rules

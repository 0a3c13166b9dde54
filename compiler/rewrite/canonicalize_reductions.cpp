// Reductions over axes: sum, prod, max and min of each other, of views.
#include <algorithm>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

bool has(const Ints& axes, std::size_t k) {
    return std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(k)) != axes.end();
}

// The root's reduction of x over axes, without keepdims.
Expr folded(const Match& m, const Expr& x, Ints axes) {
    if (axes.empty()) return x;
    std::sort(axes.begin(), axes.end());
    return apply(def(m.root().node()), {x}, {{"axes", axes}, {"keepdims", false}}, m.loc());
}

// The same as the root's own axes and keepdims say.
Expr folded_alike(const Match& m, const Expr& x) {
    return apply(def(m.root().node()), {x}, attrs(m.root()), m.loc());
}

Expr with_shape_of_root(const Match& m, const Expr& e) {
    return reshape(on(m, e), m.root().shape());
}

bool known_shape(const Match& m) {
    return is_static(m['x'].shape()) && is_static(m.root().shape());
}

// ---- axes of size 1

bool only_units(const Match& m) {
    const Ints& axes = axes_of(m.root());
    return std::all_of(axes.begin(), axes.end(),
                       [&](std::int64_t k) { return m['x'].shape()[k] == Dim(1); });
}

// ---- reductions of reductions

Expr fold_of_fold(const Match& m) {
    const Ints &outer = axes_of(m.root()), &inner = axes_of(m['i']);
    const bool kept = attrs(m['i']).get<bool>("keepdims");
    Ints axes = inner;
    std::size_t position = 0;  // of an axis of x in the inner result
    for (std::size_t k = 0; k < m['x'].shape().size(); ++k) {
        const bool gone = has(inner, k);
        if (!gone && has(outer, position)) axes.push_back(static_cast<std::int64_t>(k));
        position += !gone || kept;
    }
    return with_shape_of_root(m, folded(m, m['x'], axes));
}

bool same_fold(const Match& m) {
    return m.root().node().op == m['i'].node().op && m.only_reader('i') && known_shape(m);
}

// ---- reductions of views

bool over_everything(const Match& m) {
    return axes_of(m.root()).size() == m['v'].shape().size() && known_shape(m);
}

Expr fold_everything(const Match& m) {
    Ints axes;
    for (int k = 0; k < m['x'].rank(); ++k) axes.push_back(k);
    return with_shape_of_root(m, folded(m, m['x'], axes));
}

// The axes of x that are folded, where the others keep their order.
Expr fold_of_dimshuffle(const Match& m) {
    const Ints& order = attrs(m['v']).get<Ints>("order");
    Ints axes;
    std::int64_t last = -1;
    for (std::size_t k = 0; k < order.size(); ++k) {
        if (order[k] < 0) continue;
        if (has(axes_of(m.root()), k)) {
            axes.push_back(order[k]);
            continue;
        }
        if (order[k] < last) return {};
        last = order[k];
    }
    if (axes.empty()) return {};
    return with_shape_of_root(m, folded(m, m['x'], axes));
}

// Equal terms: a sum of n is a product by n, and a maximum of n is the one.
Expr fold_of_repeated(const Match& m) {
    const Shape &whole = m['v'].shape(), &in = m['x'].shape();
    const std::size_t extra = whole.size() - in.size();
    Shape result;  // of the fold with keepdims
    Ints axes;
    std::int64_t times = 1;
    for (std::size_t k = 0; k < whole.size(); ++k) {
        result.push_back(has(axes_of(m.root()), k) ? Dim(1) : whole[k]);
        if (!has(axes_of(m.root()), k)) continue;
        if (k >= extra && in[k - extra] == whole[k])
            axes.push_back(static_cast<std::int64_t>(k - extra));
        else
            times *= whole[k].value();
    }
    if (times <= 1) return {};
    Expr e = m['x'];
    if (!axes.empty())
        e = apply(def(m.root().node()), {e}, {{"axes", axes}, {"keepdims", true}}, m.loc());
    if (is_op(m.root(), "sum")) e = on(m, e) * on(m, scalar_constant(e.dtype(), times, m.loc()));
    return with_shape_of_root(m, broadcast_to(on(m, e), result));
}

bool terms_are_counted(const Match& m) {
    return !is_op(m.root(), "prod") && known_shape(m) && is_static(m['v'].shape());
}

// A row is g in one place and 0 elsewhere. The places are checked, so that none is outside; rows
// beyond the labels have none.
bool row_sums(const Match& m) {
    return axes_of(m.root()) == Ints{1} && m['h'].shape()[0] == m['g'].shape()[0];
}

}  // namespace

std::span<const Rule> reduction_rules() {
    static const Rule table[] = {
        {"fold_units", "a reduction over axes of size 1 is a reshape",
         some('r', "fold", is_fold, any('x')),
         [](const Match& m) { return with_shape_of_root(m, m['x']); }, only_units},
        {"fold_fold", "sum of sum is one sum; so are prod of prod, max of max, min of min",
         some('r', "fold", is_fold, some('i', "fold", is_fold, any('x'))), fold_of_fold, same_fold},
        {"fold_reshape", "a reduction of all elements does not see their shape",
         some('r', "fold", is_fold, named('v', "reshape", any('x'))), fold_everything,
         over_everything},
        {"fold_dimshuffle", "a reduction of reordered axes is one over these axes",
         some('r', "fold", is_fold, named('v', "dimshuffle", any('x'))), fold_of_dimshuffle,
         known_shape},
        {"fold_broadcast", "a sum of n equal terms is n times one; their maximum is the one",
         some('r', "fold", is_fold, named('v', "broadcast_to", any('x'))), fold_of_repeated,
         terms_are_counted},
        {"sum_one_hot", "the sum of a row that is 0 but for g is g",
         op("sum", named('h', "one_hot_rows", any('y'), any('g'))),
         [](const Match& m) { return with_shape_of_root(m, m['g']); }, row_sums},
        {"sum_neg", "sum(-x) = -sum(x)", op("sum", op("neg", any('x'))),
         [](const Match& m) { return -on(m, folded_alike(m, m['x'])); }},
    };
    return table;
}

}  // namespace arete::rules

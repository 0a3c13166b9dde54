// Sums with gradients of gathers: a few rows of a table are changed, the others stay.
#include <algorithm>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/index_parts.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

// scale * value, negated or not; no scale is 1.
struct Term {
    Expr value;
    Expr scale;
    bool negative = false;
};

struct Terms {
    std::vector<Term> rows;   // gradients of gathers
    std::vector<Term> dense;  // all else
};

bool is_number(const Expr& e) {
    return std::all_of(e.shape().begin(), e.shape().end(),
                       [](const Dim& d) { return d == Dim(1); });
}

bool is_gathers_gradient(const Expr& e) {
    return is_op(e, "take_grad") || is_op(e, "advanced_index_grad");
}

// The places that a gradient of a gather is added up at, and the values, whose index axes go first.
PartPlaces places_of(const Expr& e, Expr& values, Loc loc) {
    const Node& n = e.node();
    values = n.inputs.back();
    if (!is_op(e, "take_grad"))
        return places_of_arrays(e.shape(), {n.inputs.data(), n.inputs.size() - 1}, loc);
    const auto axis = attrs(e).get<std::int64_t>("axis");
    const int rank = n.inputs[0].rank(), all = values.rank();
    std::vector<int> order;
    for (int k = 0; k < rank; ++k) order.push_back(static_cast<int>(axis) + k);
    for (int k = 0; k < all; ++k)
        if (k < axis || k >= axis + rank) order.push_back(k);
    if (axis > 0) values = transpose(at(values, loc), order);
    return places_of_take(e.shape(), n.inputs[0], axis, loc);
}

// Does it leave at least half of its places alone, and is it large enough for that to count?
bool mostly_zero(const Expr& e) {
    constexpr std::int64_t worth_while = 1024;
    const Expr& g = e.node().inputs.back();
    if (!is_static(e.shape()) || !is_static(g.shape())) return false;
    const std::int64_t all = count(concrete(e.shape()));
    return all >= worth_while && 2 * count(concrete(g.shape())) <= all;
}

class Decomposition {
  public:
    explicit Decomposition(const Match& m) : m_(m), shape_(m.root().shape()) {}

    void add(const Expr& e, const Expr& scale, bool negative, int depth = 8) {
        const std::vector<Expr>& x = e.node().inputs;
        const bool whole = e.shape() == shape_;
        if (whole && depth > 0) {
            if (is_op(e, "neg")) return add(x[0], scale, !negative, depth - 1);
            if (is_op(e, "add") || is_op(e, "sub")) {
                add(x[0], scale, negative, depth - 1);
                return add(x[1], scale, negative != is_op(e, "sub"), depth - 1);
            }
            if (is_op(e, "mul"))
                for (const std::size_t k : {0, 1})
                    if (is_number(x[k]) && x[1 - k].shape() == shape_)
                        return add(x[1 - k], times(scale, x[k]), negative, depth - 1);
            if (is_op(e, "div") && is_number(x[1]) && x[0].shape() == shape_)
                return add(
                    x[0],
                    times(scale, on(m_, scalar_constant(e.dtype(), 1.0, m_.loc())) / on(m_, x[1])),
                    negative, depth - 1);
            if (is_op(e, "inc_subtensor_scaled")) {
                inner.push_back({e, scale, negative});
                return add(x[0], scale, negative, depth - 1);
            }
        }
        const bool rows = whole && is_gathers_gradient(e) && mostly_zero(e);
        (rows ? out.rows : out.dense).push_back({e, scale, negative});
    }

    Terms out;
    std::vector<Term> inner;  // rows that an inner sum has found

    Expr number(const Expr& e) const { return reshape(on(m_, e), Shape{}); }
    Expr times(const Expr& scale, const Expr& by) const {
        return scale.empty() ? number(by) : on(m_, scale) * on(m_, number(by));
    }

  private:
    const Match& m_;
    const Shape& shape_;
};

Expr rows_of_sum(const Match& m) {
    Decomposition d(m);
    d.add(m.root(), {}, false);
    if (d.out.rows.empty() || d.out.dense.empty()) return {};
    Expr sum;
    for (const Term& t : d.out.dense) {
        const Expr value = t.scale.empty() ? t.value : on(m, t.scale) * on(m, t.value);
        if (sum.empty())
            sum = t.negative ? -on(m, value) : value;
        else
            sum = t.negative ? on(m, sum) - on(m, value) : on(m, sum) + on(m, value);
    }
    sum = broadcast_to(on(m, sum), m.root().shape());
    const auto signed_scale = [&](const Term& t) -> Expr {
        if (!t.scale.empty()) return t.negative ? -on(m, t.scale) : t.scale;
        return scalar_constant(m.root().dtype(), t.negative ? -1.0 : 1.0, m.loc());
    };
    for (const Term& t : d.inner) {
        std::vector<Expr> inputs = t.value.node().inputs;
        inputs[0] = sum;
        inputs.back() = on(m, signed_scale(t)) * on(m, inputs.back());
        sum = apply(def(t.value.node()), std::move(inputs), attrs(t.value), m.loc());
    }
    for (const Term& t : d.out.rows) {
        Expr values;
        const PartPlaces places = places_of(t.value, values, m.loc());
        sum = add_scaled_at(sum, places, values, signed_scale(t), m.loc());
    }
    return sum;
}

}  // namespace

std::span<const Rule> scatter_rules() {
    static const Rule table[] = {
        {"rows_added",
         "w + c * take_grad(i, g) changes a few rows of w: those are added to where they are",
         op("add", any('x'), any('y')), rows_of_sum, is_float_root},
        {"rows_subtracted", "the same of differences", op("sub", any('x'), any('y')), rows_of_sum,
         is_float_root},
    };
    return table;
}

}  // namespace arete::rules

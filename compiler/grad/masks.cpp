#include "compiler/grad/masks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "compiler/grad/conditions.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/op.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

template <std::size_t N>
bool is_one_of(const Node& n, const std::array<std::string_view, N>& names) {
    return std::find(names.begin(), names.end(), n.op->name) != names.end();
}

// Each element of their result is one of the gradient's, or 0 where there is none.
constexpr std::array<std::string_view, 6> places = {
    "slice_grad", "dynamic_slice_grad", "one_hot_rows", "unpool2d", "pad2d", "pool2d_spread"};
// Each element of their result is a sum of some of the gradient's.
constexpr std::array<std::string_view, 6> adds = {"take_grad",        "advanced_index_grad",
                                                  "unpool2d_overlap", "pool2d_pick",
                                                  "pool2d_sum",       "pool2d_spread_overlap"};
// Sums of products along axes that both operands have. Axis 0 of the gradient's operand is images'.
constexpr std::array<std::string_view, 3> convolutions = {"conv2d", "conv2d_padded",
                                                          "conv2d_grad_input"};

// More conditions than these become one.
constexpr std::size_t most_conditions = 8;

bool is_zero(const Expr& e) {
    double v = 1;
    return is_constant_scalar(e, &v) && v == 0;
}

bool is_finite_factor(const Expr& e) {
    const Array* a = constant_value(e);
    if (!a) return false;
    for (std::int64_t i = 0; i < a->size(); ++i)
        if (!std::isfinite(a->as_double(i))) return false;
    return true;
}

// The conditions on a tensor of some rank that do not vary along these axes.
Mask constant_along(const Mask& m, int rank, const Ints& axes) {
    Mask out;
    for (const Mask::Condition& c : m.conditions())
        if (!varies(c.e, rank, axes)) out.add(c);
    return out;
}

// Of a sum over these axes, which stay with size 1: chosen where any term was.
Mask any_along(const Mask& m, int rank, const Ints& axes, Loc loc) {
    Mask out = constant_along(m, rank, axes), rest;
    for (const Mask::Condition& c : m.conditions())
        if (varies(c.e, rank, axes)) rest.add(c);
    if (rest.empty()) return out;
    const Expr e = with_rank(rest.expr(loc), rank, loc);
    Ints over;
    for (std::int64_t k : axes)
        if (varies(e, rank, {k})) over.push_back(k);
    out.require({any(at(e, loc), over, true), true, false});
    return out;
}

// The same conditions without these axes, along which none varies.
Mask without_axes(const Mask& m, int rank, const Ints& axes, Loc loc) {
    Mask out;
    for (const Mask::Condition& c : m.conditions()) {
        const bool has = std::any_of(axes.begin(), axes.end(),
                                     [&](std::int64_t k) { return k >= rank - c.e.rank(); });
        Expr e = c.e;
        if (has) {
            e = with_rank(e, rank, loc);
            Shape shape;
            for (std::int64_t k = 0; k < rank; ++k)
                if (std::find(axes.begin(), axes.end(), k) == axes.end())
                    shape.push_back(e.shape()[k]);
            e = reshape(at(e, loc), shape);
        }
        out.require({e, c.holds, c.unread});
    }
    return out;
}

Ints axes_from(std::int64_t first, int rank) {
    Ints out;
    for (std::int64_t k = first; k < rank; ++k) out.push_back(k);
    return out;
}

// The axes of the gradient along which a placing op puts every element where it was: the result has
// as many, in the same order. Those of one_hot_rows are its rows.
Ints kept_axes(const Node& n, const Shape& from) {
    Ints out;
    const Shape& to = n.types[0].shape;
    if (is_op(n, "one_hot_rows")) return from[0] == to[0] ? Ints{0} : out;
    const bool slice = is_op(n, "slice_grad") || is_op(n, "dynamic_slice_grad");
    if (!slice && !is_op(n, "pad2d")) return out;
    for (std::size_t k = 0; k < from.size(); ++k)
        if (from[k] == to[k] && (!slice || n.attrs.get<Ints>("steps")[k] == 1))
            out.push_back(static_cast<std::int64_t>(k));
    return out;
}

bool all_unread(const Mask& m) {
    return m.choices().empty();
}

}  // namespace

// ---- Mask

void Mask::require(const Condition& c) {
    const Node& n = c.e.node();
    if (is_op(n, "not")) return require({n.inputs[0], !c.holds, c.unread});
    if (is_op(n, c.holds ? "and" : "or")) {
        for (const Expr& part : n.inputs) require({part, c.holds, c.unread});
        return;
    }
    add(c);
}

void Mask::add(const Condition& c) {
    for (const Condition& have : all_)
        if (have.holds == c.holds && alike(have.e, c.e)) return;
    all_.push_back(c);
}

void Mask::require(const Mask& m) {
    for (const Condition& c : m.all_) add(c);
}

Mask Mask::choices() const {
    Mask out;
    for (const Condition& c : all_)
        if (!c.unread) out.all_.push_back(c);
    return out;
}

bool Mask::equal(const Mask& a, const Mask& b) {
    return a.all_.size() == b.all_.size() &&
           std::equal(a.all_.begin(), a.all_.end(), b.all_.begin(),
                      [](const Condition& x, const Condition& y) {
                          return x.holds == y.holds && alike(x.e, y.e);
                      });
}

Mask Mask::either(const Mask& a, const Mask& b) {
    Mask common, only_a, only_b;
    const auto has = [](const Mask& m, const Condition& c, bool holds) {
        return std::any_of(m.all_.begin(), m.all_.end(), [&](const Condition& other) {
            return other.holds == holds && alike(c.e, other.e);
        });
    };
    for (const Condition& c : a.all_) (has(b, c, c.holds) ? common : only_a).all_.push_back(c);
    for (const Condition& c : b.all_)
        if (!has(a, c, c.holds)) only_b.all_.push_back(c);
    if (only_a.empty() || only_b.empty()) return common;
    const Condition& first = only_a.all_[0];
    const bool opposite =
        only_a.all_.size() == 1 && only_b.all_.size() == 1 && has(only_b, first, !first.holds);
    if (opposite) return common;
    const Loc loc = first.e.loc();
    common.require({at(only_a.expr(loc), loc) || at(only_b.expr(loc), loc), true,
                    all_unread(only_a) && all_unread(only_b)});
    return common;
}

Mask Mask::joined(Loc loc) const {
    Mask out;
    std::vector<Mask> alike;
    for (const Condition& c : all_) {
        const auto at_shape = std::find_if(alike.begin(), alike.end(), [&](const Mask& m) {
            return m.all_[0].e.shape() == c.e.shape() && m.all_[0].unread == c.unread;
        });
        (at_shape == alike.end() ? alike.emplace_back() : *at_shape).add(c);
    }
    for (const Mask& m : alike) out.add({m.expr(loc), true, m.all_[0].unread});
    return out;
}

Expr Mask::expr(Loc loc) const {
    Expr out;
    for (const Condition& c : all_) {
        const Expr e = c.holds ? c.e : !at(c.e, loc);
        out = out.empty() ? e : at(e, loc) && at(out, loc);
    }
    return out;
}

// ---- Masked

Mask Masked::chosen() const {
    Mask out = applied;
    out.require(pending);
    return out;
}

Expr Masked::value() const {
    if (pending.empty()) return g;
    const Operand zero(0, loc.file, loc.line);
    const std::vector<Mask::Condition>& all = pending.conditions();
    if (all.size() == 1 && !all[0].holds) return where(at(all[0].e, loc), zero, at(g, loc));
    return where(at(pending.expr(loc), loc), at(g, loc), zero);
}

Masked Masked::sum(const Masked& a, const Masked& b, Loc loc) {
    if (Mask::equal(a.pending, b.pending))
        return {at(a.g, loc) + at(b.g, loc), a.pending, Mask::either(a.applied, b.applied), b.loc};
    return {
        at(a.value(), loc) + at(b.value(), loc), {}, Mask::either(a.chosen(), b.chosen()), b.loc};
}

Masked Masked::sum_to(const TensorType& type, Fit fit) const {
    if (g.shape() == type.shape) return {arete::sum_to(g, type, loc, fit), pending, applied, loc};
    const Expr whole = value();
    Masked out{arete::sum_to(whole, type, loc, fit), {}, {}, loc};
    const int extra = std::max(0, whole.rank() - type.rank());
    Ints summed, left;
    for (int k = 0; k < whole.rank(); ++k) {
        const int to = k - whole.rank() + type.rank();
        const bool gone = to < 0 || type.shape[to] == Dim(1);
        // Whether it is summed over may not be known yet.
        if (!gone && type.shape[to] != whole.shape()[k]) return out;
        if (gone) summed.push_back(k);
        if (k < extra) left.push_back(k);
    }
    const Mask any = any_along(chosen().choices(), whole.rank(), summed, loc);
    out.applied = without_axes(any, whole.rank(), left, loc);
    return out;
}

// ---- Carrier

Masked Carrier::elementwise(const Expr& result) const {
    const Masked& in = from_[0];
    Mask made;
    Expr e = result;
    while (is_new_(e.node()) && is_op(e.node(), "where")) {
        const std::vector<Expr>& x = e.node().inputs;
        const bool first = is_zero(x[2]);
        const Expr& kept = first ? x[1] : x[2];
        if ((!first && !is_zero(x[1])) || kept.shape() != e.shape()) break;
        made.require({x[0], first});
        e = kept;
    }
    Masked out{e, in.pending, in.applied, loc_};
    if (!keeps_zeros(e)) {
        out.pending.require(in.applied);
        out.applied = {};
    }
    out.pending.require(made);
    if (out.pending.conditions().size() > most_conditions)
        return {out.value(), {}, out.chosen().joined(loc_), loc_};
    return out;
}

// Is e zero wherever the gradient is, whatever the values of other operands?
bool Carrier::keeps_zeros(const Expr& e) const {
    if (same(e, values_[0])) return true;
    const Node& n = e.node();
    if (!is_new_(n)) return false;
    if (is_op(n, "neg") || is_op(n, "cast")) return keeps_zeros(n.inputs[0]);
    if (is_op(n, "mul"))
        return (keeps_zeros(n.inputs[0]) && is_finite_factor(n.inputs[1])) ||
               (keeps_zeros(n.inputs[1]) && is_finite_factor(n.inputs[0]));
    return false;
}

Masked Carrier::other(const Expr& result) {
    const Expr e = spared(result);
    const Found found = find(result);
    if (!found.any || found.mask.empty()) return {e, {}, {}, loc_};
    Masked out{e, {}, {}, loc_};
    (found.exact ? out.applied : out.pending) = found.mask;
    return out;
}

const Carrier::Found& Carrier::find(const Expr& e) {
    const std::pair<const Node*, int> key{&e.node(), e.output()};
    const auto known = found_.find(key);
    if (known != found_.end()) return known->second;
    return found_[key] = find_new(e);
}

Carrier::Found Carrier::find_new(const Expr& e) {
    for (std::size_t i = 0; i < values_.size(); ++i)
        if (!values_[i].empty() && same(values_[i], e)) return {true, true, from_[i].chosen()};
    const Node& n = e.node();
    if (!is_new_(n)) return {};
    std::size_t operand = n.inputs.size(), count = 0;
    for (std::size_t k = 0; k < n.inputs.size(); ++k)
        if (find(n.inputs[k]).any) {
            if (count++ == 0) operand = k;
        }
    if (count == 0) return {};
    Found out{true, false, {}};
    if (def(n).scalar) return find_elementwise(n);
    if (count > 1) return out;
    const Found& from = find(n.inputs[operand]);
    if (n.op->has(Trait::View) && operand == 0) out = moved(n, operand, from.mask);
    if (is_one_of(n, places) || is_one_of(n, adds)) out = placed(n, operand, from.mask);
    out.exact = out.exact && from.exact;
    const Mask choices = from.mask.choices();
    if (choices.empty()) return out;
    const int rank = n.inputs[operand].rank();
    if (is_op(n, "sum")) {
        const Ints& axes = n.attrs.get<Ints>("axes");
        out.mask = any_along(choices, rank, axes, loc_);
        if (!n.attrs.get<bool>("keepdims")) out.mask = without_axes(out.mask, rank, axes, loc_);
        out.exact = from.exact;
    }
    // Elements of a line are mixed with each other.
    if (is_op(n, "softmax_grad"))
        out.mask = any_along(choices, rank, {n.attrs.get<std::int64_t>("axis")}, loc_);
    if (is_op(n, "prod_others_along")) out.mask = any_along(choices, rank, {rank - 1}, loc_);
    if (is_op(n, "dot") || is_op(n, "batched_dot") || is_one_of(n, convolutions))
        out.mask = contracted(n, operand, choices);
    return out;
}

Carrier::Found Carrier::find_elementwise(const Node& n) {
    const std::vector<Expr>& x = n.inputs;
    const auto one = [&](std::size_t k) { return find(x[k]); };
    if (is_op(n, "neg") || is_op(n, "cast")) return one(0);
    if (is_op(n, "where")) {
        const Found a = one(1), b = one(2);
        if (a.any && b.any) return {true, a.exact && b.exact, Mask::either(a.mask, b.mask)};
        const std::size_t k = a.any ? 1 : 2;
        if (!is_zero(x[3 - k])) return {true, false, {}};
        Found out = one(k);
        out.mask.require({x[0], k == 1});
        return out;
    }
    const bool sum = is_op(n, "add") || is_op(n, "sub");
    if (!sum && !is_op(n, "mul") && !is_op(n, "div")) return {true, false, {}};
    const Found a = one(0), b = one(1);
    if (sum) {
        if (!a.any || !b.any) return {true, false, {}};
        return {true, a.exact && b.exact, Mask::either(a.mask, b.mask)};
    }
    if ((a.any && b.any) || (!a.any && is_op(n, "div"))) return {true, false, {}};
    Found out = a.any ? a : b;
    out.exact = out.exact && is_op(n, "mul") && is_finite_factor(x[a.any ? 1 : 0]);
    return out;
}

// The conditions moved as the elements are.
Carrier::Found Carrier::moved(const Node& n, std::size_t operand, const Mask& mask) const {
    Found out{true, true, {}};
    if (is_op(n, "broadcast_to")) {
        out.mask = mask;
        return out;
    }
    for (const Mask::Condition& c : mask.conditions())
        out.mask.require({viewed(n, operand, c.e, loc_), c.holds, c.unread});
    return out;
}

// Where nothing is placed, nothing was read. Conditions on whole rows stay what they are.
Carrier::Found Carrier::placed(const Node& n, std::size_t operand, const Mask& mask) const {
    const Expr& x = n.inputs[operand];
    const Ints kept = kept_axes(n, x.shape());
    Ints changed;
    for (std::int64_t k = 0; k < x.rank(); ++k)
        if (std::find(kept.begin(), kept.end(), k) == kept.end()) changed.push_back(k);
    Mask moved, rest;
    for (const Mask::Condition& c : mask.conditions())
        (c.e.rank() > 0 && varies(c.e, x.rank(), changed) ? rest : moved).add(c);
    const Expr chosen =
        broadcast_to(rest.empty() ? at(scalar_constant(DType::Bool, std::int64_t{1}, loc_), loc_)
                                  : at(rest.expr(loc_), loc_),
                     x.shape());
    const bool counts = is_one_of(n, adds);
    std::vector<Expr> inputs = n.inputs;
    inputs[operand] = counts ? cast(at(chosen, loc_), x.dtype()) : chosen;
    Expr e = apply(def(n), std::move(inputs), n.attrs, loc_);
    if (counts) e = neq(at(e, loc_), Operand(0, loc_.file, loc_.line));
    Found out{true, true, {}};
    for (const Mask::Condition& c : moved.conditions()) {
        const bool labels = is_op(n, "one_hot_rows") && c.e.rank() > 0;
        out.mask.require({labels ? expand_dims(at(c.e, loc_), -1) : c.e, c.holds, c.unread});
    }
    out.mask.require({e, true, all_unread(rest)});
    return out;
}

// Of a sum of products: rows or columns of the result that only zeros go into. What a mask leaves
// out of one sum cannot be told from its result.
Mask Carrier::contracted(const Node& n, std::size_t operand, const Mask& mask) const {
    const int rank = n.inputs[operand].rank();
    if (is_one_of(n, convolutions))
        return operand == (is_op(n, "conv2d_grad_input") ? 1U : 0U)
                   ? constant_along(mask, rank, axes_from(1, rank))
                   : Mask();
    const Ints summed{operand == 0 ? rank - 1 : std::max(rank - 2, 0)};
    const Mask rows = constant_along(mask, rank, summed);
    // The product's axes are those of both operands without the summed one.
    const bool drop = n.inputs[1 - operand].rank() == 1;
    return drop ? without_axes(rows, rank, summed, loc_) : rows;
}

// A sum of products along the masked axis: rows of the other operand that were not chosen are
// zeros, too.
Expr Carrier::spared(const Expr& result) {
    const Node& n = result.node();
    const bool filters = is_op(n, "conv2d_grad_weights");
    if (!is_new_(n) || (!filters && !is_op(n, "dot") && !is_op(n, "batched_dot"))) return result;
    const bool second = find(n.inputs[1]).any;
    if (second == find(n.inputs[0]).any || (filters && !second)) return result;
    const std::size_t operand = second ? 1 : 0;
    const Expr &x = n.inputs[operand], &other = n.inputs[1 - operand];
    const int rank = x.rank();
    if (rank < 2 || other.rank() != rank) return result;
    const std::int64_t summed = filters ? 0 : second ? rank - 2 : rank - 1;
    const Ints free = filters ? axes_from(1, rank) : Ints{second ? rank - 1 : rank - 2};
    const Mask mask = constant_along(find(x).mask.choices(), rank, free);
    if (mask.empty() || !varies(mask.expr(loc_), rank, {summed})) return result;
    Expr e = with_rank(mask.expr(loc_), rank, loc_);
    if (!filters) {
        std::vector<int> order;
        for (int k = 0; k < rank; ++k) order.push_back(k);
        std::swap(order.end()[-1], order.end()[-2]);
        e = transpose(at(e, loc_), order);
    }
    std::vector<Expr> inputs = n.inputs;
    inputs[1 - operand] = where(at(e, loc_), at(other, loc_), Operand(0, loc_.file, loc_.line));
    return apply(def(n), std::move(inputs), n.attrs, loc_);
}

}  // namespace arete

// Shorthands in which the rule tables are written. Private to the tables.
#pragma once

#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"
#include "compiler/rewrite/rewrite.h"

namespace arete::rules {

// The parts of canonicalize_rules(), each in a file of its own.
std::span<const Rule> arithmetic_rules();
std::span<const Rule> logic_rules();
std::span<const Rule> movement_rules();
std::span<const Rule> reduction_rules();
std::span<const Rule> scatter_rules();

// The parts of stabilize_rules().
std::span<const Rule> softmax_rules();
std::span<const Rule> exponential_rules();
std::span<const Rule> scaled_rules();
std::span<const Rule> stable_elementwise_rules();
std::span<const Rule> logarithm_rules();
std::span<const Rule> factor_rules();

inline Pattern any(char name) {
    return Pattern::any(name);
}
inline Pattern num(double value) {
    return Pattern::number(value);
}
template <class... P>
Pattern op(const char* name, P... args) {
    return Pattern::apply(name, {std::move(args)...});
}
/// The same with a name for the whole.
template <class... P>
Pattern named(char bind, const char* name, P... args) {
    return Pattern::apply(name, {std::move(args)...}, bind);
}
/// Any op of a class, with a name for the whole; without arguments, whatever they are.
template <class... P>
Pattern some(char bind, const char* what, Pattern::OpClass is, P... args) {
    return Pattern::op_class(what, is, {std::move(args)...}, bind);
}

inline bool is_elementwise(const OpDef& d) {
    return d.scalar != nullptr;
}
inline bool is_view(const OpDef& d) {
    return d.info.has(Trait::View);
}
inline bool is_increasing(const OpDef& d) {
    return d.info.has(Trait::Increasing);
}
/// sum, mean, prod, max and min: attrs axes and keepdims, and the order of the elements does not
/// count.
inline bool is_fold(const OpDef& d) {
    return d.info.has(Trait::Fold);
}
/// Contractions: linear in each of their two operands.
inline bool is_bilinear(const OpDef& d) {
    return d.info.has(Trait::Bilinear);
}

inline const Attrs& attrs(const Expr& e) {
    return e.node().attrs;
}
inline bool is_op(const Expr& e, std::string_view name) {
    return e.node().op->name == name;
}

/// m[name] as an operand on the line of what is being replaced.
inline Operand get(const Match& m, char name) {
    return at(m[name], m.loc());
}
inline Operand on(const Match& m, const Expr& e) {
    return at(e, m.loc());
}
/// e where it has the type of what it replaces (broadcasting can make it smaller), else nothing.
inline Expr if_same_type(const Match& m, const Expr& e) {
    return e.type() == m.root().type() ? e : Expr();
}
/// The first argument, where it has the type of what it replaces.
inline Expr just_x(const Match& m) {
    return if_same_type(m, m['x']);
}
/// `value` everywhere, with the type of what it replaces.
Expr filled(const Match& m, double value);

/// Bool adds as `or`, and its negation is itself: sums of negations are no differences.
inline bool is_number_root(const Match& m) {
    return m.root().dtype() != DType::Bool;
}
inline bool is_float_root(const Match& m) {
    return is_float(m.root().dtype());
}
/// Integers wrap: their arithmetic is exact, modulo a power of two.
inline bool is_integer_root(const Match& m) {
    return is_number_root(m) && !is_float_root(m);
}
/// Is no element of this float e below 0, by the ops that make it? NaN may be.
bool never_negative(const Expr& e, int depth = 8);
/// True, and the value, where `name` is a constant without axes.
inline bool is_number(const Match& m, char name, double* value = nullptr) {
    return m[name].rank() == 0 && is_constant_scalar(m[name], value);
}
/// The attribute axis of softmax and the like.
inline int axis_of(const Expr& e) {
    return static_cast<int>(attrs(e).get<std::int64_t>("axis"));
}
/// The attribute axes of a reduction.
inline const Ints& axes_of(const Expr& e) {
    return attrs(e).get<Ints>("axes");
}

inline Pattern exp_of(char x) {
    return op("exp", any(x));
}
/// A number of the dtype of what matched.
inline Operand number(const Match& m, double value) {
    return on(m, scalar_constant(m.root().dtype(), value, m.loc()));
}
/// With the shape of what it replaces: what has cancelled, or a constant, may have been larger.
inline Expr whole(const Match& m, const Expr& e) {
    return e.empty() ? e : broadcast_to(on(m, e), m.root().shape());
}
/// A product as the one that is named `d`, of other operands.
inline Expr dot_of(const Match& m, const Expr& x, const Expr& y) {
    return apply(def(m['d'].node()), {x, y}, {}, m.loc());
}

}  // namespace arete::rules

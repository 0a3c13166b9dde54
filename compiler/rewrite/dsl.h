// Shorthands in which the rule tables are written. Private to the tables.
#pragma once

#include "compiler/ops/rows.h"
#include "compiler/rewrite/rewrite.h"

namespace arete::rules {

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
/// Bool adds as `or`, and its negation is itself: sums of negations are no differences.
inline bool is_number_root(const Match& m) {
    return m.root().dtype() != DType::Bool;
}
inline bool is_float_root(const Match& m) {
    return is_float(m.root().dtype());
}

}  // namespace arete::rules

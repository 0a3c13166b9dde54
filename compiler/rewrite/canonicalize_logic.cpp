// Extremes, rounding, comparisons, conditions and conversions that have nothing to do.
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

bool is_rounding(const OpDef& d) {
    return d.info.has(Trait::Rounds);
}

bool x_is_integer(const Match& m) {
    return !is_float(m['x'].dtype());
}

bool is_true(const Match& m) {
    double v = 0;
    return is_constant_scalar(m['c'], &v) && v != 0;
}
bool is_false(const Match& m) {
    double v = 1;
    return is_constant_scalar(m['c'], &v) && v == 0;
}

bool inner_only_here(const Match& m) {
    return m.only_reader('w');
}
bool reshaped_only_here(const Match& m) {
    return m.only_reader('w') && m.only_reader('r') && is_number(m, 'y') &&
           m['d'].shape() == m['w'].shape() && m['c'].shape() == m['r'].shape() &&
           m.root().shape() == m['c'].shape();
}

bool x_never_negative(const Match& m) {
    return is_float_root(m) && never_negative(m['x']);
}

// Does every value of `from` have an equal one in `to`?
bool holds_all(DType to, DType from) {
    if (to == from || from == DType::Bool) return true;
    switch (to) {
        case DType::Bool:
        case DType::U8: return false;
        case DType::I32: return from == DType::U8;
        case DType::I64: return from == DType::U8 || from == DType::I32;
        case DType::F32: return from == DType::U8;
        case DType::F64: return from == DType::U8 || from == DType::I32 || from == DType::F32;
    }
    return false;
}

}  // namespace

bool never_negative(const Expr& e, int depth) {
    if (!is_float(e.dtype())) return false;
    if (depth == 0 || e.node().is_leaf()) {
        double v = -1;
        return is_constant_scalar(e, &v) && v >= 0;
    }
    if (e.node().op->has(Trait::NotNegative)) return true;
    const std::vector<Expr>& x = e.node().inputs;
    const auto is = [&](std::size_t k) { return never_negative(x[k], depth - 1); };
    if (is_op(e, "add") || is_op(e, "mul") || is_op(e, "div") || is_op(e, "minimum"))
        return is(0) && is(1);
    if (is_op(e, "maximum")) return is(0) || is(1);
    if (is_op(e, "where")) return is(1) && is(2);
    return (is_op(e, "cast") || is_view(def(e.node())) || is_fold(def(e.node()))) && is(0);
}

std::span<const Rule> logic_rules() {
    static const Rule table[] = {
        // once is enough
        {"abs_abs", "||x|| = |x|", op("abs", named('x', "abs", any('y'))), just_x},
        {"abs_neg", "|-x| = |x|, where there are signs", op("abs", op("neg", any('x'))),
         [](const Match& m) { return abs(get(m, 'x')); },
         [](const Match& m) { return m.root().dtype() != DType::U8; }},
        {"abs_positive", "|x| = x, for an x that is never negative", op("abs", any('x')), just_x,
         x_never_negative},
        {"sqr_sqrt", "sqr(sqrt(x)) = x, for an x that is never negative",
         op("sqr", op("sqrt", any('x'))), just_x, x_never_negative},
        {"relu_relu", "relu(relu(x)) = relu(x)", op("relu", named('x', "relu", any('y'))), just_x},
        {"sign_sign", "sign(sign(x)) = sign(x)", op("sign", named('x', "sign", any('y'))), just_x},
        {"round_rounded", "rounding a rounded number changes nothing",
         some('r', "rounding", is_rounding, some('x', "rounding", is_rounding, any('y'))), just_x},
        {"round_integer", "an integer rounded is itself",
         some('r', "rounding", is_rounding, any('x')), just_x, x_is_integer},
        {"maximum_self", "maximum(x, x) = x", op("maximum", any('x'), any('x')), just_x},
        {"minimum_self", "minimum(x, x) = x", op("minimum", any('x'), any('x')), just_x},

        // bool algebra
        {"and_true", "x and true = x", op("and", any('x'), num(1)), just_x},
        {"and_false", "x and false = false", op("and", any('x'), num(0)),
         [](const Match& m) { return filled(m, 0); }},
        {"or_true", "x or true = true", op("or", any('x'), num(1)),
         [](const Match& m) { return filled(m, 1); }},
        {"or_false", "x or false = x", op("or", any('x'), num(0)), just_x},
        {"xor_false", "x xor false = x", op("xor", any('x'), num(0)), just_x},
        {"and_self", "x and x = x", op("and", any('x'), any('x')), just_x},
        {"or_self", "x or x = x", op("or", any('x'), any('x')), just_x},
        {"xor_self", "x xor x = false", op("xor", any('x'), any('x')),
         [](const Match& m) { return filled(m, 0); }},
        {"not_not", "not not x = x", op("not", op("not", any('x'))), just_x},
        {"not_eq", "not x == y is x != y, also for NaN", op("not", op("eq", any('x'), any('y'))),
         [](const Match& m) { return neq(get(m, 'x'), get(m, 'y')); }},
        {"not_neq", "not x != y is x == y, also for NaN", op("not", op("neq", any('x'), any('y'))),
         [](const Match& m) { return eq(get(m, 'x'), get(m, 'y')); }},
        {"not_lt", "not x < y is y <= x, of integers", op("not", op("lt", any('x'), any('y'))),
         [](const Match& m) { return get(m, 'y') <= get(m, 'x'); }, x_is_integer},
        {"not_le", "not x <= y is y < x, of integers", op("not", op("le", any('x'), any('y'))),
         [](const Match& m) { return get(m, 'y') < get(m, 'x'); }, x_is_integer},
        {"eq_self", "x == x, of integers", op("eq", any('x'), any('x')),
         [](const Match& m) { return filled(m, 1); }, x_is_integer},
        {"neq_self", "x != x is false, of integers", op("neq", any('x'), any('x')),
         [](const Match& m) { return filled(m, 0); }, x_is_integer},
        {"lt_self", "x < x is false", op("lt", any('x'), any('x')),
         [](const Match& m) { return filled(m, 0); }},
        {"le_self", "x <= x, of integers", op("le", any('x'), any('x')),
         [](const Match& m) { return filled(m, 1); }, x_is_integer},

        // conditions
        {"where_same", "where(c, x, x) = x", op("where", any('c'), any('x'), any('x')), just_x},
        {"where_true", "where(true, x, y) = x", op("where", any('c'), any('x'), any('y')), just_x,
         is_true},
        {"where_false", "where(false, y, x) = x", op("where", any('c'), any('y'), any('x')), just_x,
         is_false},
        {"where_not", "where(not c, x, y) = where(c, y, x)",
         op("where", op("not", any('c')), any('x'), any('y')),
         [](const Match& m) { return where(get(m, 'c'), get(m, 'y'), get(m, 'x')); }},
        {"where_then_where", "where(c, where(c, x, y), z) = where(c, x, z)",
         op("where", any('c'), op("where", any('c'), any('x'), any('y')), any('z')),
         [](const Match& m) {
             return if_same_type(m, where(get(m, 'c'), get(m, 'x'), get(m, 'z')));
         }},
        {"where_else_where", "where(c, x, where(c, y, z)) = where(c, x, z)",
         op("where", any('c'), any('x'), op("where", any('c'), any('y'), any('z'))),
         [](const Match& m) {
             return if_same_type(m, where(get(m, 'c'), get(m, 'x'), get(m, 'z')));
         }},
        {"where_where", "where(c, where(d, x, y), y) = where(c and d, x, y)",
         op("where", any('c'), named('w', "where", any('d'), any('x'), any('y')), any('y')),
         [](const Match& m) {
             const Expr both = get(m, 'c') && get(m, 'd');
             return if_same_type(m, where(both, get(m, 'x'), get(m, 'y')));
         },
         inner_only_here},
        {"where_reshape_where",
         "where(c, reshape(where(d, x, a)), a) = reshape(where(reshape(c) and d, x, a))",
         op("where", any('c'),
            named('r', "reshape", named('w', "where", any('d'), any('x'), any('y'))), any('y')),
         [](const Match& m) {
             const Expr both = on(m, reshape(get(m, 'c'), m['w'].shape())) && get(m, 'd');
             const Expr picked = where(both, get(m, 'x'), get(m, 'y'));
             return if_same_type(m, reshape(on(m, picked), m.root().shape()));
         },
         reshaped_only_here},
        {"where_of_bool", "where(c, true, false) = c", op("where", any('x'), num(1), num(0)),
         just_x},

        // conversions
        {"cast_cast", "a detour over a dtype that holds all values",
         op("cast", named('d', "cast", any('x'))),
         [](const Match& m) { return cast(get(m, 'x'), m.root().dtype()); },
         [](const Match& m) {
             // Integers wrap to narrower ones, where floats saturate.
             const bool saturates = is_float(m['d'].dtype()) && is_integer(m['x'].dtype()) &&
                                    is_integer(m.root().dtype()) &&
                                    !holds_all(m.root().dtype(), m['x'].dtype());
             return holds_all(m['d'].dtype(), m['x'].dtype()) && !saturates;
         }},
    };
    return table;
}

}  // namespace arete::rules

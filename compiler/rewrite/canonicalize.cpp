// One form for each expression: identities, signs, constants together, chains of views.
#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

Expr just_x(const Match& m) {
    return if_same_type(m, m['x']);
}

bool constants_a_b(const Match& m) {
    return is_constant_scalar(m['a']) && is_constant_scalar(m['b']) && m['a'].rank() == 0 &&
           m['b'].rank() == 0;
}

bool is_true(const Match& m) {
    double v = 0;
    return is_constant_scalar(m['c'], &v) && v != 0;
}
bool is_false(const Match& m) {
    double v = 1;
    return is_constant_scalar(m['c'], &v) && v == 0;
}

bool static_shape(const Match& m) {
    const auto axis = static_cast<std::size_t>(m.root().node().attrs.get<std::int64_t>("axis"));
    return m['x'].shape()[axis].is_const();
}

Expr shape_value(const Match& m) {
    const auto axis = static_cast<std::size_t>(m.root().node().attrs.get<std::int64_t>("axis"));
    return scalar_constant(DType::I64, m['x'].shape()[axis].value(), m.loc());
}

bool identity_order(const Match& m) {
    const Ints& order = m.root().node().attrs.get<Ints>("order");
    for (std::size_t i = 0; i < order.size(); ++i)
        if (order[i] != static_cast<std::int64_t>(i)) return false;
    return order.size() == m['x'].shape().size();
}

// dimshuffle(dimshuffle(x, inner), outer) reads axis inner[outer[k]].
Expr compose_orders(const Match& m) {
    const Ints& outer = m.root().node().attrs.get<Ints>("order");
    const Ints& inner = m['d'].node().attrs.get<Ints>("order");
    Ints order;
    for (std::int64_t k : outer) order.push_back(k < 0 ? -1 : inner[static_cast<std::size_t>(k)]);
    return apply(def(m.root().node()), {m['x']}, {{"order", order}}, m.loc());
}

}  // namespace

std::span<const Rule> canonicalize_rules() {
    static const Rule table[] = {
        {"add_zero", "x + 0 = x", op("add", any('x'), num(0)), just_x},
        {"sub_zero", "x - 0 = x", op("sub", any('x'), num(0)), just_x},
        {"mul_one", "x * 1 = x", op("mul", any('x'), num(1)), just_x},
        {"div_one", "x / 1 = x", op("div", any('x'), num(1)), just_x},
        {"mul_minus_one", "x * -1 = -x", op("mul", any('x'), num(-1)),
         [](const Match& m) { return if_same_type(m, -get(m, 'x')); }},
        {"neg_neg", "--x = x", op("neg", op("neg", any('x'))), just_x},
        {"sub_neg", "x - -y = x + y", op("sub", any('x'), op("neg", any('y'))),
         [](const Match& m) { return get(m, 'x') + get(m, 'y'); }, is_number_root},
        {"add_neg", "x + -y = x - y", op("add", any('x'), op("neg", any('y'))),
         [](const Match& m) { return get(m, 'x') - get(m, 'y'); }, is_number_root},
        {"mul_neg", "-x * y = -(x * y)", op("mul", op("neg", any('x')), any('y')),
         [](const Match& m) { return -on(m, get(m, 'x') * get(m, 'y')); }},
        {"div_neg", "-x / y = -(x / y)", op("div", op("neg", any('x')), any('y')),
         [](const Match& m) { return -on(m, get(m, 'x') / get(m, 'y')); }},
        {"mul_constants", "x * a * b = x * (a * b)",
         op("mul", op("mul", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') * on(m, get(m, 'a') * get(m, 'b')); },
         constants_a_b},
        {"neg_constant", "-(x * a) = x * -a", op("neg", op("mul", any('x'), any('a'))),
         [](const Match& m) { return get(m, 'x') * on(m, -get(m, 'a')); },
         [](const Match& m) { return is_constant_scalar(m['a']) && !is_constant_scalar(m['x']); }},
        {"sub_of_negative", "x - y * a = x + y * -a for constant a < 0",
         op("sub", any('x'), op("mul", any('y'), any('a'))),
         [](const Match& m) { return get(m, 'x') + on(m, get(m, 'y') * on(m, -get(m, 'a'))); },
         [](const Match& m) {
             double v = 0;
             return is_constant_scalar(m['a'], &v) && v < 0 && !is_constant_scalar(m['y']);
         }},
        {"where_same", "where(c, x, x) = x", op("where", any('c'), any('x'), any('x')), just_x},
        {"where_true", "where(true, x, y) = x", op("where", any('c'), any('x'), any('y')), just_x,
         is_true},
        {"where_false", "where(false, y, x) = x", op("where", any('c'), any('y'), any('x')), just_x,
         is_false},
        {"stop_gradient", "the value of stop_gradient(x) is x", op("stop_gradient", any('x')),
         just_x},
        {"shape_known", "shape(x) is a number once sizes are known", op("shape", any('x')),
         shape_value, static_shape},
        {"check_redundant", "an index that cannot leave its range needs no check",
         op("check_index", any('x')), just_x,
         [](const Match& m) { return check_is_redundant(m.root().node()); }},
        {"dimshuffle_identity", "axes in their own order", op("dimshuffle", any('x')), just_x,
         identity_order},
        {"dimshuffle_chain", "dimshuffle of dimshuffle is one dimshuffle",
         op("dimshuffle", named('d', "dimshuffle", any('x'))), compose_orders},
        {"reshape_same", "reshape to its own shape", op("reshape", any('x')), just_x},
        {"reshape_chain", "reshape of reshape is one reshape",
         op("reshape", op("reshape", any('x'))),
         [](const Match& m) { return reshape(get(m, 'x'), m.root().shape()); }},
        {"broadcast_same", "broadcast to its own shape", op("broadcast_to", any('x')), just_x},
    };
    return table;
}

}  // namespace arete

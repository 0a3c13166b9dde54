// Rules of Mode::fast_math: equal for real numbers, but an intermediate result may leave the range
// of the type that did not, or stay in it where it left it. A finite result can so become an
// infinity, a NaN or a zero, or the other way.
#include "compiler/ops/elementwise.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

// Of no elements the sum is 0, whatever the factor is.
bool scalar_factor(const Match& m) {
    return m['s'].rank() == 0 && !(size_of(m['x'].shape()) == Dim(0)) && m.only_reader('p');
}

// The scalar goes to the result of a contraction, which is not much larger.
bool scalar_of_product(const Match& m) {
    if (!scalar_factor(m) || !is_static(m['x'].shape()) || !is_static(m.root().shape()))
        return false;
    return size_of(m.root().shape()).value() <= 2 * size_of(m['x'].shape()).value();
}

Expr reduced(const Match& m, const Expr& x) {
    return apply(def(m.root().node()), {x}, attrs(m.root()), m.loc());
}

Expr product_of(const Match& m, const Expr& x, const Expr& y) {
    return apply(def(m.root().node()), {x, y}, attrs(m.root()), m.loc());
}

// Two products become one and a sum of operands, which is no larger than the result was.
bool both_only_here(const Match& m) {
    return m['y'].type() == m['z'].type() && m['d'].type() == m['e'].type() && m.only_reader('d') &&
           m.only_reader('e');
}

bool float_constants(const Match& m) {
    return is_float_root(m) && is_number(m, 'a') && is_number(m, 'b');
}

Expr scaled_by(const Match& m, const Expr& factor) {
    return get(m, 'x') * on(m, factor);
}

}  // namespace

std::span<const Rule> fast_math_rules() {
    static const Rule table[] = {
        {"scale_constants", "x * a * b = x * (a * b)",
         op("mul", op("mul", any('x'), any('a')), any('b')),
         [](const Match& m) { return scaled_by(m, get(m, 'a') * get(m, 'b')); }, float_constants},
        {"scale_both", "(x * a) * (y * b) = (x * y) * (a * b)",
         op("mul", op("mul", any('x'), any('a')), op("mul", any('y'), any('b'))),
         [](const Match& m) {
             return on(m, get(m, 'x') * get(m, 'y')) * on(m, get(m, 'a') * get(m, 'b'));
         },
         float_constants},
        {"scale_and_divide", "x * a / b = x * (a / b)",
         op("div", op("mul", any('x'), any('a')), any('b')),
         [](const Match& m) { return scaled_by(m, get(m, 'a') / get(m, 'b')); }, float_constants},
        {"divide_twice", "x / a / b = x / (a * b)",
         op("div", op("div", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') / on(m, get(m, 'a') * get(m, 'b')); },
         float_constants},
        {"sum_scaled", "sum(x * s) = sum(x) * s for a scalar s",
         op("sum", named('p', "mul", any('x'), any('s'))),
         [](const Match& m) { return on(m, reduced(m, m['x'])) * get(m, 's'); }, scalar_factor},
        {"sum_divided", "sum(x / s) = sum(x) / s for a scalar s",
         op("sum", named('p', "div", any('x'), any('s'))),
         [](const Match& m) { return on(m, reduced(m, m['x'])) / get(m, 's'); }, scalar_factor},
        {"product_scaled", "dot(x * s, y) = dot(x, y) * s for a scalar s",
         some('d', "bilinear", is_bilinear, named('p', "mul", any('x'), any('s')), any('y')),
         [](const Match& m) { return on(m, product_of(m, m['x'], m['y'])) * get(m, 's'); },
         scalar_of_product},
        {"product_by_scaled", "dot(y, x * s) = dot(y, x) * s for a scalar s",
         some('d', "bilinear", is_bilinear, any('y'), named('p', "mul", any('x'), any('s'))),
         [](const Match& m) { return on(m, product_of(m, m['y'], m['x'])) * get(m, 's'); },
         scalar_of_product},
        {"dot_left_factor", "dot(x, y) + dot(x, z) = dot(x, y + z)",
         op("add", named('d', "dot", any('x'), any('y')), named('e', "dot", any('x'), any('z'))),
         [](const Match& m) { return dot_of(m, m['x'], get(m, 'y') + get(m, 'z')); },
         both_only_here},
        {"dot_right_factor", "dot(y, x) + dot(z, x) = dot(y + z, x)",
         op("add", named('d', "dot", any('y'), any('x')), named('e', "dot", any('z'), any('x'))),
         [](const Match& m) { return dot_of(m, get(m, 'y') + get(m, 'z'), m['x']); },
         both_only_here},
    };
    return table;
}

}  // namespace arete

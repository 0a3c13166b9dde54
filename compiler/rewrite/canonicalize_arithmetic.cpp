// Sums, products and powers: signs outside, constants together, equal terms collected.
//
// What all rules here take as equal: numbers that differ in the sign of a zero only. None of them
// makes a NaN, an infinity or a zero of another number, or the other way; those that could are in
// fast_math.cpp.
#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/rewrite/dsl.h"

namespace arete::rules {

namespace {

template <class T>
bool exact_sum_of(double a, double b) {
    // Knuth's two-sum: the rounding error of a + b, which is itself a number of the type.
    const T x = static_cast<T>(a), y = static_cast<T>(b), s = x + y, z = s - x;
    return std::isfinite(s) && (x - (s - z)) + (y - z) == 0;
}

// Constants of one sign whose sum needs no rounding. (x + a) + b would be rounded twice, so
// x + (a + b) is at least as good. Constants of two signs stay: who writes x + a - a may mean the
// rounding.
bool sum_of_constants(const Match& m) {
    double a = 0, b = 0;
    if (!is_number_root(m) || !is_number(m, 'a', &a) || !is_number(m, 'b', &b)) return false;
    if (!is_float_root(m)) return true;
    if ((a < 0) != (b < 0)) return false;
    return m.root().dtype() == DType::F32 ? exact_sum_of<float>(a, b) : exact_sum_of<double>(a, b);
}

std::int64_t lowest(DType t) {
    return t == DType::I32   ? std::numeric_limits<std::int32_t>::min()
           : t == DType::I64 ? std::numeric_limits<std::int64_t>::min()
                             : 0;
}

bool in_range(DType t, double v) {
    const double size = std::fabs(v);
    if (!is_float(t)) return true;
    return t == DType::F32 ? size >= 0x1p-126 && size < 0x1p127
                           : size >= 0x1p-1022 && size < 0x1p1023;
}

// Two factors one after the other, both of which enlarge or both of which shrink: where the first
// leaves the range of the type, so does their product. Their product is a normal number.
bool same_direction(DType t, double a, double b) {
    if (!is_float(t)) return true;
    const double x = std::fabs(a), y = std::fabs(b);
    return ((x >= 1 && y >= 1) || (x <= 1 && y <= 1)) && in_range(t, a * b);
}

bool product_of_constants(const Match& m) {
    double a = 0, b = 0;
    return is_number(m, 'a', &a) && is_number(m, 'b', &b) && same_direction(m.root().dtype(), a, b);
}

// The same, or x is at most 1 and enlarged before it is diminished.
bool scales_of_x(const Match& m) {
    double a = 0, b = 0;
    if (product_of_constants(m)) return true;
    if (!is_number(m, 'a', &a) || !is_number(m, 'b', &b)) return false;
    const bool at_most_one = is_op(m['x'], "sigmoid") || is_op(m['x'], "softmax") ||
                             is_op(m['x'], "tanh") || is_op(m['x'], "erf");
    return at_most_one && std::fabs(a) >= 1 && std::fabs(b) <= 1 &&
           in_range(m.root().dtype(), a * b);
}

template <class T>
bool exact_quotient_of(double a, double b) {
    const T x = static_cast<T>(a), y = static_cast<T>(b), q = x / y;
    return std::isnormal(q) && std::fma(q, y, -x) == 0;
}

bool exact_quotient(const Match& m) {
    double a = 0, b = 0;
    if (!is_number(m, 'a', &a) || !is_number(m, 'b', &b) || b == 0) return false;
    const DType t = m.root().dtype();
    return same_direction(t, a, 1 / b) &&
           (t == DType::F32 ? exact_quotient_of<float>(a, b) : exact_quotient_of<double>(a, b));
}

// Coefficients of one sign: an infinite x gives the same infinity, and nothing cancels.
bool same_sign_coefficients(const Match& m) {
    double a = 0, b = 0;
    if (!is_number_root(m) || !is_number(m, 'a', &a) || !is_number(m, 'b', &b)) return false;
    if (!is_float_root(m)) return true;
    // Their sum must be a number, too: small multiples of it are.
    const bool fits = m.root().dtype() == DType::F32 ? std::isfinite(static_cast<float>(a + b))
                                                     : std::isfinite(a + b);
    return fits && ((a > 0 && b > 0) || (a < 0 && b < 0));
}

bool positive_coefficient(const Match& m) {
    double a = 0;
    return is_number_root(m) && is_number(m, 'a', &a) && (!is_float_root(m) || a > 0);
}

// The lowest integer is its own negative.
bool negative_constant(const Match& m) {
    double a = 0;
    if (!is_number_root(m) || !is_number(m, 'a', &a) || !(a < 0)) return false;
    return is_float_root(m) || constant_value(m['a'])->as_int() != lowest(m.root().dtype());
}

// A value that is neither NaN nor infinite, whatever the inputs: made of integers.
bool always_finite(const Expr& e) {
    const Node& n = e.node();
    if (!is_float(e.dtype())) return true;
    double v = 0;
    if (is_constant_scalar(e, &v)) return std::isfinite(v);
    if (is_op(e, "cast")) return !is_float(n.inputs[0].dtype());
    if (is_op(e, "neg") || is_op(e, "abs") || (!n.is_leaf() && is_view(def(n))))
        return always_finite(n.inputs[0]);
    return false;
}

Expr negated_product(const Match& m) {
    return -on(m, apply(def(m.root().node()), {m['x'], m['y']}, attrs(m.root()), m.loc()));
}

Expr scaled_by_sum(const Match& m) {
    return get(m, 'x') * on(m, get(m, 'a') + get(m, 'b'));
}

}  // namespace

std::span<const Rule> arithmetic_rules() {
    static const Rule table[] = {
        // neutral elements
        {"add_zero", "x + 0 = x", op("add", any('x'), num(0)), just_x},
        {"sub_zero", "x - 0 = x", op("sub", any('x'), num(0)), just_x},
        {"zero_sub", "0 - x = -x", op("sub", num(0), any('x')),
         [](const Match& m) { return if_same_type(m, -get(m, 'x')); }, is_number_root},
        {"mul_one", "x * 1 = x", op("mul", any('x'), num(1)), just_x},
        {"div_one", "x / 1 = x", op("div", any('x'), num(1)), just_x},
        {"mul_zero", "x * 0 = 0, for x that is never NaN or infinite", op("mul", any('x'), num(0)),
         [](const Match& m) { return filled(m, 0); },
         [](const Match& m) { return always_finite(m['x']); }},
        {"mul_minus_one", "x * -1 = -x", op("mul", any('x'), num(-1)),
         [](const Match& m) { return if_same_type(m, -get(m, 'x')); }},

        {"floordiv_one", "x // 1 = x, of integers", op("floordiv", any('x'), num(1)), just_x,
         is_integer_root},
        {"mod_one", "x mod 1 = 0, of integers", op("mod", any('x'), num(1)),
         [](const Match& m) { return filled(m, 0); }, is_integer_root},

        // signs go outwards, and sums of negations are differences
        {"neg_neg", "--x = x", op("neg", op("neg", any('x'))), just_x},
        {"neg_sub", "-(x - y) = y - x", op("neg", op("sub", any('x'), any('y'))),
         [](const Match& m) { return get(m, 'y') - get(m, 'x'); }, is_number_root},
        {"sub_neg", "x - -y = x + y", op("sub", any('x'), op("neg", any('y'))),
         [](const Match& m) { return get(m, 'x') + get(m, 'y'); }, is_number_root},
        {"neg_minus", "-x - y = -(x + y)", op("sub", op("neg", any('x')), any('y')),
         [](const Match& m) { return -on(m, get(m, 'x') + get(m, 'y')); }, is_number_root},
        {"add_neg", "x + -y = x - y", op("add", any('x'), op("neg", any('y'))),
         [](const Match& m) { return get(m, 'x') - get(m, 'y'); }, is_number_root},
        {"add_negative", "x + a = x - -a for constant a < 0", op("add", any('x'), any('a')),
         [](const Match& m) { return get(m, 'x') - on(m, -get(m, 'a')); }, negative_constant},
        {"sub_negative", "x - a = x + -a for constant a < 0", op("sub", any('x'), any('a')),
         [](const Match& m) { return get(m, 'x') + on(m, -get(m, 'a')); }, negative_constant},
        {"mul_neg", "-x * y = -(x * y)", op("mul", op("neg", any('x')), any('y')),
         [](const Match& m) { return -on(m, get(m, 'x') * get(m, 'y')); }},
        {"div_neg", "-x / y = -(x / y)", op("div", op("neg", any('x')), any('y')),
         [](const Match& m) { return -on(m, get(m, 'x') / get(m, 'y')); }},
        {"div_by_neg", "x / -y = -(x / y)", op("div", any('x'), op("neg", any('y'))),
         [](const Match& m) { return -on(m, get(m, 'x') / get(m, 'y')); }},
        {"product_neg", "dot(-x, y) = -dot(x, y); so for every contraction",
         some('d', "bilinear", is_bilinear, op("neg", any('x')), any('y')), negated_product},
        {"product_by_neg", "dot(x, -y) = -dot(x, y)",
         some('d', "bilinear", is_bilinear, any('x'), op("neg", any('y'))), negated_product},
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

        // constants together
        {"add_constants", "x + a + b = x + (a + b), where a + b is exact",
         op("add", op("add", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') + on(m, get(m, 'a') + get(m, 'b')); },
         sum_of_constants},
        {"sub_constants", "x - a - b = x - (a + b), where a + b is exact",
         op("sub", op("sub", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') - on(m, get(m, 'a') + get(m, 'b')); },
         sum_of_constants},
        {"add_to_difference", "(a - x) + b = (a + b) - x, where a + b is exact",
         op("add", op("sub", any('a'), any('x')), any('b')),
         [](const Match& m) { return on(m, get(m, 'a') + get(m, 'b')) - get(m, 'x'); },
         sum_of_constants},
        {"mul_constants", "x * a * b = x * (a * b), for a and b both above or both below 1",
         op("mul", op("mul", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') * on(m, get(m, 'a') * get(m, 'b')); },
         scales_of_x},
        {"div_of_scaled", "x * a / b = x * (a / b), where that is exact, for a and 1 / b as above",
         op("div", op("mul", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') * on(m, get(m, 'a') / get(m, 'b')); },
         exact_quotient},
        {"div_constants", "x / a / b = x / (a * b), for a and b both above or both below 1",
         op("div", op("div", any('x'), any('a')), any('b')),
         [](const Match& m) { return get(m, 'x') / on(m, get(m, 'a') * get(m, 'b')); },
         product_of_constants},

        // equal terms collected
        {"add_self", "x + x = x * 2", op("add", any('x'), any('x')),
         [](const Match& m) {
             return get(m, 'x') * on(m, scalar_constant(m.root().dtype(), 2.0, m.loc()));
         },
         is_number_root},
        {"add_scaled", "x * a + x * b = x * (a + b), for a and b of one sign",
         op("add", op("mul", any('x'), any('a')), op("mul", any('x'), any('b'))), scaled_by_sum,
         same_sign_coefficients},
        {"add_scaled_self", "x * a + x = x * (a + 1), for a > 0",
         op("add", op("mul", any('x'), any('a')), any('x')),
         [](const Match& m) {
             const Expr one = scalar_constant(m.root().dtype(), 1.0, m.loc());
             return get(m, 'x') * on(m, get(m, 'a') + on(m, one));
         },
         positive_coefficient},
        {"sub_self", "x - x = 0, of integers", op("sub", any('x'), any('x')),
         [](const Match& m) { return filled(m, 0); }, is_integer_root},
        {"sub_scaled", "x * a - x * b = x * (a - b), of integers",
         op("sub", op("mul", any('x'), any('a')), op("mul", any('x'), any('b'))),
         [](const Match& m) { return get(m, 'x') * on(m, get(m, 'a') - get(m, 'b')); },
         [](const Match& m) {
             return is_integer_root(m) && is_number(m, 'a') && is_number(m, 'b');
         }},
        {"sub_of_sum", "(x + y) - y = x, of integers", op("sub", op("add", any('x'), any('y')), any('y')),
         just_x, is_integer_root},
        {"add_of_difference", "(x - y) + y = x, of integers",
         op("add", op("sub", any('x'), any('y')), any('y')), just_x, is_integer_root},

        // powers
        {"mul_self", "x * x = sqr(x)", op("mul", any('x'), any('x')),
         [](const Match& m) { return sqr(get(m, 'x')); }},
        {"pow_zero", "x^0 = 1, also for NaN", op("pow", any('x'), num(0)),
         [](const Match& m) { return filled(m, 1); }},
        {"pow_one", "x^1 = x", op("pow", any('x'), num(1)), just_x},
        {"pow_two", "x^2 = sqr(x)", op("pow", any('x'), num(2)),
         [](const Match& m) { return if_same_type(m, sqr(get(m, 'x'))); }},
        {"pow_half", "x^0.5 = sqrt(x), for an x that is never negative",
         op("pow", any('x'), num(0.5)),
         [](const Match& m) { return if_same_type(m, sqrt(get(m, 'x'))); },
         [](const Match& m) { return never_negative(m['x']); }},
        {"sqr_neg", "sqr(-x) = sqr(x)", op("sqr", op("neg", any('x'))),
         [](const Match& m) { return sqr(get(m, 'x')); }},
        {"sqr_abs", "sqr(|x|) = sqr(x)", op("sqr", op("abs", any('x'))),
         [](const Match& m) { return sqr(get(m, 'x')); }},
    };
    return table;
}

}  // namespace arete::rules

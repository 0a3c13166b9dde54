// Cheaper ops, once composites are expanded.
#include <cmath>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

// ---- numbers

Expr one(const Match& m) {
    return scalar_constant(m.root().dtype(), 1.0, m.loc());
}

Expr inverse(const Match& m, const Expr& x) {
    return on(m, one(m)) / on(m, x);
}

// The root as powers have it: of -infinity infinite, of -0 a zero without a sign. Zeros and
// infinities are what doubling leaves.
Expr root_for_power(const Match& m) {
    const Operand x = get(m, 'x');
    if (never_negative(m['x'])) return sqrt(x);
    const Expr ends = eq(x, on(m, x + x));
    return sqrt(on(m, where(on(m, ends), on(m, abs(x)), x)));
}

// x^3 ... x^6 by at most three products: within 3 ulp, and the same limits.
Expr small_power(const Match& m) {
    double n = 0;
    if (!is_constant_scalar(m['n'], &n)) return {};
    const Operand x = get(m, 'x'), square = on(m, sqr(x));
    if (n == 3) return if_same_type(m, x * square);
    if (n == 4) return if_same_type(m, sqr(square));
    if (n == 5) return if_same_type(m, x * on(m, sqr(square)));
    if (n == 6) return if_same_type(m, sqr(on(m, x * square)));
    return {};
}

// The reciprocal of a power of two is exact as long as it is no denormal.
bool power_of_two(const Match& m) {
    double a = 0;
    if (!is_number(m, 'a', &a) || !std::isfinite(a) || a == 0) return false;
    int exponent = 0;
    const int limit = m.root().dtype() == DType::F32 ? 126 : 1022;
    return std::fabs(std::frexp(a, &exponent)) == 0.5 && std::abs(exponent - 1) <= limit;
}

// Is e, through elementwise ops and views, a reduction? Such a number is right to the last place of
// its largest terms only.
bool made_of_sums(const Expr& e, int depth) {
    const Node& n = e.node();
    if (n.is_leaf() || depth == 0) return false;
    if (n.op->has(Trait::Reduces)) return true;
    if (!is_elementwise(def(n)) && !is_view(def(n))) return false;
    return std::any_of(n.inputs.begin(), n.inputs.end(),
                       [&](const Expr& x) { return made_of_sums(x, depth - 1); });
}

// What dropout leaves of relu(y) says by itself where both let through, so that the mask need not
// be kept until the gradient is computed.
Expr positive_masked(const Match& m, const Expr& x) {
    if (x.shape() != m.root().shape() || m['m'].shape() != x.shape() || x.dtype() == DType::Bool)
        return {};
    const Expr mask = cast(get(m, 'm'), x.dtype());
    for (const Expr& product : {on(m, x) * on(m, mask), on(m, mask) * on(m, x)})
        if (m.computed_anyway(product)) return 0 < on(m, product);
    return {};
}

// ---- products of matrices

bool matrices(const Match& m) {
    return m['x'].rank() == 2 && m['y'].rank() == 2;
}

bool one_term(const Match& m) {
    return matrices(m) && m['x'].shape()[1] == Dim(1) && m['y'].shape()[0] == Dim(1);
}

bool transposed_product(const Match& m) {
    return matrices(m) && attrs(m.root()).get<Ints>("order") == Ints{1, 0} && m.only_reader('d');
}

Expr product_of_transposed(const Match& m) {
    return dot_of(m, transpose(get(m, 'y')), transpose(get(m, 'x')));
}

// ---- slices of what is computed

Expr slice_along(const Match& m, const Expr& x, const Shape& starts, const Ints& steps,
                 const Shape& sizes) {
    bool whole = true;
    for (std::size_t k = 0; k < starts.size(); ++k)
        whole = whole && starts[k] == Dim(0) && steps[k] == 1 && sizes[k] == x.shape()[k];
    return whole ? x : slice_window(x, starts, steps, sizes, m.loc());
}

// Rows of a product come from the first operand, columns from the second.
Expr slice_of_dot(const Match& m) {
    const Shape &starts = attrs(m.root()).get<Shape>("starts"),
                &sizes = attrs(m.root()).get<Shape>("sizes");
    const Ints& steps = attrs(m.root()).get<Ints>("steps");
    const Expr &x = m['x'], &y = m['y'];
    const Dim inner = x.shape()[1];
    return dot_of(m, slice_along(m, x, {starts[0], 0}, {steps[0], 1}, {sizes[0], inner}),
                  slice_along(m, y, {0, starts[1]}, {1, steps[1]}, {inner, sizes[1]}));
}

bool product_only_sliced(const Match& m) {
    return matrices(m) && m.only_reader('d');
}

// What is not read need not be summed.
Expr slice_of_fold(const Match& m) {
    const Shape &starts = attrs(m.root()).get<Shape>("starts"),
                &sizes = attrs(m.root()).get<Shape>("sizes");
    const Ints& steps = attrs(m.root()).get<Ints>("steps");
    const Ints& axes = attrs(m['r']).get<Ints>("axes");
    const bool kept = attrs(m['r']).get<bool>("keepdims");
    Shape from, length;
    Ints step;
    std::size_t position = 0;
    for (std::size_t k = 0; k < m['x'].shape().size(); ++k) {
        const bool gone = std::count(axes.begin(), axes.end(), static_cast<std::int64_t>(k)) != 0;
        if (gone && kept && !(sizes[position] == Dim(1))) return {};
        from.push_back(gone ? Dim(0) : starts[position]);
        step.push_back(gone ? 1 : steps[position]);
        length.push_back(gone ? m['x'].shape()[k] : sizes[position]);
        position += !gone || kept;
    }
    return apply(def(m['r'].node()), {slice_along(m, m['x'], from, step, length)}, attrs(m['r']),
                 m.loc());
}

// ---- extremes

// f(max(x)): one evaluation of f instead of one an element.
Expr f_of_extreme(const Match& m) {
    const Expr x = apply(def(m.root().node()), {m['x']}, attrs(m.root()), m.loc());
    return apply(def(m['f'].node()), {x}, attrs(m['f']), m.loc());
}

}  // namespace

std::span<const Rule> specialize_rules() {
    static const Rule table[] = {
        {"pow_minus_one", "x^-1 = 1 / x", op("pow", any('x'), num(-1)),
         [](const Match& m) { return if_same_type(m, inverse(m, m['x'])); }},
        {"pow_minus_two", "x^-2 = sqr(1 / x)", op("pow", any('x'), num(-2)),
         [](const Match& m) { return if_same_type(m, sqr(on(m, inverse(m, m['x'])))); }},
        {"pow_any_half", "x^0.5 = sqrt(x), but infinite for -infinity and 0 for -0",
         op("pow", any('x'), num(0.5)),
         [](const Match& m) { return if_same_type(m, root_for_power(m)); }},
        {"pow_minus_half", "x^-0.5 = |1 / sqrt(x)|, infinite at both zeros, 0 at both infinities",
         op("pow", any('x'), num(-0.5)),
         [](const Match& m) { return if_same_type(m, abs(on(m, inverse(m, root_for_power(m))))); }},
        {"pow_small", "x^3 ... x^6 by products", op("pow", any('x'), any('n')), small_power},
        {"div_power_of_two",
         "x / a = x * (1 / a) where a is a power of two, so that 1 / a is exact",
         op("div", any('x'), any('a')),
         [](const Match& m) { return get(m, 'x') * on(m, inverse(m, m['a'])); }, power_of_two},

        {"dot_one_term", "a product of matrices with inner size 1 is x * y",
         named('d', "dot", any('x'), any('y')),
         [](const Match& m) { return if_same_type(m, get(m, 'x') * get(m, 'y')); }, one_term},
        {"transpose_dot", "dot(x, y).T = dot(y.T, x.T)",
         op("dimshuffle", named('d', "dot", any('x'), any('y'))), product_of_transposed,
         transposed_product},
        // Near y = 1 right to the last place of 1, not of the slope: what PyTorch and JAX compute,
        // and an exponential an element less.
        {"sigmoid_slope",
         "g * (y * sigmoid(-x)) = g * (y * (1 - y)), where y = sigmoid(x) is needed elsewhere and "
         "g "
         "is a sum, or made of one",
         op("mul", any('g'),
            op("mul", named('y', "sigmoid", any('x')), op("sigmoid", op("neg", any('x'))))),
         [](const Match& m) {
             return get(m, 'g') * on(m, get(m, 'y') * on(m, one(m) - get(m, 'y')));
         },
         [](const Match& m) { return m.read_elsewhere('y') && made_of_sums(m['g'], 6); }},
        {"positive_masked", "0 < x and m = 0 < x * m, where x * m is computed anyway",
         op("and", op("lt", num(0), any('x')), any('m')),
         [](const Match& m) { return positive_masked(m, m['x']); }},
        {"positive_view_masked",
         "view(0 < x) and m = 0 < view(x) * m, where that is computed anyway",
         op("and", some('v', "view", is_view, op("lt", num(0), any('x'))), any('m')),
         [](const Match& m) {
             return positive_masked(m, apply(def(m['v'].node()), {m['x']}, attrs(m['v']), m.loc()));
         }},

        {"slice_dot", "rows and columns of dot(x, y) are those of x and y",
         op("slice", named('d', "dot", any('x'), any('y'))), slice_of_dot, product_only_sliced},
        {"slice_fold", "a slice of a reduction is the reduction of a slice",
         op("slice", some('r', "fold", is_fold, any('x'))), slice_of_fold,
         [](const Match& m) { return m.only_reader('r'); }},
        {"max_increasing", "max(f(x)) = f(max(x)) for increasing f",
         op("max", some('f', "increasing", is_increasing, any('x'))), f_of_extreme,
         [](const Match& m) { return m.only_reader('f'); }},
        {"min_increasing", "min(f(x)) = f(min(x)) for increasing f",
         op("min", some('f', "increasing", is_increasing, any('x'))), f_of_extreme,
         [](const Match& m) { return m.only_reader('f'); }},
    };
    return table;
}

}  // namespace arete

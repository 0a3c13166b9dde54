// Cheaper ops, once composites are expanded.
#include <cmath>

#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/sliding.h"
#include "compiler/ops/unpooled.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

// ---- convolution

// The convolution of which `root`, a convolution of a padded g, is the data gradient.
Sliding gradient_of(const Match& m) {
    Sliding s = Sliding::of(attrs(m.root()));
    s.flip = !s.flip;
    return s;
}

// The data gradient as it is first written, conv2d(pad2d(g, span of the filter - 1), w with its
// channels swapped), where padding is over a third of the work, or a gradient that is read has too
// few channels to be used for, and the product is deep enough to pay.
bool better_by_columns(const Match& m) {
    const int rank = m['w'].rank();
    if (!is_static(m.root().shape()) || (rank != 4 && rank != 5) || m['g'].rank() != rank)
        return false;
    const Sliding s = gradient_of(m);
    const Sizes w = concrete(m['w'].shape()), g = concrete(m['g'].shape()),
                out = concrete(m.root().shape());
    const Sizes pad = concrete(attrs(m['p']).get<Shape>("pad"));
    bool full = !s.steps() && attrs(m['d']).get<Ints>("order") == swapped_order(rank);
    for (std::size_t k : {0, 1}) {
        const std::int64_t edge = s.span(last_two(w, k), k).value() - 1;
        full = full && pad[2 * k] == edge && pad[2 * k + 1] == edge;
    }
    const std::int64_t work = last_two(out, 0) * last_two(out, 1),
                       needed = last_two(g, 0) * last_two(g, 1);
    constexpr std::int64_t few = 4, deep = 8;
    return full && (2 * work > 3 * needed || w[w.size() - 3] < few) && w[w.size() - 4] >= deep;
}

// Where one element of each window has a gradient, that is read by itself, and with it runs of
// pixels with their channels: worth it where windows are large enough and runs long enough to make
// up for reading each run for one product.
bool runs_pay(const Ints& pool, const Sizes& filter) {
    return pool[0] * pool[1] >= 4 && filter[1] * filter[3] >= 32;
}

bool filters_of_unpooled(const Match& m) {
    const Sliding s = Sliding::of(attrs(m.root()));
    return is_static(m.root().shape()) && m.root().rank() == 4 && !s.steps() &&
           s.dilation == Ints{1, 1} &&
           runs_pay(attrs(m['u']).get<Ints>("pool"), concrete(m.root().shape()));
}

bool images_of_unpooled(const Match& m) {
    if (m['w'].rank() != 4 || !better_by_columns(m) || gradient_of(m).dilation != Ints{1, 1})
        return false;
    const Ints& pool = attrs(m['g']).get<Ints>("pool");
    const Sizes w = concrete(m['w'].shape());
    return runs_pay(pool, w) &&
           w[2] * w[3] * pool[0] * pool[1] >= 2 * (w[2] + pool[0] - 1) * (w[3] + pool[1] - 1);
}

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
        {"filters_of_unpooled", "the filters' gradient is a sum over the windows' maxima alone",
         op("conv2d_grad_weights", any('x'), named('u', "unpool2d", any('p'), any('g'))),
         [](const Match& m) {
             const Shape& w = m.root().shape();
             return unpooled_grad_weights(get(m, 'x'), get(m, 'p'), get(m, 'g'),
                                          attrs(m['u']).get<Ints>("pool"),
                                          Sliding::of(attrs(m.root())), {w[2], w[3]});
         },
         filters_of_unpooled},
        {"images_of_unpooled", "each window's maximum sends the filter, moved, to the image",
         op("conv2d", named('p', "pad2d", named('g', "unpool2d", any('a'), any('h'))),
            named('d', "dimshuffle", any('w'))),
         [](const Match& m) {
             const Shape& image = m.root().shape();
             return unpooled_grad_input(get(m, 'w'), get(m, 'a'), get(m, 'h'),
                                        attrs(m['g']).get<Ints>("pool"), gradient_of(m),
                                        {last_two(image, 0), last_two(image, 1)});
         },
         images_of_unpooled},
        {"conv_of_padded",
         "a full convolution is a product and shifted sums, which skip the padding",
         op("conv2d", named('p', "pad2d", any('g')), named('d', "dimshuffle", any('w'))),
         [](const Match& m) {
             const Shape& image = m.root().shape();
             return conv2d_grad_input_by_columns(get(m, 'w'), get(m, 'g'), gradient_of(m),
                                                 {last_two(image, 0), last_two(image, 1)});
         },
         better_by_columns},

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

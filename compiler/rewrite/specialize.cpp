// Cheaper ops, once composites are expanded.
#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/sliding.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

// The convolution of which `root`, a convolution of a padded g, is the data gradient.
Sliding gradient_of(const Match& m) {
    Sliding s = Sliding::of(m.root().node().attrs);
    s.flip = !s.flip;
    return s;
}

// The data gradient as it is first written, conv2d(pad2d(g, span of the filter - 1), w with its
// channels swapped), where padding is over a third of the work and the product is deep enough to
// pay.
bool mostly_padding(const Match& m) {
    const int rank = m['w'].rank();
    if (!is_static(m.root().shape()) || (rank != 4 && rank != 5) || m['g'].rank() != rank)
        return false;
    const Sliding s = gradient_of(m);
    const Sizes w = concrete(m['w'].shape()), g = concrete(m['g'].shape()),
                out = concrete(m.root().shape());
    const Sizes pad = concrete(m['p'].node().attrs.get<Shape>("pad"));
    bool full = !s.steps() && m['d'].node().attrs.get<Ints>("order") == swapped_order(rank);
    for (std::size_t k : {0, 1}) {
        const std::int64_t edge = s.span(last_two(w, k), k).value() - 1;
        full = full && pad[2 * k] == edge && pad[2 * k + 1] == edge;
    }
    const std::int64_t work = last_two(out, 0) * last_two(out, 1),
                       needed = last_two(g, 0) * last_two(g, 1);
    return full && 2 * work > 3 * needed && w[w.size() - 4] >= 8;
}

}  // namespace

std::span<const Rule> specialize_rules() {
    static const Rule table[] = {
        {"pow_two", "x^2 = sqr(x)", op("pow", any('x'), num(2)),
         [](const Match& m) { return if_same_type(m, sqr(get(m, 'x'))); }},
        {"conv_of_padded",
         "a full convolution is a product and shifted sums, which skip the padding",
         op("conv2d", named('p', "pad2d", any('g')), named('d', "dimshuffle", any('w'))),
         [](const Match& m) {
             const Shape& image = m.root().shape();
             return conv2d_grad_input_by_columns(get(m, 'w'), get(m, 'g'), gradient_of(m),
                                                 {last_two(image, 0), last_two(image, 1)});
         },
         mostly_padding},
        {"pow_one", "x^1 = x", op("pow", any('x'), num(1)),
         [](const Match& m) { return if_same_type(m, m['x']); }},
        {"pow_half", "x^0.5 = sqrt(x)", op("pow", any('x'), num(0.5)),
         [](const Match& m) { return if_same_type(m, sqrt(get(m, 'x'))); }},
        {"mul_self", "x * x = sqr(x)", op("mul", any('x'), any('x')),
         [](const Match& m) { return sqr(get(m, 'x')); }},
        {"stop_gradient", "the value of stop_gradient(x) is x", op("stop_gradient", any('x')),
         [](const Match& m) { return if_same_type(m, m['x']); }},
        {"neg_neg", "--x = x", op("neg", op("neg", any('x'))),
         [](const Match& m) { return if_same_type(m, m['x']); }},
        {"sub_neg", "x - -y = x + y", op("sub", any('x'), op("neg", any('y'))),
         [](const Match& m) { return get(m, 'x') + get(m, 'y'); }, is_number_root},
    };
    return table;
}

}  // namespace arete

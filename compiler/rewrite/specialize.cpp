// Cheaper ops, once composites are expanded.
#include "compiler/ops/columns.h"
#include "compiler/ops/elementwise.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

namespace {

// The data gradient as it is first written, conv2d(pad2d(g, kernel - 1), w with its first two axes
// swapped), where padding is over a third of the work and the product is deep enough to pay.
bool mostly_padding(const Match& m) {
    if (!is_static(m.root().shape()) || m['w'].rank() != 4 || m['g'].rank() != 4) return false;
    const Sizes w = concrete(m['w'].shape()), g = concrete(m['g'].shape()),
                out = concrete(m.root().shape());
    const Sizes pad = concrete(m['p'].node().attrs.get<Shape>("pad"));
    const Ints& order = m['d'].node().attrs.get<Ints>("order");
    const bool full = order == Ints{1, 0, 2, 3} && pad[0] == w[2] - 1 && pad[1] == w[3] - 1;
    return full && 2 * out[2] * out[3] > 3 * g[2] * g[3] && w[0] >= 8;
}

}  // namespace

std::span<const Rule> specialize_rules() {
    static const Rule table[] = {
        {"pow_two", "x^2 = sqr(x)", op("pow", any('x'), num(2)),
         [](const Match& m) { return if_same_type(m, sqr(get(m, 'x'))); }},
        {"conv_of_padded",
         "a full convolution is a product and shifted sums, which skip the padding",
         named('c', "conv2d", named('p', "pad2d", any('g')), named('d', "dimshuffle", any('w'))),
         [](const Match& m) {
             return conv2d_grad_input_by_columns(get(m, 'w'), get(m, 'g'),
                                                 !m['c'].node().attrs.get<bool>("filter_flip"));
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

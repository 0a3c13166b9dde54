// Rules that processors want: convolutions without the zeros of padding, and of max-pooling's
// gradient, and images whose columns are in the order in which filters that step read them.
#include "compiler/targets/cpu/rules.h"
#include "compiler/ops/columns.h"
#include "compiler/ops/sliding.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/targets/cpu/ops/phases.h"
#include "compiler/targets/cpu/ops/unpooled.h"

namespace arete {

using namespace rules;

namespace {

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

// A copy in another order pays where each element is read for several products.
bool reads_every_other_column(const Match& m) {
    const Sliding s = Sliding::of(attrs(m.root()));
    if (s.step[1] < 2 || !is_static(m['x'].shape()) || !is_static(m['y'].shape())) return false;
    const Sizes x = concrete(m['x'].shape()), y = concrete(m['y'].shape());
    constexpr std::int64_t several = 8;
    return x.back() > s.step[1] && y[y.size() - 3] >= several && !is_by_phase(m['x']);
}

Expr by_phase(const Match& m) {
    const Expr x = columns_by_phase(get(m, 'x'), Sliding::of(attrs(m.root())).step[1]);
    return apply(def(m.root().node()), {x, m['y']}, attrs(m.root()), m.root().loc());
}

}  // namespace

std::span<const Rule> cpu_rules() {
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
        {"filters_by_phase", "the filters' gradient of a convolution that steps reads rows",
         op("conv2d_grad_weights", any('x'), any('y')), by_phase, reads_every_other_column},
    };
    return table;
}

std::span<const OpDef* const> cpu_ops() {
    static const std::vector<const OpDef*> rows = [] {
        std::vector<const OpDef*> out(unpooled_ops().begin(), unpooled_ops().end());
        out.insert(out.end(), phase_ops().begin(), phase_ops().end());
        return out;
    }();
    return rows;
}

}  // namespace arete

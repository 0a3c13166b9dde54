// Cheaper ops, once composites are expanded.
#include "compiler/ops/elementwise.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using namespace rules;

std::span<const Rule> specialize_rules() {
    static const Rule table[] = {
        {"pow_two", "x^2 = sqr(x)", op("pow", any('x'), num(2)),
         [](const Match& m) { return if_same_type(m, sqr(get(m, 'x'))); }},
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

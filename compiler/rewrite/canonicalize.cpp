// One form for each expression: the table, put together from its parts.
#include "compiler/ops/movement.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

namespace rules {

Expr filled(const Match& m, double value) {
    const DType t = m.root().dtype();
    return broadcast_to(on(m, scalar_constant(t, value, m.loc())), m.root().shape());
}

}  // namespace rules

std::span<const Rule> canonicalize_rules() {
    static const std::vector<Rule> table = [] {
        std::vector<Rule> all;
        for (const auto part : {rules::arithmetic_rules, rules::logic_rules, rules::movement_rules,
                                rules::reduction_rules, rules::scatter_rules})
            for (const Rule& r : part()) all.push_back(r);
        return all;
    }();
    return table;
}

}  // namespace arete

// Forms that neither overflow nor cancel, after Theano's stabilize phase. Canonical rules have run
// before and run again on what is made here, so signs are outside, squares are sqr, and so on.
// tests/end_to_end/test_stability.cpp shows for each rule where the written form fails.
#include "compiler/rewrite/dsl.h"

namespace arete {

std::span<const Rule> stabilize_rules() {
    static const std::vector<Rule> table = [] {
        std::vector<Rule> all;
        for (const auto part :
             {rules::softmax_rules, rules::exponential_rules, rules::stable_elementwise_rules,
              rules::logarithm_rules, rules::factor_rules, rules::scaled_rules})
            for (const Rule& r : part()) all.push_back(r);
        return all;
    }();
    return table;
}

}  // namespace arete

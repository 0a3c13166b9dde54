// A rewrite rule of one's own: two rows of a table, applied to an expression, with the log.
#include <cstdio>

#include <arete/arete.h>

#include "compiler/ops/rows.h"
#include "compiler/rewrite/rewrite.h"

using namespace arete;

namespace {

// [region table]
const Rule exp_rules[] = {
    {"log_of_exp", "log(exp(x)) = x",                                      // name, algebra
     Pattern::apply("log", {Pattern::apply("exp", {Pattern::any('x')})}),  // what to look for
     [](const Match& m) -> Expr { return m['x']; }},                       // what to put there
    {"product_of_exps", "exp(x) * exp(y) = exp(x + y)",
     Pattern::apply("mul", {Pattern::apply("exp", {Pattern::any('x')}),
                            Pattern::apply("exp", {Pattern::any('y')})}),
     [](const Match& m) -> Expr {
         return exp(at(at(m['x'], m.loc()) + at(m['y'], m.loc()), m.loc()));
     },
     [](const Match& m) { return m['x'].type() == m['y'].type(); }},  // guard
};
// [end]

}  // namespace

// [region wrong]
const Rule wrong_rule{"tanh_is_straight", "tanh(x) = x",  // near 0, yes
                      Pattern::apply("tanh", {Pattern::any('x')}),
                      [](const Match& m) -> Expr { return m['x']; }};
// [end]

int main(int argc, char**) {
    try {
        // [region apply]
        auto a = vector<float>("a", {4}), b = vector<float>("b", {4});
        const std::vector<Expr> before{log(exp(a)) * (exp(a) * exp(b))};
        RewriteLog fired;
        const std::vector<Expr> after = rewrite(before, exp_rules, &fired);
        fmt::print("before\n{}\nafter\n{}\nfired\n{}", to_string(Graph(before)),
                   to_string(Graph(after)), fired.str());
        // [end]

        // [region function]
        auto f = function({.inputs = {a, b},
                           .outputs = before,
                           .rules = {std::begin(exp_rules), std::end(exp_rules)}});
        fmt::print("{}\n", f(Array(std::vector<float>{0, 1, 2, 3}), zeros<float>({4}))[0].str());
        // [end]

        if (argc > 1) {
            // [region debug]
            auto y = tanh(a);
            auto g = function({.inputs = {a},
                               .outputs = {y},
                               .name = "bent",
                               .mode = Mode::debug,
                               .rules = {wrong_rule}});
            g(Array(std::vector<float>{0, 2, 3, 4}));
            // [end]
        }
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

// A rewrite rule of one's own: two rows of a table, applied to an expression, with the log.
#include <cstdio>

#include <arete/arete.h>

#include "compiler/ops/rows.h"
#include "compiler/rewrite/rewrite.h"

using namespace arete;

namespace {

// [region table]
const Rule log_rules[] = {
    {"log_of_exp", "log(exp(x)) = x",                              // name, and the algebra
     Pattern::apply("log", {Pattern::apply("exp", {Pattern::any('x')})}),  // what to look for
     [](const Match& m) -> Expr { return m['x']; }},               // what to put there
    {"log_of_product", "log(x) + log(y) = log(x * y) for x and y of one type",
     Pattern::apply("add", {Pattern::apply("log", {Pattern::any('x')}),
                            Pattern::apply("log", {Pattern::any('y')})}),
     [](const Match& m) -> Expr {
         return log(at(at(m['x'], m.loc()) * at(m['y'], m.loc()), m.loc()));
     },
     [](const Match& m) { return m['x'].type() == m['y'].type(); }},  // guard
};
// [end]

}  // namespace

int main() {
    try {
        // [region apply]
        auto a = vector<float>("a", {4}), b = vector<float>("b", {4});
        const Expr before = log(exp(a)) + (log(a) + log(b));
        RewriteLog log_of_firings;
        const std::vector<Expr> after = rewrite(std::vector<Expr>{before}, log_rules, &log_of_firings);
        fmt::print("before\n{}\nafter\n{}\nfired\n{}", to_string(Graph({before})),
                   to_string(Graph(after)), log_of_firings.str());
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

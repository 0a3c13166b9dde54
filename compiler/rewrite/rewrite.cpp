#include "compiler/rewrite/rewrite.h"

#include <algorithm>

#include "compiler/ops/leaves.h"
#include "compiler/rewrite/engine.h"

namespace arete {

std::string to_line(const Expr& e, int depth) {
    const Node& n = e.node();
    double v = 0;
    if (n.is_leaf()) {
        if (!n.name.empty()) return n.name;
        if (!is_constant_scalar(e, &v)) return std::string(n.op->name);
        return e.dtype() == DType::F32 ? fmt::format("{}", static_cast<float>(v))
                                       : fmt::format("{}", v);
    }
    if (depth == 0) return "...";
    constexpr std::size_t most = 6;
    std::string args;
    for (std::size_t k = 0; k < std::min(n.inputs.size(), most); ++k)
        args += (k ? ", " : "") + to_line(n.inputs[k], depth - 1);
    if (n.inputs.size() > most) args += ", ...";
    return fmt::format("{}({})", n.op->name, args);
}

std::string RewriteLog::str() const {
    std::string out;
    for (const Firing& f : firings)
        out += fmt::format("{}: {}{}\n    {}\n -> {}\n", f.rule->name, f.rule->comment,
                           f.where.empty() ? "" : "  # " + f.where, f.before, f.after);
    return out;
}

namespace {

std::vector<Expr> rewrite_with(std::span<const Expr> outputs, const std::vector<RuleTable>& tables,
                               RewriteLog* log, Products products,
                               Functions functions = Functions::folded) {
    // Rules that ask for readers see those of the graph that they were given, so what fires may
    // make others fire that were refused.
    std::vector<Expr> now(outputs.begin(), outputs.end());
    constexpr int most_rounds = 8;
    for (int round = 0; round < most_rounds; ++round) {
        const Graph graph(now);
        Engine engine(tables, graph.size(), log, products, functions);
        now = engine.run(graph);
        if (engine.fired() == 0 || !engine.was_refused()) break;
    }
    return now;
}

}  // namespace

std::vector<Expr> rewrite(std::span<const Expr> outputs, std::span<const Rule> rules,
                          RewriteLog* log, Products products) {
    return rewrite_with(outputs, {RuleTable{rules}}, log, products);
}

std::vector<Expr> rewrite(std::span<const Expr> outputs,
                          std::initializer_list<std::span<const Rule>> tables, RewriteLog* log) {
    std::vector<RuleTable> all;
    for (const std::span<const Rule> rules : tables) all.push_back({rules});
    return rewrite_with(outputs, all, log, Products::fused);
}

std::vector<Expr> rewrite(std::span<const Expr> outputs, Phase phase, RewriteLog* log,
                          bool fast_math, Products products, std::span<const Rule> target_rules) {
    std::vector<RuleTable> tables;
    switch (phase) {
        case Phase::Canonicalize: break;
        case Phase::Stabilize: tables.push_back({stabilize_rules(), true}); break;
        case Phase::Specialize:
            if (!target_rules.empty()) tables.push_back({target_rules});
            tables.push_back({specialize_rules()});
            break;
    }
    tables.push_back({canonicalize_rules()});
    if (fast_math) tables.push_back({fast_math_rules()});
    return rewrite_with(outputs, tables, log, products,
                        phase == Phase::Specialize ? Functions::folded : Functions::kept);
}

}  // namespace arete

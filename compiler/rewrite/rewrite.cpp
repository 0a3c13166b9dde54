#include "compiler/rewrite/rewrite.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ops/leaves.h"
#include "compiler/rewrite/fold.h"

namespace arete {

Pattern Pattern::any(char name) {
    Pattern p;
    p.kind = Kind::Any;
    p.name = name;
    return p;
}

Pattern Pattern::number(double value) {
    Pattern p;
    p.kind = Kind::Constant;
    p.value = value;
    return p;
}

Pattern Pattern::apply(const char* op, std::vector<Pattern> args, char bind) {
    Pattern p;
    p.kind = Kind::Apply;
    p.op = op;
    p.args = std::move(args);
    p.name = bind;
    return p;
}

const Expr& Match::operator[](char name) const {
    auto it = bound_.find(name);
    ARETE_CHECK(it != bound_.end(), "the pattern binds no '{}'", name);
    return it->second;
}

class Matcher {
  public:
    static std::optional<Match> run(const Pattern& pattern, const Expr& e) {
        Match m;
        m.root_ = e;
        if (!step(pattern, e, m)) return std::nullopt;
        return m;
    }

  private:
    static bool bind(char name, const Expr& e, Match& m) {
        auto [it, fresh] = m.bound_.try_emplace(name, e);
        return fresh || same(it->second, e);
    }

    static bool step(const Pattern& p, const Expr& e, Match& m) {
        switch (p.kind) {
            case Pattern::Kind::Any: return bind(p.name, e, m);
            case Pattern::Kind::Constant: {
                double v = 0;
                return is_constant_scalar(e, &v) && v == p.value;
            }
            case Pattern::Kind::Apply: break;
        }
        const Node& n = e.node();
        if (n.op->name != p.op || n.inputs.size() != p.args.size()) return false;
        if (p.name && !bind(p.name, e, m)) return false;
        Match before = m;
        if (all(p, n, false, m)) return true;
        if (!n.op->has(Trait::Commutative)) return false;
        m = std::move(before);
        return all(p, n, true, m);
    }

    static bool all(const Pattern& p, const Node& n, bool swapped, Match& m) {
        for (std::size_t i = 0; i < p.args.size(); ++i) {
            std::size_t k = swapped ? p.args.size() - 1 - i : i;
            if (!step(p.args[i], n.inputs[k], m)) return false;
        }
        return true;
    }
};

std::optional<Match> match(const Pattern& pattern, const Expr& e) {
    return Matcher::run(pattern, e);
}

namespace {

std::string text(const Expr& e) {
    const Node& n = e.node();
    if (n.is_leaf()) return n.name.empty() ? std::string(n.op->name) : n.name;
    std::string args;
    for (const Expr& x : n.inputs)
        args += (args.empty() ? "" : ", ") +
                (x.node().name.empty() ? std::string(x.node().op->name) : x.node().name);
    return fmt::format("{}({}) : {}", n.op->name, args, e.type().str());
}

class Engine {
  public:
    Engine(std::span<const Rule> rules, RewriteLog* log) : log_(log) {
        for (const Rule& r : rules) {
            ARETE_CHECK(r.pattern.kind == Pattern::Kind::Apply, "rule {} matches everything",
                        r.name);
            by_op_[r.pattern.op].push_back(&r);
        }
    }

    // The next node of the graph that is rewritten.
    std::vector<Expr> graph_node(Node n) {
        ++nodes_;
        return node(std::move(n));
    }

  private:
    // The normal form of each output of a node whose inputs are in normal form.
    std::vector<Expr> node(Node n) {
        std::shared_ptr<const Node> made = interner_.intern(std::move(n));
        std::vector<Expr> out;
        for (std::size_t k = 0; k < made->types.size(); ++k)
            out.emplace_back(made, static_cast<int>(k));
        if (!normal_.insert(made.get()).second) {
            auto it = replaced_.find(made.get());
            return it == replaced_.end() ? out : it->second;
        }
        keep_.push_back(made);
        if (made->is_leaf() || made->types.size() != 1) return out;
        Expr now = simplify(out[0]);
        if (!same(now, out[0])) replaced_[made.get()] = {now};
        return {now};
    }

    Expr simplify(const Expr& e) {
        if (Expr c = fold(e)) return normalise(c, e.node().locs);
        auto rules = by_op_.find(e.node().op->name);
        if (rules == by_op_.end()) return e;
        for (const Rule* r : rules->second) {
            std::optional<Match> m = match(r->pattern, e);
            if (!m || (r->guard && !r->guard(*m))) continue;
            Expr by = r->replace(*m);
            if (!by || same(by, e)) continue;
            ARETE_CHECK(by.type() == e.type(), "rule {}: {} became {}", r->name, e.type().str(),
                        by.type().str());
            // In proportion to the nodes of the graph met so far: what rules make is not counted.
            if (++fired_ > 1000 + 50 * nodes_)
                throw InternalError(
                    fmt::format("rewriting does not come to rest; the last rule was {}", r->name),
                    e.loc());
            if (log_) log_->firings.push_back({r, text(e), text(by), e.loc().str(), e, by});
            return normalise(by, e.node().locs);
        }
        return e;
    }

    // What a rule made, down to what was already in normal form. New nodes take the user's lines.
    Expr normalise(const Expr& e, const std::vector<Loc>& locs) {
        if (normal_.count(&e.node())) {
            auto it = replaced_.find(&e.node());
            return it == replaced_.end() ? e : it->second[static_cast<std::size_t>(e.output())];
        }
        Node copy = e.node();
        copy.locs = locs;
        for (Expr& x : copy.inputs) x = normalise(x, locs);
        return node(std::move(copy))[static_cast<std::size_t>(e.output())];
    }

    Interner interner_;
    std::unordered_map<std::string_view, std::vector<const Rule*>> by_op_;
    std::unordered_set<const Node*> normal_;
    std::unordered_map<const Node*, std::vector<Expr>> replaced_;
    std::vector<std::shared_ptr<const Node>> keep_;  // so that addresses are not reused
    RewriteLog* log_;
    std::size_t fired_ = 0, nodes_ = 0;
};

}  // namespace

std::string RewriteLog::str() const {
    std::string out;
    for (const Firing& f : firings)
        out += fmt::format("{} ({}): {} -> {}{}\n", f.rule->name, f.rule->comment, f.before,
                           f.after, f.where.empty() ? "" : "  # " + f.where);
    return out;
}

std::vector<Expr> rewrite(std::span<const Expr> outputs, std::span<const Rule> rules,
                          RewriteLog* log) {
    Engine engine(rules, log);
    return transform(outputs,
                     [&](const auto&, Node copy) { return engine.graph_node(std::move(copy)); });
}

}  // namespace arete

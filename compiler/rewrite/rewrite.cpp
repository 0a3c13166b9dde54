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

Pattern Pattern::op_class(const char* what, OpClass is, std::vector<Pattern> args, char bind) {
    Pattern p = apply(what, std::move(args), bind);
    p.kind = Kind::Class;
    p.is = is;
    return p;
}

const Expr& Match::operator[](char name) const {
    for (std::size_t k = 0; k < count_; ++k)
        if (bound_[k].first == name) return bound_[k].second ? *bound_[k].second : root_;
    throw InternalError(fmt::format("the pattern binds no '{}'", name));
}

bool Match::only_reader(char name) const {
    if (!around_ || around_->readers((*this)[name].node()) <= 1) return true;
    around_->refused();
    return false;
}

bool Match::read_elsewhere(char name) const {
    return around_ && around_->readers((*this)[name].node()) > 1;
}

bool Match::computed_anyway(const Expr& e) const {
    if (!around_ || around_->computes(e)) return true;
    around_->refused();
    return false;
}

class Matcher {
  public:
    Matcher(const Pattern& pattern, const Expr& e, const Surroundings* around)
        : pattern_(pattern), e_(e) {
        m_.around_ = around;
    }

    // The next way to match, null where there is none left. Tries both orders of each commutative
    // op, the last one met first: a depth-first search that begins anew for each sequence of
    // choices.
    std::optional<Match> next() {
        while (more_) {
            m_.count_ = 0;
            next_ = 0;
            const bool found = step(pattern_, e_);
            more_ = turn_last();
            if (!found) continue;
            m_.root_ = e_;
            return m_;
        }
        return std::nullopt;
    }

  private:
    bool swapped() {
        if (next_ == made_) swaps_ &= ~(1u << made_++);
        return (swaps_ >> next_++ & 1) != 0;
    }

    bool turn_last() {
        made_ = next_;  // choices that were not reached this time are open again
        while (made_ > 0 && (swaps_ >> (made_ - 1) & 1) != 0) --made_;
        if (made_ == 0) return false;
        swaps_ |= 1u << (made_ - 1);
        return true;
    }

    bool bind(char name, const Expr& e) {
        for (std::size_t k = 0; k < m_.count_; ++k)
            if (m_.bound_[k].first == name)
                return same(m_.bound_[k].second ? *m_.bound_[k].second : e_, e);
        ARETE_CHECK(m_.count_ < m_.bound_.size(), "a pattern with more than {} names",
                    m_.bound_.size());
        m_.bound_[m_.count_++] = {name, &e == &e_ ? nullptr : &e};
        return true;
    }

    bool step(const Pattern& p, const Expr& e) {
        switch (p.kind) {
            case Pattern::Kind::Any: return bind(p.name, e);
            case Pattern::Kind::Constant: {
                double v = 0;
                return is_constant_scalar(e, &v) && v == p.value;
            }
            case Pattern::Kind::Apply:
                if (e.node().op->name != p.op) return false;
                break;
            case Pattern::Kind::Class:
                if (e.node().is_leaf() || !p.is(def(e.node()))) return false;
                if (p.args.empty()) return !p.name || bind(p.name, e);
                break;
        }
        const Node& n = e.node();
        if (n.inputs.size() != p.args.size()) return false;
        if (p.name && !bind(p.name, e)) return false;
        const bool turned = n.op->has(Trait::Commutative) && swapped();
        for (std::size_t i = 0; i < p.args.size(); ++i)
            if (!step(p.args[i], n.inputs[turned ? p.args.size() - 1 - i : i])) return false;
        return true;
    }

    const Pattern& pattern_;
    const Expr& e_;
    Match m_;
    unsigned swaps_ = 0;  // bit k: the k-th choice
    int made_ = 0, next_ = 0;
    bool more_ = true;
};

std::optional<Match> match(const Pattern& pattern, const Expr& e) {
    return Matcher(pattern, e, nullptr).next();
}

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

namespace {

class Engine : public Surroundings {
  public:
    Engine(std::vector<std::span<const Rule>> tables, std::size_t size, RewriteLog* log)
        : tables_(std::move(tables)), log_(log), limit_(1000 + 50 * size) {
        for (std::span<const Rule> table : tables_)
            for (const Rule& r : table)
                ARETE_CHECK(r.pattern.kind == Pattern::Kind::Apply ||
                                r.pattern.kind == Pattern::Kind::Class,
                            "rule {} matches everything", r.name);
    }

    /// The normal form of all outputs.
    std::vector<Expr> run(const Graph& graph) {
        refused_ = false;
        given_.clear();
        graph_ = &graph;
        std::vector<int> results(graph.size(), 0);
        for (const Expr& e : graph.outputs()) ++results[static_cast<std::size_t>(graph.id(e))];
        std::vector<std::vector<Expr>> done(graph.size());
        auto replaced = [&](const Expr& e) {
            return done[static_cast<std::size_t>(graph.id(e))]
                       [static_cast<std::size_t>(e.output())];
        };
        for (std::size_t i = 0; i < graph.size(); ++i) {
            Node copy = *graph.nodes()[i];
            for (Expr& e : copy.inputs) e = replaced(e);
            for (Region& r : copy.regions)
                for (Expr& e : r.results) e = replaced(e);
            done[i] = node(std::move(copy));
            const int readers =
                results[i] + static_cast<int>(graph.users(static_cast<int>(i)).size());
            std::unordered_set<const Node*> seen;
            for (const Expr& e : done[i])
                if (seen.insert(&e.node()).second) {
                    Given& given = given_[&e.node()];
                    given.readers += readers;
                    given.id = static_cast<int>(i);
                }
        }
        std::vector<Expr> out;
        for (const Expr& e : graph.outputs()) out.push_back(replaced(e));
        return out;
    }

    // Nodes that rules have just made are read by what they were made for.
    int readers(const Node& node) const override {
        auto it = given_.find(&node);
        return it == given_.end() ? 1 : it->second.readers;
    }

    bool computes(const Expr& e) const override { return id(e) >= 0; }
    void refused() const override { refused_ = true; }

    /// True where a rule asked for an only reader and there were several, or for an expression that
    /// was not there: that may have changed since.
    bool was_refused() const { return refused_; }
    std::size_t fired() const { return fired_; }

  private:
    // The normal form of each output of a node whose inputs are in normal form.
    std::vector<Expr> node(Node n) {
        std::shared_ptr<const Node> made = interner_.intern(std::move(n));
        std::vector<Expr> out = outputs_of(made);
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

    // The node of the given graph that computes an expression of what has been visited; -1 where
    // there is none.
    int id(const Expr& e) const {
        const Node& n = e.node();
        if (auto it = given_.find(&n); it != given_.end()) return it->second.id;
        if (n.is_leaf() || n.inputs.empty()) return -1;
        std::vector<int> inputs;
        for (const Expr& x : n.inputs) {
            inputs.push_back(id(x));
            if (inputs.back() < 0) return -1;
        }
        for (int user : graph_->users(inputs[0])) {
            const Node& u = *graph_->nodes()[static_cast<std::size_t>(user)];
            bool equal = u.op == n.op && u.inputs.size() == n.inputs.size() && u.regions.empty() &&
                         u.attrs == n.attrs;
            for (std::size_t k = 0; equal && k < inputs.size(); ++k)
                equal = graph_->id(u.inputs[k]) == inputs[k] &&
                        u.inputs[k].output() == n.inputs[k].output();
            if (equal) return user;
        }
        return -1;
    }

    // The rules whose patterns may match this op, in the order of the tables.
    const std::vector<const Rule*>& rules_for(const OpInfo& op) {
        auto [it, fresh] = by_op_.try_emplace(&op);
        if (fresh)
            for (std::span<const Rule> table : tables_)
                for (const Rule& r : table)
                    if (r.pattern.kind == Pattern::Kind::Apply
                            ? op.name == r.pattern.op
                            : r.pattern.is(reinterpret_cast<const OpDef&>(op)))
                        it->second.push_back(&r);
        return it->second;
    }

    Expr simplify(const Expr& e) {
        if (const Expr c = fold(e); !c.empty()) return normalise(c, e.node().locs);
        for (const Rule* r : rules_for(*e.node().op)) {
            Matcher matches(r->pattern, e, this);
            while (const std::optional<Match> m = matches.next()) {
                if (r->guard && !r->guard(*m)) continue;
                const Expr by = r->replace(*m);
                if (by.empty() || same(by, e)) continue;
                note(*r, e, by);
                return normalise(by, e.node().locs);
            }
        }
        return e;
    }

    void note(const Rule& r, const Expr& e, const Expr& by) {
        ARETE_CHECK(by.type() == e.type(), "rule {}: {} became {}", r.name, e.type().str(),
                    by.type().str());
        if (++fired_ > limit_)
            throw InternalError(
                fmt::format("rewriting does not come to rest; the last rule was {}", r.name),
                e.loc());
        if (log_) log_->firings.push_back({&r, text(e), text(by), e.loc().str(), e, by});
    }

    static std::string text(const Expr& e) {
        return fmt::format("{} : {}", to_line(e), e.type().str());
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

    std::vector<std::span<const Rule>> tables_;
    Interner interner_;
    std::unordered_map<const OpInfo*, std::vector<const Rule*>> by_op_;
    std::unordered_set<const Node*> normal_;
    std::unordered_map<const Node*, std::vector<Expr>> replaced_;
    std::vector<std::shared_ptr<const Node>> keep_;  // so that addresses are not reused
    struct Given {
        int readers = 0, id = -1;
    };
    std::unordered_map<const Node*, Given> given_;  // by what has become of the graph's nodes
    const Graph* graph_ = nullptr;
    RewriteLog* log_;
    std::size_t fired_ = 0, limit_;
    mutable bool refused_ = false;
};

}  // namespace

std::string RewriteLog::str() const {
    std::string out;
    for (const Firing& f : firings)
        out += fmt::format("{}: {}{}\n    {}\n -> {}\n", f.rule->name, f.rule->comment,
                           f.where.empty() ? "" : "  # " + f.where, f.before, f.after);
    return out;
}

namespace {

std::vector<Expr> rewrite_with(std::span<const Expr> outputs,
                               const std::vector<std::span<const Rule>>& tables, RewriteLog* log) {
    // Rules that ask for readers see those of the graph that they were given, so what fires may
    // make others fire that were refused.
    std::vector<Expr> now(outputs.begin(), outputs.end());
    constexpr int most_rounds = 8;
    for (int round = 0; round < most_rounds; ++round) {
        const Graph graph(now);
        Engine engine(tables, graph.size(), log);
        now = engine.run(graph);
        if (engine.fired() == 0 || !engine.was_refused()) break;
    }
    return now;
}

}  // namespace

std::vector<Expr> rewrite(std::span<const Expr> outputs, std::span<const Rule> rules,
                          RewriteLog* log) {
    return rewrite_with(outputs, {rules}, log);
}

std::vector<Expr> rewrite(std::span<const Expr> outputs,
                          std::initializer_list<std::span<const Rule>> tables, RewriteLog* log) {
    return rewrite_with(outputs, tables, log);
}

std::vector<Expr> rewrite(std::span<const Expr> outputs, Phase phase, RewriteLog* log) {
    switch (phase) {
        case Phase::Canonicalize: return rewrite_with(outputs, {canonicalize_rules()}, log);
        case Phase::Stabilize:
            return rewrite_with(outputs, {stabilize_rules(), canonicalize_rules()}, log);
        case Phase::Specialize:
            return rewrite_with(outputs, {specialize_rules(), canonicalize_rules()}, log);
    }
    throw InternalError("no such phase");
}

}  // namespace arete

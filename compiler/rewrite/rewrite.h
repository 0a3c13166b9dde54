// The rule engine. A rewrite is a row of a table; the engine knows no rule by name.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

/// A pattern: a variable that matches any expression (the same one wherever it occurs), a constant
/// of a given value, or an op applied to patterns. Commutative ops match either way round.
class Pattern {
  public:
    enum class Kind : std::uint8_t { Any, Constant, Apply };

    /// Matches anything and binds it to `name`; further uses must match the same expression.
    static Pattern any(char name);
    /// Matches a constant whose elements all equal `value`.
    static Pattern number(double value);
    /// Matches an application of the op; `bind` names the whole match (0: no name).
    static Pattern apply(const char* op, std::vector<Pattern> args, char bind = 0);

    Kind kind = Kind::Any;
    char name = 0;
    double value = 0;
    const char* op = nullptr;
    std::vector<Pattern> args;
};

/// What a pattern bound, by name.
class Match {
  public:
    const Expr& operator[](char name) const;
    /// The expression that matched as a whole.
    const Expr& root() const { return root_; }
    Loc loc() const { return root_.loc(); }

  private:
    friend class Matcher;
    Expr root_;
    std::map<char, Expr> bound_;
};

/// One rewrite. `replace` may return an empty Expr: the rule does not apply after all.
struct Rule {
    const char* name;
    const char* comment;  ///< the algebra, in one line
    Pattern pattern;
    Expr (*replace)(const Match&);
    bool (*guard)(const Match&) = nullptr;
};

/// The tables, in the order of the pipeline.
std::span<const Rule> canonicalize_rules();  ///< one form for each expression, less work
std::span<const Rule> stabilize_rules();     ///< forms that neither overflow nor cancel
std::span<const Rule> specialize_rules();    ///< after expansion: cheaper ops

/// What fired, in order.
struct RewriteLog {
    struct Firing {
        const Rule* rule;
        std::string before, after, where;
        Expr from, to;  ///< what matched, and its replacement
    };
    std::vector<Firing> firings;
    std::string str() const;
};

/// Applies rules bottom up until none fires, merging equal nodes on the way. An InternalError
/// where the rules do not come to rest.
std::vector<Expr> rewrite(std::span<const Expr> outputs, std::span<const Rule> rules,
                          RewriteLog* log = nullptr);

/// Matches a pattern against an expression; null where it does not match.
std::optional<Match> match(const Pattern& pattern, const Expr& e);

}  // namespace arete

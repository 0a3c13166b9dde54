// The rule engine. A rewrite is a row of a table; the engine knows no rule by name.
#pragma once

#include <array>
#include <deque>
#include <initializer_list>
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
    enum class Kind : std::uint8_t { Any, Constant, Apply, Class };
    using OpClass = bool (*)(const OpDef&);

    /// Matches anything and binds it to `name`; further uses must match the same expression.
    static Pattern any(char name);
    /// Matches a constant whose elements all equal `value`.
    static Pattern number(double value);
    /// Matches an application of the op; `bind` names the whole match (0: no name).
    static Pattern apply(const char* op, std::vector<Pattern> args, char bind = 0);
    /// Matches an application of any op for which `is` holds; `what` says which these are. Without
    /// patterns for the arguments, whatever they are.
    static Pattern op_class(const char* what, OpClass is, std::vector<Pattern> args = {},
                            char bind = 0);

    Kind kind = Kind::Any;
    char name = 0;
    double value = 0;
    std::string_view op;  ///< of Class: what the ops are
    OpClass is = nullptr;
    std::vector<Pattern> args;
};

/// What a rule can know of the graph being rewritten, beyond what its pattern matched.
class Surroundings {
  public:
    virtual ~Surroundings() = default;
    /// How many nodes, and how many outputs, read a node.
    virtual int readers(const Node& node) const = 0;
    /// Does the graph compute this expression?
    virtual bool computes(const Expr& e) const = 0;
    /// Called where a rule does not apply for the sake of these: that may change as others do.
    virtual void refused() const = 0;
};

/// What a pattern bound, by name.
class Match {
  public:
    const Expr& operator[](char name) const;
    /// The expression that matched as a whole.
    const Expr& root() const { return root_; }
    Loc loc() const { return root_.loc(); }
    /// True where nothing else in the graph reads what is bound to `name`, so that a rule that
    /// replaces its reader makes it go away. Always true outside of a rewrite.
    bool only_reader(char name) const;
    /// True where something else in the graph reads it, so that it stays whatever a rule does.
    /// Always false outside of a rewrite.
    bool read_elsewhere(char name) const;
    /// True where the graph computes `e` in any case, so that a rule may use it at no cost. Always
    /// true outside of a rewrite.
    bool computed_anyway(const Expr& e) const;

  private:
    friend class Matcher;
    friend class Engine;
    // Matched by moving a view from the result of an op to its operands.
    bool moved_views() const { return kept_ != nullptr; }
    Expr root_;
    const Surroundings* around_ = nullptr;
    // Operands of nodes below the root, which lives; null stands for the root itself.
    std::array<std::pair<char, const Expr*>, 8> bound_{};
    std::size_t count_ = 0;
    std::shared_ptr<std::deque<Expr>> kept_;  // made while matching, bound or above what is
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
std::span<const Rule> fast_math_rules();     ///< of Mode::fast_math: in every phase, tried last

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

/// How the code will round products that sums read, where a function's polynomial leaves it to the
/// processor (loops::Op::MulAdd): not at all, to their type, or it is not known yet, and constants
/// are folded where it does not matter.
enum class Products { fused, rounded, unknown };

/// Are functions with Trait::Saturates folded where they are applied to constants? Stable forms
/// are looked for first: log(1 + exp(100)) is a number.
enum class Functions { folded, kept };

/// Applies rules bottom up until none fires, merging equal nodes and folding constants on the way.
/// Where several tables are given, rules of the earlier ones are tried first. An InternalError
/// where the rules do not come to rest.
std::vector<Expr> rewrite(std::span<const Expr> outputs, std::span<const Rule> rules,
                          RewriteLog* log = nullptr, Products products = Products::fused);
std::vector<Expr> rewrite(std::span<const Expr> outputs,
                          std::initializer_list<std::span<const Rule>> tables,
                          RewriteLog* log = nullptr);

/// The rewriting passes of the pipeline. What a later phase makes is brought into canonical form at
/// once, so that its own patterns need to know one form only. `target_rules` are those of a
/// machine, tried first in Phase::Specialize.
enum class Phase { Canonicalize, Stabilize, Specialize };
std::vector<Expr> rewrite(std::span<const Expr> outputs, Phase phase, RewriteLog* log = nullptr,
                          bool fast_math = false, Products products = Products::fused,
                          std::span<const Rule> target_rules = {});

/// Matches a pattern against an expression; null where it does not match. Where there are several
/// ways, the first; a rewrite tries the others too, where a guard refuses.
std::optional<Match> match(const Pattern& pattern, const Expr& e);

/// An expression in one line: "log(add(exp(x), 1))". Below `depth` ops, and after six operands, it
/// is cut short: "...".
std::string to_line(const Expr& e, int depth = 4);

}  // namespace arete

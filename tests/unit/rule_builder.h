// Expressions that a rule's pattern may stand for.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "compiler/rewrite/rewrite.h"

namespace arete::test {

/// Builds the expressions that a pattern may stand for, for given meanings of its variables.
class PatternBuilder {
  public:
    /// Numbers in the pattern become constants of dtype `t`.
    PatternBuilder(std::map<char, Expr> variables, DType t)
        : variables_(std::move(variables)), t_(t) {}
    std::vector<Expr> all(const Pattern& p) const;
    /// The same, where a variable that is also the name of an application stands for that.
    std::vector<Expr> applications(const Pattern& p);

  private:
    std::map<char, Expr> variables_;
    DType t_;
};

/// Variables of a pattern. Names of whole applications that occur elsewhere as variables are bound
/// to what they name, which the builder makes equal by making the same expression twice.
void variables_of(const Pattern& p, std::set<char>& out);

}  // namespace arete::test

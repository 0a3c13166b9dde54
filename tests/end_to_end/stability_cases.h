// Expressions that fail as they are written, for each stabilising rule.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <arete/arete.h>

namespace arete::test {

using Numbers = std::vector<long double>;
using L = long double;

/// A matrix [1,n] of inputs x, and one of y; results are compared element by element.
struct Case {
    std::vector<std::string> rules;  ///< which fire, among others
    std::string written;
    std::vector<float> x, y;
    std::function<Expr(const Expr& x, const Expr& y)> build;
    std::function<Numbers(const Numbers& x, const Numbers& y)> reference;
};

/// All of them; and its parts: of one function, and of several together.
const std::vector<Case>& stability_cases();
const std::vector<Case>& basic_cases();
const std::vector<Case>& compound_cases();

}  // namespace arete::test

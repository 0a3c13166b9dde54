// Sums of exponentials with constant coefficients. Private to the rule tables.
#pragma once

#include <vector>

#include "compiler/graph/node.h"

namespace arete::rules {

/// coefficient * exp(scale * base); a constant where the base is empty.
struct Term {
    double coefficient = 1;
    double scale = 1;
    Expr base;
};

/// A function that underflows may be multiplied by this at most: what it has lost would be a
/// number. exp(x) / (1 + 1e-20 exp(x)) is no 1e20 sigmoid(x - 46).
inline constexpr double most_enlarged = 16;

/// scale * base + offset
struct Argument {
    double scale = 1;
    Expr base;
    double offset = 0;
};
/// e as such, with an outermost constant as the offset, and constant factors as the scale.
Argument argument_of(const Expr& e);
/// Do they differ by their offsets only?
bool same_slope(const Argument& a, const Argument& b);

/// The terms of e where it is such a sum, also below views; false where it is none, or a long one.
bool exponentials_of(const Expr& e, std::vector<Term>& out);

}  // namespace arete::rules

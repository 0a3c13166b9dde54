// Checks a symbolic gradient against central differences.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/graph/node.h"

namespace arete {

struct VerifyGradOptions {
    double step = 1e-5;       ///< of the differences, relative to 1 + |x|
    double tolerance = 1e-6;  ///< largest error, relative to 1 + |difference quotient|
    std::uint64_t seed = 1;   ///< of the weights that make a scalar of f's value
};

/// Compares grad() of f at `point` with central differences, in f64 whatever the points' dtype.
/// f maps symbolic inputs (one for each point, of its sizes) to an expression of any shape; its
/// value is made a scalar by a weighted sum with fixed random weights, so that no error cancels.
/// Throws a GraphError that names the input, the element and both slopes where they disagree;
/// returns the largest error otherwise. Points are floats; f must be smooth there.
double verify_grad(const std::function<Expr(const std::vector<Expr>&)>& f,
                   const std::vector<Array>& point, const VerifyGradOptions& options = {},
                   const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace arete

// A test case of the fuzzer: a function's graph and what it is called with.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace arete::fuzz {

/// A gradient that was asked for, so that it can be compared with differences of its cost.
struct GradientOf {
    Expr cost, wrt, gradient;
};

struct Case {
    std::uint64_t seed = 0;
    std::vector<Expr> inputs;
    std::vector<Array> values;  ///< of the inputs
    std::vector<Expr> shared;   ///< every shared variable, counters of random draws among them
    std::vector<Array> state;   ///< their values before the call
    std::vector<Expr> outputs;
    std::vector<std::pair<Expr, Expr>> updates;
    std::vector<GradientOf> gradients;

    /// Outputs, then the updates' new values.
    std::vector<Expr> results() const;
    /// Puts the shared variables back.
    void reset() const;
    /// Finds the shared variables that the results read and notes what they hold.
    void note_shared();
    /// The graph as text, with what its leaves hold.
    std::string str() const;
};

/// "output 1", "the update of s0".
std::string result_name(const Case& c, std::size_t k);

/// The sizes that an expression has when its inputs are these.
Sizes sizes_of(const Expr& e, const std::vector<Expr>& inputs, const std::vector<Array>& values);

}  // namespace arete::fuzz

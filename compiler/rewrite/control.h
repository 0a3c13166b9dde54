// Rewrites of nodes that own regions: what no rule of a table can do, since it concerns a loop as a
// whole.
#pragma once

#include <vector>

#include "compiler/ops/scan.h"

namespace arete {

/// A scan node taken apart, so that it can be changed and put together again.
struct Loop {
    struct Sequence {
        Expr rows, param;
        ScanForm::Sequence at;
    };
    struct State {
        Expr initial;
        std::vector<Expr> params;  ///< by tap
        ScanForm::State form;
        Expr next;
    };
    struct Capture {
        Expr value, param;
    };
    struct Output {
        Expr value;
        bool reversed = false;
    };

    explicit Loop(const Node& node);
    /// The results of a node made of this.
    std::vector<Expr> build() const;
    std::size_t output_result(std::size_t l) const { return states.size() + l; }

    /// What the body computes.
    std::vector<Expr> results() const;
    /// Puts other expressions in the place of some, all over the body.
    void replace_inside(std::span<const std::pair<Expr, Expr>> pairs);

    Dim steps;
    std::vector<Sequence> sequences;
    std::vector<State> states;
    std::vector<Capture> captures;
    std::vector<Output> outputs;
    Expr until;
    std::int64_t truncate_gradient = -1;
    Loc loc;
};

/// Sizes must be numbers. Loops over the same inputs whose states are equal become one (a gradient
/// keeps further values of the loop that it derives, see scan_grad.cpp). Of each loop:
/// - results, states, sequences and captures that nothing needs go;
/// - of states and outputs only the last rows are kept where nothing reads others;
/// - constants, and rows that are all equal, are part of the body;
/// - a factor that a step reads transposed is transposed once, before the loop;
/// - a product of a sequence's rows with what does not change is one product before the loop;
/// - sums over the steps of products, or of reductions of rows that are kept, are one product or
///   reduction behind the loop.
/// The last two are Theano's scan_pushout. Branches: see branches.h. Regions inside regions come
/// first.
std::vector<Expr> simplify_control(std::vector<Expr> outputs);

}  // namespace arete

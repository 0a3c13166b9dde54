// Loops taken apart, for the rewrites of loops as a whole.
#pragma once

#include <memory>
#include <utility>
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

/// Two scan nodes that do the same with the same inputs as one, whose outputs are those of both:
/// what becomes of the results of either. Empty where they are not alike.
std::vector<std::pair<Expr, Expr>> merge_loops(const std::shared_ptr<const Node>& a,
                                               const std::shared_ptr<const Node>& b);

}  // namespace arete

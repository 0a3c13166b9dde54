// Expressions in the form from which gradients are derived.
#pragma once

#include <span>
#include <vector>

#include "compiler/graph/graph.h"

namespace arete {

struct StableForm {
    std::vector<Expr> outputs;  ///< equal to those given
    std::vector<Expr> kept;     ///< what has become of each of `keep`
    bool changed = false;
};

/// `outputs` after the stabilising rules. The gradient of a formula that overflows or cancels is a
/// sum of quotients of what has overflowed or cancelled; that of its stable form is not. No rule
/// looks beyond one of `keep`, so that a gradient can be asked for there. Nodes on which nothing
/// that has changed depends are the very same nodes.
StableForm stable_form(std::span<const Expr> outputs, std::span<const Expr> keep);

}  // namespace arete

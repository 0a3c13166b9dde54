// Programs of whole functions, for tests that look at their nests and kernels.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "compiler/pipeline/compile.h"

namespace arete::test {

/// The program of a whole function, after all passes, unscheduled.
inline Program program(std::vector<Expr> inputs, std::vector<Expr> outputs,
                       std::vector<std::pair<Expr, Expr>> updates = {}) {
    CompileRequest r;
    r.name = "f";
    for (const Expr& e : inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    r.inputs = std::move(inputs);
    r.outputs = std::move(outputs);
    r.updates = std::move(updates);
    return compile(r).program;
}

/// The parts of a step, none where it is no kernel.
inline std::span<const Part> parts_of(const Step& step) {
    return step.kernel() ? std::span<const Part>(step.kernel()->parts) : std::span<const Part>();
}

}  // namespace arete::test

// Programs of whole functions, for tests that look at their nests and kernels.
#pragma once

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
    r.schedule = false;
    return compile(r).program;
}

/// A common processor with vectors of 16 floats.
inline Machine wide_vectors() {
    Machine m;
    m.vector_bytes = 64;
    m.vector_registers = 32;
    m.masked_memory = true;
    return m;
}

}  // namespace arete::test

// Processors that tests plan for.
#pragma once

#include "compiler/targets/cpu/target.h"

namespace arete::test {

/// A common processor with vectors of 16 floats.
inline Machine wide_vectors() {
    Machine m;
    m.vector_bytes = 64;
    m.vector_registers = 32;
    m.masked_memory = true;
    return m;
}

}  // namespace arete::test

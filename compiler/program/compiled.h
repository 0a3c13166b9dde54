// A step program with what it refers to.
#pragma once

#include <vector>

#include "compiler/core/array.h"
#include "compiler/fuse/lower.h"
#include "compiler/program/pass_time.h"
#include "compiler/program/program.h"

namespace arete {

/// A step program with what its slots refer to.
struct Compiled {
    Program program;
    std::vector<Expr> shared;       ///< by Slot::number of Shared slots
    std::vector<Array> constants;   ///< by Slot::number of Constant slots
    std::vector<CheckSite> checks;  ///< by check code
    std::vector<PassTime> passes;
    /// What a slot stands for; of shared variables that are updated in place, the variable and, in
    /// the second list, its new value. Empty for targets of copies.
    IdVector<SlotId, Expr> slot_values, new_values;
    int dumped = 0;  ///< files written so far, which number the next ones
};

}  // namespace arete

// Steps of one nest each as one step.
#pragma once

#include <vector>

#include "compiler/program/dependences.h"
#include "compiler/program/program.h"

namespace arete {

/// A step that becomes part of a kernel, and the axis of its nest that the blocks cut, if any.
struct Member {
    StepId step;
    loops::Var axis;
};

/// The kernel of these steps of the program, which are moved from. What no other step uses, and of
/// which a block fits, becomes scratch, smallest first, as long as there is room in so many bytes.
Step merge_steps(Program& program, const std::vector<Member>& members, std::int64_t blocks,
                 const Dependences& dependences, std::int64_t scratch_bytes);

}  // namespace arete

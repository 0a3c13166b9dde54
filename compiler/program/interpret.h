// The interpreter of programs: what each step means.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compiler/program/program.h"

namespace arete {

/// Runs a program's steps one after another, its kernels in the loop interpreter.
class ProgramInterpreter {
  public:
    /// Which loops of a kernel are run: its nest's, one part after the other, or the scheduled
    /// ones.
    enum class Loops : std::uint8_t { Nests, Scheduled };

    /// The program must outlive it.
    explicit ProgramInterpreter(const Program& program, Loops loops = Loops::Nests,
                                loops::InterpretOptions options = {});

    /// `table` has one pointer a slot; a program that was grouped needs memory for scratch, too,
    /// where its nests are run. Ends after a step with a check that failed, which it tells, and
    /// after one for which `after_step` returns false.
    loops::Failure run(IdSpan<SlotId, void* const> table,
                       const std::function<bool(StepId step)>& after_step = {}) const;

  private:
    // A kernel and the slots of its parameters.
    struct Run {
        loops::Kernel kernel;
        IdVector<loops::BufferId, SlotId> slots;
    };
    loops::Failure run_kernels(StepId step, IdSpan<SlotId, void* const> table) const;
    loops::Failure run_loop(StepId step, const LoopStep& loop,
                            IdSpan<SlotId, void* const> table) const;
    loops::Failure run_branch(StepId step, const BranchStep& branch,
                              IdSpan<SlotId, void* const> table) const;
    std::size_t bytes(SlotId slot) const { return program_.slots[slot].bytes(); }

    const Program& program_;
    loops::InterpretOptions options_;
    IdVector<StepId, std::vector<Run>> runs_;
    IdVector<StepId, std::vector<ProgramInterpreter>> bodies_;
};

}  // namespace arete

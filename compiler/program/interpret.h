// The interpreter of programs: what each step means.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compiler/program/program.h"

namespace arete {

/// A step of a body that has run.
struct BodyStep {
    const Program& body;
    StepId step;
    IdSpan<SlotId, void* const> table;  ///< of the body
    /// Of the loops and branches around it, outermost first; of a branch 0.
    std::span<const std::int64_t> trips;
};

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

    using AfterBodyStep = std::function<bool(const BodyStep&)>;
    /// Runs one step that has bodies, on the table of the program. `after` is called behind each
    /// step of them, at any depth, and ends the run by returning false.
    void run_watched(StepId step, IdSpan<SlotId, void* const> table,
                     const AfterBodyStep& after) const;

  private:
    // Who watches bodies, and where they are.
    struct Watch {
        const AfterBodyStep& after;
        std::vector<std::int64_t> trips;
        bool ended = false;
    };
    // A kernel and the slots of its parameters.
    struct Run {
        loops::Kernel kernel;
        IdVector<loops::BufferId, SlotId> slots;
    };
    loops::Failure run_one(StepId step, IdSpan<SlotId, void* const> table, Watch* watch) const;
    loops::Failure run_body(const ProgramInterpreter& body, IdSpan<SlotId, void* const> table,
                            Watch* watch, std::int64_t trip) const;
    loops::Failure run_kernels(StepId step, IdSpan<SlotId, void* const> table) const;
    loops::Failure run_loop(StepId step, const LoopStep& loop, IdSpan<SlotId, void* const> table,
                            Watch* watch) const;
    loops::Failure run_branch(StepId step, const BranchStep& branch,
                              IdSpan<SlotId, void* const> table, Watch* watch) const;
    std::size_t bytes(SlotId slot) const { return program_.slots[slot].bytes(); }

    const Program& program_;
    loops::InterpretOptions options_;
    IdVector<StepId, std::vector<Run>> runs_;
    IdVector<StepId, std::vector<ProgramInterpreter>> bodies_;
};

}  // namespace arete

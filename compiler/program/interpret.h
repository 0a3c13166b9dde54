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
    loops::Failure run(std::span<void* const> table,
                       const std::function<bool(std::size_t step)>& after_step = {}) const;

  private:
    // A kernel and the slots of its parameters.
    struct Run {
        loops::Kernel kernel;
        std::vector<int> slots;
    };
    loops::Failure run_kernels(std::size_t step, std::span<void* const> table) const;
    loops::Failure run_loop(std::size_t step, const LoopStep& loop,
                            std::span<void* const> table) const;
    loops::Failure run_branch(std::size_t step, const BranchStep& branch,
                              std::span<void* const> table) const;
    std::size_t bytes(int slot) const {
        return program_.slots[static_cast<std::size_t>(slot)].bytes();
    }

    const Program& program_;
    loops::InterpretOptions options_;
    std::vector<std::vector<Run>> runs_;                   // by step
    std::vector<std::vector<ProgramInterpreter>> bodies_;  // by step
};

}  // namespace arete

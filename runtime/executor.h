// One specialisation of a function: its memory, and its program loaded by a device.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "compiler/pipeline/compile.h"
#include "runtime/device.h"

namespace arete {

/// Calls and time of one step.
struct StepCost {
    const Step* step = nullptr;
    std::int64_t calls = 0;
    double ms = 0;
};

/// One specialisation of a function, ready to run.
class Executable {
  public:
    /// A program as the device's target has translated it.
    Executable(Compiled compiled, std::string_view translated, const Device& device);
    /// What the request asks for, whose target is the device's: from the disk cache, or compiled
    /// and left there. Dumps as the options say.
    static std::unique_ptr<Executable> make(const CompileRequest& request, const Device& device);
    Executable(const Executable&) = delete;
    Executable& operator=(const Executable&) = delete;

    /// Runs once. `outputs` point to memory of the outputs' sizes. Shared variables must be locked
    /// by the caller. Throws a RangeError where a check fails; nothing has been updated then.
    void run(std::span<void* const> inputs, std::span<void* const> outputs);
    /// Runs `count` times with an argument that is `first`, then one more each time: the only one,
    /// an integer scalar. `stacks` point to memory for as many values of each output. As many
    /// calls: where a check fails, those before have been done.
    void run_many(std::int64_t first, std::int64_t count, std::span<void* const> stacks);
    /// The same for a program compiled with `observed`: `after_step` is called with the number of
    /// each step that has run, and ends the run by returning false; it must not throw. Returns
    /// false where it did.
    bool run_observed(std::span<void* const> inputs, std::span<void* const> outputs,
                      const std::function<bool(StepId)>& after_step);

    /// Memory of a slot: the arena and constants always, the others during and after a run.
    void* slot(SlotId n) const { return table_[n]; }

    const Compiled& compiled() const { return compiled_; }
    int kernels() const;
    /// True where nothing had to be compiled.
    bool from_cache() const { return from_cache_; }
    /// What each kernel has cost so far; needs a program compiled with `profile`.
    IdVector<StepId, StepCost> costs() const;

  private:
    void fill_table(std::span<void* const> inputs, std::span<void* const> outputs);
    void find_updated(const CompileRequest& request);
    void raise(const loops::Failure& failure) const;

    Compiled compiled_;
    bool from_cache_ = false;
    std::unique_ptr<LoadedProgram> loaded_;
    std::shared_ptr<void> arena_;
    IdVector<SlotId, void*> table_;
    bool takes_shared_ = false;  // the program, and the table's pointers to them are mere room
    std::vector<char> updated_;  // by number of shared variable: may a run change it?
    std::int64_t calls_ = 0;
    double ms_ = 0;  // wall clock of all calls, which calibrates the ticks
};

}  // namespace arete

// Machines that run programs: what the runtime asks of them, and which there are.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "compiler/core/options.h"
#include "compiler/targets/target.h"

namespace arete {

class SharedValue;

/// Calls of a program whose only argument is an integer, which grows by one from call to call.
struct ManyRuns {
    std::int64_t first = 0, count = 0;
    SlotId input;                                  ///< the argument's
    std::vector<std::pair<SlotId, void*>> stacks;  ///< by output's slot: memory for all its values
};

/// A program that a device has loaded, ready to run any number of times, one run at a time.
class LoadedProgram {
  public:
    LoadedProgram() = default;
    LoadedProgram(const LoadedProgram&) = delete;
    LoadedProgram& operator=(const LoadedProgram&) = delete;
    virtual ~LoadedProgram() = default;

    /// Runs all steps on `table`, one pointer a slot, but for what comes after a check that failed:
    /// of these it tells the lowest (code, element).
    virtual loops::Failure run(IdSpan<SlotId, void*> table) = 0;
    /// The same for a program that is `observed`: `after_step` is called with the number of each
    /// step that has run, and ends the run by returning false; it must not throw.
    virtual loops::Failure run(IdSpan<SlotId, void*> table,
                               const std::function<bool(StepId step)>& after_step) = 0;
    /// Gives the program its shared variables, by Slot::number. True where it finds their values
    /// itself, and tells these what it has changed; otherwise the table points to the host's copy.
    virtual bool takes_shared(std::span<SharedValue* const> values) {
        (void)values;
        return false;
    }
    /// Runs many times, stopping where a check fails. Nothing where the program is not made for it,
    /// and has done nothing.
    virtual std::optional<loops::Failure> run_many(IdSpan<SlotId, void*> table,
                                                   const ManyRuns& runs) {
        (void)table;
        (void)runs;
        return std::nullopt;
    }
    /// What each step of a program with `profile` has taken so far, in some unit of the device;
    /// empty where it was not measured.
    virtual IdSpan<StepId, const std::int64_t> ticks() const { return {}; }
};

/// A machine that is at hand.
class Device {
  public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    /// What programs for it are compiled for; null where they are not, but interpreted.
    virtual const std::shared_ptr<const Target>& target() const = 0;
    /// Loads what its target made of the program, which must outlive what is returned. A
    /// CompileError where it cannot be loaded.
    virtual std::unique_ptr<LoadedProgram> load(const Program& program,
                                                std::string_view translated) const = 0;
};

/// The names of the devices of this build, the default first. "cuda" stands for the first card;
/// "cuda:1" is the second one.
std::vector<std::string> device_names();
/// Those of them that are at hand: "cuda" only where there are a card and its driver.
std::vector<std::string> device_names_at_hand();

/// The device of `options.device`, as the other options say. "interpreter" is in every build. An
/// ArgumentError lists the devices of this build where it is none of them.
std::shared_ptr<const Device> open_device(const Options& options);

/// Runs programs step by step in the loop interpreter, slowly: the oracle of the tests.
std::shared_ptr<const Device> open_interpreter(const Options& options);

}  // namespace arete

// What the compiler asks of a machine. Each machine has a folder beside this file.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/core/options.h"
#include "compiler/fuse/costs.h"
#include "compiler/program/group.h"
#include "compiler/rewrite/rewrite.h"

namespace arete {

/// What a target tells of the passes by which it translates a program.
struct Translation {
    std::function<void(std::string_view pass, double ms)> passed;
    /// Called with the text that a stage makes, where `dumps` holds for the stage.
    std::function<void(std::string_view pass, std::string_view extension, std::string_view text)>
        dump;
    std::function<bool(Stage stage)> dumps;
    bool verify = true;  ///< run the target's own verifiers
    int threads = 0;     ///< that may work on it at a time; 0: one for each core
};

/// A language that a program is translated to, with the text of each step's kernel.
struct Listing {
    std::string language;                 ///< "llvm", "asm": also the name of a dump's stage
    std::string title;                    ///< for people: "LLVM IR"
    IdVector<StepId, std::string> steps;  ///< empty for one that runs no kernel of its own
};

/// A machine that programs are compiled for: a description, not a device that is at hand, so that
/// plans and code can be made for any.
class Target {
  public:
    Target() = default;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    virtual ~Target() = default;

    /// The kind of device that runs its code: "cpu".
    virtual std::string_view device() const = 0;
    /// One line for people: the processor and what is taken for it.
    virtual std::string text() const = 0;
    /// All that plans and code depend on, the translator's version included: part of the key of the
    /// disk cache.
    virtual std::string key() const = 0;

    /// How it rounds products that sums read.
    virtual Products products() const = 0;
    /// Rules that only this machine wants, tried in the phase `specialize`.
    virtual std::span<const Rule> rules() const = 0;
    virtual FusionCosts fusion_costs() const = 0;
    virtual GroupingModel grouping() const = 0;
    /// Schedules the kernels of a grouped program: from nests to the loops that run on the machine.
    /// It may cut sums into pieces, for which it adds slots, and put independent steps together.
    virtual void schedule(Program& program) const = 0;
    /// The scheduled program in the machine's own form, an object file say: what a device loads. A
    /// CompileError says what the translator said.
    virtual std::string translate(const Program& program, const Translation& watch) const = 0;
    /// The texts of a scheduled program, for the report.
    virtual std::vector<Listing> listings(const Program& program) const = 0;
};

}  // namespace arete

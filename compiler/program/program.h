// The step program: what a whole call does, in order.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compiler/graph/node.h"
#include "compiler/loops/kernel.h"

namespace arete {

/// A slot, by its number in Program::slots.
using SlotId = Id<struct SlotTag>;
/// A step, by its number in Program::steps.
using StepId = Id<struct StepTag>;

/// A piece of memory that kernels read or write.
struct Slot {
    /// Bound slots are those of a body: memory of the program around it (Window).
    enum class Kind : std::uint8_t { Input, Shared, Output, Constant, Bound, Arena };
    Kind kind = Kind::Arena;
    int number = 0;           ///< which input, shared variable, output or constant
    std::int64_t offset = 0;  ///< of Arena slots, in bytes
    DType dtype = DType::F32;
    Sizes sizes;
    std::string name;
    std::size_t bytes() const { return static_cast<std::size_t>(count(sizes)) * size_of(dtype); }
};

/// "input", "shared", ...
std::string_view name(Slot::Kind kind);

/// One of the nests that a kernel runs.
struct Part {
    loops::Nest nest;  ///< before scheduling: what the interpreter runs
    IdVector<loops::BufferId, SlotId> slots;
    loops::Var axis;    ///< the nest's axis that the loop over blocks walks, where there is one
    double cycles = 0;  ///< estimated, of one core
};

/// Runs a kernel: its parts one after another; where it has blocks, all parts for the first block
/// of their axes, then for the second.
struct KernelStep {
    std::vector<Part> parts;  ///< in order; at least one
    std::int64_t blocks = 1;  ///< iterations of the loop around all parts; each part's axis is cut
                              ///< into as many pieces
    std::vector<SlotId> scratch;  ///< of which a block is made, used and forgotten in the kernel
    std::string boundary;         ///< why it is not one kernel with those that it reads from
    loops::Kernel kernel;         ///< scheduled; empty in interpreted functions
    IdVector<loops::BufferId, SlotId> slots;  ///< by parameter
    bool checks = false;                      ///< may fail: the program stops after it

    /// The names of its parts (joined_names).
    std::string name() const;
};

/// Copies the bytes of one slot to another of the same size.
struct CopyStep {
    SlotId from, to;
};

/// Fills a slot with zeros.
struct FillStep {
    SlotId to;
};

struct Program;

/// Where a bound slot of a body lies in a slot of the program around it: in trip k of a loop at
/// byte `start + k * stride`, modulo `ring` bytes where that is not 0.
struct Window {
    SlotId slot, of;
    std::int64_t start = 0, stride = 0, ring = 0;
    bool written = false;
};

/// The state that a loop hands on from trip to trip: rows of `row_bytes` in `buffer`. The first
/// `depth` rows are copied from `initial` before the first trip. Where the buffer is a ring, the
/// last `depth` rows are copied to `last` behind the last trip.
struct Carried {
    SlotId initial, buffer, last;
    std::int64_t row_bytes = 0, depth = 0;
};

/// A slot to which each trip of a loop writes a row.
struct Stacked {
    SlotId slot;
    std::int64_t row_bytes = 0;
    std::int64_t first = 0;  ///< row of the first trip
};

/// Runs the body once for each trip. A body is a program without shared variables, inputs, outputs
/// and constants of its own: its slots are bound, or in its arena, which is the slot `workspace`.
struct LoopStep {
    std::string label;
    std::vector<Program> body;  ///< exactly one
    std::int64_t trips = 0;
    std::vector<Window> windows;  ///< of all bound slots
    std::vector<Carried> carried;
    SlotId workspace;
    /// A bool that each trip writes: the trip after which it is true is the last one. Rows that no
    /// trip has written repeat the last row then, if there is any, and `count` gets the number of
    /// trips.
    SlotId until, count;
    std::vector<Stacked> stacked;  ///< only where there is `until`
};

/// Runs the first body where the condition, a bool, is true, otherwise the second.
struct BranchStep {
    std::string label;
    SlotId condition;
    std::vector<Program> bodies;               ///< two
    std::vector<std::vector<Window>> windows;  ///< of the bound slots of each
    SlotId workspace;
};

/// Calls a function of the host (OpDef::host).
struct CallStep {
    std::shared_ptr<const Node> node;  ///< whose outputs it computes
    std::vector<SlotId> inputs, outputs;
    int code = 0;  ///< of the check that fails where the function throws
};

/// One step. Its readers visit `action` with a function for each alternative
/// (compiler/core/cases.h).
struct Step {
    std::variant<KernelStep, CopyStep, FillStep, LoopStep, BranchStep, CallStep> action;
    double flops = 0;   ///< floating-point operations, a fused multiply-add counting as two
    double bytes = 0;   ///< that it reads and writes, each parameter counted once
    std::string lines;  ///< the user's lines that it computes

    /// The kernel that it runs; null where it runs none.
    KernelStep* kernel() { return std::get_if<KernelStep>(&action); }
    const KernelStep* kernel() const { return std::get_if<KernelStep>(&action); }
    /// Whether a check in it, or in a body of it, may fail.
    bool checks() const;
    /// The kernel's name, or the kind.
    std::string name() const;
    /// "kernel", "copy", "fill", "loop", "branch" or "call".
    std::string_view kind() const;
    /// Slots that it reads or writes: a kernel's by parameter; what others read, then what they
    /// write.
    std::vector<SlotId> slots() const;
    /// Programs that it runs as parts of itself.
    std::span<Program> bodies();
    std::span<const Program> bodies() const;
};

/// What a step that runs bodies reads and writes of its program's slots, each once.
struct SlotUses {
    std::vector<SlotId> read, written;
};
SlotUses uses(const LoopStep& loop);
SlotUses uses(const BranchStep& branch);

struct Program {
    std::string name;
    IdVector<SlotId, Slot> slots;
    IdVector<StepId, Step> steps;
    std::int64_t arena_bytes = 0;
    bool profile = false;   ///< each step is timed
    bool observed = false;  ///< who runs it is called after each step
    bool quick = false;     ///< compile fast rather than to fast code
};

/// Runs the function on the slots of a program's table. Where it throws, the failure has the text.
loops::Failure run_call(const CallStep& call, const Program& program,
                        IdSpan<SlotId, void* const> table);

/// Steps that run kernels, those of bodies included.
int kernel_count(const Program& program);

}  // namespace arete

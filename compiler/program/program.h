// The step program: what a whole call does, in order.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compiler/loops/kernel.h"

namespace arete {

/// A piece of memory that kernels read or write.
struct Slot {
    enum class Kind : std::uint8_t { Input, Shared, Output, Constant, Arena } kind = Kind::Arena;
    int number = 0;           ///< which input, shared variable, output or constant
    std::int64_t offset = 0;  ///< of Arena slots, in bytes
    DType dtype = DType::F32;
    Sizes sizes;
    std::string name;
    std::size_t bytes() const { return static_cast<std::size_t>(count(sizes)) * size_of(dtype); }
};

/// One of the nests that a kernel runs.
struct Part {
    loops::Nest nest;        ///< before scheduling: what the interpreter runs
    std::vector<int> slots;  ///< by buffer of the nest
    loops::Var axis;    ///< the nest's axis that the loop over blocks walks, where there is one
    double cycles = 0;  ///< estimated, of one core
};

/// Runs a kernel: its parts one after another; where it has blocks, all parts for the first block
/// of their axes, then for the second.
struct KernelStep {
    std::vector<Part> parts;   ///< in order; at least one
    std::int64_t blocks = 1;   ///< iterations of the loop around all parts; each part's axis is cut
                               ///< into as many pieces
    std::vector<int> scratch;  ///< slots of which a block is made, used and forgotten in the kernel
    std::string boundary;      ///< why it is not one kernel with those that it reads from
    loops::Kernel kernel;      ///< scheduled; empty in interpreted functions
    std::vector<int> slots;    ///< by parameter
    bool checks = false;       ///< may fail: the program stops after it

    /// The part's name, or that of a kernel of several parts: of its longest, and their number.
    std::string name() const;
};

/// Copies the bytes of one slot to another of the same size.
struct CopyStep {
    int from = -1, to = -1;
};

/// Fills a slot with zeros.
struct FillStep {
    int to = -1;
};

/// One step. Its readers visit `action` with a function for each alternative
/// (compiler/core/cases.h).
struct Step {
    std::variant<KernelStep, CopyStep, FillStep> action;
    double flops = 0;   ///< floating-point operations, a fused multiply-add counting as two
    double bytes = 0;   ///< that it reads and writes, each parameter counted once
    std::string lines;  ///< the user's lines that it computes

    /// The kernel that it runs; null where it runs none.
    KernelStep* kernel() { return std::get_if<KernelStep>(&action); }
    const KernelStep* kernel() const { return std::get_if<KernelStep>(&action); }
    /// Whether a check in it may fail.
    bool checks() const { return kernel() && kernel()->checks; }
    /// The kernel's name, or the kind.
    std::string name() const;
    /// "kernel", "copy" or "fill".
    std::string_view kind() const;
    /// Slots that it reads or writes: a kernel's by parameter; what a copy reads, then writes.
    std::vector<int> slots() const;
};

struct Program {
    std::string name;
    std::vector<Slot> slots;
    std::vector<Step> steps;
    std::int64_t arena_bytes = 0;
    bool profile = false;   ///< each step is timed
    bool observed = false;  ///< who runs it is called after each step
    bool quick = false;     ///< compile fast rather than to fast code
};

/// Steps that run kernels.
int kernel_count(const Program& program);

}  // namespace arete

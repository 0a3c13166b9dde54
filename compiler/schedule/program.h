// The step program: what a whole call does, in order.
#pragma once

#include <string>
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

/// One step: a kernel run, or bytes copied or zeroed. A kernel runs its parts one after another;
/// where it has blocks, it runs all parts for the first block of their axes, then for the second.
struct Step {
    enum class Kind : std::uint8_t { Kernel, Copy, Zero } kind = Kind::Kernel;
    std::vector<Part> parts;   ///< of a Kernel, in order; at least one
    std::int64_t blocks = 1;   ///< iterations of the loop around all parts; each part's axis is cut
                               ///< into as many pieces
    std::vector<int> scratch;  ///< slots of which a block is made, used and forgotten in the kernel
    std::string boundary;      ///< why it is not one kernel with those that it reads from
    loops::Kernel kernel;      ///< scheduled; empty in interpreted functions
    std::vector<int> slots;    ///< by parameter; Copy: from, to; Zero: to
    bool checks = false;       ///< may fail: the program stops after it
    double flops = 0;          ///< floating-point operations, a fused multiply-add counting as two
    double bytes = 0;          ///< of all parameters, each counted once
    std::string lines;         ///< the user's lines that it computes

    /// The part's name, or that of a kernel of several parts: of its longest, and their number.
    std::string name() const;
};

struct Program {
    std::string name;
    std::vector<Slot> slots;
    std::vector<Step> steps;
    std::int64_t arena_bytes = 0;
    bool profile = false;   ///< native code adds each step's ticks to StepContext::ticks
    bool observed = false;  ///< StepContext::after_step is called after each step
    bool quick = false;     ///< compile fast rather than to fast code
};

/// Steps that run kernels.
int kernel_count(const Program& program);

/// What compiled code and the interpreter share with the caller of a program.
struct StepContext {
    std::int64_t failed = 0;
    std::int64_t code = 0;     ///< of the lowest check that failed
    std::int64_t element = 0;  ///< the lowest that it told
    /// Called by each check that fails, from any thread: keeps the lowest (code, element).
    void (*fail)(StepContext* context, std::int64_t code, std::int64_t element) = nullptr;
    void* pool = nullptr;
    /// Runs body(table, chunk) for all chunks, on any threads.
    void (*parallel)(StepContext* context, void (*body)(void* table, std::int64_t chunk),
                     void* table, std::int64_t chunks) = nullptr;
    std::int64_t* ticks = nullptr;  ///< of the processor's time stamp counter, one sum a step
    /// Called after each step of an observed program; the program ends where it returns 1.
    std::int64_t (*after_step)(StepContext* context, std::int64_t step) = nullptr;
    void* observer = nullptr;  ///< for after_step
};

/// Entry point of a compiled program: a table with one pointer a slot. Returns 0, or 1 after a
/// failed check.
using StepFunction = std::int64_t (*)(void** table, StepContext* context);

}  // namespace arete

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

/// One step: a kernel run, or bytes copied or zeroed.
struct Step {
    enum class Kind : std::uint8_t { Kernel, Copy, Zero } kind = Kind::Kernel;
    loops::Nest nest;        ///< before scheduling: what the interpreter runs
    loops::Kernel kernel;    ///< scheduled; empty in interpreted functions
    std::vector<int> slots;  ///< by parameter; Copy: from, to; Zero: to
    int first_check = 0;     ///< added to the codes of the kernel's checks
    bool checks = false;     ///< may fail: the program stops after it
    double flops = 0;        ///< floating-point operations, a fused multiply-add counting as two
    double bytes = 0;        ///< of all parameters, each counted once
    std::string lines;       ///< the user's lines that it computes
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

/// What compiled code and the interpreter share with the caller of a program.
struct StepContext {
    std::int64_t failed = 0;
    std::int64_t code = 0;     ///< of the first check that failed
    std::int64_t element = 0;  ///< what the check told
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

// How compiled programs are called.
#pragma once

#include <cstdint>

namespace arete {

/// What compiled code shares with the caller of a program.
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
    /// Calls a function of the host: which one, and the slots of the program that calls it. Returns 1
    /// where the function failed, which ends the program.
    std::int64_t (*call)(StepContext* context, std::int64_t number, void** table) = nullptr;
    void* calls = nullptr;  ///< for call
};

/// Entry point of a compiled program: a table with one pointer a slot. Returns 0, or 1 after a
/// failed check.
using StepFunction = std::int64_t (*)(void** table, StepContext* context);

}  // namespace arete

// The modes that watch, Mode::debug and Mode::nan_guard, and the interpreter. Private to the
// frontend.
#pragma once

#include <span>
#include <vector>

#include "compiler/fuse/reference.h"
#include "frontend/function_graph.h"
#include "runtime/executor.h"

namespace arete {

/// A call of a specialisation: arguments and results, as arrays and as the executable takes them.
/// The shared variables must be locked.
struct WatchedRun {
    const FunctionGraph& graph;
    Executable& executable;
    std::span<const Array> inputs;
    std::span<void* const> input_pointers;
    std::span<Array> outputs;
    std::span<void* const> output_pointers;
};

/// Runs in the interpreter, which allocates: where there is no memory, the shared variables are as
/// they were.
void run_interpreted(const WatchedRun& run);
/// Throws a NanGuardError, with the shared variables as they were.
void run_nan_guard(const WatchedRun& run);
/// Compares what each kernel stores, and in the end all results, with the reference evaluator.
/// Throws a DebugModeError, with the shared variables as they were.
void run_debug(const WatchedRun& run);

/// Watches the passes over a function's graph, for the arguments of a call.
class PassChecker {
  public:
    PassChecker(const FunctionGraph& graph, std::span<const Array> inputs);
    /// Evaluates what each rule replaced, and the whole before and after. A DebugModeError names
    /// the first rule that changes a value, or else the pass.
    void check(const GraphPass& pass);

  private:
    const FunctionGraph& graph_;
    ReferenceEvaluator evaluate_;
};

/// A place where two arrays differ by more than rounding explains.
struct ValueDifference {
    std::int64_t element = 0;
    std::string was, is;
};

/// The first element of `is` that differs from `was`: floats by more than the tolerance of `computed`,
/// the coarsest dtype on the way to them, or their own (f32 1e-4, f64 1e-9, relative to the element
/// and to the array's largest; below that 1e-6 and 1e-12), anything else at all. Where `was` is not
/// finite, nothing is expected: rules may compute what overflowed.
std::optional<ValueDifference> first_difference(const Array& is, const Array& was,
                                                DType computed = DType::F64);

}  // namespace arete

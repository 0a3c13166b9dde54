// Programs for a card with values for their slots, run by the interpreter of nests and otherwise.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cuda/target.h"
#include "runtime/device.h"
#include "tests/support.h"

namespace arete::test {

/// A compiled program and its arguments.
struct Case {
    std::string where;
    Compiled compiled;
    std::vector<Array> inputs, shared;  ///< by Slot::number

    const Program& program() const { return compiled.program; }
};

/// A function's program for a card. Leaves of the inputs have the arrays' sizes; shared variables
/// their values.
Case case_of(std::string where, const std::string& name, const std::vector<Expr>& inputs,
             const std::vector<Array>& values, const std::vector<Expr>& outputs,
             const std::vector<std::pair<Expr, Expr>>& updates = {},
             const std::string& card = "h100");

/// Every sample of every op for these dtypes, of which the op has it.
std::vector<Case> samples(const std::vector<DType>& dtypes);

/// Reductions and products of many shapes, whose schedules have all the parts that those of the
/// ops' samples are too small for.
std::vector<Case> larger_cases();

/// The case with the kernels that are the n-th choice of their nests, where these have as many;
/// none where no nest has.
std::optional<Case> with_choice(const Case& c, std::size_t n, const std::string& card = "h100");

/// What a run has made: outputs, then shared variables.
struct Outcome {
    loops::Failure failure;
    std::vector<Array> values;
};
/// Runs a case on memory of its own, whose outputs and intermediate values begin as all ones.
Outcome run(const Case& c, const std::function<loops::Failure(IdSpan<SlotId, void*>)>& f);

/// The nests, one after another, in the loop interpreter: what all else is compared with.
Outcome by_nests(const Case& c);

/// Do all nests round alike in any schedule? Sums and products of floats do not.
bool is_exact(const Program& program);

/// A sentence about the first value that differs too much; empty where none does. Exact cases must
/// agree in every bit, but for NaNs and the sign of a zero that is an extreme.
std::string differences(const Case& c, const Outcome& got, const Outcome& expected);

}  // namespace arete::test

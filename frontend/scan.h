// Loops in expressions: Theano's scan, map, reduce, foldl and foldr.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ops/dims.h"
#include "compiler/ops/indexing.h"
#include "frontend/function.h"

namespace arete {

/// An array whose rows the steps of a loop read: step t those at t + tap, for each tap. The first
/// step is the first for which all rows exist.
struct Sequence {
    Sequence(const Operand& rows, std::vector<int> taps = {0})
        : rows(rows), taps(std::move(taps)) {}
    Sequence(const Expr& rows, std::initializer_list<int> taps, const char* file = __builtin_FILE(),
             int line = __builtin_LINE())
        : rows(rows, file, line), taps(taps) {}
    Sequence(const Expr& rows, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : rows(rows, file, line), taps({0}) {}
    Sequence(const Array& rows, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : rows(rows, file, line), taps({0}) {}
    Operand rows;
    std::vector<int> taps;
};

/// What a step's output is to later steps. With taps, step t gets the output's values of the steps
/// t + tap, each tap negative; `initial` is the value before the first step, or, where a tap is
/// below -1, has a row for each step before the first that is looked back at. `none`: the output is
/// not fed back.
struct OutputInfo {
    OutputInfo(None) {}
    OutputInfo(const Operand& initial, std::vector<int> taps = {-1})
        : initial(initial), taps(std::move(taps)) {}
    OutputInfo(const Expr& initial, std::initializer_list<int> taps,
               const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : initial(Operand(initial, file, line)), taps(taps) {}
    OutputInfo(const Expr& initial, const char* file = __builtin_FILE(),
               int line = __builtin_LINE())
        : initial(Operand(initial, file, line)), taps({-1}) {}
    OutputInfo(const Array& initial, const char* file = __builtin_FILE(),
               int line = __builtin_LINE())
        : initial(Operand(initial, file, line)), taps({-1}) {}
    std::optional<Operand> initial;
    std::vector<int> taps;
};

/// What a step computes: its outputs, in the order of `outputs_info`; new values of shared
/// variables, which the next step sees; and whether it is the last one.
struct StepResult {
    StepResult() = default;
    StepResult(const Expr& output) : outputs{output} {}
    StepResult(std::vector<Expr> outputs, std::vector<Update> updates = {}, Expr until = {})
        : outputs(std::move(outputs)), updates(std::move(updates)), until(std::move(until)) {}
    std::vector<Expr> outputs;
    std::vector<Update> updates;
    Expr until;  ///< a bool scalar; empty: all steps run
};

/// Builds the body of a loop, once, from expressions that stand for: the rows of each sequence, by
/// tap; the earlier values of each output with taps, by tap; then `non_sequences`. What else it
/// uses from outside is found by itself.
using ScanFunction = std::function<StepResult(const std::vector<Expr>& arguments)>;

struct ScanOptions {
    ScanFunction fn;
    std::vector<Sequence> sequences;
    std::vector<OutputInfo> outputs_info;  ///< may be left out where no output is fed back
    std::vector<Operand> non_sequences;
    /// An integer, a size, or an integer scalar input. Where it is left out, as many as the
    /// shortest sequence has.
    std::optional<SizeArg> n_steps;
    bool go_backwards = false;   ///< sequences are read from their end
    int truncate_gradient = -1;  ///< gradients go back through that many last steps; -1: all
};

struct ScanResult {
    /// Each with one row a step. With `until`, rows behind the last step repeat its row, so that
    /// `output(-1)` is the last value whatever the number of steps.
    std::vector<Expr> outputs;
    /// Of the shared variables that steps update, for `function`. Counters of random streams are
    /// not among them: functions advance these themselves.
    std::vector<Update> updates;
    Expr steps;  ///< i64 scalar: how many steps ran; empty without `until`
};

/// Runs the steps one after another in one compiled loop. Random draws in a step are new in each
/// step. A GraphError names the line where rows, types or taps do not fit.
ScanResult scan(const ScanOptions& options, const char* file = __builtin_FILE(),
                int line = __builtin_LINE());

/// Theano's scan_checkpoints: the same loop in chunks of `every` steps. Each output has one row for
/// each chunk, that of its last step (the last chunk may be shorter), and a gradient keeps the
/// states between chunks only, and computes the steps of a chunk once more when it gets there: with
/// `every` near the square root of the number n of steps, memory for 2 sqrt(n) steps instead of n.
/// A GraphError where there is `until` or truncate_gradient.
ScanResult scan_checkpoints(const ScanOptions& options, int every = 10,
                            const char* file = __builtin_FILE(), int line = __builtin_LINE());

/// The rows of `sequences` through fn, one step a row: the outputs' rows.
std::vector<Expr> map(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                      const std::vector<Operand>& non_sequences = {},
                      const char* file = __builtin_FILE(), int line = __builtin_LINE());
/// The last values of outputs that are fed back, from the first row on; foldr from the last.
std::vector<Expr> foldl(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                        const std::vector<OutputInfo>& outputs_info,
                        const std::vector<Operand>& non_sequences = {},
                        const char* file = __builtin_FILE(), int line = __builtin_LINE());
std::vector<Expr> foldr(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                        const std::vector<OutputInfo>& outputs_info,
                        const std::vector<Operand>& non_sequences = {},
                        const char* file = __builtin_FILE(), int line = __builtin_LINE());
/// Theano's reduce: foldl under the name that C++ knows as well.
std::vector<Expr> reduce(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                         const std::vector<OutputInfo>& outputs_info,
                         const std::vector<Operand>& non_sequences = {},
                         const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace arete

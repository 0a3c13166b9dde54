// Loops: a node that owns the body of its steps. The builder that users call is frontend/scan.h.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace arete {

extern const OpDef scan_op;

/// What a scan node's attributes say of its inputs, its region and its results.
///
/// | inputs           | parameters of the region     | results of the region | results       |
/// | ---------------- | ---------------------------- | --------------------- | ------------- |
/// | sequences s[L,T] | row `start + stride * k`: T  |                       |               |
/// | states h[d,T]    | h of step k + tap, each: T   | h of step k: T        | [d + n, T]    |
/// | captures         | the value                    |                       |               |
/// |                  |                              | per-step outputs: T   | [n, T]        |
/// |                  |                              | the condition: bool   | steps run: i64|
///
/// d is how far a state's taps look back; the first d rows of its result are the initial ones. With
/// `last` only the last d rows are kept. Steps run from k = 0 to n - 1, and end after the first for
/// which the condition holds, where there is one; rows that no step has written repeat the last one
/// then.
struct ScanForm {
    struct Sequence {
        Dim start = 0;            ///< row of the first step
        std::int64_t stride = 1;  ///< rows from step to step, may be negative
    };
    struct State {
        Ints taps;             ///< ascending, all negative
        bool last = false;     ///< only the last rows are kept
        bool counter = false;  ///< of random draws: the last row is the variable's next value
        std::int64_t depth() const { return -taps.front(); }
    };
    struct Output {
        bool reversed = false;  ///< step k writes row n - 1 - k
    };

    ScanForm() = default;
    explicit ScanForm(const Node& node);
    Attrs attrs() const;

    Dim steps = 0;
    std::vector<Sequence> sequences;
    std::vector<State> states;
    std::vector<Output> outputs;
    bool until = false;
    std::int64_t truncate_gradient = -1;  ///< only so many last steps send gradients back; -1: all

    /// Positions among the node's inputs.
    std::size_t state_input(std::size_t j) const { return sequences.size() + j; }
    std::size_t first_capture() const { return sequences.size() + states.size(); }
    /// Positions among the region's parameters: of a state's first tap, and of the first capture.
    std::size_t tap_param(std::size_t state) const;
    std::size_t capture_param() const { return tap_param(states.size()); }
    /// Positions among the results of the region and of the node.
    std::size_t output_result(std::size_t l) const { return states.size() + l; }
    std::size_t until_result() const { return states.size() + outputs.size(); }
};

/// Puts a scan node together, step by step: parameters of the body are asked for, then its results
/// are told.
class ScanBuilder {
  public:
    /// An input of the node that becomes a parameter of the body.
    ScanBuilder(Dim steps, Loc loc);

    /// The row of `rows` that step k reads.
    Expr sequence(const Expr& rows, const Dim& start = 0, std::int64_t stride = 1);
    /// A state with its initial rows; by tap. The state's number is that of earlier calls.
    std::vector<Expr> state(const Expr& initial, const Ints& taps = {-1});
    /// A value from outside of the body; the same parameter for the same value.
    Expr capture(const Expr& value);
    /// The new value of a state.
    void next(std::size_t state, const Expr& value);
    /// The state is a draw's counter; its initial rows must be a view of a shared variable.
    void counts_draws(std::size_t state) { form_.states[state].counter = true; }
    /// A value of each step; returns the output's number.
    std::size_t output(const Expr& value, bool reversed = false);
    void until(const Expr& condition);
    void truncate_gradient(std::int64_t steps) { form_.truncate_gradient = steps; }

    /// All results of the node. Values that the body uses and that do not depend on its parameters
    /// become captures; a GraphError names the line where something does not fit.
    std::vector<Expr> build();
    /// Of the node, once it is built.
    const ScanForm& form() const { return form_; }

  private:
    Expr parameter(TensorType type, const Node& of);
    void close();

    Loc loc_;
    ScanForm form_;
    std::vector<Expr> sequences_, initials_, captures_;  // inputs
    std::vector<Expr> sequence_params_, tap_params_, capture_params_;
    std::vector<Expr> next_, outputs_;
    Expr until_;
};

/// Of a counter of random draws, a shared variable or a parameter: its value after everything that
/// draws in loops among these expressions. Empty where no loop does.
Expr advanced_counter(const Expr& counter, const Graph& graph);

/// The pullback of scan: a scan from the last step to the first (scan_grad.cpp).
std::vector<Expr> pullback_scan(const PullbackArgs& a);

/// Of a type with a leading axis, that of its rows.
TensorType row_type(const TensorType& rows);
/// Rows of this type along a new leading axis.
TensorType rows_type(const Dim& rows, const TensorType& row);

}  // namespace arete

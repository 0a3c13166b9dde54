// Looks at values while a function runs.
#pragma once

#include <functional>
#include <string>

#include "compiler/ops/operand.h"

namespace arete {

/// x, whose value `look` gets whenever a function computes the result: on the host, before any
/// shared variable changes. What it throws ends the call in a CallError with its text, and nothing
/// has been updated. Gradients pass.
Expr probe(const Operand& x, std::function<void(const Array&)> look, std::string name = "probe");
/// x, whose value is written to the standard output, behind `label`, whenever it is computed.
/// Theano's Print.
Expr print_value(const Operand& x, std::string label);
/// x where every element of the condition is true; else the call ends in a CallError with the
/// message, and nothing has been updated. Theano's Assert.
Expr ensure(const Operand& x, const Operand& condition, std::string message);

}  // namespace arete

// The rules and ops of processors.
#pragma once

#include <span>

#include "compiler/rewrite/rewrite.h"

namespace arete {

/// Tried first in the phase `specialize` of what is compiled for a processor.
std::span<const Rule> cpu_rules();

/// Ops that these rules make, which nobody else does.
std::span<const OpDef* const> cpu_ops();

}  // namespace arete

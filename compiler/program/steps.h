// From fused groups to an ordered step program: order, in-place updates, slots, arena.
#pragma once

#include "compiler/program/compiled.h"

namespace arete {

/// Orders nests and nodes that are steps, one to a step, says where every value lives, and fills
/// `out.program`, whose name is given, shared, constants and checks. Inputs are in the order of the
/// arguments; updates are (shared variable, new value). An update is written in place once every
/// reader of the old value has run, where the group that computes it reads the variable only at the
/// element it writes; otherwise through a copy at the end. Checks come before the first write to a
/// shared variable.
void build_program(std::span<const Expr> inputs, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, LoweredGraph graph,
                   Compiled& out);

/// Gives the values that live between steps their places in the arena; arenas of bodies lie in it.
void plan_arena(Program& program);

}  // namespace arete

// What a compiled step computes, in terms of the graph.
#pragma once

#include <string>
#include <vector>

#include "compiler/program/compiled.h"

namespace arete {

/// A slot that a step reads or stores to, with the value that it stands for.
struct SlotValue {
    SlotId slot;
    Expr value;
};

/// The slots that a step stores values of the graph to, each once; none of copies and fills.
std::vector<SlotId> stored_slots(const Step& step);

/// What step `step` stores, each slot once; nothing for copies and fills, and of bodies what the
/// step as a whole stores. What several kernels make, piece by piece, the last of them stores,
/// which has read what they all read.
std::vector<SlotValue> stored_by(const Compiled& compiled, StepId step);
/// What kernel `step` may read, each slot once: its parameters but for those that it only stores
/// to. Of a variable that it updates in place, the old value.
std::vector<SlotValue> read_by(const Compiled& compiled, StepId step);

/// Says what the slots from `first` on stand for, which sums of pieces are handed on in: the
/// reductions that they are pieces of.
void name_pieces(Compiled& compiled, SlotId first);

/// The nodes whose values step `step` computes: those stored, and what is inlined into them.
/// Inputs first.
std::vector<std::shared_ptr<const Node>> nodes_of_step(const Compiled& compiled, StepId step);

/// Slots and steps, one a line, as ARETE_DUMP=loops writes them after the last pass.
std::string program_text(const Program& program);

}  // namespace arete

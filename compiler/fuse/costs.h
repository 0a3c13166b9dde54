// What values cost to compute, to store and to load, in bytes: what fusion decides by.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "compiler/ops/op.h"

namespace arete {

/// Elements of a node's first output, whose sizes must be concrete.
std::int64_t elements(const Node& node);

/// Iterations of a node's own loops: elements of the result times those of the reduction.
std::int64_t iterations(const Node& node);

/// What a machine takes to compute, load and store, in bytes: an instruction is worth what the
/// machine moves in the meantime. The defaults are those of functions that are interpreted.
struct FusionCosts {
    std::int64_t nest = 1024;           ///< starting one more nest
    std::int64_t instruction = 1;       ///< on one element of 4 bytes
    std::int64_t slow_instruction = 8;  ///< a division or a root
    std::int64_t scattered_load = 16;   ///< of an element whose neighbours lie elsewhere
    std::int64_t near_bytes = 1 << 20;  ///< values that exceed this
    std::int64_t far_factor = 4;        ///< take so many times as long to move
};

/// The costs of a graph's nodes on one machine.
class Costs {
  public:
    explicit Costs(const FusionCosts& machine) : machine_(machine) {}

    /// Starting one more nest.
    std::int64_t nest() const { return machine_.nest; }

    /// Arithmetic to compute one element, all of whose operands are loaded. Transcendental
    /// functions count as their polynomials.
    std::int64_t work(const Node& node) { return known(node).bytes; }
    /// Instructions of that, whatever they cost.
    std::int64_t instructions(const Node& node) { return known(node).instructions; }
    /// Moving `count` elements of a value between memory and registers, where it is handed on in so
    /// many pieces.
    std::int64_t move(const Node& node, std::int64_t count, std::int64_t pieces = 1) const;
    /// The instruction of loading one element of a value.
    std::int64_t load(const Node& node) const;

  private:
    struct Work {
        std::int64_t bytes = 0, instructions = 0;
    };
    Work count(const Node& node) const;
    const Work& known(const Node& node);

    FusionCosts machine_;
    std::unordered_map<std::string, Work> known_;  // of scalar bodies: by op and types
    std::unordered_map<const Node*, Work> others_;
};

}  // namespace arete

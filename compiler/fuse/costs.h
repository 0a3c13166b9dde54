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

/// Costs in bytes. While a core of 64-byte vectors executes two instructions it moves 32 bytes to
/// or from its second-level cache; so an instruction on a vector of 64 bytes is worth 16 bytes, or
/// one for each 4-byte element. Narrower vectors shift both alike.
class Costs {
  public:
    /// Starting one more nest, in bytes.
    static constexpr std::int64_t nest = 1024;

    /// Arithmetic to compute one element, all of whose operands are loaded. Transcendental
    /// functions count as their polynomials, divisions as 8, and a load that cannot be a vector's
    /// as 16.
    std::int64_t work(const Node& node) { return known(node).bytes; }
    /// Instructions of that, whatever they cost.
    std::int64_t instructions(const Node& node) { return known(node).instructions; }
    /// Moving `count` elements of a value between memory and registers. A value that exceeds the
    /// second-level cache counts four times.
    std::int64_t move(const Node& node, std::int64_t count) const;
    /// The instruction of loading one element of a value.
    std::int64_t load(const Node& node) const;

  private:
    struct Work {
        std::int64_t bytes = 0, instructions = 0;
    };
    static Work count(const Node& node);
    const Work& known(const Node& node);

    std::unordered_map<std::string, Work> known_;  // of scalar bodies: by op and types
    std::unordered_map<const Node*, Work> others_;
};

}  // namespace arete

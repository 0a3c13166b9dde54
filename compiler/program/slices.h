// Which part of a buffer one iteration of an axis touches.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "compiler/loops/nest.h"
#include "compiler/program/program.h"

namespace arete {

/// A load or store of a nest.
struct Access {
    loops::BufferId buffer;
    const loops::Index* index = nullptr;
    loops::ValueId guard;  ///< of a guarded load: it happens only where this holds
    bool write = false;
};

/// Every access that the nest makes, loads before stores.
std::vector<Access> accesses(const loops::Nest& nest);

/// Bounds of an access's index. Where a guard says `0 <= e` and `e < n` for an integer expression e
/// of the loop variables, the bounds are those under the guard.
loops::Range bounds(const loops::Nest& nest, const Access& access);

/// The number S such that iteration v of `axis` touches elements v * S .. v * S + S - 1 only, or
/// nothing where there is none.
std::optional<std::int64_t> slice(const loops::Nest& nest, const Access& access, loops::Var axis);

/// What a nest does to a slot.
struct Use {
    bool read = false, written = false;
    int parts = 0;  ///< of a kernel, that use it
};
/// By slot, what the part's nest does to it.
std::unordered_map<SlotId, Use> uses_of(const Part& part);

/// By slot, the slice that one iteration of `axis` touches. 0: not in slices; -1: the axis does not
/// matter.
std::unordered_map<SlotId, std::int64_t> slices_of(const Part& part, loops::Var axis);

}  // namespace arete

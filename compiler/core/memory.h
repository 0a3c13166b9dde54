// Where arrays' memory comes from, for tests that want it elsewhere.
#pragma once

#include <cstddef>
#include <memory>

namespace arete {

/// Takes the place of allocate_bytes; null: nothing does. Set it while nothing allocates.
using AllocateBytes = std::shared_ptr<void> (*)(std::size_t bytes);
AllocateBytes replace_allocation(AllocateBytes by);

/// Memory between two pages that can be neither read nor written: its end, or its start, lies
/// against one, so that an access outside ends in a fault. Throws std::bad_alloc.
std::shared_ptr<void> guarded_bytes(std::size_t bytes, bool at_end);

}  // namespace arete

// A nest cut along one of its axes.
#pragma once

#include "compiler/loops/nest.h"

namespace arete {

/// The nest for one of `blocks` equal pieces of `axis`. Which one, a last variable tells that a
/// loop around the nest binds. The blocks must divide the axis.
loops::Nest take_block(const loops::Nest& nest, loops::Var axis, std::int64_t blocks);

}  // namespace arete

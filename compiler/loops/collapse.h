// Merging of axes that every access walks as one.
#pragma once

#include "compiler/loops/nest.h"

namespace arete::loops {

/// Merges neighbouring axes that every access walks as one, so that loops are long and few.
Nest collapse_axes(const Nest& nest);

}  // namespace arete::loops

// Failures that are known and not yet mended: temporary, and empty where all is well.
#pragma once

#include "tests/fuzz/run.h"

namespace arete::fuzz {

/// The name of the kind; null where the failure is of none.
const char* known_kind(const Case& c, const Finding& f);

}  // namespace arete::fuzz

// What is run for which graph.
#pragma once

#include "tests/fuzz/run.h"

namespace arete::fuzz {

/// Every graph is interpreted after rewriting and compiled at one vector level; the other ways take
/// turns. `quick`: one in ten is compiled.
std::vector<Setting> settings_for(std::uint64_t seed, bool quick);

/// Vector levels that this processor can run, and the described machines that it cannot.
const std::vector<std::string>& levels_that_run();
const std::vector<std::string>& levels_that_do_not();

}  // namespace arete::fuzz

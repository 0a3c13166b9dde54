// A case as a C++ program.
#pragma once

#include <string>

#include "tests/fuzz/run.h"

namespace arete::fuzz {

/// A program that builds the case with the functions that users call, runs it as `setting` says and
/// prints the results. Ops that only the compiler makes are applied by name.
std::string to_program(const Case& c, const Setting& setting, const std::string& comment);

}  // namespace arete::fuzz

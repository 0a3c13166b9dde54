// When two kernels are the same code.
#pragma once

#include <string>

#include "compiler/loops/kernel.h"

namespace arete::loops {

/// Bytes that are equal for kernels which do the same with their buffers, whatever these, the loops
/// and the kernels are called.
std::string key(const Kernel& kernel);

}  // namespace arete::loops

// What printed kernels call: the meaning of the scalar instructions in CUDA C++.
#pragma once

#include <string_view>

namespace arete::cuda {

/// Definitions for a compiler of CUDA.
std::string_view device_prelude();
/// The same for a compiler of C++ on a host: keywords and the few functions of CUDA that the rest
/// needs, over what the emulator (runtime/emulator) provides.
std::string_view host_prelude();

}  // namespace arete::cuda

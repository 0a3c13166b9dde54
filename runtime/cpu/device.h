// This process's processor as a device.
#pragma once

#include <memory>

#include "runtime/device.h"

namespace arete {

/// The processor that ARETE_CPU (`options.cpu`) names, with `options.num_threads` threads. An
/// ArgumentError where this processor cannot run code for that one.
std::shared_ptr<const Device> open_cpu(const Options& options);

}  // namespace arete

// The device that runs kernels for cards on the host.
#pragma once

#include <memory>

#include "runtime/device.h"

namespace arete {

/// The device "emulator": what is compiled for a card, by default an H100 (ARETE_CARD names another
/// description), runs on the host, slowly, block by block. A DeviceError where the host has no C++
/// compiler.
std::shared_ptr<const Device> open_emulator(const Options& options);

}  // namespace arete

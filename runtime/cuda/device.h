// The devices that are NVIDIA's cards.
#pragma once

#include <memory>

#include "runtime/device.h"

namespace arete {

/// The device "cuda", or "cuda:1" and so on where there are several cards. A DeviceError says what
/// is missing: a driver, a card, a newer driver.
std::shared_ptr<const Device> open_cuda(const Options& options);

}  // namespace arete

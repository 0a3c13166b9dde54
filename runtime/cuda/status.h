// What checks on a device leave.
#pragma once

#include <cstdint>

namespace arete::cuda {

/// The lowest (code, element) of all checks that have failed; as in the prelude
/// (compiler/targets/cuda/prelude.cpp).
struct Status {
    std::int32_t lock = 0, failed = 0;
    std::int64_t code = 0, element = 0;
};

}  // namespace arete::cuda

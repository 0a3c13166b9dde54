// The digits that the example carries in its executable.
#pragma once

#include "frontend/datasets.h"

namespace arete {

/// 10,000 handwritten digits from MNIST's *training* set (data/README.md), split into 8,000 for
/// training and 1,000 each for validation and test. An accuracy on them is one on held-out training
/// digits, never MNIST's test accuracy.
MnistData load_embedded_digits();

}  // namespace arete

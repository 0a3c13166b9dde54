// Training steps of the chapter's nets as programs for a card.
#pragma once

#include <string>

#include "compiler/program/program.h"
#include "examples/mnist/nets.h"

namespace arete::test {

/// The names of the nets whose steps are looked at.
inline constexpr const char* chapter_nets[] = {"shallow", "basic_conv", "omit_fc",      "dbl_conv",
                                               "dropout", "ciresan",    "dbl_conv_relu"};

/// The scheduled program of a training step.
Program training_step(const std::string& net, std::int64_t batch, const std::string& card);

}  // namespace arete::test

// What kernels are called: for the reader of a profile, after what the user wrote.
#pragma once

#include <string>
#include <vector>

#include "compiler/graph/node.h"

namespace arete {

/// Collects what a kernel computes and makes a name of it: the ops that the user applied, in the
/// order in which they are computed, "conv2d_max_relu"; "_grad" behind those of which gradients
/// are computed. Arithmetic and moving elements count where there is nothing else.
class KernelName {
  public:
    /// A node that it computes, after its operands.
    void add(const Node& node);
    std::string text() const;

  private:
    struct Word {
        std::string text;
        int weight = 0;  ///< of few words, those of most weight are kept
    };
    std::vector<Word> words_;
};

/// The names of several nests that one kernel computes, joined: each once, at most so many words.
std::string joined_names(const std::vector<std::string>& names);

/// The name of a kernel that stores the new values of shared variables.
std::string update_name(const std::vector<std::string>& variables);

}  // namespace arete

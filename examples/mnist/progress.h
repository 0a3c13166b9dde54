// What the program shows while it trains.
#pragma once

#include <string>

#include "frontend/nn.h"

namespace arete {

/// A progress bar on stderr, where that is a terminal, and a line an epoch on stdout.
class Progress {
  public:
    /// `test_set` is what the test accuracies are accuracies on.
    Progress(std::string test_set, bool quiet);

    void batch(const BatchReport& report);
    void epoch(const EpochReport& report);

  private:
    void clear_bar();

    std::string test_set_;
    bool quiet_, bar_;
    bool compiled_ = false, bar_shown_ = false;
};

}  // namespace arete

// Makes a failing case smaller as long as it fails in the same way.
#pragma once

#include <functional>

#include "tests/fuzz/run.h"

namespace arete::fuzz {

/// Does the case still fail as it did?
using Fails = std::function<bool(const Case&)>;

struct ShrinkOptions {
    double seconds = 60;  ///< after which the smallest case so far is returned
    int attempts = 4000;
};

/// Drops outputs and updates, replaces expressions by their operands, by inputs and by constants,
/// makes sizes known and small, and values simple.
Case shrink(Case c, const Fails& fails, const ShrinkOptions& options = {});

/// Runs the case in a process of its own and says what it finds there; crashes and hangs are
/// findings of the setting that was running.
std::optional<Finding> run_apart(const Case& c, const RunOptions& options, double seconds,
                                 std::int64_t megabytes = 2048);

/// Number of nodes that compute something.
std::size_t operations(const Case& c);

}  // namespace arete::fuzz

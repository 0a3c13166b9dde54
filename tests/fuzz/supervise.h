// Batches of cases in processes of their own, so that crashes, hangs and lost memory are findings
// like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/fuzz/draw.h"
#include "tests/fuzz/run.h"

namespace arete::fuzz {

struct SuperviseOptions {
    std::uint64_t first = 0, count = 1000;  ///< seeds
    double seconds = 0;                     ///< stop after so long; 0: never
    int jobs = 1;
    /// Of one case: processor time; elapsed time, where none is used; resident memory, beyond what
    /// the process had before.
    double cpu_limit = 30, wall_limit = 240;
    std::int64_t megabytes = 1024;
    DrawOptions draw;
    /// What is run for a seed.
    std::function<std::vector<Setting>(std::uint64_t)> settings;
    bool gradients = true;
    std::vector<Rule> rules;
    std::string against;  ///< "numpy", "jax" or nothing
    std::string python = "python3";
    int most_findings = 200;  ///< after which it stops
};

/// A seed that failed.
struct Failure {
    std::uint64_t seed = 0;
    Finding finding;
};

struct Tally {
    std::uint64_t cases = 0, skipped = 0, refused = 0, runs = 0, results = 0, elements = 0,
                  gradients = 0, beside = 0;
    double seconds = 0;
};

struct Report {
    Tally tally;
    std::vector<Failure> failures;
};

/// `on_failure` is called as failures are found.
Report supervise(const SuperviseOptions& options,
                 const std::function<void(const Failure&)>& on_failure = {});

}  // namespace arete::fuzz

// The result of a run as JSON.
#pragma once

#include <string>

#include "frontend/nn.h"

namespace arete {

/// What was run.
struct Run {
    std::string net, data, test_set;
    int epochs = 0;
    std::int64_t batch = 0, limit = 0;
    double eta = 0, lmbda = 0;
    std::uint64_t seed = 0;
    std::string init, device;
    int threads = 0;
};

/// One JSON object. Accuracies are in percent; a number that is not finite becomes null.
std::string to_json(const Run& run, const SgdResult& result);

/// `text` as a JSON string, quotes included.
std::string json_string(std::string_view text);

}  // namespace arete

// What compiling cost, pass by pass.
#pragma once

#include <string>
#include <vector>

namespace arete {

struct PassTime {
    std::string name;
    double ms = 0;
};

/// A table of the passes with their share of the sum.
std::string to_string(const std::vector<PassTime>& passes);

}  // namespace arete

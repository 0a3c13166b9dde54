#include "compiler/schedule/program.h"

#include <algorithm>

#include <fmt/format.h>

namespace arete {

std::string Step::name() const {
    if (parts.empty()) return kind == Kind::Copy ? "copy" : "zero";
    const Part& longest =
        *std::max_element(parts.begin(), parts.end(),
                          [](const Part& a, const Part& b) { return a.cycles < b.cycles; });
    if (parts.size() == 1) return longest.nest.name;
    return fmt::format("{}_and_{}_more", longest.nest.name, parts.size() - 1);
}

}  // namespace arete

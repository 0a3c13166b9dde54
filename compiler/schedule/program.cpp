#include "compiler/schedule/program.h"

#include <algorithm>

#include <fmt/format.h>

namespace arete {

std::string Step::name() const {
    if (kind != Kind::Kernel) return kind == Kind::Copy ? "copy" : "zero";
    if (parts.empty()) return kernel.name;
    const Part& longest =
        *std::max_element(parts.begin(), parts.end(),
                          [](const Part& a, const Part& b) { return a.cycles < b.cycles; });
    if (parts.size() == 1) return longest.nest.name;
    return fmt::format("{}_and_{}_more", longest.nest.name, parts.size() - 1);
}

int kernel_count(const Program& program) {
    return static_cast<int>(
        std::count_if(program.steps.begin(), program.steps.end(),
                      [](const Step& s) { return s.kind == Step::Kind::Kernel; }));
}

}  // namespace arete

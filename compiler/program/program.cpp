#include "compiler/program/program.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/core/cases.h"

namespace arete {

std::string KernelStep::name() const {
    if (parts.empty()) return kernel.name;
    const Part& longest =
        *std::max_element(parts.begin(), parts.end(),
                          [](const Part& a, const Part& b) { return a.cycles < b.cycles; });
    if (parts.size() == 1) return longest.nest.name;
    return fmt::format("{}_and_{}_more", longest.nest.name, parts.size() - 1);
}

std::string_view Step::kind() const {
    return std::visit(
        Cases{[](const KernelStep&) { return "kernel"; }, [](const CopyStep&) { return "copy"; },
              [](const FillStep&) { return "fill"; }},
        action);
}

std::string Step::name() const {
    return kernel() ? kernel()->name() : std::string(kind());
}

std::vector<int> Step::slots() const {
    return std::visit(Cases{[](const KernelStep& k) { return k.slots; },
                            [](const CopyStep& c) {
                                return std::vector{c.from, c.to};
                            },
                            [](const FillStep& f) { return std::vector{f.to}; }},
                      action);
}

int kernel_count(const Program& program) {
    return static_cast<int>(std::count_if(program.steps.begin(), program.steps.end(),
                                          [](const Step& s) { return s.kernel(); }));
}

}  // namespace arete

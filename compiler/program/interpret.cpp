#include "compiler/program/interpret.h"

#include <cstring>
#include <tuple>

#include "compiler/core/cases.h"

namespace arete {

ProgramInterpreter::ProgramInterpreter(const Program& program, Loops loops,
                                       loops::InterpretOptions options)
    : program_(program), options_(options) {
    for (const Step& s : program.steps) {
        std::vector<Run>& runs = runs_.emplace_back();
        const KernelStep* kernel = s.kernel();
        if (!kernel) continue;
        if (loops == Loops::Scheduled) {
            runs.push_back({kernel->kernel, kernel->slots});
            continue;
        }
        for (const Part& part : kernel->parts) runs.push_back({naive(part.nest), part.slots});
    }
}

loops::Failure ProgramInterpreter::run(std::span<void* const> table,
                                       const std::function<bool(std::size_t)>& after_step) const {
    const auto at = [&](int slot) { return table[static_cast<std::size_t>(slot)]; };
    const auto bytes = [&](int slot) {
        return program_.slots[static_cast<std::size_t>(slot)].bytes();
    };
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
        loops::Failure failed;
        std::visit(Cases{[&](const KernelStep&) {
                             for (const Run& r : runs_[k]) {
                                 std::vector<void*> pointers;
                                 for (int slot : r.slots) pointers.push_back(at(slot));
                                 pointers.resize(r.kernel.buffers.size(), nullptr);
                                 const loops::Failure f = interpret(r.kernel, pointers, options_);
                                 if (f.failed &&
                                     (!failed.failed || std::tie(f.code, f.element) <
                                                            std::tie(failed.code, failed.element)))
                                     failed = f;
                             }
                         },
                         [&](const CopyStep& c) {
                             if (bytes(c.to)) std::memcpy(at(c.to), at(c.from), bytes(c.to));
                         },
                         [&](const FillStep& f) {
                             if (bytes(f.to)) std::memset(at(f.to), 0, bytes(f.to));
                         }},
                   program_.steps[k].action);
        if (failed.failed) return failed;
        if (after_step && !after_step(k)) break;
    }
    return {};
}

}  // namespace arete

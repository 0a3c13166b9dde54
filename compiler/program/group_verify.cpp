// The verifier of grouped programs, and their text.
#include <unordered_map>

#include <fmt/format.h>

#include "compiler/core/error.h"
#include "compiler/program/group.h"
#include "compiler/program/slices.h"

namespace arete {

void verify_groups(const Program& program) {
    std::unordered_map<SlotId, StepId> home;  // of scratch slots
    for (StepId i : program.steps.ids())
        if (const KernelStep* kernel = program.steps[i].kernel())
            for (SlotId s : kernel->scratch) {
                ARETE_CHECK(home.emplace(s, i).second, "{}: scratch of two kernels",
                            program.slots[s].name);
            }
    for (const Step& any : program.steps) {
        for (const Program& body : any.bodies()) verify_groups(body);
        for (SlotId s : any.slots())
            ARETE_CHECK(!home.count(s), "{}: reads {}, another kernel's scratch", any.name(),
                        program.slots[s].name);
        if (!any.kernel()) continue;
        const KernelStep& step = *any.kernel();
        std::unordered_map<SlotId, Use> all;
        for (const Part& p : step.parts)
            for (const auto& [s, use] : uses_of(p)) {
                Use& u = all[s];
                ARETE_CHECK(
                    !step.checks || !use.written || program.slots[s].kind != Slot::Kind::Shared,
                    "{}: a check beside what it guards", step.name());
                u.read |= use.read;
                u.written |= use.written;
                ++u.parts;
            }
        if (step.blocks == 1) continue;
        std::unordered_map<SlotId, std::int64_t> sizes;
        for (const Part& p : step.parts) {
            const std::int64_t extent = !p.axis ? 1 : p.nest.extents[p.axis];
            ARETE_CHECK(extent % step.blocks == 0, "{}: {} is cut into other blocks", step.name(),
                        p.nest.name);
            for (const auto& [s, size] : slices_of(p, p.axis)) {
                if (!all[s].written || all[s].parts == 1) continue;
                const std::int64_t block = size * (extent / step.blocks);
                const auto [at, fresh] = sizes.emplace(s, block);
                ARETE_CHECK(size > 0 && at->second == block, "{}: {} is shared across blocks",
                            step.name(), program.slots[s].name);
            }
        }
    }
}

namespace {

void add_groups(const Program& program, std::string& out, int& kernels, double& saved) {
    for (const Step& any : program.steps) {
        for (const Program& body : any.bodies()) {
            out += fmt::format("body of {}:\n", any.name());
            add_groups(body, out, kernels, saved);
            out += fmt::format("end of {}\n", any.name());
        }
        if (!any.kernel()) continue;
        const KernelStep& s = *any.kernel();
        out += fmt::format("kernel {}: {}", kernels++, s.name());
        if (s.blocks > 1) out += fmt::format(", in {} blocks", s.blocks);
        out += "\n";
        for (const Part& p : s.parts) {
            std::string makes;
            for (const loops::StoreTo& store : p.nest.stores) {
                const SlotId slot = p.slots[store.buffer];
                const Slot& to = program.slots[slot];
                makes += fmt::format("{}{} {}", makes.empty() ? "" : ", ", to.name,
                                     type_name(to.dtype, to.sizes));
            }
            out += fmt::format("    {} -> {}, about {:.0f} cycles\n", p.nest.name, makes, p.cycles);
        }
        for (SlotId slot : s.scratch) {
            const Slot& held = program.slots[slot];
            saved += static_cast<double>(held.bytes());
            out += fmt::format("  never stored: {} {}, {} bytes\n", held.name,
                               type_name(held.dtype, held.sizes), held.bytes());
        }
        if (!s.boundary.empty()) out += fmt::format("  apart: {}\n", s.boundary);
    }
}

}  // namespace

std::string groups_text(const Program& program) {
    std::string out;
    int kernels = 0;
    double saved = 0;
    add_groups(program, out, kernels, saved);
    return out + fmt::format("{} kernels; {:.0f} bytes are never stored\n", kernels, saved);
}

}  // namespace arete

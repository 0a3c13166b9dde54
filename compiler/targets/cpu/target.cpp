// What fusion, rewriting and grouping ask of a processor.
#include "compiler/targets/cpu/target.h"

#include "compiler/targets/cpu/rules.h"
#include "compiler/targets/cpu/schedule.h"
#include "compiler/targets/cpu/traffic.h"

namespace arete {

std::shared_ptr<const CpuTarget> cpu_target(const Machine& machine) {
    return std::make_shared<CpuTarget>(machine);
}

std::string CpuTarget::text() const {
    return fmt::format("{}, vectors of {} bytes", machine_.cpu, machine_.vector_bytes);
}

Products CpuTarget::products() const {
    return machine_.fused_muladd ? Products::fused : Products::rounded;
}

std::span<const Rule> CpuTarget::rules() const {
    return cpu_rules();
}

// While a core of 64-byte vectors executes two instructions it moves 32 bytes to or from its
// second-level cache; so an instruction on a vector of 64 bytes is worth 16 bytes, or one for each
// 4-byte element. Narrower vectors shift both alike. What exceeds that cache comes at a quarter of
// its rate.
FusionCosts CpuTarget::fusion_costs() const {
    FusionCosts costs;
    costs.nest = 1024;
    costs.instruction = 1;
    costs.slow_instruction = 8;
    costs.scattered_load = 16;
    costs.near_bytes = std::int64_t{1} << 20;
    costs.far_factor = 4;
    return costs;
}

GroupingModel CpuTarget::grouping() const {
    GroupingModel model;
    model.cycles = [machine = machine_](const loops::Nest& nest) {
        return estimated_cycles(nest, machine);
    };
    model.split_cycles = parallel_cycles;
    model.launch_cycles = machine_.launch_cycles;
    model.least_blocks = 8;
    model.scratch_bytes = machine_.scratch_bytes;
    model.near_bytes = machine_.l2_bytes;
    model.near_bytes_per_cycle = machine_.l2_bytes_per_cycle;
    model.far_bytes_per_cycle = machine_.l3_bytes_per_cycle;
    return model;
}

void CpuTarget::schedule(Program& program) const {
    const Machine machine = as_found_by(program, machine_);
    for (Step& step : program.steps) {
        if (KernelStep* kernel = step.kernel())
            kernel->kernel = arete::schedule(*kernel, program, machine);
        for (Program& body : step.bodies()) schedule(body);
    }
}

}  // namespace arete

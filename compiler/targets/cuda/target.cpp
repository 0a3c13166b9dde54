// What fusion, rewriting and grouping ask of a card, and the way from programs to sources.
#include "compiler/targets/cuda/target.h"

#include <chrono>
#include <limits>

#include <fmt/format.h>

#include "compiler/targets/cuda/beside.h"
#include "compiler/targets/cuda/prelude.h"
#include "compiler/targets/cuda/schedule.h"
#include "compiler/targets/cuda/source.h"
#include "compiler/targets/cuda/split_sums.h"

namespace arete {

std::shared_ptr<const CudaTarget> cuda_target(std::string_view card, std::string device) {
    return std::make_shared<CudaTarget>(cuda::described_card(card), std::move(device));
}

std::string CudaTarget::text() const {
    return fmt::format("{}, {} multiprocessors of {}", card_.name, card_.processors,
                       card_.architecture());
}

std::string CudaTarget::key() const {
    // Every member by name: a new one does not compile until it is part of the key.
    const auto& [name, major, minor, processors, clock, fp32, fp64, threads, blocks, registers,
                 shared, block_shared, l2, l2_rate, memory_rate, launch, barrier] = card_;
    return fmt::format("{};{};{};{};{:a};{};{:a};{};{};{};{};{};{};{:a};{:a};{:a};{:a}", name,
                       major, minor, processors, clock, fp32, fp64, threads, blocks, registers,
                       shared, block_shared, l2, l2_rate, memory_rate, launch, barrier) +
           (merges_ ? "" : ";one by one");
}

Products CudaTarget::products() const {
    return Products::fused;
}

std::span<const Rule> CudaTarget::rules() const {
    return {};
}

// While a card moves one byte to or from its second cache it executes about six instructions; the
// unit is the byte, so that arithmetic is as good as free, and what counts are kernels: each is
// worth what the cache moves in the time of a launch. A load that no neighbour shares moves a
// sector.
FusionCosts CudaTarget::fusion_costs() const {
    FusionCosts costs;
    costs.nest = static_cast<std::int64_t>(card_.launch_us * card_.l2_gb_s * 1e3 / 8);
    costs.instruction = 1;
    costs.slow_instruction = 8;
    costs.scattered_load = 32;
    costs.near_bytes = card_.l2_bytes;
    costs.far_factor = 2;
    return costs;
}

// No nest shares blocks with another one: blocks of a grid cannot hand values on to each other but
// through memory, and a kernel behind another one costs no more than a barrier of the grid.
GroupingModel CudaTarget::grouping() const {
    GroupingModel model;
    model.cycles = [card = card_](const loops::Nest& nest) {
        return card.cycles(cuda::estimated_us(nest, card));
    };
    model.least_blocks = std::numeric_limits<std::int64_t>::max();
    return model;
}

void CudaTarget::schedule(Program& program) const {
    // Whoever watches wants to see a value a step.
    if (!program.observed) {
        cuda::split_sums(program, card_);
        if (merges_) cuda::merge_independent(program, card_);
    }
    for (Step& step : program.steps) {
        if (KernelStep* kernel = step.kernel(); kernel && kernel->parts.size() == 1) {
            kernel->kernel = cuda::schedule(kernel->parts[0].nest, card_);
            cuda::merge_aliases(kernel->kernel, kernel->slots);
        }
        for (Program& body : step.bodies()) schedule(body);
    }
}

std::string CudaTarget::translate(const Program& program, const Translation& watch) const {
    const auto start = std::chrono::steady_clock::now();
    const cuda::Source source = cuda::print(program);
    const auto ms = std::chrono::steady_clock::now() - start;
    watch.passed("cuda_print", std::chrono::duration<double, std::milli>(ms).count());
    if (watch.dumps(Stage::Cuda))
        watch.dump("cuda", "cu", std::string(cuda::device_prelude()) + source.text);
    return cuda::to_bytes(source);
}

std::vector<Listing> CudaTarget::listings(const Program& program) const {
    IdVector<StepId, std::string> steps;
    for (const Step& s : program.steps) {
        std::string text;
        if (s.kernel()) text = cuda::print_kernel(*s.kernel(), s.lines, "kernel");
        steps.push_back(std::move(text));
    }
    return {{"cuda", "CUDA", std::move(steps)}};
}

}  // namespace arete

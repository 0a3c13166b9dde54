// Printed kernels on the emulator.
#include <map>

#include <doctest/doctest.h>

#include "compiler/targets/cuda/source.h"
#include "runtime/cuda/gpu_program.h"
#include "runtime/emulator/driver.h"
#include "tests/cuda/cases.h"

using namespace arete;
using namespace arete::test;

namespace {

std::shared_ptr<emulator::EmulatorDriver> driver(emulator::EmulatorOptions options = {}) {
    return std::make_shared<emulator::EmulatorDriver>(std::move(options));
}

/// Compiles the kernels of all cases in one go, runs each, and compares.
void check_emulated(const std::vector<Case>& cases, emulator::EmulatorOptions options = {}) {
    const auto gpu = driver(std::move(options));
    cuda::Source all;
    std::vector<cuda::Source> sources;
    std::vector<std::size_t> first;
    for (const Case& c : cases) {
        sources.push_back(cuda::print(c.program()));
        first.push_back(all.kernels.size());
        all.text += sources.back().text;
        all.kernels.insert(all.kernels.end(), sources.back().kernels.begin(),
                           sources.back().kernels.end());
    }
    const std::shared_ptr<cuda::GpuModule> module = gpu->load(all);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Case& c = cases[i];
        cuda::GpuProgram program(c.program(), sources[i], gpu, module, first[i]);
        const Outcome got = run(c, [&](std::span<void*> table) { return program.run(table); });
        const std::string wrong = differences(c, got, by_nests(c));
        CHECK_MESSAGE(wrong.empty(), wrong);
    }
}

}  // namespace

TEST_CASE("emulator: every op is printed as it is by reference") {
    const std::vector<Case> cases = samples({DType::F32});
    MESSAGE("programs: ", cases.size());
    check_emulated(cases);
}

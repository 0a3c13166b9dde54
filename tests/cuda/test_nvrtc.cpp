// Kernels through NVRTC, without a card. Where NVRTC is not installed these are skipped, and shown
// as skipped.
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include <doctest/doctest.h>

#include "runtime/cuda/nvrtc.h"
#include "tests/cuda/nets.h"

using namespace arete;
using namespace arete::test;

TEST_CASE("nvrtc: every kernel of the chapter's nets compiles, and spills nothing") {
    if (!cuda::Nvrtc::is_there()) {
        std::cout << "skipped: NVRTC is not installed\n";
        // Alone, as ctest runs it, the program ends as skipped.
        if (std::getenv("ARETE_TEST_ALONE")) std::exit(77);
        return;
    }
    const auto nvrtc = cuda::Nvrtc::open();
    const std::vector<int> known = nvrtc->architectures();
    std::size_t kernels = 0;
    int most_registers = 0;
    for (const char* net : chapter_nets)
        for (const auto& [card, architecture] :
             {std::pair{"a100", "sm_80"}, {"h100", "sm_90"}, {"b200", "sm_100"}}) {
            if (std::find(known.begin(), known.end(), std::atoi(architecture + 3)) == known.end())
                continue;
            for (const std::int64_t batch : {10, 256}) {
                if (batch == 256 && std::string(card) != "h100") continue;
                CAPTURE(net);
                CAPTURE(card);
                CAPTURE(batch);
                const cuda::Source source = cuda::print(training_step(net, batch, card));
                const cuda::Cubin cubin =
                    nvrtc->compile(cuda::device_text(source), architecture, true);
                CHECK(cubin.bytes.substr(1, 3) == "ELF");
                REQUIRE(cubin.resources.size() == source.kernels.size());
                for (const cuda::KernelResources& k : cubin.resources) {
                    CAPTURE(k.kernel);
                    CAPTURE(k.registers);
                    CHECK(k.registers > 0);
                    CHECK(k.spill_bytes == 0);
                    most_registers = std::max(most_registers, k.registers);
                    // A block of its threads must fit a processor.
                    const auto entry = std::find_if(
                        source.kernels.begin(), source.kernels.end(),
                        [&](const cuda::LaunchEntry& e) { return e.name == k.kernel; });
                    REQUIRE(entry != source.kernels.end());
                    CHECK(k.registers * entry->block[0] * entry->block[1] <= 65536);
                    CHECK((k.shared_bytes + 15) / 16 * 16 == entry->shared_bytes);
                    ++kernels;
                }
            }
        }
    MESSAGE("NVRTC ", nvrtc->version(), ": ", kernels, " kernels, at most ", most_registers,
            " registers");
}

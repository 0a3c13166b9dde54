// How many kernels a training step of the chapter's nets is on each described machine, and what it
// never stores.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/targets/cpu/machines.h"
#include "examples/mnist/nets.h"

#include "compiler/targets/cpu/target.h"
using namespace arete;

namespace {

struct Net {
    Network net;
    Function train;
};

/// The training step of a net for mini-batches of 10.
Net training(const std::string& name) {
    const NetRow* row = find_net(name);
    REQUIRE(row);
    Net out{build_net(*row, 10, {.seed = 1}), {}};
    Generator random(1);
    Array y(DType::I32, {20});
    for (int i = 0; i < 20; ++i) y.data<std::int32_t>()[i] = i % 10;
    const SharedData data = shared_data(random.uniform({20, kSide * kSide}, 0, 1), y, "images");
    Options options;
    options.num_threads = 1;
    out.train = out.net.train_function(data, row->eta, {.lmbda = row->lmbda, .options = options});
    return out;
}

/// Checks what is stored, and returns the number of kernels.
int planned(const Net& n, const Machine& machine) {
    const KernelPlan plan = n.train.plan(cpu_target(machine));
    CHECK(plan.text.find(fmt::format("{} kernels;", plan.kernels)) != std::string::npos);
    REQUIRE(plan.text.find("\nprogram ") != std::string::npos);
    for (const Shared& p : n.net.params) {
        if (p.rank() < 2) continue;
        // A value of a weight's type between two kernels could only be its gradient.
        std::stringstream lines(plan.text);
        for (std::string line; std::getline(lines, line);)
            if (line.find(" arena ") != std::string::npos) {
                INFO(line);
                CHECK(line.find(" " + p.type().str() + " ") == std::string::npos);
            }
    }
    // Updates are written where the variable lives.
    CHECK(plan.text.find("  copy ") == std::string::npos);
    return plan.kernels;
}

}  // namespace

TEST_CASE("chapter nets: a training step is a dozen kernels, and stores no gradient of a weight") {
    const struct {
        const char* net;
        int avx512, others;  // most kernels
    } most[] = {{"shallow", 4, 4},       {"basic_conv", 9, 9}, {"omit_fc", 8, 8},
                {"dbl_conv", 9, 10},     {"dropout", 14, 14},  {"ciresan", 14, 14},
                {"dbl_conv_relu", 9, 10}};
    std::stringstream page;
    page << std::ifstream(ARETE_SOURCE_DIR "/docs/fusion.md").rdbuf();
    std::string head = "| |";
    for (const DescribedMachine& m : described_machines()) head += fmt::format(" {} |", m.name);
    CHECK(page.str().find(head + "\n") != std::string::npos);
    for (const auto& [name, avx512, others] : most) {
        INFO(name);
        const Net n = training(name);
        std::string row = fmt::format("| {} |", name);
        for (const DescribedMachine& m : described_machines()) {
            INFO(m.name);
            const int kernels = planned(n, m.machine);
            const bool has_avx512 =
                std::find(m.needs.begin(), m.needs.end(), "avx512f") != m.needs.end();
            CHECK(kernels <= (has_avx512 ? avx512 : others));
            row += fmt::format(" {} |", kernels);
        }
        // docs/fusion.md has these numbers.
        CHECK_MESSAGE(page.str().find(row + "\n") != std::string::npos, row);
    }
}

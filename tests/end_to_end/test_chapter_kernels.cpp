// How many kernels a training step of the chapter's nets is, and what it never stores.
#include <filesystem>
#include <fstream>
#include <sstream>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "examples/mnist/nets.h"

using namespace arete;

namespace {

struct Step {
    int kernels = 0;
    int gpu_kernels = 0;  // in the plan for a GPU
    std::string program;  // as ARETE_DUMP=loops writes it after the last pass
};

/// Compiles the training step of a net for mini-batches of 10 and runs it once.
Step compiled(const std::string& name, const std::string& cpu) {
    const NetRow* row = find_net(name);
    REQUIRE(row);
    const auto folder =
        std::filesystem::temp_directory_path() / fmt::format("arete_kernels_{}_{}", name, cpu);
    std::filesystem::remove_all(folder);
    Options options;
    options.cpu = cpu;
    options.num_threads = 1;
    options.dump = {Stage::Loops};
    options.dump_dir = folder.string();
    const Network net = build_net(*row, 10, {.seed = 1});
    Generator random(1);
    Array y(DType::I32, {20});
    for (int i = 0; i < 20; ++i) y.data<std::int32_t>()[i] = i % 10;
    const SharedData data = shared_data(random.uniform({20, kSide * kSide}, 0, 1), y, "images");
    const Function train =
        net.train_function(data, row->eta, {.lmbda = row->lmbda, .options = options});
    train(std::int64_t{0});
    Step out{train.stats().kernels, 0, {}};
    if (cpu == "native") {
        const KernelPlan gpu = train.plan(gpu_multiprocessor());
        INFO(gpu.text);
        out.gpu_kernels = gpu.kernels;
        CHECK(gpu.text.find(fmt::format("{} kernels;", gpu.kernels)) != std::string::npos);
    }
    for (const auto& file : std::filesystem::directory_iterator(folder))
        if (file.path().string().find("_memory.txt") != std::string::npos) {
            std::stringstream text;
            text << std::ifstream(file.path()).rdbuf();
            out.program = text.str();
        }
    std::filesystem::remove_all(folder);
    REQUIRE(!out.program.empty());
    for (const Shared& p : net.params) {
        if (p.rank() < 2) continue;
        // A value of a weight's type between two kernels could only be its gradient.
        std::stringstream lines(out.program);
        for (std::string line; std::getline(lines, line);)
            if (line.find(" arena ") != std::string::npos) {
                INFO(line);
                CHECK(line.find(" " + p.type().str() + " ") == std::string::npos);
            }
    }
    // Updates are written where the variable lives.
    CHECK(out.program.find("  copy ") == std::string::npos);
    return out;
}

}  // namespace

TEST_CASE("chapter nets: a training step is a dozen kernels, and stores no gradient of a weight") {
    struct Most {
        const char* net;
        int kernels, gpu_kernels;
    };
    const Most most[] = {{"shallow", 5, 5},        {"basic_conv", 12, 12}, {"omit_fc", 12, 12},
                         {"dbl_conv", 12, 12},     {"dropout", 14, 14},    {"ciresan", 16, 16},
                         {"dbl_conv_relu", 12, 12}};
    for (const auto& [name, kernels, gpu_kernels] : most) {
        INFO(name);
        const Step step = compiled(name, "native");
        CHECK(step.kernels <= kernels);
        CHECK(step.gpu_kernels > 0);
        CHECK(step.gpu_kernels <= gpu_kernels);
        MESSAGE(fmt::format("{}: {} kernels, {} on a GPU", name, step.kernels, step.gpu_kernels));
    }
    // Nor with narrow vectors.
    CHECK(compiled("shallow", "baseline").kernels <= 5);
    CHECK(compiled("dbl_conv_relu", "baseline").kernels <= 12);
    CHECK(compiled("dropout", "baseline").kernels <= 14);
}

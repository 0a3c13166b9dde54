// bench_step: the time of one training step, or of one forward pass, of one of the chapter's nets.
// Prints one line of JSON. The data is random, of MNIST's shapes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "compiler/targets/cpu/llvm/module.h"
#include "examples/mnist/nets.h"
#include "examples/mnist/report.h"
#include "runtime/device.h"
#include "tests/bench/limits.h"

using namespace arete;

namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
    std::string net = "dbl_conv_relu";
    std::int64_t batch = 10;
    int threads = 0;
    bool inference = false;
    bool profile = false;
    double seconds = 2;
    std::string device = device_names().front();
    std::string compile_only;  // a cache folder: compile, print the time, and stop
};

// The time to compile of a process that finds the program in the cache: this program once more.
double warm_compile_ms(const Flags& flags, const std::string& cache) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    const std::string command =
        fmt::format("'{}' --net {} --batch {} --threads {} --device '{}' --compile-only '{}'{}{}",
                    self, flags.net, flags.batch, flags.threads, flags.device, cache,
                    flags.inference ? " --inference" : "", flags.profile ? " --profile" : "");
    FILE* child = ::popen(command.c_str(), "r");
    double ms = -1;
    if (!child || std::fscanf(child, "%lf", &ms) != 1) ms = -1;
    if (child) ::pclose(child);
    return ms;
}

// A folder for the cache of this run, so that its first compilation finds nothing.
class CacheFolder {
  public:
    CacheFolder() : path((std::filesystem::temp_directory_path() / "arete_bench_XXXXXX").string()) {
        if (!::mkdtemp(path.data())) path.clear();
    }
    ~CacheFolder() {
        std::error_code error;
        if (!path.empty()) std::filesystem::remove_all(path, error);
    }
    std::string path;
};

SharedData random_data(std::int64_t rows) {
    Generator random(1);
    Array y(DType::I32, {rows});
    const auto order = random.permutation(rows);
    for (std::int64_t i = 0; i < rows; ++i)
        y.data<std::int32_t>()[i] = static_cast<std::int32_t>(order[i] % kClasses);
    return shared_data(random.uniform({rows, kSide * kSide}, 0, 1), y, "random");
}

void run(const Flags& flags) {
    const NetRow* row = find_net(flags.net);
    if (!row)
        throw CLI::ValidationError(
            fmt::format("unknown net '{}'; the nets are {}", flags.net, net_names()));
    Options options = Options::from_environment();
    if (flags.threads > 0) options.num_threads = flags.threads;
    options.device = flags.device;
    const CacheFolder cache;
    options.cache_dir = flags.compile_only.empty() ? cache.path : flags.compile_only;

    constexpr std::int64_t kBatches = 20;
    const Network net = build_net(*row, flags.batch, {.seed = 1, .init = Init::n_in});
    const SharedData data = random_data(kBatches * flags.batch);
    const SgdOptions sgd{.lmbda = row->lmbda, .profile = flags.profile, .options = options};
    const Function step =
        flags.inference ? net.accuracy_function(data, sgd) : net.train_function(data, 1e-4, sgd);

    std::vector<Array> inputs{Array(std::int64_t{0})}, outputs{Array(0.0f)};
    std::int64_t* index = inputs[0].data<std::int64_t>();
    for (std::int64_t i = 0; i < kBatches; ++i) {  // compiles, and warms up
        *index = i;
        step.call_into(outputs, inputs);
        if (!flags.compile_only.empty()) {
            // Only a program that was found is warm.
            fmt::print("{}\n", step.stats().from_cache ? step.stats().compile_ms : -1);
            return;
        }
    }
    const bool on_processor = flags.device == "cpu";
    // The clock of a shared machine changes: the peak before and after counts.
    const Limits limits(host_machine(options.cpu));
    const double peak_before = on_processor ? limits.fma_gflops() : 0;
    std::vector<double> times;
    const auto begin = Clock::now();
    for (std::int64_t i = 0;
         times.size() < 20 || Clock::now() - begin < std::chrono::duration<double>(flags.seconds);
         ++i) {
        *index = i % kBatches;
        const auto start = Clock::now();
        step.call_into(outputs, inputs);
        times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    const double peak = on_processor ? (peak_before + limits.fma_gflops()) / 2 : 0;
    // Steps that nobody waits for, where the device counts the mini-batches itself.
    std::vector<double> many;
    for (const auto start = Clock::now();
         !on_processor && (many.size() < 3 ||
                           Clock::now() - start < std::chrono::duration<double>(flags.seconds));) {
        const auto first = Clock::now();
        (void)step.run_many(0, kBatches);
        many.push_back(std::chrono::duration<double, std::micro>(Clock::now() - first).count() /
                       static_cast<double>(kBatches));
    }
    std::sort(many.begin(), many.end());
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    const int threads = options.num_threads > 0
                            ? options.num_threads
                            : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const FunctionStats stats = step.stats();
    const double gflops = flops(*row, flags.batch, !flags.inference) / median * 1e-3;
    fmt::print(
        "{{\"net\": {}, \"batch\": {}, \"threads\": {}, \"device\": {}, "
        "\"inference\": {}, \"median_us\": {:.1f}, \"min_us\": {:.1f}, "
        "\"images_per_s\": {:.0f}, \"gflops\": {:.2f}, \"percent_of_peak\": {}, "
        "\"many_us\": {}, "
        "\"compile_ms\": {:.0f}, \"warm_compile_ms\": {:.1f}, \"kernels\": {}, "
        "\"arena_bytes\": {}}}\n",
        json_string(flags.net), flags.batch, threads, json_string(flags.device), flags.inference,
        median, times.front(), 1e6 * static_cast<double>(flags.batch) / median, gflops,
        on_processor ? fmt::format("{:.1f}", 100 * gflops / (peak * threads)) : "null",
        on_processor ? "null" : fmt::format("{:.1f}", many[many.size() / 2]), stats.compile_ms,
        warm_compile_ms(flags, cache.path), stats.kernels, stats.arena_bytes);
    if (flags.profile) fmt::print("{}", to_string(step.profile()));
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Times one step of a net and prints a line of JSON.", "bench_step");
    Flags flags;
    app.add_option("--net", flags.net, "Net: " + net_names())->capture_default_str();
    app.add_option("--batch", flags.batch, "Images in a mini-batch")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    app.add_option("--threads", flags.threads, "Threads (0: ARETE_NUM_THREADS, else all cores)");
    app.add_option("--device", flags.device, fmt::format("{}", fmt::join(device_names(), ", ")))
        ->capture_default_str();
    app.add_flag("--inference", flags.inference, "Time the forward pass only");
    app.add_flag("--profile", flags.profile, "Then print a table of the kernels");
    app.add_option("--compile-only", flags.compile_only,
                   "Compile with this folder as the cache, and print the milliseconds it took");
    app.add_option("--seconds", flags.seconds, "How long to measure")->capture_default_str();
    try {
        app.parse(argc, argv);
        run(flags);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return app.exit(e);
        fmt::print(stderr, "bench_step: {}\n", e.what());
        return 2;
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_step: {}\n", e.what());
        return 1;
    }
    return 0;
}

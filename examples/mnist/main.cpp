// mnist: trains the networks of the chapter on handwritten digits.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>

#include "examples/mnist/embedded_digits.h"
#include "examples/mnist/nets.h"
#include "examples/mnist/progress.h"
#include "examples/mnist/report.h"
#include "runtime/device.h"

using namespace arete;

namespace {

constexpr int kUsageError = 2, kFailure = 1;
constexpr int kMost = 1'000'000'000;

struct Flags {
    std::string net = "dbl_conv_relu";
    int epochs = 0;
    std::int64_t batch = 10;
    std::optional<double> eta, lmbda;
    std::uint64_t seed = 0;
    std::string data = "embedded";
    std::int64_t limit = 0;
    std::string device = device_names().front();
    int threads = 0;
    std::string json, dump, dump_dir;
    std::string init = "n_out";
    bool quiet = false;
    bool profile = false;
    std::string mode = "fast_run", report;
};

/// What is wrong with the text of a whole number; CLI11 would take -1 for a large one.
std::string whole_number(const std::string& text) {
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) return {};
    return fmt::format("{} is not a whole number", text);
}

void add_flags(CLI::App& app, Flags& f) {
    std::string list;
    for (const NetRow& row : nets())
        list += fmt::format("  {:<15}{} ({})\n", row.name, describe(row), row.note);
    app.footer("Nets:\n" + list);
    app.option_defaults()->take_last();  // of a flag given twice
    app.add_option("--net", f.net, "Network to train (see below)")->capture_default_str();
    app.add_option("--epochs", f.epochs, "Passes over the training data (default: the net's)")
        ->check(CLI::Range(1, kMost));
    app.add_option("--batch", f.batch, "Images in a mini-batch")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    app.add_option("--eta", f.eta, "Learning rate (default: the net's)");
    app.add_option("--lmbda", f.lmbda, "L2 regularisation (default: the net's)");
    app.add_option("--seed", f.seed, "Decides everything random")
        ->check(CLI::Validator(whole_number, ""))
        ->capture_default_str();
    app.add_option("--data", f.data, "Folder with MNIST's four IDX files, or 'embedded'")
        ->capture_default_str();
    app.add_option("--limit", f.limit,
                   "Train on the first N mini-batches of each epoch only (0: all)")
        ->check(CLI::Range(0, kMost));
    app.add_option("--device", f.device, fmt::format("{}", fmt::join(device_names(), ", ")))
        ->capture_default_str();
    app.add_option("--threads", f.threads,
                   "Threads (default: ARETE_NUM_THREADS, else one for each core)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--json", f.json, "Write the result to this file");
    app.add_option("--dump", f.dump,
                   "Write what the compiler makes: all, or some of graph,rewrites,fusion,loops,"
                   "llvm,asm");
    app.add_option("--dump-dir", f.dump_dir,
                   "Folder for --dump (default: ARETE_DUMP_DIR, else arete_dump)");
    app.add_option("--init", f.init,
                   "Initial weights: N(0, 1/n_out) as in the chapter's code, or n_in")
        ->capture_default_str();
    app.add_flag("--profile", f.profile,
                 "Then print the time of each kernel of the training step, and of each pass");
    app.add_option("--report", f.report,
                   "Then write a page on the training step to this HTML file (with --profile, with "
                   "times)");
    app.add_option("--mode", f.mode,
                   "fast_run, fast_math, fast_compile, nan_guard, debug (very slow) or interpret "
                   "(slow)")
        ->capture_default_str();
    app.add_flag("--quiet", f.quiet, "Print the final accuracies only");
}

/// A flag with a value that makes no sense.
[[noreturn]] void usage(const std::string& message) { throw CLI::ValidationError(message); }

/// Everything that the flags say, checked.
struct Job {
    const NetRow* net = nullptr;
    Init init = Init::n_out;
    Run run;
    Options options;
    bool profile = false;
    Mode mode = Mode::fast_run;
};

struct ModeName {
    std::string_view name;
    Mode mode;
};
constexpr ModeName kModes[] = {{"fast_run", Mode::fast_run},
                               {"fast_math", Mode::fast_math},
                               {"fast_compile", Mode::fast_compile},
                               {"nan_guard", Mode::nan_guard},
                               {"debug", Mode::debug},
                               {"interpret", Mode::interpret}};

Job check(const Flags& f) {
    Job job;
    job.net = find_net(f.net);
    if (!job.net) usage(fmt::format("unknown net '{}'; the nets are {}", f.net, net_names()));
    const std::vector<std::string> devices = device_names();
    const std::string kind = f.device.substr(0, f.device.find(':'));  // "cuda:1" is the second card
    if (std::find(devices.begin(), devices.end(), kind) == devices.end())
        usage(fmt::format("unknown device '{}'; the devices are {}", f.device,
                          fmt::join(devices, ", ")));
    if (f.init != "n_out" && f.init != "n_in")
        usage(fmt::format("unknown --init '{}'; it is n_out or n_in", f.init));
    for (const std::optional<double>& v : {f.eta, f.lmbda})
        if (v && !std::isfinite(*v)) usage("--eta and --lmbda must be finite");
    job.init = f.init == "n_in" ? Init::n_in : Init::n_out;

    const auto* mode = std::find_if(std::begin(kModes), std::end(kModes),
                                    [&](const ModeName& m) { return m.name == f.mode; });
    if (mode == std::end(kModes))
        usage(fmt::format("unknown --mode '{}'; the modes are fast_run, fast_math, fast_compile, "
                          "nan_guard, debug and interpret",
                          f.mode));
    job.mode = mode->mode;
    job.profile = f.profile;
    job.options = Options::from_environment();
    job.options.device = f.device;
    if (f.threads > 0) job.options.num_threads = f.threads;
    if (!f.dump.empty()) job.options.dump = parse_stages(f.dump);
    if (!f.dump_dir.empty()) job.options.dump_dir = f.dump_dir;

    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    job.run = {.net = f.net,
               .data = f.data,
               .epochs = f.epochs > 0 ? f.epochs : job.net->epochs,
               .batch = f.batch,
               .limit = f.limit,
               .eta = f.eta.value_or(job.net->eta),
               .lmbda = f.lmbda.value_or(job.net->lmbda),
               .seed = f.seed,
               .init = f.init,
               .device = f.device,
               .threads = job.options.num_threads > 0 ? job.options.num_threads : cores};
    return job;
}

SgdResult train(const Job& job, const MnistData& data, bool quiet, const std::string& report) {
    // [region train]
    const Network net = build_net(*job.net, job.run.batch,
                                  {.seed = job.run.seed, .init = job.init});
    Progress progress(job.run.test_set, quiet);
    return net.sgd(shared_data(data.train_x, data.train_y, "training"), job.run.epochs,
                   job.run.batch, job.run.eta, shared_data(data.valid_x, data.valid_y, "validation"),
                   shared_data(data.test_x, data.test_y, "test"),
                   {.lmbda = job.run.lmbda,
                    .limit = job.run.limit,
                    .on_batch = [&](const BatchReport& r) { progress.batch(r); },
                    .on_epoch = [&](const EpochReport& r) { progress.epoch(r); },
                    .mode = job.mode,
                    .profile = job.profile,
                    .options = job.options,
                    .report = report});
    // [end]
}

void run(const Flags& flags, Job job) {
    const MnistData data = flags.data == "embedded" ? load_embedded_digits() : load_mnist(flags.data);
    if (data.pixels() != kSide * kSide)
        fail<DataError>({}, "{}: images have {} pixels, the nets take {}x{}", flags.data,
                        data.pixels(), kSide, kSide);
    job.run.test_set = flags.data == "embedded" ? "held-out training digits"
                       : data.is_mnist          ? "MNIST test"
                                                : "test";
    std::ofstream json;
    if (!flags.json.empty()) {
        json.open(flags.json);
        if (!json) fail<DataError>({}, "{}: cannot be written", flags.json);
    }
    if (!flags.quiet) {
        fmt::print("{}: {}\n{}\nmini-batches of {}, eta {}, lambda {}, seed {}, {} threads\n",
                   job.run.net, describe(*job.net), data.description, job.run.batch, job.run.eta,
                   job.run.lmbda, job.run.seed, job.run.threads);
        std::fflush(stdout);
    }
    const SgdResult result = train(job, data, flags.quiet, flags.report);
    fmt::print("{} accuracy: {:.2f} % at the best validation epoch ({} of {}: {:.2f} %)\n",
               job.run.test_set, result.best_test_accuracy, result.best_epoch + 1, job.run.epochs,
               result.best_validation_accuracy);
    if (!flags.quiet) {
        fmt::print("{:.1f} s, {:.0f} images/s while training, {:.0f} ms compiling\n",
                   result.seconds, result.images_per_second, result.compile_ms);
        fmt::print("To see the kernels generated for this net, add --dump loops,llvm,asm "
                   "[--dump-dir DIR]; --dump all writes every stage, graph and rewrites "
                   "included.\n");
    }
    if (job.profile) fmt::print("{}\n{}", to_string(result.profile), to_string(result.passes));
    if (json.is_open()) {
        json << to_json(job.run, result);
        json.close();
        if (!json) fail<DataError>({}, "{}: cannot be written", flags.json);
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Trains the networks of the chapter on deep learning on handwritten digits.",
                 "mnist");
    Flags flags;
    add_flags(app, flags);
    try {
        app.parse(argc, argv);
        run(flags, check(flags));
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return app.exit(e);  // --help
        fmt::print(stderr, "mnist: {}\nRun with --help for the flags.\n", e.what());
        return kUsageError;
    } catch (const ArgumentError& e) {
        fmt::print(stderr, "mnist: {}\n", e.what());
        return kUsageError;
    } catch (const std::exception& e) {
        fmt::print(stderr, "mnist: {}\n", e.what());
        return kFailure;
    }
    return 0;
}

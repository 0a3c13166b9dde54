// fuzz: random graphs in every mode, at every vector level, beside wider arithmetic and NumPy.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <CLI/CLI.hpp>

#include "compiler/targets/cpu/llvm/module.h"
#include "tests/fuzz/levels.h"
#include "tests/fuzz/print.h"
#include "tests/fuzz/shrink.h"
#include "tests/fuzz/supervise.h"

using namespace arete;
using namespace arete::fuzz;

namespace {

/// The case of a seed, made small while it fails as it did; printed as a program.
void print_shrunk(const Failure& failure, const SuperviseOptions& options, double seconds) {
    if (failure.finding.setting == "draw") return;
    Case c = Drawer(failure.seed, options.draw).draw();
    RunOptions run{{}, options.gradients, options.rules, {}};
    Setting setting;
    try {
        setting = parse_setting(failure.finding.setting);
        run.settings = {setting};
    } catch (const ArgumentError&) {
        run.settings = {};  // of the reference or of gradients
    }
    const std::string signature = failure.finding.signature();
    if (failure.finding.kind == Finding::Kind::Gradient) {
        // Which one of them.
        for (const GradientOf& g : std::vector<GradientOf>(c.gradients)) {
            Case one = c;
            one.gradients = {g};
            one.outputs = {g.cost, g.gradient};
            one.updates.clear();
            one.note_shared();
            const auto f = run_apart(one, run, options.cpu_limit);
            if (!f || f->signature() != signature) continue;
            c = one;
            break;
        }
    } else {
        c.gradients.clear();
    }
    std::string last;
    const Case small = shrink(c,
                              [&](const Case& smaller) {
                                  const auto f =
                                      run_apart(smaller, run, std::min(options.cpu_limit, 20.0));
                                  if (!f || f->signature() != signature) return false;
                                  last = f->str();
                                  return true;
                              },
                              {seconds});
    fmt::print("{}\n", to_program(small, setting,
                                  fmt::format("seed {}: {}", failure.seed,
                                              last.empty() ? failure.finding.str() : last)));
    std::fflush(stdout);
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> out;
    std::stringstream in(text);
    for (std::string part; std::getline(in, part, ',');)
        if (!part.empty()) out.push_back(part);
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Random graphs in every mode and at every vector level, beside wider arithmetic."};
    SuperviseOptions options;
    options.jobs = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    std::string levels, thorough = "ci";
    bool do_shrink = false, print = false;
    double shrink_seconds = 60;
    app.add_option("--count", options.count, "Graphs")->capture_default_str();
    app.add_option("--seed", options.first, "Seed of the first; the next has the next seed");
    app.add_option("--time", options.seconds, "Stop after so many seconds");
    app.add_flag("--shrink", do_shrink, "Make failing graphs small and print them as programs");
    app.add_option("--shrink-time", shrink_seconds, "Seconds for each of these")
        ->capture_default_str();
    app.add_option("--against", options.against, "Compare with numpy or jax, too");
    app.add_option("--python", options.python, "Which Python has them")->capture_default_str();
    app.add_option(
        "--levels", levels,
        "What is run for every graph, comma-separated: interpret, fast_compile, debug, native, "
        "native/2 (threads), object:aarch64; processors are named as in ARETE_CPU");
    app.add_option("--thorough", thorough,
                   "Without --levels: ci, or quick (mostly interpreted) for long runs")
        ->check(CLI::IsMember({"ci", "quick"}))
        ->capture_default_str();
    app.add_option("--jobs", options.jobs, "Processes")->capture_default_str();
    app.add_option("--limit", options.cpu_limit, "Seconds of processor time that a graph may take")
        ->capture_default_str();
    app.add_option("--megabytes", options.megabytes, "Memory that a graph may take")
        ->capture_default_str();
    app.add_option("--most-findings", options.most_findings, "Stop after so many")
        ->capture_default_str();
    app.add_flag("--print", print, "Print the graphs instead of running them");
    CLI11_PARSE(app, argc, argv);
    try {
        if (!levels.empty()) {
            std::vector<Setting> all;
            for (const std::string& l : split(levels)) all.push_back(parse_setting(l));
            options.settings = [all](std::uint64_t) { return all; };
        } else {
            options.settings = [quick = thorough == "quick"](std::uint64_t seed) {
                return settings_for(seed, quick);
            };
        }
        if (print) {
            for (std::uint64_t k = 0; k < options.count; ++k)
                fmt::print("seed {}\n{}\n", options.first + k,
                           Drawer(options.first + k, options.draw).draw().str());
            return 0;
        }
        fmt::print("processor: {}\n", host_text());
        std::fflush(stdout);
        std::vector<Failure> failures;
        const Report report = supervise(options, [&](const Failure& f) {
            failures.push_back(f);
            fmt::print("seed {}: {}\n", f.seed, f.finding.str());
            std::fflush(stdout);
        });
        if (do_shrink)
            for (const Failure& f : failures) print_shrunk(f, options, shrink_seconds);
        const Tally& t = report.tally;
        fmt::print(
            "{} graphs in {:.1f} s ({:.2f} ms each): {} runs, {} results of {} elements, {} "
            "gradients; "
            "{} too large, {} refused{}; {} failures\n",
            t.cases, t.seconds,
            1e3 * t.seconds / static_cast<double>(std::max<std::uint64_t>(1, t.cases)), t.runs,
            t.results, t.elements, t.gradients, t.skipped, t.refused,
            options.against.empty() ? "" : fmt::format(", {} beside {}", t.beside, options.against),
            failures.size());
        return failures.empty() ? 0 : 1;
    } catch (const std::exception& e) {
        fmt::print(stderr, "fuzz: {}\n", e.what());
        return 2;
    }
}

// bench_workloads: times the graphs of workloads.h.
//
//     bench_workloads                        all, in a table
//     bench_workloads --filter conv          those whose names contain "conv"
//     bench_workloads --serve NAME --data D  for `compare --workloads`: writes the inputs of one,
//     and
//                                            what comes out, to the folder D; then measures for as
//                                            many seconds as each line of the input says
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <arete/arete.h>
#include <CLI/CLI.hpp>

#include "runtime/device.h"
#include "tests/bench/workloads.h"

using namespace arete;

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Array drawn(const Drawn& d, Generator& random) {
    switch (d.from) {
        case Drawn::From::Normal: return random.normal(d.sizes, d.low, d.high).astype(d.dtype);
        case Drawn::From::Uniform: return random.uniform(d.sizes, d.low, d.high).astype(d.dtype);
        case Drawn::From::Labels: {
            // Drawn as f64: a float does not hold every label.
            Array out(DType::I64, d.sizes);
            const Array values = random.uniform(d.sizes, 0, 1);
            for (std::int64_t i = 0; i < out.size(); ++i)
                out.data<std::int64_t>()[i] =
                    std::min<std::int64_t>(static_cast<std::int64_t>(values.as_double(i) * d.high),
                                           static_cast<std::int64_t>(d.high) - 1);
            return out;
        }
    }
    return {};
}

// A workload's function, ready to be called.
struct Ready {
    Ready(const Workload& w, const Options& options) {
        Generator random(7);
        for (const Drawn& d : w.inputs) values.push_back(drawn(d, random));
        std::vector<Expr> in;
        for (std::size_t k = 0; k < values.size(); ++k) {
            const bool state = w.kind == WorkKind::Step &&
                               std::count(w.wrt.begin(), w.wrt.end(), static_cast<int>(k)) > 0;
            const std::string name = fmt::format("x{}", k);
            if (state) {
                states.push_back(shared(values[k], name));
                in.push_back(states.back());
                continue;
            }
            // Where memory is the device's, what goes in is there before the clock starts.
            if (options.device.starts_with("cuda") || options.device == "emulator") {
                in.push_back(shared(values[k], name));
                continue;
            }
            Ints sizes(values[k].shape().begin(), values[k].shape().end());
            in.push_back(tensor(values[k].dtype(), values[k].rank(), name, sizes));
            inputs.push_back(in.back());
            given.push_back(values[k]);
        }
        FunctionOptions o{.inputs = inputs, .outputs = {w.build(in)}, .name = w.name};
        o.options = options;
        if (w.kind != WorkKind::Forward) {
            std::vector<Expr> wrt;
            for (int k : w.wrt) wrt.push_back(in[k]);
            const std::vector<Expr> slopes = grad(o.outputs[0], wrt);
            for (std::size_t k = 0; k < wrt.size(); ++k)
                if (w.kind == WorkKind::Gradient)
                    o.outputs.push_back(slopes[k]);
                else
                    o.updates.emplace_back(states[k], states[k] - 0.001 * slopes[k]);
        }
        const auto start = Clock::now();
        f = function(std::move(o));
        outputs = f.call(given);
        compile_ms = ms_since(start);
    }

    // Microseconds of a call: the median of as many as fit into the time.
    double measure(double seconds) {
        std::vector<double> times;
        const auto begin = Clock::now();
        while (times.size() < 3 || ms_since(begin) < 1e3 * seconds) {
            const auto start = Clock::now();
            f.call_into(outputs, given);
            times.push_back(1e3 * ms_since(start));
        }
        std::nth_element(times.begin(),
                         times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                         times.end());
        return times[times.size() / 2];
    }

    std::vector<Array> values, given, outputs;
    std::vector<Expr> inputs;
    std::vector<Shared> states;
    Function f;
    double compile_ms = 0;
};

void write(const std::filesystem::path& path, const Array& a) {
    std::ofstream(path, std::ios::binary)
        .write(static_cast<const char*>(a.raw()), static_cast<std::streamsize>(a.bytes()));
}

std::string description(const Array& a) {
    return fmt::format(R"({{"dtype": "{}", "shape": [{}]}})", name(a.dtype()),
                       fmt::join(a.shape(), ", "));
}

void serve(const Workload& w, const Options& options, const std::filesystem::path& folder) {
    Ready ready(w, options);
    std::vector<std::string> in, out;
    for (std::size_t k = 0; k < ready.values.size(); ++k) {
        write(folder / fmt::format("x{}.bin", k), ready.values[k]);
        in.push_back(description(ready.values[k]));
    }
    // Of a step the cost before it, and the new values.
    std::vector<Array> results = ready.outputs;
    for (const Shared& s : ready.states) results.push_back(s.get_value());
    for (std::size_t k = 0; k < results.size(); ++k) {
        write(folder / fmt::format("y{}.bin", k), results[k]);
        out.push_back(description(results[k]));
    }
    const char* kinds[] = {"forward", "gradient", "step"};
    fmt::print(R"({{"name": "{}", "group": "{}", "kind": "{}", "wrt": [{}], "flops": {}, )"
               R"("compile_ms": {:.1f}, "inputs": [{}], "outputs": [{}]}})"
               "\n",
               w.name, w.group, kinds[static_cast<int>(w.kind)], fmt::join(w.wrt, ", "), w.flops,
               ready.compile_ms, fmt::join(in, ", "), fmt::join(out, ", "));
    std::fflush(stdout);
    for (double seconds = 0; std::cin >> seconds;) {
        fmt::print("{:.3f}\n", ready.measure(seconds));
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Times graphs of many kinds.", "bench_workloads");
    std::string filter, served, folder, device;
    double seconds = 0.3;
    bool list = false;
    app.add_option("--filter", filter, "Only those whose names contain this");
    app.add_option("--serve", served, "Measure this one as lines of the input ask for it");
    app.add_flag("--list", list, "Print the names");
    app.add_option("--data", folder, "Where --serve writes inputs and results");
    app.add_option("--device", device, fmt::format("{}", fmt::join(device_names(), ", ")));
    app.add_option("--seconds", seconds, "How long to measure each")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        Options options = Options::from_environment();
        if (options.num_threads <= 0) options.num_threads = 1;
        if (!device.empty()) options.device = device;
        options.cache_dir.clear();
        for (const Workload& w : workloads()) {
            if (list) {
                fmt::print("{}\n", w.name);
                continue;
            }
            if (!served.empty() && w.name == served) {
                serve(w, options, folder);
                return 0;
            }
            if (!served.empty() || w.name.find(filter) == std::string::npos) continue;
            Ready ready(w, options);
            const double us = ready.measure(seconds);
            fmt::print("{:<28} {:>11.1f} us {:>8.1f} ms to compile", w.name, us, ready.compile_ms);
            if (w.flops > 0) fmt::print(" {:>8.1f} GFLOP/s", w.flops / us * 1e-3);
            fmt::print("\n");
            std::fflush(stdout);
        }
        if (!served.empty()) throw ArgumentError({}, "no workload is called " + served);
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_workloads: {}\n", e.what());
        return 1;
    }
    return 0;
}

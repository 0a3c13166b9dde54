// bench_compile: the time of the passes, LLVM left out, on a training step and on graphs that grow.
// Prints a table; --passes adds the time of each pass.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <CLI/CLI.hpp>

#include "compiler/pipeline/compile.h"
#include "examples/mnist/nets.h"
#include "frontend/function_graph.h"

#include "compiler/targets/cpu/target.h"
using namespace arete;

namespace {

using Clock = std::chrono::steady_clock;

/// What a function would compile for the sizes that its inputs have.
CompileRequest request_for(FunctionOptions options, bool verify) {
    const FunctionGraph f = prepare_function(std::move(options), Loc{__FILE__, __LINE__});
    CompileRequest r;
    r.name = f.name;
    r.inputs = f.inputs;
    r.outputs = f.outputs;
    r.updates = f.updates;
    Machine machine;
    machine.vector_bytes = 64;
    machine.vector_registers = 32;
    machine.masked_memory = true;
    r.target = cpu_target(machine);
    r.options.verify = verify;
    for (const Expr& e : f.inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    return r;
}

/// One step of stochastic gradient descent on `cost`.
FunctionOptions step_of(const std::string& name, const std::vector<Expr>& inputs, const Expr& cost,
                        const std::vector<Shared>& params) {
    const auto grads = grad(cost, std::vector<Expr>(params.begin(), params.end()));
    FunctionOptions o{.inputs = inputs, .outputs = {cost}, .name = name};
    for (std::size_t k = 0; k < params.size(); ++k)
        o.updates.emplace_back(params[k], params[k] - 0.1f * grads[k]);
    return o;
}

FunctionOptions net_step(const NetRow& row) {
    const Network net = build_net(row, 10, {.seed = 1});
    Expr cost = net.layer(net.size() - 1).cost(net), norm;
    for (std::size_t k = 0; k < net.size(); ++k) {
        const Expr term = sum(sqr(net.layer(k).w));
        norm = norm.empty() ? term : norm + term;
    }
    cost = cost + 1e-5f * norm;
    const auto i = scalar<std::int64_t>("i");
    const SharedData data =
        shared_data(zeros<float>({100, kSide * kSide}), zeros<std::int32_t>({100}), "data");
    FunctionOptions o = step_of(std::string(row.name), {i}, cost, net.params);
    o.givens = {{net.x, data.x(slice(i * 10, (i + 1) * 10))},
                {net.y, data.y(slice(i * 10, (i + 1) * 10))}};
    return o;
}

/// `length` elementwise nodes, one after another.
FunctionOptions chain(int length) {
    const auto x = vector<float>("x", {1000});
    Expr e = x;
    for (int k = 0; k < length; ++k) e = k % 4 == 3 ? tanh(e) : k % 4 == 1 ? e * x : e + 0.5f;
    return {.inputs = {x}, .outputs = {e}, .name = fmt::format("chain of {}", length)};
}

/// A training step of fully-connected layers.
FunctionOptions deep(int layers) {
    const auto x = matrix<float>("x", {10, 32});
    Expr h = x;
    std::vector<Shared> params;
    for (int k = 0; k < layers; ++k) {
        params.push_back(shared(zeros<float>({32, 32}), fmt::format("w{}", k)));
        params.push_back(shared(zeros<float>({32}), fmt::format("b{}", k)));
        h = tanh(dot(h, params[params.size() - 2]) + params.back());
    }
    return step_of(fmt::format("{} layers", layers), {x}, mean(sqr(h)), params);
}

struct Row {
    std::size_t nodes = 0, steps = 0;
    double median_ms = 0, least_ms = 0;
    std::vector<PassTime> passes;
};

Row measure(const FunctionOptions& options, int repeats, bool verify) {
    const CompileRequest request = request_for(options, verify);
    std::vector<Expr> roots = request.outputs;
    for (const auto& [variable, value] : request.updates) roots.push_back(value);
    Row row;
    row.nodes = Graph(roots).size();
    std::vector<double> times;
    for (int k = 0; k < repeats; ++k) {
        const auto start = Clock::now();
        const Compiled compiled = compile(request);
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        if (times.back() <= *std::min_element(times.begin(), times.end()))
            row.passes = compiled.passes;
        row.steps = compiled.program.steps.size();
    }
    std::sort(times.begin(), times.end());
    row.median_ms = times[times.size() / 2];
    row.least_ms = times.front();
    return row;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Times the passes up to LLVM.", "bench_compile");
    int repeats = 7;
    bool passes = false, verify = false;
    std::string only;
    app.add_option("--repeats", repeats, "Measurements of each graph")->capture_default_str();
    app.add_flag("--passes", passes, "Print the time of each pass, of the fastest run");
    app.add_flag("--verify", verify, "With the verifiers after each pass");
    app.add_option("--only", only, "Graphs whose name contains this");
    CLI11_PARSE(app, argc, argv);
    try {
        fmt::print("{:<20} {:>7} {:>7} {:>10} {:>10} {:>12}\n", "graph", "nodes", "steps",
                   "median ms", "least ms", "us/node");
        const auto line = [&](const FunctionOptions& options, int times) {
            const Row r = measure(options, std::max(1, times), verify);
            fmt::print("{:<20} {:>7} {:>7} {:>10.2f} {:>10.2f} {:>12.2f}\n", options.name, r.nodes,
                       r.steps, r.median_ms, r.least_ms,
                       1e3 * r.median_ms / static_cast<double>(r.nodes));
            if (passes) fmt::print("{}", to_string(r.passes));
            std::fflush(stdout);
        };
        const auto wanted = [&](const std::string& name) {
            return only.empty() || name.find(only) != std::string::npos;
        };
        for (const char* name : {"shallow", "dbl_conv_relu", "dropout"})
            if (wanted(name)) line(net_step(*find_net(name)), repeats);
        for (const int length : {1000, 5000, 10000})
            if (wanted(fmt::format("chain of {}", length))) line(chain(length), repeats);
        for (const int layers : {10, 100})
            if (wanted(fmt::format("{} layers", layers))) line(deep(layers), repeats);
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_compile: {}\n", e.what());
        return 1;
    }
    return 0;
}

// bench_op: the time of single ops, with Google Benchmark. Each line is a median over repetitions:
// GFLOP/s and GB/s, the percentage of the peak of fused multiply-adds (P%), and of the least time
// that operations and memory allow (roof%), both measured by this process (limits.h).
//
//     bench_op --benchmark_filter='NN/10x'      one thread, unless ARETE_NUM_THREADS says otherwise
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include <arete/arete.h>

#include "compiler/ops/op.h"
#include "compiler/ops/random.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "tests/bench/limits.h"
#include "tests/bench/shapes.h"

using namespace arete;

namespace {

/// What is timed: a function of random inputs, and what a call does.
struct Work {
    std::vector<Expr> inputs;
    std::vector<Expr> outputs;
    std::vector<Update> updates;
    double flops = 0;
    double bytes = 0;   ///< of all operands, each counted once; what is updated, twice
    double others = 0;  ///< other floating-point operations, which take a multiply-add's time each
};
using Maker = std::function<Work()>;

Options options() {
    Options o = Options::from_environment();
    if (o.num_threads <= 0) o.num_threads = 1;
    return o;
}

Limits& limits() {
    static Limits all(host_machine(options().cpu));
    return all;
}

/// A function ready to be called. Only the one that runs is kept: the library calls a benchmark
/// several times in a row, and all together would fill the memory.
struct Ready {
    std::string name;
    Work work;
    Function f;
    std::vector<Array> inputs, outputs;
};

Array random_array(Generator& random, const Expr& e) {
    if (!is_float(e.dtype())) return Array(std::int64_t{1}).astype(e.dtype());
    return random.uniform(concrete(e.shape()), 0.25, 1).astype(e.dtype());
}

Ready& ready(const std::string& name, const Maker& make) {
    static std::optional<Ready> last;
    if (last && last->name == name) return *last;
    last.reset();
    Ready r{name, make(), {}, {}, {}};
    r.f = function({.inputs = r.work.inputs,
                    .outputs = r.work.outputs,
                    .updates = r.work.updates,
                    .name = "bench",
                    .options = options()});
    Generator random(1);
    for (const Expr& e : r.work.inputs) r.inputs.push_back(random_array(random, e));
    r.outputs = r.f.call(r.inputs);
    last = std::move(r);
    return *last;
}

void run(benchmark::State& state, const std::string& name, const Maker& make) {
    Ready& r = ready(name, make);
    // The clock changes while a machine is shared: the peak before and after counts.
    const double before = limits().fma_gflops();
    for (auto _ : state) r.f.call_into(r.outputs, r.inputs);
    const double peak = (before + limits().fma_gflops()) / 2;
    const auto runs = static_cast<double>(state.iterations());
    using benchmark::Counter;
    const auto rate = [&](double each) { return Counter(each * runs, Counter::kIsRate); };
    const double least =
        limits().least_seconds(r.work.flops + 2 * r.work.others, r.work.bytes, peak);
    state.counters["GFLOP/s"] = rate(r.work.flops * 1e-9);
    state.counters["GB/s"] = rate(r.work.bytes * 1e-9);
    state.counters["P%"] = rate(100 * r.work.flops * 1e-9 / peak);
    state.counters["roof%"] = rate(100 * least);
}

void add(const std::string& name, Maker make) {
    auto* bench = benchmark::RegisterBenchmark(
        name.c_str(), [name, make = std::move(make)](benchmark::State& s) { run(s, name, make); });
    // One thread's own time does not count when the machine runs something else.
    if (options().num_threads > 1) bench->UseRealTime();
}

double elements(const Expr& e) {
    return static_cast<double>(count(concrete(e.shape())));
}

double bytes_of(std::initializer_list<Expr> operands) {
    double all = 0;
    for (const Expr& e : operands) all += elements(e) * static_cast<double>(size_of(e.dtype()));
    return all;
}

// ---- products

Work product(const ProductShape& p) {
    const auto x = matrix<float>("x", {p.m, p.k}), g = matrix<float>("g", {p.m, p.n}),
               w = matrix<float>("w", {p.k, p.n});
    Work out;
    out.flops = flops(p);
    switch (p.product) {
        case Product::NN: out.inputs = {x, w}, out.outputs = {dot(x, w)}; break;
        case Product::NT: out.inputs = {g, w}, out.outputs = {dot(g, w.T())}; break;
        case Product::TN: out.inputs = {x, g}, out.outputs = {dot(x.T(), g)}; break;
        case Product::Update: {
            const auto s = shared(ones<float>({p.k, p.n}), "s");
            out.inputs = {x, g};
            out.updates = {{s, s - 1e-6F * dot(x.T(), g)}};
            out.others = 2 * elements(w);
            break;
        }
    }
    out.bytes = bytes_of({x, g, w}) + (p.product == Product::Update ? bytes_of({w}) : 0);
    return out;
}

void add_products() {
    for (const auto& [name, p] : all_products()) add(name, [p = p] { return product(p); });
    const std::int64_t batched[][4] = {{32, 64, 64, 64}, {64, 10, 128, 128}, {7, 33, 65, 31}};
    for (const auto& [b, m, k, n] : batched)
        add(fmt::format("batched/{}x{}x{}x{}", b, m, k, n), [b = b, m = m, k = k, n = n] {
            const auto x = tensor3<float>("x", {b, m, k}), w = tensor3<float>("w", {b, k, n});
            const Expr y = batched_dot(x, w);
            return Work{
                {x, w}, {y}, {}, 2.0 * static_cast<double>(b * m * k * n), bytes_of({x, w, y})};
        });
    const std::int64_t sides[][2] = {{100, 100}, {1000, 1000}, {784, 2500}, {4000, 4000}};
    for (const auto& [m, k] : sides) {
        add(fmt::format("matrix_vector/{}x{}", m, k), [m = m, k = k] {
            const auto a = matrix<float>("a", {m, k});
            const auto v = vector<float>("v", {k});
            return Work{{a, v}, {dot(a, v)}, {}, 2 * elements(a), bytes_of({a, v})};
        });
        add(fmt::format("vector_matrix/{}x{}", m, k), [m = m, k = k] {
            const auto a = matrix<float>("a", {m, k});
            const auto v = vector<float>("v", {m});
            return Work{{v, a}, {dot(v, a)}, {}, 2 * elements(a), bytes_of({a, v})};
        });
        add(fmt::format("outer/{}x{}", m, k), [m = m, k = k] {
            const auto u = vector<float>("u", {m}), v = vector<float>("v", {k});
            const Expr y = outer(u, v);
            return Work{{u, v}, {y}, {}, elements(y), bytes_of({u, v, y})};
        });
    }
}

// ---- convolutions

Work conv(const std::string& what, const ConvShape& c) {
    const std::int64_t out = c.out();
    const auto x = tensor4<float>("x", {c.n, c.ci, c.side, c.side}),
               w = tensor4<float>("w", {c.co, c.ci, c.filter, c.filter}),
               g = tensor4<float>("g", {c.n, c.co, out, out});
    const auto b = vector<float>("b", {c.co});
    const Expr y = conv2d(x, w);
    Work work;
    work.flops = flops(c);
    work.bytes = bytes_of({x, w, g});
    if (what == "forward") {
        work.inputs = {x, w}, work.outputs = {y};
    } else if (what.starts_with("pool_bias_relu")) {
        const Expr z = relu(pool2d(y, {2, 2}) + dimshuffle(b, {'x', 0, 'x', 'x'}));
        work.inputs = {x, w, b}, work.outputs = {z};
        work.bytes = bytes_of({x, w, b, z});
        if (what.ends_with("argmax")) {  // as in training: where the gradient will go
            work.outputs.push_back(
                apply(*find_op("pool2d_argmax"), {y}, {{"pool", Ints{2, 2}}}, {}));
            work.bytes += bytes_of({z});
        }
    } else {
        const bool weights = what == "by_weights";
        work.inputs = {weights ? x : w, g}, work.outputs = Lop(y, {weights ? w : x}, g);
    }
    return work;
}

void add_convolutions() {
    for (const auto& [name, c] : all_convolutions())
        for (const char* what :
             {"forward", "pool_bias_relu", "pool_bias_relu_argmax", "by_weights", "by_data"}) {
            if (c.out() % 2 != 0 && std::string(what).starts_with("pool_bias_relu")) continue;
            add(convolution_name(name, what, c), [=, c = c] { return conv(what, c); });
        }
}

// ---- elementwise, reductions, softmax, random numbers

void add_others() {
    for (const std::int64_t n : {1000, 4096, 65536, 1000000, 16000000}) {
        const auto unary = [&](const char* name, Expr (*f)(const Operand&)) {
            add(fmt::format("{}/{}", name, n), [=] {
                const auto x = vector<float>("x", {n});
                return Work{{x}, {f(x)}, {}, elements(x), 2 * bytes_of({x})};
            });
        };
        unary("relu", [](const Operand& x) { return relu(x); });
        unary("sqr", [](const Operand& x) { return sqr(x); });
        unary("exp", [](const Operand& x) { return exp(x); });
        unary("log", [](const Operand& x) { return log(x); });
        unary("tanh", [](const Operand& x) { return tanh(x); });
        unary("sigmoid", [](const Operand& x) { return sigmoid(x); });
        add(fmt::format("add/{}", n), [=] {
            const auto x = vector<float>("x", {n}), y = vector<float>("y", {n});
            return Work{{x, y}, {x + y}, {}, elements(x), 3 * bytes_of({x})};
        });
        add(fmt::format("sgd/{}", n), [=] {
            const auto g = vector<float>("g", {n});
            const auto s = shared(ones<float>({n}), "s");
            return Work{{g}, {}, {{s, s - 0.01F * g}}, 2 * elements(g), 3 * bytes_of({g})};
        });
        for (const char* what : {"uniform", "normal", "bernoulli"})
            add(fmt::format("random_{}/{}", what, n), [=] {
                const auto counter = scalar<std::int64_t>("counter");
                const RandomSource source{constant(Array(std::int64_t{1})), counter};
                const std::string kind = what;
                const Expr y = kind == "uniform"  ? random_uniform({n}, source)
                               : kind == "normal" ? random_normal({n}, source)
                                                  : random_bernoulli({n}, source);
                return Work{{counter}, {y}, {}, 0, bytes_of({y})};
            });
    }
    const std::int64_t sides[][2] = {
        {10, 1000}, {1000, 10}, {256, 1000}, {1000, 1000}, {3000, 4001}};
    for (const auto& [m, n] : sides) {
        const auto reduction = [&, m = m, n = n](const char* name, Expr (*f)(const Expr&)) {
            add(fmt::format("{}/{}x{}", name, m, n), [=] {
                const auto x = matrix<float>("x", {m, n});
                return Work{{x}, {f(x)}, {}, elements(x), bytes_of({x})};
            });
        };
        reduction("sum_rows", [](const Expr& x) { return sum(x, 0); });
        reduction("sum_columns", [](const Expr& x) { return sum(x, 1); });
        reduction("sum_all", [](const Expr& x) { return sum(x); });
        reduction("max_columns", [](const Expr& x) { return max(x, 1); });
        reduction("argmax_columns", [](const Expr& x) { return argmax(x, 1); });
    }
    const std::int64_t rows[][2] = {{10, 10}, {256, 10}, {256, 1000}, {1000, 1000}};
    for (const auto& [m, n] : rows)
        add(fmt::format("softmax/{}x{}", m, n), [m = m, n = n] {
            const auto x = matrix<float>("x", {m, n});
            return Work{{x}, {softmax(x)}, {}, 0, 2 * bytes_of({x})};
        });
}

/// Of a benchmark's repetitions, prints the medians alone.
class Medians : public benchmark::ConsoleReporter {
  public:
    Medians() : ConsoleReporter(isatty(STDOUT_FILENO) ? OO_ColorTabular : OO_Tabular) {}
    void ReportRuns(const std::vector<Run>& runs) override {
        std::vector<Run> kept;
        for (const Run& r : runs)
            if (r.error_occurred || runs.size() == 1 || r.aggregate_name == "median")
                kept.push_back(r);
        if (!kept.empty()) ConsoleReporter::ReportRuns(kept);
    }
};

int bench(int argc, char** argv) {
    add_convolutions();
    add_products();
    add_others();
    // Those given on the command line come later, and count.
    std::vector<std::string> flags{argv[0], "--benchmark_repetitions=5",
                                   "--benchmark_min_time=0.05",
                                   "--benchmark_counters_tabular=true"};
    flags.insert(flags.end(), argv + 1, argv + argc);
    std::vector<char*> pointers;
    for (std::string& f : flags) pointers.push_back(f.data());
    pointers.push_back(nullptr);
    int n = static_cast<int>(flags.size());
    benchmark::Initialize(&n, pointers.data());
    if (benchmark::ReportUnrecognizedArguments(n, pointers.data())) return 2;
    const bool plain = std::none_of(argv + 1, argv + argc, [](std::string_view flag) {
        return flag.starts_with("--benchmark_format=") && !flag.ends_with("=console");
    });
    if (!plain) {  // for programs: the library's own format, and nothing else
        benchmark::RunSpecifiedBenchmarks();
        return 0;
    }
    fmt::print("fma {:.1f} GFLOP/s; reads", limits().fma_gflops());
    for (const Limits::Level& l : limits().levels()) fmt::print(" {} {:.0f}", l.name, l.gbytes);
    fmt::print(" GB/s\n");
    std::fflush(stdout);
    Medians medians;
    benchmark::RunSpecifiedBenchmarks(&medians);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return bench(argc, argv);
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_op: {}\n", e.what());
        return 1;
    }
}

// bench_libraries: what oneDNN and OpenBLAS take for the products and convolutions of bench_op,
// under the same names, for tests/bench/compare. In their favour, oneDNN keeps its operands in the
// layouts that it likes best, and bringing them there is not timed.
//
//     bench_libraries --benchmark_filter='NN/10x'      one thread, unless OMP_NUM_THREADS says
//     otherwise
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <dnnl.hpp>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/shapes.h"

using namespace arete;

namespace {

using Floats = std::vector<float>;

Floats random_floats(std::int64_t n) {
    static std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(0.25F, 1);
    Floats out(static_cast<std::size_t>(n));
    for (float& x : out) x = uniform(random);
    return out;
}

void report(benchmark::State& state, double flops) {
    state.counters["GFLOP/s"] = benchmark::Counter(
        flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// ---- OpenBLAS

void openblas(benchmark::State& state, const ProductShape& p) {
    const GemmView v = gemm_view(p);
    const Floats a = random_floats(v.m * v.k), b = random_floats(v.k * v.n);
    Floats c = random_floats(v.m * v.n);
    const auto leading = [](bool transposed, std::int64_t rows, std::int64_t columns) {
        return static_cast<int>(transposed ? rows : columns);
    };
    for (auto _ : state) {
        // An update subtracts its product from the weight: all in one call.
        cblas_sgemm(CblasRowMajor, v.transpose_a ? CblasTrans : CblasNoTrans,
                    v.transpose_b ? CblasTrans : CblasNoTrans, static_cast<int>(v.m),
                    static_cast<int>(v.n), static_cast<int>(v.k), v.updates ? -1e-6F : 1.0F,
                    a.data(), leading(v.transpose_a, v.m, v.k), b.data(),
                    leading(v.transpose_b, v.k, v.n), v.updates ? 1.0F : 0.0F, c.data(),
                    static_cast<int>(v.n));
        benchmark::ClobberMemory();
    }
    report(state, flops(p));
}

// ---- oneDNN

using dnnl::memory;

const dnnl::engine& engine() {
    static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
    return e;
}

/// An operand in a layout of oneDNN's choice, filled by a reorder from a plain one.
memory filled(const memory::desc& layout, const memory::dims& sizes) {
    std::int64_t n = 1;
    memory::dims strides(sizes.size());
    for (std::size_t k = sizes.size(); k-- > 0; n *= sizes[k]) strides[k] = n;
    Floats plain = random_floats(n);
    memory from({sizes, memory::data_type::f32, strides}, engine(), plain.data());
    memory to(layout, engine());
    dnnl::stream s(engine());
    dnnl::reorder(from, to).execute(s, from, to);
    s.wait();
    return to;
}

void run(benchmark::State& state, const dnnl::primitive& primitive,
         const std::unordered_map<int, memory>& operands, double flops) {
    dnnl::stream s(engine());
    for (auto _ : state) {
        primitive.execute(s, operands);
        s.wait();
    }
    report(state, flops);
}

memory::desc any(const memory::dims& sizes) {
    return {sizes, memory::data_type::f32, memory::format_tag::any};
}

void onednn_product(benchmark::State& state, const ProductShape& p) {
    const GemmView v = gemm_view(p);
    const auto plain = [](std::int64_t rows, std::int64_t columns, bool transposed) {
        const memory::dims strides =
            transposed ? memory::dims{1, rows} : memory::dims{columns, std::int64_t{1}};
        return memory::desc({rows, columns}, memory::data_type::f32, strides);
    };
    // Activations come as they are; a weight [k, n] that is only read may have a layout of its own.
    const bool weight = p.product == Product::NN || p.product == Product::NT;
    const memory::desc a = plain(v.m, v.k, v.transpose_a),
                       b = weight ? any({v.k, v.n}) : plain(v.k, v.n, v.transpose_b),
                       c = plain(v.m, v.n, false);
    dnnl::primitive_attr attributes;
    if (v.updates) {
        dnnl::post_ops sum;
        sum.append_sum(1.0F);
        attributes.set_post_ops(sum);
    }
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc d(engine(), a, b, c, attributes);
#else
    const dnnl::matmul::primitive_desc d(dnnl::matmul::desc(a, b, c), attributes, engine());
#endif
    run(state, dnnl::matmul(d),
        {{DNNL_ARG_SRC, filled(d.src_desc(), {v.m, v.k})},
         {DNNL_ARG_WEIGHTS, filled(d.weights_desc(), {v.k, v.n})},
         {DNNL_ARG_DST, filled(d.dst_desc(), {v.m, v.n})}},
        flops(p));
}

void onednn_convolution(benchmark::State& state, const std::string& what, const ConvShape& c) {
    using dnnl::convolution_backward_data;
    using dnnl::convolution_backward_weights;
    using dnnl::convolution_forward;
    using dnnl::prop_kind;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const std::int64_t out = c.out();
    const memory::dims x_sizes{c.n, c.ci, c.side, c.side}, y_sizes{c.n, c.co, out, out},
        w_sizes{c.co, c.ci, c.filter, c.filter}, b_sizes{c.co}, ones{1, 1}, none{0, 0};
    const memory::desc x = any(x_sizes), w = any(w_sizes), b = any(b_sizes), y = any(y_sizes);
#if DNNL_VERSION_MAJOR >= 3
    const convolution_forward::primitive_desc forward(engine(), prop_kind::forward_training,
                                                      algorithm, x, w, b, y, ones, none, none);
#else
    const convolution_forward::primitive_desc forward(
        {prop_kind::forward_training, algorithm, x, w, b, y, ones, none, none}, engine());
#endif
    if (what == "forward") {
        run(state, convolution_forward(forward),
            {{DNNL_ARG_SRC, filled(forward.src_desc(), x_sizes)},
             {DNNL_ARG_WEIGHTS, filled(forward.weights_desc(), w_sizes)},
             {DNNL_ARG_BIAS, filled(forward.bias_desc(), b_sizes)},
             {DNNL_ARG_DST, filled(forward.dst_desc(), y_sizes)}},
            flops(c));
    } else if (what == "by_data") {
#if DNNL_VERSION_MAJOR >= 3
        const convolution_backward_data::primitive_desc d(engine(), algorithm, x, w, y, ones, none,
                                                          none, forward);
#else
        const convolution_backward_data::primitive_desc d({algorithm, x, w, y, ones, none, none},
                                                          engine(), forward);
#endif
        run(state, convolution_backward_data(d),
            {{DNNL_ARG_DIFF_DST, filled(d.diff_dst_desc(), y_sizes)},
             {DNNL_ARG_WEIGHTS, filled(d.weights_desc(), w_sizes)},
             {DNNL_ARG_DIFF_SRC, filled(d.diff_src_desc(), x_sizes)}},
            flops(c));
    } else {
#if DNNL_VERSION_MAJOR >= 3
        const convolution_backward_weights::primitive_desc d(engine(), algorithm, x, w, y, ones,
                                                             none, none, forward);
#else
        const convolution_backward_weights::primitive_desc d({algorithm, x, w, y, ones, none, none},
                                                             engine(), forward);
#endif
        run(state, convolution_backward_weights(d),
            {{DNNL_ARG_SRC, filled(d.src_desc(), x_sizes)},
             {DNNL_ARG_DIFF_DST, filled(d.diff_dst_desc(), y_sizes)},
             {DNNL_ARG_DIFF_WEIGHTS, filled(d.diff_weights_desc(), w_sizes)}},
            flops(c));
    }
}

template <class Run>
void add(const char* library, const std::string& name, Run run) {
    benchmark::RegisterBenchmark((std::string(library) + ":" + name).c_str(), std::move(run));
}

}  // namespace

int main(int argc, char** argv) {
    for (const auto& [name, p] : all_products()) {
        add("OpenBLAS", name, [p = p](benchmark::State& s) { openblas(s, p); });
        add("oneDNN", name, [p = p](benchmark::State& s) { onednn_product(s, p); });
    }
    for (const auto& [name, c] : all_convolutions())
        for (const char* what : {"forward", "by_weights", "by_data"})
            add("oneDNN", convolution_name(name, what, c),
                [c = c, what](benchmark::State& s) { onednn_convolution(s, what, c); });
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    const dnnl_version_t* v = dnnl_version();
    benchmark::AddCustomContext(
        "oneDNN",
        std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch));
    const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
    const std::size_t from = config.find(' ') + 1;
    benchmark::AddCustomContext("OpenBLAS", config.substr(from, config.find(' ', from) - from));
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}

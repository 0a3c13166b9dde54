#include "tests/bench/workloads.h"

namespace arete {

namespace {

using In = std::span<const Expr>;
using From = Drawn::From;

Drawn normal(Sizes sizes, double deviation = 1, DType t = DType::F32) {
    return {std::move(sizes), From::Normal, 0, deviation, t};
}
Drawn uniform(Sizes sizes, double low, double high, DType t = DType::F32) {
    return {std::move(sizes), From::Uniform, low, high, t};
}
Drawn labels(Sizes sizes, double classes) {
    return {std::move(sizes), From::Labels, 0, classes, DType::I64};
}

Expr layer_norm(const Expr& x, const Expr& scale, const Expr& shift) {
    return (x - mean(x, -1, true)) / sqrt(var(x, -1, true) + 1e-5) * scale + shift;
}

Expr batch_norm(const Expr& x, const Expr& scale, const Expr& shift) {
    const Axes axes{0, 2, 3};
    const Expr normal = (x - mean(x, axes, true)) / sqrt(var(x, axes, true) + 1e-5);
    return normal * dimshuffle(scale, {'x', 0, 'x', 'x'}) + dimshuffle(shift, {'x', 0, 'x', 'x'});
}

Expr cross_entropy(const Expr& logits, const Expr& y) {
    return -mean(log_softmax(logits)(arange(logits.shape(0)), y));
}

Expr black_scholes(In x) {
    const Expr &spot = x[0], &strike = x[1], &years = x[2];
    constexpr double rate = 0.02, volatility = 0.3;
    const Expr spread = volatility * sqrt(years);
    const Expr d1 = (log(spot / strike) + (rate + volatility * volatility / 2) * years) / spread;
    const auto cdf = [](const Expr& v) { return 0.5 * (1 + erf(v * 0.70710678118654752)); };
    return spot * cdf(d1) - strike * exp(-rate * years) * cdf(d1 - spread);
}

Expr gelu(const Expr& x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

// [b*t, 3*heads*d] -> [b*heads, t, d] each, as slices of one product.
struct Heads {
    Expr q, k, v;
};
Heads heads_of(const Expr& x, const Expr& w, std::int64_t b, std::int64_t t, std::int64_t heads,
               std::int64_t d) {
    const Expr all = reshape(dot(x, w), {b, t, 3, heads, d});
    const auto part = [&](std::int64_t k) {
        return reshape(dimshuffle(all(arete::all, arete::all, k), {0, 2, 1, 3}), {b * heads, t, d});
    };
    return {part(0), part(1), part(2)};
}

Expr attention(const Heads& h, std::int64_t b, std::int64_t t, std::int64_t heads, std::int64_t d) {
    const Expr scores = batched_dot(h.q, dimshuffle(h.k, {0, 2, 1})) / std::sqrt(double(d));
    const Expr mixed = batched_dot(softmax(scores), h.v);
    return reshape(dimshuffle(reshape(mixed, {b, heads, t, d}), {0, 2, 1, 3}), {b * t, heads * d});
}

Expr self_attention(In x) {
    return attention(heads_of(x[0], x[1], 8, 128, 4, 64), 8, 128, 4, 64);
}

Expr transformer_block(In x) {
    const std::int64_t b = 4, t = 128, heads = 4, d = 64;
    const Expr& in = x[0];
    const Expr normed = layer_norm(in, x[5], x[6]);
    const Expr mixed =
        in + dot(attention(heads_of(normed, x[1], b, t, heads, d), b, t, heads, d), x[2]);
    const Expr out = mixed + dot(gelu(dot(layer_norm(mixed, x[7], x[8]), x[3])), x[4]);
    return mean(sqr(out));
}

Expr lstm(In x) {  // x[t,b,i], wx, wh, bias
    const std::int64_t hidden = 128;
    ScanOptions loop;
    loop.sequences = {x[0]};
    loop.outputs_info = {zeros<float>({16, hidden}), zeros<float>({16, hidden})};
    loop.fn = [&](const std::vector<Expr>& a) {
        const Expr sums = dot(a[0], x[1]) + dot(a[1], x[2]) + x[3];
        const auto part = [&](int k) { return sums(all, slice(k * hidden, (k + 1) * hidden)); };
        const Expr c = sigmoid(part(1)) * a[2] + sigmoid(part(0)) * tanh(part(3));
        return StepResult({sigmoid(part(2)) * tanh(c), c});
    };
    return mean(sqr(scan(loop).outputs[0]));
}

Expr gru(In x) {  // unrolled
    const std::int64_t hidden = 128;
    Expr h = constant(zeros<float>({16, hidden}));
    for (std::int64_t t = 0; t < 20; ++t) {
        const Expr a = dot(x[0](t), x[1]) + x[3], b = dot(h, x[2]);
        const auto part = [&](const Expr& e, int k) {
            return e(all, slice(k * hidden, (k + 1) * hidden));
        };
        const Expr reset = sigmoid(part(a, 0) + part(b, 0)),
                   keep = sigmoid(part(a, 1) + part(b, 1));
        h = keep * h + (1 - keep) * tanh(part(a, 2) + reset * part(b, 2));
    }
    return mean(sqr(h));
}

// One step of heat, with the rows and columns at the border repeated.
Expr heat(const Expr& u) {
    const Expr up = concatenate({u(slice(0, 1)), u(slice(0, -1))}),
               down = concatenate({u(slice(1, none)), u(slice(-1, none))}),
               left = concatenate({u(all, slice(0, 1)), u(all, slice(0, -1))}, 1),
               right = concatenate({u(all, slice(1, none)), u(all, slice(-1, none))}, 1);
    return u + 0.1 * (up + down + left + right - 4 * u);
}

// Neighbours around a ring.
Expr ring(const Expr& u) {
    const Expr before = concatenate({u(slice(-1, none)), u(slice(0, -1))}),
               after = concatenate({u(slice(1, none)), u(slice(0, 1))});
    return u * 0.5 + 0.25 * (before + after);
}

// A 3x3 mean of an image with zeros around.
Expr blur(const Expr& x) {
    const Expr p = pad2d(x, 1, 1);
    Expr sum;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            const Expr part = p(slice(i, i + 1000), slice(j, j + 1000));
            sum = sum.empty() ? part : sum + part;
        }
    return sum / 9;
}

Expr n_body(In x) {  // potential of positions [n,3]
    const Expr d = dimshuffle(x[0], {0, 'x', 1}) - dimshuffle(x[0], {'x', 0, 1});
    return sum(1 / sqrt(sum(sqr(d), 2) + 0.01));
}

Expr mlp(In x) {
    const Expr h = relu(dot(x[0], x[2]) + x[3]);
    return cross_entropy(dot(h, x[4]) + x[5], x[1]);
}

Conv2dOptions conv(BorderMode border, std::int64_t step = 1, std::int64_t groups = 1,
                   std::int64_t dilation = 1) {
    return {.border_mode = border,
            .subsample = {step, step},
            .filter_flip = false,
            .filter_dilation = {dilation, dilation},
            .num_groups = groups};
}

std::vector<Workload> elementwise_workloads() {
    const auto swish = [](In x) { return x[0] * sigmoid(x[0]) + x[1]; };
    const auto add = [](In x) { return x[0] * 2.0f + x[1]; };
    std::vector<Workload> out;
    for (const auto& [n, text] : {std::pair{1000, "1e3"}, {100000, "1e5"}, {10000000, "1e7"}}) {
        out.push_back({fmt::format("multiply_add_{}", text),
                       "elementwise",
                       WorkKind::Forward,
                       {normal({n}), normal({n})},
                       add});
        out.push_back({fmt::format("swish_{}", text),
                       "elementwise",
                       WorkKind::Forward,
                       {normal({n}), normal({n})},
                       swish});
    }
    for (const DType t : {DType::F32, DType::F64})
        out.push_back({t == DType::F32 ? "black_scholes_f32" : "black_scholes_f64",
                       "elementwise",
                       WorkKind::Forward,
                       {uniform({100000}, 50, 150, t), uniform({100000}, 50, 150, t),
                        uniform({100000}, 0.1, 2, t)},
                       black_scholes});
    out.push_back({"gelu_gradient_1e6",
                   "elementwise",
                   WorkKind::Gradient,
                   {normal({1000000})},
                   [](In x) { return sum(gelu(x[0])); },
                   {0}});
    return out;
}

std::vector<Workload> reduction_workloads() {
    const auto norm = [](In x) { return layer_norm(x[0], x[1], x[2]); };
    const auto of_norm = [](In x) { return sum(sqr(layer_norm(x[0], x[1], x[2])) * x[0]); };
    return {
        {"sum_rows",
         "reduction",
         WorkKind::Forward,
         {normal({4000, 1000})},
         [](In x) { return sum(x[0], 1); }},
        {"sum_columns",
         "reduction",
         WorkKind::Forward,
         {normal({4000, 1000})},
         [](In x) { return sum(x[0], 0); }},
        {"sum_all_1e7",
         "reduction",
         WorkKind::Forward,
         {normal({10000000})},
         [](In x) { return sum(x[0]); }},
        {"variance_rows_f64",
         "reduction",
         WorkKind::Forward,
         {normal({2000, 500}, 1, DType::F64)},
         [](In x) { return var(x[0], 1); }},
        {"layer_norm",
         "reduction",
         WorkKind::Forward,
         {normal({1024, 768}), normal({768}), normal({768})},
         norm},
        {"layer_norm_gradient",
         "reduction",
         WorkKind::Gradient,
         {normal({1024, 768}), normal({768}), normal({768})},
         of_norm,
         {0, 1, 2}},
        {"batch_norm_gradient",
         "reduction",
         WorkKind::Gradient,
         {normal({32, 64, 28, 28}), normal({64}), normal({64})},
         [](In x) { return sum(sqr(batch_norm(x[0], x[1], x[2])) * x[0]); },
         {0, 1, 2}},
        {"softmax_1000",
         "softmax",
         WorkKind::Forward,
         {normal({1000, 1000})},
         [](In x) { return softmax(x[0]); }},
        {"cross_entropy_10",
         "softmax",
         WorkKind::Gradient,
         {normal({10000, 10}), labels({10000}, 10)},
         [](In x) { return cross_entropy(x[0], x[1]); },
         {0}},
        {"cross_entropy_50000",
         "softmax",
         WorkKind::Gradient,
         {normal({128, 50000}), labels({128}, 50000)},
         [](In x) { return cross_entropy(x[0], x[1]); },
         {0}},
    };
}

Workload product(std::string name, std::int64_t m, std::int64_t n, std::int64_t k, bool turn_a,
                 bool turn_b, DType t = DType::F32) {
    return {std::move(name),
            "product",
            WorkKind::Forward,
            {normal(turn_a ? Sizes{k, m} : Sizes{m, k}, 1, t),
             normal(turn_b ? Sizes{n, k} : Sizes{k, n}, 1, t)},
            [=](In x) { return dot(turn_a ? x[0].T() : x[0], turn_b ? x[1].T() : x[1]); },
            {},
            2.0 * double(m) * double(n) * double(k)};
}

std::vector<Workload> product_workloads() {
    const auto by = [](In x) { return dot(x[0], x[1]); };
    return {
        product("product_nn_1024", 1024, 1024, 1024, false, false),
        product("product_nt_1024", 1024, 1024, 1024, false, true),
        product("product_tn_1024", 1024, 1024, 1024, true, false),
        product("product_f64_1024", 1024, 1024, 1024, false, false, DType::F64),
        product("product_odd", 127, 511, 383, false, false),
        product("product_odd_f64", 127, 511, 383, false, false, DType::F64),
        product("product_tall", 50000, 32, 64, false, false),
        product("product_wide", 32, 50000, 64, false, false),
        {"matrix_vector",
         "product",
         WorkKind::Forward,
         {normal({4000, 4000}), normal({4000})},
         by,
         {},
         32e6},
        {"vector_matrix",
         "product",
         WorkKind::Forward,
         {normal({4000}), normal({4000, 4000})},
         by,
         {},
         32e6},
        {"batched_product",
         "product",
         WorkKind::Forward,
         {normal({64, 64, 64}), normal({64, 64, 64})},
         [](In x) { return batched_dot(x[0], x[1]); },
         {},
         2.0 * 64 * 64 * 64 * 64},
    };
}

std::vector<Workload> convolution_workloads() {
    std::vector<Workload> out;
    const auto row = [&](std::string name, Sizes x, Sizes w, const Conv2dOptions& o, bool gradient,
                         double flops) {
        Workload work{std::move(name),
                      "convolution",
                      gradient ? WorkKind::Gradient : WorkKind::Forward,
                      {normal(std::move(x)), normal(std::move(w), 0.1)},
                      {},
                      {},
                      flops};
        if (gradient) {
            work.build = [o](In in) { return sum(sqr(conv2d(in[0], in[1], o))); };
            work.wrt = {0, 1};
            work.flops *= 3;
        } else {
            work.build = [o](In in) { return conv2d(in[0], in[1], o); };
        }
        out.push_back(std::move(work));
    };
    const double same56 = 2.0 * 4 * 56 * 56;
    row("conv_1x1", {4, 256, 56, 56}, {64, 256, 1, 1}, conv(0), false, same56 * 256 * 64);
    row("conv_3x3", {4, 64, 56, 56}, {64, 64, 3, 3}, conv(1), false, same56 * 64 * 64 * 9);
    row("conv_3x3_gradient", {4, 64, 56, 56}, {64, 64, 3, 3}, conv(1), true, same56 * 64 * 64 * 9);
    row("conv_3x3_stride2", {4, 64, 56, 56}, {128, 64, 3, 3}, conv(1, 2), false,
        same56 / 4 * 64 * 128 * 9);
    row("conv_3x3_stride2_gradient", {4, 64, 56, 56}, {128, 64, 3, 3}, conv(1, 2), true,
        same56 / 4 * 64 * 128 * 9);
    row("conv_3x3_512", {2, 512, 7, 7}, {512, 512, 3, 3}, conv(1), false,
        2.0 * 2 * 49 * 512 * 512 * 9);
    row("conv_5x5_gradient", {32, 20, 12, 12}, {40, 20, 5, 5}, conv(0), true,
        2.0 * 32 * 64 * 40 * 20 * 25);
    row("conv_7x7_stride2", {2, 3, 224, 224}, {64, 3, 7, 7}, conv(3, 2), false,
        2.0 * 2 * 112 * 112 * 64 * 3 * 49);
    row("conv_depthwise", {4, 128, 56, 56}, {128, 1, 3, 3}, conv(1, 1, 128), false,
        same56 * 128 * 9);
    row("conv_grouped", {4, 64, 56, 56}, {64, 16, 3, 3}, conv(1, 1, 4), false,
        same56 * 64 * 16 * 9);
    row("conv_dilated", {4, 32, 56, 56}, {32, 32, 3, 3}, conv(2, 1, 1, 2), false,
        same56 * 32 * 32 * 9);
    return out;
}

std::vector<Workload> network_workloads() {
    const auto mean_square = [](Expr (*f)(In)) { return [f](In x) { return mean(sqr(f(x))); }; };
    const std::vector<Drawn> block{
        normal({512, 256}),        normal({256, 768}, 0.05),  normal({256, 256}, 0.05),
        normal({256, 1024}, 0.05), normal({1024, 256}, 0.05), uniform({256}, 1, 1.1),
        normal({256}, 0.01),       uniform({256}, 1, 1.1),    normal({256}, 0.01)};
    return {
        {"attention",
         "attention",
         WorkKind::Forward,
         {normal({1024, 256}), normal({256, 768}, 0.06)},
         self_attention},
        {"attention_gradient",
         "attention",
         WorkKind::Gradient,
         {normal({1024, 256}), normal({256, 768}, 0.06)},
         mean_square(self_attention),
         {0, 1}},
        {"transformer_step",
         "attention",
         WorkKind::Step,
         block,
         transformer_block,
         {1, 2, 3, 4, 5, 6, 7, 8}},
        {"lstm_step",
         "recurrent",
         WorkKind::Step,
         {normal({50, 16, 32}), normal({32, 512}, 0.1), normal({128, 512}, 0.1),
          normal({512}, 0.1)},
         lstm,
         {1, 2, 3}},
        {"gru_step",
         "recurrent",
         WorkKind::Step,
         {normal({20, 16, 32}), normal({32, 384}, 0.1), normal({128, 384}, 0.1),
          normal({384}, 0.1)},
         gru,
         {1, 2, 3}},
        {"embedding_step",
         "embedding",
         WorkKind::Step,
         {normal({50000, 128}), labels({1024}, 50000), normal({1024, 128})},
         [](In x) { return sum(take(x[0], x[1]) * x[2]); },
         {0}},
        {"embedding_forward",
         "embedding",
         WorkKind::Forward,
         {normal({50000, 128}), labels({4096}, 50000)},
         [](In x) { return take(x[0], x[1]); }},
        {"heat_1000",
         "stencil",
         WorkKind::Forward,
         {normal({1000, 1000})},
         [](In x) { return heat(x[0]); }},
        {"heat_gradient_500",
         "stencil",
         WorkKind::Gradient,
         {normal({500, 500})},
         [](In x) { return sum(sqr(heat(x[0]))); },
         {0}},
        {"ring_1e6",
         "stencil",
         WorkKind::Forward,
         {normal({1000000})},
         [](In x) { return ring(ring(x[0])); }},
        {"blur_1000",
         "stencil",
         WorkKind::Forward,
         {normal({1000, 1000})},
         [](In x) { return blur(x[0]); }},
        {"n_body_gradient", "stencil", WorkKind::Gradient, {normal({1000, 3})}, n_body, {0}},
        {"logistic_regression_step",
         "network",
         WorkKind::Step,
         {normal({10000, 100}), uniform({10000}, 0, 1), normal({100}, 0.1), normal({}, 0.1)},
         [](In x) {
             const Expr p = sigmoid(dot(x[0], x[2]) + x[3]);
             return mean(-x[1] * log(p) - (1 - x[1]) * log(1 - p));
         },
         {2, 3}},
        {"mlp_step",
         "network",
         WorkKind::Step,
         {normal({64, 784}), labels({64}, 10), normal({784, 500}, 0.05), normal({500}, 0.1),
          normal({500, 10}, 0.05), normal({10}, 0.1)},
         mlp,
         {2, 3, 4, 5}},
        {"mlp_step_256",
         "network",
         WorkKind::Step,
         {normal({256, 784}), labels({256}, 10), normal({784, 1000}, 0.05), normal({1000}, 0.1),
          normal({1000, 10}, 0.05), normal({10}, 0.1)},
         mlp,
         {2, 3, 4, 5}},
    };
}

}  // namespace

const std::vector<Workload>& workloads() {
    static const std::vector<Workload> all = [] {
        std::vector<Workload> out;
        for (const auto& part : {elementwise_workloads(), reduction_workloads(),
                                 product_workloads(), convolution_workloads(), network_workloads()})
            out.insert(out.end(), part.begin(), part.end());
        return out;
    }();
    return all;
}

}  // namespace arete

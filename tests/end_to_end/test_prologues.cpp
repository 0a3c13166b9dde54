// What is computed from stored values on its way into a contraction, and masks of dropout.
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "compiler/ops/random.h"
#include "compiler/pipeline/compile.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support.h"

using namespace arete;

namespace {

using Bindings = std::vector<std::pair<Expr, Array>>;

Array bytes(Sizes sizes, unsigned seed) {
    return Generator(seed).uniform(std::move(sizes), 0, 255.9).astype(DType::U8);
}
Array floats(Sizes sizes, unsigned seed) {
    return Generator(seed).uniform(std::move(sizes), -1, 1);
}

/// Native code with one and two threads, and narrow vectors, against the reference evaluator.
void check(const std::vector<Expr>& outputs, const Bindings& values) {
    const std::vector<Array> expected = reference_eval(outputs, values);
    std::vector<Expr> inputs;
    std::vector<Array> arguments;
    for (const auto& [leaf, value] : values) {
        inputs.push_back(leaf);
        arguments.push_back(value);
    }
    std::vector<Array> first;
    for (const char* cpu : {"native", "avx2", "baseline"})
        for (int threads : {1, 2}) {
            Options options;
            options.cpu = cpu;
            options.num_threads = threads;
            options.cache_dir.clear();
            const Function f = function({.inputs = inputs, .outputs = outputs, .options = options});
            const std::vector<Array> got = f.call(arguments);
            for (std::size_t k = 0; k < got.size(); ++k) {
                CAPTURE(cpu);
                CAPTURE(k);
                CHECK(test::difference(got[k], expected[k]) < 1e-5);
                if (threads == 2) CHECK(got[k].equals(first[k]));
            }
            first = got;
        }
}

/// True where the kernels store a value of this size in floats that is no output.
bool stores_floats(const std::vector<Expr>& outputs, const Bindings& values,
                   std::int64_t elements) {
    CompileRequest r;
    r.name = "f";
    for (const auto& [leaf, value] : values) {
        r.inputs.push_back(leaf);
        r.binding.sizes[leaf.node().id] = value.shape();
    }
    r.outputs = outputs;
    const Program p = compile(r).program;
    for (const Slot& s : p.slots)
        if (s.kind == Slot::Kind::Arena && is_float(s.dtype) && count(s.sizes) == elements)
            return true;
    return false;
}

}  // namespace

TEST_CASE("prologues: bytes become floats inside of a contraction that reads them few times") {
    constexpr float scale = 1.0f / 255;
    // A matrix by a vector reads each byte once; few columns and large patches read it a few times,
    // which pays where floats would not stay in cache.
    const auto data = matrix<std::uint8_t>("data", {300, 784});
    const auto v = vector<float>("v", {784});
    const Expr x = cast(data, DType::F32) * scale;
    const Bindings one{{data, bytes({300, 784}, 1)}, {v, floats({784}, 2)}};
    check({dot(x, v)}, one);
    CHECK(!stores_floats({dot(x, v)}, one, 300 * 784));
    const auto w = matrix<float>("w", {784, 3});
    const auto more = matrix<std::uint8_t>("more", {1000, 784});
    const Bindings few{{more, bytes({1000, 784}, 1)}, {w, floats({784, 3}, 3)}};
    const Expr centred = cast(more, DType::F32) * scale - 0.5f;
    check({relu(dot(centred, w) + 1)}, few);
    CHECK(!stores_floats({relu(dot(centred, w) + 1)}, few, 1000 * 784));
    const auto images = tensor4<std::uint8_t>("images", {400, 1, 28, 28});
    const auto patches = tensor4<float>("patches", {3, 1, 7, 7});
    const Expr embedded =
        conv2d(cast(images, DType::F32) * scale - 0.5f, patches, {.subsample = {7, 7}});
    const Bindings conv{{images, bytes({400, 1, 28, 28}, 4)}, {patches, floats({3, 1, 7, 7}, 5)}};
    check({embedded}, conv);
    CHECK(!stores_floats({embedded}, conv, 400 * 784));
}

TEST_CASE("prologues: a contraction that reads its operand often loads floats") {
    const auto data = matrix<std::uint8_t>("data", {60, 784});
    const auto w = matrix<float>("w", {784, 300});
    const Expr product = dot(cast(data, DType::F32) * (1.0f / 255) - 0.5f, w);
    const Bindings values{{data, bytes({60, 784}, 1)}, {w, floats({784, 300}, 2)}};
    check({product}, values);
    CHECK(stores_floats({product}, values, 60 * 784));
    const auto images = tensor4<std::uint8_t>("images", {4, 1, 28, 28});
    const auto filters = tensor4<float>("filters", {20, 1, 5, 5});
    const Expr map = conv2d(cast(images, DType::F32) * (1.0f / 255) - 0.5f, filters);
    const Bindings conv{{images, bytes({4, 1, 28, 28}, 3)}, {filters, floats({20, 1, 5, 5}, 4)}};
    check({map}, conv);
    CHECK(stores_floats({map}, conv, 4 * 784));
}

TEST_CASE("prologues: a mask of dropout is a byte an element, and the same bits as of floats") {
    constexpr std::int64_t rows = 32, columns = 500;
    const auto x = matrix<float>("x", {rows, columns}), w = matrix<float>("w", {columns, 20});
    RandomStream random(3);
    const Expr mask = random.bernoulli({rows, columns}, 0.5);
    const Expr cost = sum(sqr(dot(relu(x) * mask, w)));
    const auto g = grad(cost, {x, w});
    CompileRequest r;
    r.inputs = {x, w};
    r.binding.sizes = {{x.node().id, {rows, columns}}, {w.node().id, {columns, 20}}};
    r.outputs = {cost, g[0], g[1]};
    int masks = 0;
    for (const Slot& s : compile(r).program.slots)
        if (s.name.find("random") != std::string::npos) {
            CHECK(s.dtype == DType::Bool);
            ++masks;
        }
    CHECK(masks == 1);
    // Rules do not change what is drawn.
    std::vector<std::vector<Array>> both;
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile}) {
        RandomStream again(3);
        const Expr m = again.bernoulli({rows, columns}, 0.5);
        const Function f = function({.inputs = {x}, .outputs = {m, relu(x) * m}, .mode = mode});
        both.push_back(f(floats({rows, columns}, 1)));
    }
    for (std::size_t k = 0; k < 2; ++k) CHECK(both[0][k].equals(both[1][k]));
}

TEST_CASE("prologues: behind relu only the forward pass needs a mask of dropout") {
    const auto x = tensor4<float>("x", {6, 3, 4, 4});
    const auto w = matrix<float>("w", {12, 40}), v = matrix<float>("v", {40, 7});
    const Expr key = scalar_constant(DType::I64, std::int64_t{5});
    const auto coins = [&](const Shape& shape, std::int64_t stream) {
        return random_bernoulli(shape, {key, key, stream}, 0.5);
    };
    const auto needed_by = [](const std::vector<Expr>& outputs) {
        std::vector<Expr> now = outputs;
        for (Phase phase : {Phase::Canonicalize, Phase::Stabilize, Phase::Specialize})
            now = rewrite(now, phase);
        const Graph graph(now);
        std::vector<std::size_t> readers;
        for (NodeId i : graph.ids())
            if (graph.nodes()[i]->op->has(Trait::Random)) {
                const std::vector<NodeId>& casts = graph.users(i);
                readers.push_back(casts.size() == 1 ? graph.users(casts[0]).size() : 99);
            }
        return readers;
    };
    // The first mask is behind a reshape, as between a convolutional layer and a full one.
    const auto step = [&](Expr (*activation)(const Operand&)) {
        const Expr pooled = activation(pool2d(x, {2, 2}));
        const Expr hidden = activation(dot(reshape(pooled, {6, 12}) * coins({6, 12}, 1), w));
        const Expr cost = sum(sqr(dot(hidden * coins({6, 40}, 2), v)));
        std::vector<Expr> all = grad(cost, {x, w, v});
        all.push_back(cost);
        return all;
    };
    const Bindings values{
        {x, floats({6, 3, 4, 4}, 1)}, {w, floats({12, 40}, 2)}, {v, floats({40, 7}, 3)}};
    const std::vector<Expr> rectified = step(relu), squashed = step(tanh);
    check(rectified, values);
    CHECK(needed_by(rectified) == std::vector<std::size_t>{1, 1});
    // What tanh gave does not say whether it was dropped.
    check(squashed, values);
    CHECK(needed_by(squashed) != std::vector<std::size_t>{1, 1});
}

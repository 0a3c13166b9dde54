// Numbers of threads, and threads of the caller: the same bits whatever runs beside what.
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "tests/support.h"

using namespace arete;
using arete::test::message_of;

namespace {

Options threads(int n) {
    Options o = Options::from_environment();
    o.num_threads = n;
    return o;
}

/// Results of some steps: a fresh net with the same initial values for each call.
using Training = std::function<std::vector<Array>(const Options&)>;

void same_bits(const Training& train) {
    const auto one = train(threads(1)), two = train(threads(2)), again = train(threads(2)),
               three = train(threads(3));
    REQUIRE(!one.empty());
    for (std::size_t k = 0; k < one.size(); ++k) {
        CAPTURE(k);
        CHECK(one[k].equals(two[k]));
        CHECK(two[k].equals(again[k]));
        CHECK(one[k].equals(three[k]));
    }
}

std::vector<Array> train_steps(const std::vector<Shared>& params, const Expr& cost,
                               const std::vector<Expr>& inputs, const std::vector<Array>& arguments,
                               const Options& options) {
    const auto g = grad(cost, std::vector<Expr>(params.begin(), params.end()));
    FunctionOptions o{.inputs = inputs, .outputs = {cost}, .options = options};
    for (std::size_t k = 0; k < params.size(); ++k)
        o.updates.emplace_back(params[k], params[k] - 0.01f * g[k]);
    const Function step = function(o);
    std::vector<Array> out;
    for (int k = 0; k < 3; ++k) out.push_back(step.call(arguments)[0]);
    for (const Shared& p : params) out.push_back(p.get_value());
    return out;
}

}  // namespace

TEST_CASE("threads: products and sums of large matrices") {
    same_bits([](const Options& options) {
        Generator random(3);
        const auto x = matrix<float>("x"), y = matrix<float>("y");
        const Function f = function(
            {.inputs = {x, y},
             .outputs = {dot(x, y), sum(x), sum(x, 0), sum(x, 1), mean(sqr(y)), max(y, 0),
                         argmax(x, 1), exp(x) * 2, softmax(dot(x, y)), sum(dot(x, y)), x.T() + 1},
             .options = options});
        return f(random.normal({200, 300}, 0, 1), random.normal({300, 500}, 0, 1));
    });
}

TEST_CASE("threads: a weight and images that no second-level cache holds") {
    // The loops around these are blocked where the caches are of a common size. Sums in double
    // precision say whether every block, chunk and rest was done once.
    same_bits([](const Options& options) {
        Generator random(4);
        const auto x = matrix<float>("x"), w = matrix<float>("w"), g = matrix<float>("g"),
                   a = matrix<float>("a");
        const auto images = tensor4<float>("images"), maps = tensor4<float>("maps");
        const auto filters = tensor4<float>("filters", {20, 1, 5, 5});
        const auto wide = [](const Expr& e) { return cast(e, DType::F64); };
        const std::vector<std::pair<Expr, Expr>> pairs{
            {dot(x, w), dot(wide(x), wide(w))},
            {dot(g, w.T()), dot(wide(g), wide(w).T())},
            {dot(x.T(), g), dot(wide(x).T(), wide(g))},
            {dot(a, w), dot(wide(a), wide(w))},
            {Lop(conv2d(images, filters), {filters}, maps)[0],
             Lop(conv2d(wide(images), wide(filters)), {filters}, wide(maps))[0]}};
        std::vector<Expr> outputs;
        for (const auto& [narrow, exact] : pairs) {
            outputs.push_back(narrow);
            outputs.push_back(max(abs(wide(narrow) - exact)) / max(abs(exact)));
        }
        const Function f = function({.inputs = {x, w, g, a, images, maps, filters},
                                     .outputs = outputs,
                                     .on_unused_input = OnUnusedInput::ignore,
                                     .options = options});
        const auto normal = [&](const Sizes& sizes) { return random.normal(sizes, 0, 1); };
        const auto results =
            f(normal({10, 1021}), normal({1021, 1370}), normal({10, 1370}), normal({67, 1021}),
              normal({101, 1, 28, 28}), normal({101, 20, 24, 24}), normal({20, 1, 5, 5}));
        for (std::size_t k = 1; k < results.size(); k += 2) {
            CAPTURE(k);
            CHECK(results[k].item<double>() < 1e-5);
        }
        return results;
    });
}

TEST_CASE("threads: operands that are packed, remainders with loops of their own") {
    same_bits([](const Options& options) {
        Generator random(5);
        const auto wide = [](const Expr& e) { return cast(e, DType::F64); };
        std::vector<Expr> inputs, outputs;
        std::vector<Array> arguments;
        // Of the second operand transposed: m, k, n; then as it is.
        const std::int64_t sizes[][4] = {{256, 10, 1000, 1}, {300, 1100, 500, 1}, {513, 97, 75, 1},
                                         {1000, 130, 33, 1}, {700, 500, 8, 0},    {700, 250, 17, 0},
                                         {700, 250, 49, 0}};
        for (const auto& [m, k, n, transposed] : sizes) {
            const auto a = matrix<float>("a"), b = matrix<float>("b");
            const auto product = [&](const Expr& x, const Expr& y) {
                return dot(x, transposed ? y.T() : y);
            };
            const Expr exact = product(wide(a), wide(b));
            outputs.push_back(product(a, b));
            outputs.push_back(max(abs(wide(outputs.back()) - exact)) / max(abs(exact)));
            inputs.insert(inputs.end(), {a, b});
            arguments.push_back(random.normal({m, k}, 0, 1));
            arguments.push_back(random.normal(transposed ? Sizes{n, k} : Sizes{k, n}, 0, 1));
        }
        const auto results =
            function({.inputs = inputs, .outputs = outputs, .options = options}).call(arguments);
        for (std::size_t k = 1; k < results.size(); k += 2) {
            CAPTURE(k);
            CHECK(results[k].item<double>() < 1e-5);
        }
        return results;
    });
}

TEST_CASE("threads: a fully-connected net in training") {
    same_bits([](const Options& options) {
        Generator random(5);
        const auto x = matrix<float>("x");
        const auto y = vector<std::int32_t>("y");
        const auto w1 = shared(random.normal({300, 500}, 0, 0.1), "w1"),
                   b1 = shared(zeros<float>({500}), "b1");
        const auto w2 = shared(random.normal({500, 10}, 0, 0.1), "w2"),
                   b2 = shared(zeros<float>({10}), "b2");
        const Expr p = softmax(dot(tanh(dot(x, w1) + b1), w2) + b2);
        const Expr cost =
            mean(categorical_crossentropy(p, y)) + 1e-4f * (sum(sqr(w1)) + sum(sqr(w2)));
        std::vector<std::int32_t> labels(200);
        for (int k = 0; k < 200; ++k) labels[k] = k % 10;
        return train_steps({w1, b1, w2, b2}, cost, {x, y},
                           {random.normal({200, 300}, 0, 1), labels}, options);
    });
}

TEST_CASE("threads: a convolutional net in training, with dropout") {
    same_bits([](const Options& options) {
        Generator random(6);
        RandomStream stream(11);
        const auto x = tensor4<float>("x", {32, 3, 20, 20});
        const auto y = vector<std::int32_t>("y", {32});
        const auto w1 = shared(random.normal({8, 3, 5, 5}, 0, 0.1), "w1"),
                   b1 = shared(zeros<float>({8}), "b1");
        const auto w2 = shared(random.normal({512, 10}, 0, 0.1), "w2");
        const Expr h = relu(pool2d(conv2d(x, w1), {2, 2}) + dimshuffle(b1, {'x', 0, 'x', 'x'}));
        const Expr flat = flatten(h, 2) * stream.bernoulli({32, 512}, 0.5);
        const Expr cost = mean(categorical_crossentropy(softmax(dot(flat, w2)), y));
        std::vector<std::int32_t> labels(32);
        for (int k = 0; k < 32; ++k) labels[k] = k % 10;
        return train_steps({w1, b1, w2}, cost, {x, y},
                           {random.normal({32, 3, 20, 20}, 0, 1), labels}, options);
    });
}

TEST_CASE("threads: building, compiling and calling at once") {
    // Each thread builds its own graphs from nothing; results are those of one thread alone.
    const auto work = [](std::int64_t n, std::vector<Array>& out) {
        for (std::int64_t k = 0; k < 4; ++k) {
            Generator random(static_cast<std::uint64_t>(n));
            const auto x = matrix<float>("x");
            const auto w = shared(random.normal({n, 30}, 0, 0.2), "w");
            const Expr cost = mean(sqr(tanh(dot(x, w)))) + 0.01f * sum(sqr(w));
            const Function step = function({.inputs = {x},
                                            .outputs = {cost},
                                            .updates = {{w, w - 0.1f * grad(cost, w)}},
                                            .options = threads(static_cast<int>(1 + k % 2))});
            const Array xs = random.normal({60, n}, 0, 1);
            for (int i = 0; i < 5; ++i) out.push_back(step(xs)[0]);
            out.push_back(w.get_value());
        }
    };
    std::vector<Array> expected[2], got[2];
    work(70, expected[0]);
    work(33, expected[1]);
    std::thread first([&] { work(70, got[0]); }), second([&] { work(33, got[1]); });
    first.join();
    second.join();
    for (int t = 0; t < 2; ++t) {
        REQUIRE(got[t].size() == expected[t].size());
        for (std::size_t k = 0; k < got[t].size(); ++k) CHECK(got[t][k].equals(expected[t][k]));
    }
}

TEST_CASE("threads: two functions that share variables, and one function called by two threads") {
    const auto a = shared(zeros<float>({1000}), "a"), b = shared(zeros<float>({1000}), "b");
    const auto x = scalar<float>("x");
    // Both lock a and b, whose order among the updates differs.
    const Function up =
        function({.inputs = {x}, .outputs = {sum(a - b)}, .updates = {{a, a + x}, {b, b + x}}});
    const Function down =
        function({.inputs = {x}, .outputs = {sum(b - a)}, .updates = {{b, b - x}, {a, a - x}}});
    constexpr int calls = 2000;
    int torn = 0, torn_too = 0;
    const auto call = [](const Function& f, float v, int& bad) {
        for (int k = 0; k < calls; ++k) bad += f(v)[0].item<float>() != 0;
    };
    std::thread first([&] { call(up, 2, torn); }), second([&] { call(down, 1, torn_too); });
    std::int64_t reads = 0;
    for (int k = 0; k < 200; ++k) {
        const Array seen = a.get_value();
        for (std::int64_t i = 0; i < 1000; ++i) reads += seen.as_double(i) == seen.as_double(0);
    }
    first.join();
    second.join();
    CHECK(torn == 0);
    CHECK(torn_too == 0);
    CHECK(reads == 200 * 1000);
    CHECK(a.get_value().equals(full<float>({1000}, calls)));
    CHECK(b.get_value().equals(full<float>({1000}, calls)));

    int bad = 0, bad_too = 0;
    std::thread third([&] { call(up, 1, bad); }), fourth([&] { call(up, 1, bad_too); });
    third.join();
    fourth.join();
    CHECK(bad + bad_too == 0);
    CHECK(a.get_value().equals(full<float>({1000}, 3 * calls)));
}

TEST_CASE("threads: of several indices out of range the first is reported, whoever finds it") {
    const auto x = matrix<float>("x", {64, 1500});
    const auto y = vector<std::int32_t>("y", {64});
    const Expr cost = mean(categorical_crossentropy(softmax(x), y));
    const Array logits = Generator(4).normal({64, 1500}, 0, 1);
    Array labels(DType::I32, {64});
    for (int i = 0; i < 64; ++i) labels.data<std::int32_t>()[i] = i < 41 ? 23 * i : 1500 + i;
    for (const int n : {1, 2, 3}) {
        const Function f = function(
            {.inputs = {x, y}, .outputs = {cost, grad(cost, {x})[0]}, .options = threads(n)});
        CHECK(f.stats().kernels == 0);
        for (int again = 0; again < 5; ++again)
            CHECK(message_of([&] { f(logits, labels); }).find("index 1541") != std::string::npos);
        CHECK(f.stats().kernels > 0);
        for (const DescribedMachine& m : described_machines())
            CHECK_MESSAGE(f.plan(cpu_target(m.machine)).kernels == 2, m.name);
    }
}

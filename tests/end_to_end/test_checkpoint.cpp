// Gradients that compute values again: the same numbers as those that keep them, in less memory.
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/end_to_end/all_modes.h"

using namespace arete;
using test::check_all;
using test::f64;

namespace {

using List = std::vector<Expr>;

Array drawn(Sizes sizes, std::uint64_t seed) {
    return Generator(seed).uniform(std::move(sizes), -1, 1).astype(DType::F64);
}

/// What a function without checkpoints gives.
std::vector<Array> values_of(const List& inputs, const List& outputs,
                             const std::vector<Array>& values) {
    return function({.inputs = inputs,
                     .outputs = outputs,
                     .on_unused_input = OnUnusedInput::ignore,
                     .mode = Mode::interpret})
        .call(values);
}

std::int64_t arena_of(const List& inputs, const List& outputs, const std::vector<Array>& values) {
    const Function f = function({.inputs = inputs, .outputs = outputs});
    f.call(values);
    return f.memory().at(0).arena_bytes;
}

std::string message_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const GraphError& e) {
        return e.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("checkpoint: gradients of first and second order, by arguments and by what is captured") {
    const auto x = matrix<double>("x"), v = matrix<double>("v"), w = matrix<double>("w");
    const auto layers = [&](const Expr& h) { return tanh(dot(tanh(dot(h, v)), w)) * exp(h); };
    const auto outputs = [&](const Expr& y) {
        const Expr cost = sum(sqr(y));
        const List g = grad(cost, {x, v, w});
        return List{y, g[0], g[1], g[2], grad(sum(sqr(g[0])) + sum(g[1]), w)};
    };
    const std::vector<Array> values{drawn({4, 3}, 1), drawn({3, 5}, 2), drawn({5, 3}, 3)};
    const std::vector<Array> want = values_of({x, v, w}, outputs(layers(layers(x))), values);
    const auto kept = checkpoint(layers);
    check_all({x, v, w}, outputs(kept(kept(x))), values, want, 1e-11);
    // One inside another, and all as arguments of a function with two results.
    check_all({x, v, w}, outputs(checkpoint([&](const Expr& h) { return layers(kept(h)); })(x)),
              values, want, 1e-11);
    const auto both = checkpoint([](const List& a) {
        const Expr h = tanh(dot(tanh(dot(a[0], a[1])), a[2])) * exp(a[0]);
        return List{h, h * 2, sum(h)};
    });
    const List first = both({x, v, w});
    check_all({x, v, w}, outputs(both({first[1] / 2, v, w})[0]), values, want, 1e-11);
}

TEST_CASE("checkpoint: what is not needed of a gradient is not computed, integers have none") {
    const auto x = vector<double>("x"), y = vector<double>("y");
    const auto at = vector<std::int64_t>("at");
    const Expr picked = checkpoint([&](const Expr& e) { return exp(e)(at) * y; })(x);
    // 2 exp(x[at])^2 y^2 adds up at x[at]; by y: 2 exp(x[at])^2 y.
    const List g = grad(sum(sqr(picked)), {x, y});
    const double e = std::exp(1), e2 = std::exp(2);
    check_all({x, y, at}, {g[0], g[1]},
              {f64({0, 1, 0.5}), f64({1, 3}), Array(std::vector<std::int64_t>{1, 1}, {2})},
              {f64({0, 2 * e2 * (1 + 9), 0}), f64({2 * e2, 2 * e2 * 3})}, 1e-10);
    check_all({x, y, at}, {grad(sum(picked), y)},
              {f64({0, 1, 0.5}), f64({1, 3}), Array(std::vector<std::int64_t>{1, 1}, {2})},
              {f64({e, e})}, 1e-12);
    CHECK(message_of([&] { grad(sum(picked), at); }).find("only floats have gradients") !=
          std::string::npos);
    // No elements.
    check_all({x, y, at}, {g[0]}, {f64({}), f64({}), Array(std::vector<std::int64_t>{}, {0})},
              {f64({})});
}

TEST_CASE("checkpoint: the arena of a deep net shrinks") {
    const auto x = matrix<float>("x", {256, 64});
    constexpr int segments = 5, each = 5;
    List weights;
    for (int k = 0; k < segments * each; ++k) weights.push_back(matrix<float>("w", {64, 64}));
    const auto net = [&](bool kept) {
        Expr h = x;
        for (int s = 0; s < segments; ++s) {
            const auto segment = [&, s](const Expr& in) {
                Expr e = in;
                for (int k = 0; k < each; ++k) e = tanh(dot(e, weights[s * each + k]));
                return e;
            };
            h = kept ? segment(h) : checkpoint(segment)(h);
        }
        return grad(mean(sqr(h)), weights);
    };
    List inputs{x};
    inputs.insert(inputs.end(), weights.begin(), weights.end());
    std::vector<Array> values{Generator(1).uniform({256, 64}, -1, 1)};
    for (std::size_t k = 0; k < weights.size(); ++k)
        values.push_back(Generator(k + 2).uniform({64, 64}, -0.2, 0.2));
    const std::int64_t one = 256 * 64 * 4;  // bytes of a layer's values
    const std::int64_t before = arena_of(inputs, net(true), values),
                       after = arena_of(inputs, net(false), values);
    CAPTURE(before / one);
    CAPTURE(after / one);
    // All 25 layers, or the ends of 5 segments and the layers of one.
    CHECK(before >= 24 * one);
    CHECK(after * 3 <= before);
    const std::vector<Array> want = function({.inputs = inputs, .outputs = net(true)}).call(values),
                             got = function({.inputs = inputs, .outputs = net(false)}).call(values);
    for (std::size_t k = 0; k < want.size(); ++k) CHECK(test::difference(got[k], want[k]) < 1e-5);
}

TEST_CASE("checkpoint: random draws inside are drawn again with the same values") {
    const auto x = vector<double>("x", {1000});
    for (Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
        CAPTURE(static_cast<int>(mode));
        RandomStream random(5);
        const Expr y = checkpoint(
            [&](const Expr& e) { return exp(e) * random.bernoulli({1000}, 0.5, DType::F64); })(x);
        const Function f =
            function({.inputs = {x}, .outputs = {y, grad(sum(sqr(y)), x)}, .mode = mode});
        const Array in = drawn({1000}, 1);
        const std::vector<Array> first = f.call(std::vector<Array>{in}),
                                 second = f.call(std::vector<Array>{in});
        CHECK(!first[0].equals(second[0]));
        for (const std::vector<Array>& call : {first, second}) {
            std::int64_t zeros = 0;
            bool right = true;
            for (std::int64_t k = 0; k < 1000; ++k) {
                const double v = call[0].as_double(k);
                zeros += v == 0;
                right = right && std::abs(call[1].as_double(k) - 2 * v * v) < 1e-12;
            }
            CHECK(right);
            CHECK(zeros > 400);
            CHECK(zeros < 600);
        }
    }
}

TEST_CASE("scan_checkpoints: as scan, at the ends of chunks") {
    const auto xs = matrix<double>("xs"), w = matrix<double>("w");
    const auto h0 = matrix<double>("h0");  // two rows
    const auto options = [&](bool backwards) {
        ScanOptions o;
        o.fn = [&](const List& a) -> StepResult {
            const Expr h = tanh(a[0] + dot(a[2], w) * 0.5 + a[1] * a[2]);
            return {{h, sqr(h) + a[0]}};
        };
        o.sequences = {xs};
        o.outputs_info = {{h0, {-2, -1}}, none};
        o.go_backwards = backwards;
        return o;
    };
    const auto cost = [&](const List& rows) {
        const Expr y = sum(sqr(rows[0])) + sum(rows[1]);
        const List g = grad(y, {xs, w, h0});
        return List{rows[0], rows[1], g[0], g[1], g[2], grad(sum(sqr(g[1])) + sum(g[0]), w)};
    };
    for (const bool backwards : {false, true})
        for (const std::int64_t n : {1, 4, 5, 15, 17}) {
            CAPTURE(backwards);
            CAPTURE(n);
            std::vector<std::int64_t> ends;
            for (std::int64_t k = 5; k <= n; k += 5) ends.push_back(k - 1);
            if (n % 5) ends.push_back(n - 1);
            const Array at(ends, {static_cast<std::int64_t>(ends.size())});
            List all = scan(options(backwards)).outputs;
            for (Expr& e : all) e = e(constant(at));
            const std::vector<Array> values{drawn({n, 3}, 1), drawn({3, 3}, 2), drawn({2, 3}, 3)};
            check_all({xs, w, h0}, cost(scan_checkpoints(options(backwards), 5).outputs), values,
                      values_of({xs, w, h0}, cost(all), values), 1e-10);
        }
}

TEST_CASE("scan_checkpoints: draws and updates are those of scan") {
    const auto x = vector<double>("x", {4});
    Shared count = shared(Array(0.0), "count"), other = shared(Array(0.0), "other");
    const auto loop = [&](const Shared& counted, bool chunks) {
        RandomStream random(3);
        ScanOptions o;
        o.fn = [&](const List& a) -> StepResult {
            const Expr h = a[0] * 0.9 + random.uniform({4}, 0, 1, DType::F64);
            return {{h}, {{counted, counted + 2}}};
        };
        o.outputs_info = {x};
        o.n_steps = 13;
        ScanResult r = chunks ? scan_checkpoints(o, 4) : scan(o);
        const Expr last = r.outputs[0](-1);
        return function(
            {.inputs = {x}, .outputs = {last, grad(sum(last), x)}, .updates = r.updates});
    };
    const Function plain = loop(count, false), chunks = loop(other, true);
    const Array in = drawn({4}, 1);
    for (int call = 1; call <= 3; ++call) {
        const std::vector<Array> want = plain.call(std::vector<Array>{in}),
                                 got = chunks.call(std::vector<Array>{in});
        CHECK(test::difference(got[0], want[0]) < 1e-12);
        CHECK(test::difference(got[1], want[1]) < 1e-12);
        CHECK(other.get_value().as_double() == 26 * call);
    }
}

TEST_CASE("scan_checkpoints: memory goes with the root of the number of steps") {
    const auto h0 = matrix<float>("h0", {16, 64}), w = matrix<float>("w", {64, 64});
    ScanOptions o;
    o.fn = [&](const List& a) -> StepResult { return tanh(dot(a[0], w)); };
    o.outputs_info = {h0};
    o.n_steps = 400;
    const std::vector<Array> values{Generator(1).uniform({16, 64}, -1, 1),
                                    Generator(2).uniform({64, 64}, -0.1, 0.1)};
    const Expr whole = scan(o).outputs[0](-1), parts = scan_checkpoints(o, 20).outputs[0](-1);
    const std::int64_t row = 16 * 64 * 4;
    const std::int64_t before = arena_of({h0, w}, {grad(sum(sqr(whole)), w)}, values),
                       after = arena_of({h0, w}, {grad(sum(sqr(parts)), w)}, values);
    CAPTURE(before / row);
    CAPTURE(after / row);
    CHECK(before >= 400 * row);
    CHECK(after * 7 <= before);
}

TEST_CASE("checkpoint: errors name the line") {
    const auto x = vector<double>("x");
    const auto says = [&](const std::function<void()>& f, const std::string& what) {
        const std::string is = message_of(f);
        CAPTURE(is);
        CHECK(is.find(what) != std::string::npos);
        CHECK(is.find("test_checkpoint.cpp:") != std::string::npos);
    };
    says([&] { checkpoint([](const List&) { return List{}; })({x}); }, "gives nothing");
    says([&] { checkpoint([](const Expr&) { return Expr(); })(x); }, "empty expression");
    ScanOptions o;
    o.fn = [&](const List& a) -> StepResult { return {{a[0] * 2}, {}, sum(a[0]) > 3}; };
    o.outputs_info = {x};
    o.n_steps = 5;
    says([&] { scan_checkpoints(o, 2); }, "cannot end by a condition");
    says([&] { scan_checkpoints(o, 0); }, "0 steps a chunk");
    o.truncate_gradient = 3;
    says([&] { scan_checkpoints(o, 2); }, "truncate_gradient");
}

// What the comparison lets pass and what it does not; what is drawn.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/reference.h"
#include "tests/fuzz/draw.h"
#include "tests/fuzz/judge.h"
#include "tests/fuzz/print.h"
#include "tests/fuzz/run.h"
#include "tests/targets.h"

using namespace arete;
using namespace arete::fuzz;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

/// May e be `is`, where x is `value`?
bool allowed(const Expr& x, const Array& value, const Expr& e, const Array& is,
             bool as_written = false) {
    Expected expected;
    for (std::uint64_t seed = 1; seed < 4; ++seed)
        expected.add(evaluate({&e, 1}, {{x, widen(value)}}, {seed}));
    return !expected.wrong(0, is, 4, as_written);
}
bool allowed(const Expr& x, float value, const Expr& e, float is, bool as_written = false) {
    return allowed(x, Array(value), e, Array(is), as_written);
}

}  // namespace

TEST_CASE("judge: a few units in the last place, and no more") {
    const Expr x = scalar<float>("x");
    const float third = 1.0f / 3;
    CHECK(allowed(x, 1, x / 3, third));
    CHECK(allowed(x, 1, x / 3, std::nextafter(third, 1.0f)));
    CHECK(!allowed(x, 1, x / 3, third + 16 * 0x1p-25f));
    CHECK(!allowed(x, 1, x / 3, 0));
    CHECK(!allowed(x, 1, x / 3, NAN));
    CHECK(allowed(x, 2, x * 4, 8));
    CHECK(!allowed(x, 2, x * 4, 8 + 0x1p-16f));
}

TEST_CASE("judge: what cancels may be anything that rounding makes of it") {
    const Expr x = scalar<float>("x");
    CHECK(allowed(x, 1e-9f, (1 + x) - 1, 0));
    CHECK(allowed(x, 1e-9f, (1 + x) - 1, 1e-9f));
    CHECK(!allowed(x, 1e-9f, (1 + x) - 1, 1e-5f));
    // But a quotient that cancels exactly is 1, however little is known of it.
    const Expr q = 1 - sigmoid(x);
    CHECK(allowed(x, 14, q / q, 1));
    CHECK(!allowed(x, 14, q / q, 0.974f));
}

TEST_CASE("judge: range and special values stay, but for what stabilising rules give") {
    const Expr x = scalar<float>("x");
    const float large = std::numeric_limits<float>::max();
    CHECK(!allowed(x, large, x / 8, inf));
    CHECK(!allowed(x, 1e-30f, x * 1e20f, 0));
    CHECK(allowed(x, large, x * 4, inf));
    // As real arithmetic has it; but not where no such rule ran.
    CHECK(allowed(x, 1000, log(1 + exp(x)), 1000));
    CHECK(!allowed(x, 1000, log(1 + exp(x)), 1000, true));
    CHECK(allowed(x, 1000, log(1 + exp(x)), inf, true));
    CHECK(!allowed(x, 1000, log(1 + exp(x)), 0));
    CHECK(!allowed(x, 1000, log(1 + exp(x)), 1001));
    CHECK(!allowed(x, inf, x - x, 0, true));
    CHECK(!allowed(x, 3, sqrt(-x), 0));
    CHECK(!allowed(x, 0, 1 / x, 1e30f));
}

TEST_CASE("judge: limits, and numbers that even long doubles do not tell from 0") {
    const Expr x = scalar<float>("x");
    for (const float v : {inf, -inf}) {
        CHECK(allowed(x, v, exp(x) / exp(x), 1));
        CHECK(allowed(x, v, exp(x) / exp(x), NAN));
        CHECK(!allowed(x, v, exp(x) / exp(x), 1, true));
        CHECK(!allowed(x, v, exp(x), 1));
        CHECK(!allowed(x, v, 2 + exp(x), NAN));
    }
    const Expr e = log1mexp(log(sigmoid(x)));
    CHECK(allowed(x, 70, e, -70));
    CHECK(allowed(x, 70, e, -inf, true));
    CHECK(!allowed(x, 70, e, -70, true));
    CHECK(!allowed(x, 2, e, -inf));
    CHECK(!allowed(x, 0, log1mexp(log(cos(x))), -70, true));
    // Nothing was rounded on the way to this 0.
    CHECK(!allowed(x, 1, log1mexp(log(x)), -70));
    CHECK(!allowed(x, 1, log1mexp(log(x)), 3));
}

TEST_CASE("judge: each of several equal elements has the whole gradient of their extreme") {
    const Expr x = scalar<float>("x"), v = vector<float>("v", {4});
    const Array ties(std::vector<float>{3, 1, 3, 2});
    using F = Expr (*)(const Expr&);
    const F costs[] = {[](const Expr& e) { return max(e); },
                       [](const Expr& e) {
                           return sum(max(reshape(e, {2, 2}), 0) * min(reshape(e, {2, 2}), 1));
                       },
                       [](const Expr& e) { return min(-sqr(e) + max(e)); }};
    for (const F cost : costs) {
        Case c;
        c.inputs = {v};
        c.values = {ties};
        const Expr f = cost(v), g = grad(f, v);
        c.gradients = {{f, v, g}};
        CHECK(!check_gradients(c));
        for (const Expr& wrong : {g * 0.5f, g + 0.01f}) {
            c.gradients = {{f, v, wrong}};
            CHECK(check_gradients(c));
        }
    }
    Case c;
    c.inputs = {x};
    c.values = {Array(1.0f)};
    const Expr all = sum(max(broadcast_to(x, {4, 9}), 0)), g = grad(all, x);
    c.gradients = {{all, x, g}};
    CHECK(!check_gradients(c));
    c.gradients = {{all, x, g / 4}};  // as if one of them had it
    CHECK(check_gradients(c));
}

TEST_CASE("judge: products come in any order, which counts where one of them leaves the range") {
    const Expr v = vector<float>("v", {5});
    const auto product = [&](std::vector<float> x, float is) {
        return allowed(v, Array(x), prod(v), Array(is));
    };
    // 0 first is 0; beside what has overflowed it is NaN.
    CHECK(product({0, 3e38f, -2, 3e38f, 1}, 0));
    CHECK(product({0, 3e38f, -2, 3e38f, 1}, NAN));
    CHECK(!product({0, 3e38f, -1, 1, 1}, NAN));
    CHECK(product({1e-30f, 1e30f, 1e30f, 1e-30f, 1}, 1));
    CHECK(product({1e-30f, 1e30f, 1e30f, 1e-30f, 1}, inf));
    CHECK(!product({1e-30f, 1e30f, 1, 1, 1}, inf));
    CHECK(!product({2, 3, 1, 1, 1}, 7));
    // Sums, too: what a huge number absorbed is gone, in whatever is made of it.
    const Expr n = cast(sum(v), DType::I64);
    CHECK(allowed(v, Array(std::vector<float>{1, 3e38f, -3e38f, 1, 1}), n, Array(std::int64_t{3})));
    CHECK(!allowed(v, Array(std::vector<float>{1, 3e5f, -3e5f, 1, 1}), n, Array(std::int64_t{2})));
}

TEST_CASE("judge: the slope of a sigmoid is right to the last place of 1") {
    const Expr x = scalar<float>("x");
    for (const Expr& e : {sigmoid(x) * sigmoid(-x), sigmoid(-x) * (1 - sigmoid(-x))}) {
        CHECK(allowed(x, 30, e, 9.3576e-14f));
        CHECK(allowed(x, 30, e, 0));
        CHECK(!allowed(x, 3, e, 0.0452f));
    }
    CHECK(!allowed(x, 30, sigmoid(-x), 0));
    CHECK(!allowed(x, 30, sigmoid(x) * exp(-x), 0));
}

TEST_CASE("judge: a logarithm of what only rounding made 0 may be stable") {
    const Expr x = scalar<float>("x");
    CHECK(allowed(x, -2147483648.0f, log1p(expm1(x)), -2147483648.0f));
    CHECK(allowed(x, -2147483648.0f, log1p(expm1(x)), -inf, true));
    CHECK(!allowed(x, -1, log1p(x), -2147483648.0f));
}

TEST_CASE("judge: gradients at kinks, of huge whole numbers, and of what cancels") {
    const auto wrong = [](const Expr& v, std::vector<double> at, const Expr& f, const Expr& g) {
        Case c;
        c.inputs = {v};
        c.values = {Array(at)};
        c.gradients = {{f, v, g}};
        return check_gradients(c).has_value();
    };
    const Expr v = vector<double>("v", {4});
    // One of many terms has a kink.
    const Expr kink = sum(sqr(where(exp(v) > 1, exp(v), 1)) * 100) + relu(v(1));
    CHECK(!wrong(v, {3, 0, 2, 1}, kink, grad(kink, v)));
    CHECK(wrong(v, {3, 0, 2, 1}, kink, grad(kink, v) * 1.01));
    // Numbers beyond 2^63 are whole, and rise.
    const Expr whole = sum(floor(exp(v)));
    CHECK(!wrong(v, {90, 0.5, 2, 1}, whole,
                 grad(whole, v, {.disconnected_inputs = Disconnected::zero})));
    // The functions beside erfc are what they are named after.
    const Expr f = sum(erfcx(v) + log_erfc(v)), g = grad(f, v);
    CHECK(!wrong(v, {-0.9, -0.2, 0.6, 3}, f, g));
    CHECK(!wrong(v, {-0.9, -0.2, 0.6, 3}, sum(g), grad(sum(g), v)));
    CHECK(wrong(v, {-0.9, -0.2, 0.6, 3}, sum(g), grad(sum(g), v) + 0.1));
}

TEST_CASE("judge: zeros may change their sign where they are computed") {
    const Expr x = scalar<float>("x");
    CHECK(allowed(x, 0, -x, 0.0f));
    CHECK(allowed(x, 0, 1 / (x * -1), inf));
    CHECK(allowed(x, 0, 1 / (x * -1), -inf));
    // A zero that is given has its sign.
    CHECK(allowed(x, -0.0f, 1 / x, -inf));
    CHECK(!allowed(x, -0.0f, 1 / x, inf));
}

TEST_CASE("judge: sums in any order, integers exactly") {
    const Expr x = vector<float>("x");
    Array v(DType::F32, {1000});
    double exact = 0;
    for (int k = 0; k < 1000; ++k) {
        v.data<float>()[k] = 1.0f / static_cast<float>(k + 1);
        exact += v.data<float>()[k];
    }
    float forwards = 0, backwards = 0;
    for (int k = 0; k < 1000; ++k) {
        forwards += v.data<float>()[k];
        backwards += v.data<float>()[999 - k];
    }
    CHECK(allowed(x, v, sum(x), Array(static_cast<float>(exact))));
    CHECK(allowed(x, v, sum(x), Array(forwards)));
    CHECK(allowed(x, v, sum(x), Array(backwards)));
    CHECK(!allowed(x, v, sum(x), Array(static_cast<float>(exact * 1.0001))));
    const Expr i = vector<std::int32_t>("i");
    const Array ones = full<std::int32_t>({5}, INT32_MAX);
    CHECK(allowed(i, ones, sum(i), Array(std::int64_t{5} * INT32_MAX)));
    CHECK(!allowed(i, ones, sum(i), Array(std::int64_t{5} * INT32_MAX + 1)));
    CHECK(allowed(i, ones, i + 1, full<std::int32_t>({5}, INT32_MIN)));
    // Decisions on what was rounded may go either way, others may not.
    const Expr y = scalar<float>("y");
    CHECK(allowed(y, Array(0.1f), eq(log(exp(y)), y), Array(true)));
    CHECK(allowed(y, Array(0.1f), eq(log(exp(y)), y), Array(false)));
    CHECK(!allowed(y, Array(0.1f), eq(y + 0, y), Array(false)));
    CHECK(!allowed(y, Array(0.1f), y > 0.2, Array(true)));
}

TEST_CASE("judge: orders of sums and products, ties and wrapped sums of rounded numbers") {
    const Expr x = vector<float>("x"), y = scalar<float>("y");
    const float large = std::numeric_limits<float>::max();
    // Parts of this sum overflow in both directions, of the other in none.
    const Array both(std::vector<float>{large, -large, large, -large, 1});
    for (const float v : {inf, -inf, static_cast<float>(NAN), 1.0f})
        CHECK(allowed(x, both, sum(x), Array(v)));
    CHECK(!allowed(x, Array(std::vector<float>{1e38f, 1, -1e38f}), sum(x), Array(inf)));
    // What huge numbers absorb is any part of their rounding, also nothing; no more.
    const Array absorbed(std::vector<float>{1e18f, 1, 1, -1e18f});
    CHECK(allowed(x, absorbed, bell(sum(x)), Array(1.0f)));
    CHECK(allowed(x, absorbed, 1 / sum(x), Array(inf)));
    CHECK(!allowed(x, absorbed, sum(x), Array(1e14f)));
    CHECK(!allowed(x, Array(std::vector<float>{3, 1, 1, -2}), 1 / sum(x), Array(inf)));
    // A product in parts.
    const Array factors(std::vector<float>{1e30f, 1e30f, 1e-30f, 1e-30f});
    CHECK(allowed(x, factors, prod(x), Array(static_cast<float>(NAN))));
    CHECK(!allowed(x, Array(std::vector<float>{1e30f, 1e-30f}), prod(x), Array(0.0f)));
    // Of what saturates, the larger argument; of numbers that are given, the first.
    const Array ties(std::vector<float>{50, 60, 1});
    CHECK(allowed(x, ties, argmax(sigmoid(x)), Array(std::int64_t{1})));
    CHECK(!allowed(x, ties, argmax(x), Array(std::int64_t{0})));
    // Zeros of both signs have either for their minimum.
    const Array zeros_(std::vector<float>{0, -0.0f, 1});
    CHECK(allowed(x, zeros_, 1 / min(x), Array(inf)));
    CHECK(allowed(x, zeros_, 1 / min(x), Array(-inf)));
    CHECK(!allowed(x, Array(std::vector<float>{0, 1}), 1 / min(x), Array(-inf)));
    // A limit of an exponential, however it is reached, and of no other infinity.
    CHECK(allowed(y, inf, (1 / exp(y)) / (1 / exp(y)), 1));
    CHECK(!allowed(y, inf, (1 / y) / (1 / (2 * y)), 1, true));
    // Decisions see numbers of the dtype; sums of integers that were rounded wrap.
    CHECK(allowed(y, Array(1e-30f), cast(y * y, DType::Bool), Array(false)));
    CHECK(!allowed(y, Array(1e-3f), cast(y * y, DType::Bool), Array(false)));
    const Expr low = constant(Array(INT32_MIN + 3));
    CHECK(!allowed(y, Array(-5.0f), cast(y, DType::I32) + low, Array(INT32_MAX)));
    CHECK(allowed(y, Array(-5.0f), cast(y, DType::I32) + low, Array(INT32_MAX - 1)));
}

TEST_CASE("judge: beyond the range of long doubles it says nothing, within it does") {
    const Expr x = scalar<double>("x");
    CHECK(allowed(x, Array(20000.0), log(exp(x)), Array(20000.0)));
    CHECK(allowed(x, Array(2000.0), log(exp(x)), Array(2000.0)));
    CHECK(!allowed(x, Array(2000.0), log(exp(x)), Array(1999.0)));
    CHECK(allowed(x, Array(-2000.0), log(exp(x)), Array(-2000.0)));
    CHECK(allowed(x, Array(-2000.0), log(exp(x)), Array(-HUGE_VAL)));
}

TEST_CASE("judge: the loop interpreter gives nothing that the wider evaluation does not allow") {
    std::size_t elements = 0;
    for (std::uint64_t seed = 8'000'000; seed < 8'000'300; ++seed) {
        const Case c = Drawer(seed, {}).draw();
        Binding leaves;
        std::vector<std::pair<Expr, Array>> given;
        for (std::size_t k = 0; k < c.inputs.size(); ++k) {
            leaves.emplace_back(c.inputs[k], widen(c.values[k]));
            given.emplace_back(c.inputs[k], c.values[k]);
        }
        c.reset();
        std::vector<Array> is;
        Expected expected;
        try {
            expected.add(evaluate(c.results(), leaves));
            is = reference_eval(c.results(), given);
        } catch (const Error&) {
            continue;  // sizes or indices
        } catch (const TooMuchWork&) {
            continue;
        }
        for (std::size_t k = 0; k < is.size(); ++k) {
            elements += static_cast<std::size_t>(is[k].size());
            auto wrong = expected.wrong(k, is[k], 3, true);
            for (std::uint64_t n = 2; wrong && n < 20; ++n) {
                expected.add(evaluate(c.results(), leaves, {n, 2}));
                wrong = expected.wrong(k, is[k], 4, true);
            }
            CHECK_MESSAGE(!wrong, "seed ", seed, " ", *wrong, "\n", c.str());
        }
    }
    CHECK(elements > 10'000);
}

TEST_CASE("draw: equal seeds give equal graphs") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Case a = Drawer(seed, {}).draw(), b = Drawer(seed, {}).draw();
        // Seeds of draws are ids, which grow.
        CHECK(a.inputs.size() == b.inputs.size());
        CHECK(Graph(a.results()).size() == Graph(b.results()).size());
        for (std::size_t k = 0; k < a.values.size(); ++k) CHECK(a.values[k].equals(b.values[k]));
    }
}

TEST_CASE("draw: every row, dtype, rank and kind of size comes up") {
    std::set<std::string_view> ops;
    std::map<DType, int> dtypes;
    std::map<int, int> ranks;
    std::map<std::int64_t, int> sizes;
    int inputs = 0, unknown = 0, shared = 0, updates = 0, gradients = 0, second = 0, empty = 0;
    constexpr int graphs = 4000;
    for (std::uint64_t seed = 0; seed < graphs; ++seed) {
        const Case c = Drawer(seed, {}).draw();
        const Graph graph(c.results());
        for (const auto& node : graph.nodes()) ops.insert(node->op->name);
        for (std::size_t k = 0; k < c.inputs.size(); ++k) {
            ++inputs;
            unknown += !is_static(c.inputs[k].shape());
            ++dtypes[c.values[k].dtype()];
            ++ranks[c.values[k].rank()];
            empty += c.values[k].size() == 0;
            for (const std::int64_t s : c.values[k].shape()) ++sizes[s];
        }
        shared += static_cast<int>(c.shared.size());
        updates += static_cast<int>(c.updates.size());
        gradients += static_cast<int>(c.gradients.size());
        for (std::size_t k = 0; k < c.gradients.size(); ++k)
            for (std::size_t j = 0; j < k; ++j) {
                const Graph of({c.gradients[k].cost});
                second += of.contains(c.gradients[j].gradient.node());
            }
    }
    for (const OpDef* op : test::ops_of_all_targets())
        if (op->samples && !op->info.has(Trait::Checks) && !op->host)
            CHECK_MESSAGE(ops.count(op->info.name) == 1, op->info.name);
    for (const DType t : all_dtypes) CHECK(dtypes[t] > 50);
    for (int rank = 0; rank <= 5; ++rank) CHECK(ranks[rank] > 50);
    for (const std::int64_t s : {0, 1, 2, 3, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129})
        CHECK_MESSAGE(sizes[s] > 0, s);
    CHECK(unknown > inputs / 4);
    CHECK(empty > 50);
    CHECK(shared > graphs / 10);
    CHECK(updates > graphs / 20);
    CHECK(gradients > graphs / 10);
    CHECK(second > graphs / 100);
}

TEST_CASE("print: a case becomes a program that compiles") {
    Case c;
    c.seed = 1;
    const Expr x = tensor(DType::F32, 2, "x", {2, -1}), i = tensor(DType::I64, 0, "i", {});
    const Expr s = arete::shared(full<double>({3}, 0.5), "s");
    c.inputs = {x, i};
    c.values = {Array(std::vector<float>{1, -0.0f, inf, NAN, 1e-45f, 0.1f}, {2, 3}),
                Array(std::int64_t{-2})};
    const Expr y = softmax(x, 1) + concatenate({x.T().T() * 2, x}, 0)(i);
    c.outputs = {cast(y, DType::U8), sum(where(y > 0.25, y, 0), 1, true)};
    c.updates = {{s, s * Array(std::vector<double>{1, 2, 0.1})}};
    c.note_shared();
    // printed.cpp is this text, and part of the build. To write it anew, run with ARETE_BLESS=1.
    const std::string text = to_program(c, parse_setting("fast_compile:native/2"), "as printed");
    const std::string path = ARETE_SOURCE_DIR "/tests/fuzz/printed/printed.cpp";
    if (std::getenv("ARETE_BLESS")) std::ofstream(path) << text;
    std::ifstream in(path);
    const std::string is((std::istreambuf_iterator<char>(in)), {});
    CHECK(is == text);
}

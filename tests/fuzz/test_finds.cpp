// The fuzzer finds what is planted, makes it small, and keeps quiet where nothing is wrong.
#include <cmath>
#include <csignal>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/core/memory.h"
#include "compiler/ops/leaves.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/fuzz/draw.h"
#include "tests/fuzz/print.h"
#include "tests/fuzz/shrink.h"
#include "tests/fuzz/supervise.h"

using namespace arete;
using namespace arete::fuzz;

namespace {

const Pattern x = Pattern::any('x'), y = Pattern::any('y');

/// Seeds are tried until one fails; the case comes back small.
struct Found {
    std::optional<Finding> finding;
    Case small;
    std::uint64_t tried = 0;
};
Found find(const std::vector<Rule>& rules, std::uint64_t most, const DrawOptions& draw = {}) {
    const RunOptions options{{{Mode::interpret}}, false, rules, {}};
    Found out;
    for (std::uint64_t seed = 7'000'000; out.tried < most; ++seed) {
        ++out.tried;
        Case c = Drawer(seed, draw).draw();
        c.gradients.clear();
        // Only what the planted rule does counts here.
        const auto finding = run(c, options).finding;
        if (!finding || finding->kind != Finding::Kind::Value) continue;
        if (run(c, {{{Mode::interpret}}, false, {}, {}}).finding) continue;
        out.finding = finding;
        out.small = shrink(c,
                           [&](const Case& smaller) {
                               const auto f = run(smaller, options).finding;
                               return f && f->signature() == finding->signature();
                           },
                           {20});
        break;
    }
    return out;
}

Rule planted(const char* comment, Pattern pattern, Expr (*replace)(const Match&)) {
    return {"planted", comment, std::move(pattern), replace};
}

}  // namespace

TEST_CASE("fuzz: wrong rules are found, and shrunk to a few operations") {
    const struct {
        Rule rule;
        std::uint64_t within;  // graphs
    } faults[] = {
        {planted(
             "x - y = x + y", Pattern::apply("sub", {x, y}),
             [](const Match& m) { return is_float(m.root().dtype()) ? m['x'] + m['y'] : Expr(); }),
         400},
        {planted(
             "max(x, y) = x", Pattern::apply("maximum", {x, y}),
             [](const Match& m) { return m.root().shape() == m['x'].shape() ? m['x'] : Expr(); }),
         1500},
        {planted("tanh(x) = x", Pattern::apply("tanh", {x}), [](const Match& m) { return m['x']; }),
         1500},
        {planted("exp(x) = exp(x) + 2^-17", Pattern::apply("exp", {x}),
                 [](const Match& m) { return Expr(expm1(m['x']) + (1 + 0x1p-17)); }),
         1500},
        {planted("x == y always", Pattern::apply("eq", {x, y}),
                 [](const Match& m) {
                     return is_static(m.root().shape())
                                ? full(m.root().shape(), {true}, DType::Bool)
                                : Expr();
                 }),
         1500},
        {planted("floor(x) = ceil(x)", Pattern::apply("floor", {x}),
                 [](const Match& m) { return is_float(m['x'].dtype()) ? ceil(m['x']) : Expr(); }),
         2500},
    };
    for (const auto& fault : faults) {
        INFO(fault.rule.comment);
        const Found found = find({fault.rule}, fault.within);
        REQUIRE(found.finding);
        INFO(found.finding->str(), "\n", found.small.str());
        CHECK(operations(found.small) <= 3);
    }
}

TEST_CASE("fuzz: what rounds otherwise is no fault") {
    // A quotient as a product, products fused with sums, sums the other way round.
    const std::vector<Rule> rules{
        planted("x / y = x * (1 / y)", Pattern::apply("div", {x, y}), [](const Match& m) {
            if (is_constant_scalar(m['x']) || !is_constant_scalar(m['y'])) return Expr();
            double v = 0;
            is_constant_scalar(m['y'], &v);
            // Not where that itself leaves the range.
            if (!(std::fabs(v) > 1e-3 && std::fabs(v) < 1e3)) return Expr();
            return Expr(m['x'] * (1.0 / v));
        })};
    const Found found = find(rules, 600);
    CHECK_MESSAGE(!found.finding, found.finding->str());
}

namespace {

// Slope 2 where it is 1.
constinit const OpDef wrong_slope_op{
    .info = {.name = "wrong_slope"},
    .doc = "a, with a wrong gradient",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& a) { return a[0] + 1.0; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {2 * a.g[0]}; }};

loops::Value crash(const ScalarArgs&) {
    std::raise(SIGSEGV);
    return {};
}
loops::Value hang(const ScalarArgs& a) {
    const volatile bool forever = true;
    while (forever) {
    }
    return a[0];
}
loops::Value eat(const ScalarArgs& a) {
    for (;;) {
        auto* p = new std::vector<char>(1 << 24, 'x');
        if (p->empty()) return a[0];
    }
}
constinit const OpDef crash_op{
    .info = {.name = "crash"}, .doc = "crashes", .infer = infer_elementwise_float, .scalar = crash};
constinit const OpDef hang_op{
    .info = {.name = "hang"}, .doc = "hangs", .infer = infer_elementwise_float, .scalar = hang};
constinit const OpDef eat_op{
    .info = {.name = "eat"}, .doc = "eats memory", .infer = infer_elementwise_float, .scalar = eat};

Case case_of(const OpDef& op) {
    Case c;
    const Expr v = vector<float>("v", {3});
    c.inputs = {v};
    c.values = {Array(std::vector<float>{1, 2, 3})};
    c.outputs = {exp(apply(op, {v}, {}, {}))};
    return c;
}

}  // namespace

TEST_CASE("fuzz: a row with a wrong gradient is found, and shrunk") {
    Case c;
    const Expr v = vector<double>("v", {3}), w = vector<double>("w", {3});
    c.inputs = {v, w};
    c.values = {Array(std::vector<double>{1, 2, 3}), Array(std::vector<double>{.5, .25, 4})};
    const Expr cost = sum(sin(apply(wrong_slope_op, {v * w}, {}, {})) * w);
    const Expr g = grad(cost, v);
    c.outputs = {cost, g};
    c.gradients = {{cost, v, g}};
    const auto finding = check_gradients(c);
    REQUIRE(finding);
    const Case small =
        shrink(c, [](const Case& s) { return check_gradients(s).has_value(); }, {10});
    CHECK(operations(small) <= 2);
    // And not where the gradient is right.
    const Expr right = sum(sin(v * w + 1) * w), slope = grad(right, v);
    c.gradients = {{right, v, slope}};
    CHECK(!check_gradients(c));
}

TEST_CASE(
    "fuzz: gradients where the cost itself loses digits, or has no derivative, are no finding") {
    const auto check = [](const Expr& v, float at, const Expr& cost, const Expr& gradient) {
        Case c;
        c.inputs = {v};
        c.values = {Array(at)};
        c.gradients = {{cost, v, gradient}};
        return check_gradients(c).has_value();
    };
    const Expr v = scalar<float>("v");
    // Of 1 - sigmoid(42.25) hardly a digit is left in long double.
    const Expr lost = log(1 - sigmoid(sqr(v)));
    CHECK(!check(v, 6.5f, lost, grad(lost, v)));
    CHECK(check(v, 1.5f, lost, 2 * grad(lost, v)));
    const Expr infinite = tanh(v / 0);
    CHECK(!check(v, 1, infinite, grad(infinite, v)));
    // Terms that cancel are off by their rounding, not by more.
    const Expr cancels = (1000 * v - 999.5f * v) * v;
    CHECK(!check(v, 1.5f, cancels, grad(cancels, v)));
    CHECK(check(v, 1.5f, cancels, grad(cancels, v) * 1.01f));
}

TEST_CASE("fuzz: crashes, hangs and lost memory are findings") {
    const RunOptions options{{{Mode::interpret}}, false, {}, {}};
    auto f = run_apart(case_of(crash_op), options, 20);
    REQUIRE(f);
    CHECK(f->kind == Finding::Kind::Crash);
    f = run_apart(case_of(hang_op), options, 0.5);
    REQUIRE(f);
    CHECK(f->kind == Finding::Kind::Hang);
    f = run_apart(case_of(eat_op), options, 60, 200);
    REQUIRE(f);
    CHECK(f->kind == Finding::Kind::Memory);
    CHECK(!run_apart(case_of(*find_op("sqr")), options, 20));
}

TEST_CASE("fuzz: accesses outside of guarded memory are faults") {
    for (const bool at_end : {true, false}) {
        const auto memory = guarded_bytes(100, at_end);
        auto* p = static_cast<volatile char*>(memory.get());
        p[0] = 1;
        p[99] = 1;
        const pid_t child = fork();
        if (child == 0) {
            std::signal(SIGSEGV, [](int) { _exit(7); });
            if (at_end)
                p[100] = 1;
            else
                p[-1] = 1;
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 7);
    }
    CHECK(guarded_bytes(0, true) != nullptr);
}

TEST_CASE("fuzz: batches report what went wrong and go on after it") {
    SuperviseOptions options;
    options.first = 7'000'000;
    options.count = 60;
    options.jobs = 2;
    options.gradients = false;
    options.settings = [](std::uint64_t) { return std::vector<Setting>{{Mode::interpret}}; };
    const Report quiet = supervise(options);
    options.rules = {
        planted("dies", Pattern::apply("add", {x, y}), [](const Match&) -> Expr { std::abort(); })};
    const Report report = supervise(options);
    CHECK(report.tally.cases + report.failures.size() >= 60);
    std::size_t crashes = 0;
    for (const Failure& f : report.failures) crashes += f.finding.kind == Finding::Kind::Crash;
    CHECK(crashes > 3);
    CHECK(quiet.tally.cases == 60);
}

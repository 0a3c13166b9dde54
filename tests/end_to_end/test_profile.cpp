// Profiles: kernels, op classes, passes.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

TEST_CASE("profile: op classes add up the kernels of one op") {
    const std::vector<KernelProfile> kernels = {
        {"sum", "net.cpp:1", 10, 1, 0.1, 2, 4},
        {"dot", "net.cpp:2", 10, 2, 0.2, 30, 6},
        {"copy", "", 10, 1, 0.1, 0, 8},
        {"dot", "net.cpp:3", 10, 6, 0.6, 10, 2},
    };
    const std::vector<OpClassProfile> classes = by_op_class(kernels);
    REQUIRE(classes.size() == 3);
    CHECK(classes[0].op == "dot");  // slowest first; of equal ones the first
    CHECK(classes[1].op == "sum");
    CHECK(classes[2].op == "copy");
    CHECK(classes[0].kernels == 2);
    CHECK(classes[0].calls == 20);
    CHECK(classes[0].ms == 8);
    CHECK(classes[0].share == doctest::Approx(0.8));
    CHECK(classes[0].gflops == doctest::Approx((2 * 30 + 6 * 10) / 8.0));
    CHECK(classes[0].gbytes == doctest::Approx((2 * 6 + 6 * 2) / 8.0));
    CHECK(classes[1].gflops == 2);
    CHECK(classes[2].kernels == 1);
    const std::string text = to_string(kernels);
    CAPTURE(text);
    CHECK(text.find("     10      6.00    600.00  60.0%     10.0      2.0  dot ") !=
          std::string::npos);
    CHECK(text.find("      2      8.00    800.00  80.0%     15.0      3.0  dot\n") !=
          std::string::npos);
    CHECK(by_op_class({}).empty());
}

TEST_CASE("profile: shares add up, and work does not depend on the time it took") {
    const auto x = matrix<float>("x", {64, 64});
    const Expr y = dot(x, x);
    const Function f =
        function({.inputs = {x}, .outputs = {y, sum(y, 0), argmax(y, 1)}, .profile = true});
    CHECK(f.profile().empty());  // nothing has run
    for (int k = 0; k < 10; ++k) f(ones<float>({64, 64}));
    const std::vector<KernelProfile> kernels = f.profile();
    REQUIRE(!kernels.empty());
    double ms = 0, share = 0, flops = 0;
    for (const KernelProfile& k : kernels) {
        CHECK(k.calls == 10);
        ms += k.ms;
        share += k.share;
        flops += k.gflops * k.ms * 1e6 / 10;
    }
    CHECK(ms > 0);
    CHECK(share == doctest::Approx(1));
    CHECK(flops >= 2 * 64 * 64 * 64);
    CHECK(flops < 2 * 64 * 64 * 64 + 20 * 64 * 64);
}

TEST_CASE("profile: the time of each pass, of all specialisations") {
    const auto x = vector<float>("x");
    const Function f = function({.inputs = {x}, .outputs = {exp(x) + 1}});
    CHECK(f.stats().passes.empty());
    const auto sum_of = [&] {
        double sum = 0;
        for (const PassTime& p : f.stats().passes) sum += p.ms;
        return sum;
    };
    f(ones<float>({3}));
    const std::size_t passes = f.stats().passes.size();
    const double first = sum_of();
    CHECK(first > 0);
    CHECK(first <= f.stats().compile_ms);
    f(ones<float>({4}));
    CHECK(f.stats().passes.size() == passes);
    CHECK(sum_of() > first);
    // In the order of the pipeline, each once.
    std::vector<std::string> names;
    for (const PassTime& p : f.stats().passes) names.push_back(p.name);
    std::size_t at = 0;
    for (const char* name : {"bind_shapes", "canonicalize", "stabilize", "fuse", "schedule",
                             "llvm_passes", "llvm_machine_code"}) {
        const auto found = std::find(names.begin(), names.end(), name);
        REQUIRE_MESSAGE(found != names.end(), name);
        CHECK(std::count(names.begin(), names.end(), name) == 1);
        CHECK(static_cast<std::size_t>(found - names.begin()) >= at);
        at = static_cast<std::size_t>(found - names.begin());
    }
    CHECK(to_string(f.stats().passes).find("100.0%  all\n") != std::string::npos);
}

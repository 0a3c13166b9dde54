// Profiles: kernels, op classes, passes.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

TEST_CASE("profile: op classes add up the kernels of one op") {
    const auto x = matrix<float>("x", {64, 64});
    const Expr y = dot(dot(dot(x, x), x), x);  // three kernels
    const Function f =
        function({.inputs = {x}, .outputs = {y, sum(y, 0), argmax(y, 1)}, .profile = true});
    CHECK(f.profile().empty());  // nothing has run
    for (int k = 0; k < 10; ++k) f(ones<float>({64, 64}));
    const std::vector<KernelProfile> kernels = f.profile();
    const std::vector<OpClassProfile> classes = by_op_class(kernels);
    double ms = 0, share = 0, work = 0, dot_ms = 0, dot_work = 0;
    for (const KernelProfile& k : kernels) {
        CHECK(k.calls == 10);
        ms += k.ms;
        share += k.share;
        work += k.gflops * k.ms;
        if (k.name != "dot") continue;
        dot_ms += k.ms;
        dot_work += k.gflops * k.ms;
    }
    CHECK(ms > 0);
    CHECK(share == doctest::Approx(1));
    int count = 0;
    double class_ms = 0, class_work = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
        const OpClassProfile& c = classes[i];
        count += c.kernels;
        class_ms += c.ms;
        class_work += c.gflops * c.ms;
        CHECK(c.calls == 10 * c.kernels);
        if (i > 0) CHECK(c.ms <= classes[i - 1].ms);  // slowest first
        if (c.op != "dot") continue;
        CHECK(c.kernels == 3);
        CHECK(c.ms == doctest::Approx(dot_ms));
        CHECK(c.gflops == doctest::Approx(dot_work / dot_ms));
        CHECK(c.share == doctest::Approx(dot_ms / ms));
    }
    CHECK(count == static_cast<int>(kernels.size()));
    CHECK(class_ms == doctest::Approx(ms));
    CHECK(class_work == doctest::Approx(work));
    const std::string text = to_string(kernels);
    CAPTURE(text);
    for (const char* part : {"us/call", "op class", "\n      3 ", "  dot\n", "argmax"})
        CHECK(text.find(part) != std::string::npos);
    // Every dot is 2 * 64^3 operations, whatever it took.
    for (const KernelProfile& k : kernels)
        if (k.name == "dot")
            CHECK(k.gflops * k.ms * 1e6 / static_cast<double>(k.calls) ==
                  doctest::Approx(2 * 64 * 64 * 64));
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

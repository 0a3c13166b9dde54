// Descriptions of processors: complete, and the same on every machine.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "tests/support.h"

using namespace arete;
using test::message_of;

namespace {

bool runs_here(const std::string& name) {
    return message_of([&] { (void)host_machine(name); }).empty();
}

/// An environment variable for as long as this lives.
class Variable {
  public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* v = std::getenv(name)) before_ = v;
        ::setenv(name, value, 1);
    }
    ~Variable() { ::setenv(name_, before_.c_str(), 1); }

  private:
    const char* name_;
    std::string before_;
};

}  // namespace

TEST_CASE("machines: descriptions are complete") {
    std::set<std::string> names;
    for (const DescribedMachine& d : described_machines()) {
        CAPTURE(d.name);
        CHECK(names.insert(d.name).second);
        const Machine& m = d.machine;
        CHECK(!m.triple.empty());
        CHECK(!m.cpu.empty());
        CHECK(!d.needs.empty());
        CHECK((m.vector_bytes == 16 || m.vector_bytes == 32 || m.vector_bytes == 64));
        CHECK((m.vector_registers == 16 || m.vector_registers == 32));
        CHECK(m.l1_bytes >= 16 << 10);
        CHECK(m.l2_bytes > m.l1_bytes);
        CHECK(m.l3_bytes > m.l2_bytes);
        CHECK(m.l2_bytes_per_cycle >= m.l3_bytes_per_cycle);
        CHECK(m.l3_bytes_per_cycle >= m.memory_bytes_per_cycle);
        CHECK(described_machine(d.name) == m);
        // LLVM knows the processor and its features.
        LlvmModule module = LlvmModule::parse("define void @step() { ret void }", m);
        CHECK(module.object().size() > 100);
    }
    CHECK(names.count("zen3") == 1);
    CHECK(message_of([] { described_machine("zen33"); }).find("zen3, zen4, zen5") !=
          std::string::npos);
    CHECK(message_of([] { described_machine(""); }).find("''") != std::string::npos);
}

TEST_CASE("machines: nothing of the host gets into a description") {
    for (const char* host : {"baseline,l1=16K,l2=256K,l3=256K", "baseline,l3=512M"}) {
        const Variable native("ARETE_NATIVE", host);
        if (!runs_here("baseline")) continue;  // not an x86
        CHECK(host_machine() == described_machine(host));
        for (const DescribedMachine& d : described_machines())
            if (runs_here(d.name)) CHECK(host_machine(d.name) == d.machine);
    }
    const Machine m = host_machine("native,l2=3M,l3=5M");
    CHECK(m.l1_bytes == host_machine().l1_bytes);
    CHECK(m.l2_bytes == 3 << 20);
    CHECK(m.l3_bytes == 5 << 20);
    CHECK(m.cpu == host_machine().cpu);
    CHECK(m.features == host_machine().features);
    for (const char* none : {"zen2", "native2", "", ",l2=1M", "avx1024"})
        CHECK(message_of([&] { (void)host_machine(none); }).find("native, baseline, avx2") !=
              std::string::npos);
    CHECK((!runs_here("neoverse_v2") || !runs_here("baseline")));
    CHECK(!host_text().empty());
}

TEST_CASE("machines: sizes of caches") {
    const auto sizes = [](const char* text) {
        Machine m;
        set_caches(m, text);
        return std::vector<std::int64_t>{m.l1_bytes, m.l2_bytes, m.l3_bytes};
    };
    const std::int64_t k = 1024, m = k * k;
    CHECK(sizes("l1=48K") == std::vector{48 * k, 1 * m, 16 * m});
    CHECK(sizes("l3=100M,l1=16384") == std::vector{16 * k, 1 * m, 100 * m});
    // A cache holds what the one before it does: a virtual machine may say otherwise.
    CHECK(sizes("l2=32M,l3=4M") == std::vector{32 * k, 32 * m, 32 * m});
    CHECK(sizes("l2=1K,l3=1K") == std::vector{32 * k, 32 * k, 32 * k});
    for (const char* bad : {"", "l2", "l2=", "l2=0", "l2=-1M", "l2=1G", "l4=1M", "l2=1M,", "l2=1 M",
                            "L2=1M", "l2=99999999999999999999", "l2=9999999999999M", "l0=1K"})
        CHECK_MESSAGE(message_of([&] { (void)sizes(bad); }).find("l1=32K,l2=512K,l3=32M") !=
                          std::string::npos,
                      bad);
}

// Work that is estimated from operands' sizes was divided by the number of iterations, which is 0.
TEST_CASE("machines: kernels that run nothing are scheduled for each of them") {
    const auto matrix_of = [](std::int64_t rows, std::int64_t columns) {
        return tensor(DType::F32, 2, "", {rows, columns});
    };
    const auto image_of = [](std::int64_t n, std::int64_t c, std::int64_t side) {
        return tensor(DType::F32, 4, "", {n, c, side, side});
    };
    std::vector<std::pair<std::vector<Expr>, Expr>> cases;
    for (const Sizes& s : {Sizes{0, 91, 91},
                           {91, 0, 91},
                           {91, 91, 0},
                           {0, 3000, 2000},
                           {2000, 3000, 0},
                           {2000, 0, 3000},
                           {0, 0, 3000},
                           {0, 0, 0}}) {
        const Expr x = matrix_of(s[0], s[1]), y = matrix_of(s[1], s[2]);
        cases.push_back({{x, y}, dot(x, y)});
        cases.push_back({{x, y}, sum(exp(dot(x, y)), 0)});
        cases.push_back({{x, y}, grad(sum(sqr(dot(x, y))), x)});
        cases.push_back({{x}, softmax(x)});
        cases.push_back({{x}, mean(x, 1)});
    }
    for (const Sizes& s : {Sizes{0, 64, 64, 40}, {8, 0, 64, 40}, {8, 64, 0, 40}, {0, 3, 20, 28}}) {
        const Expr x = image_of(s[0], s[1], s[3]), w = image_of(s[2], s[1], 5);
        cases.push_back({{x, w}, conv2d(x, w)});
        cases.push_back({{x, w}, grad(sum(pool2d(conv2d(x, w), {2, 2})), w)});
        cases.push_back({{x, w}, grad(sum(conv2d(x, w)), x)});
    }
    for (const DescribedMachine& d : described_machines())
        for (const auto& [inputs, output] : cases) {
            CAPTURE(d.name);
            CAPTURE(output.type());
            CompileRequest r{.inputs = inputs, .outputs = {output}};
            r.name = "f";
            r.target = cpu_target(described_machine(d.name));
            r.options = Options::from_environment();
            for (const Expr& e : inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
            CHECK_NOTHROW(compile(r));
        }
}

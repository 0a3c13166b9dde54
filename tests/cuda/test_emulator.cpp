// Printed kernels on the emulator: the same bits as the nests in the loop interpreter, in every
// order of threads; and faults that are planted in the text are found.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <unistd.h>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/source.h"
#include "runtime/cuda/gpu_program.h"
#include "runtime/emulator/driver.h"
#include "tests/cuda/cases.h"
#include "tests/temporary_folder.h"

using namespace arete;
using namespace arete::test;
using emulator::EmulatorDriver;
using emulator::EmulatorOptions;
using emulator::ThreadOrder;

namespace {

/// A folder for shared objects, which the tests of one process share.
const std::string& folder() {
    static const arete::test::TemporaryFolder the;
    return the.path;
}

EmulatorOptions ordered(ThreadOrder order, bool portable = false) {
    return {order, portable, folder()};
}

struct Printed {
    std::vector<cuda::Source> sources;
    std::vector<std::size_t> first;
    cuda::Source all;
};
Printed printed(const std::vector<Case>& cases) {
    Printed out;
    for (const Case& c : cases) {
        const cuda::Source& s = out.sources.emplace_back(cuda::print(c.program()));
        out.first.push_back(out.all.kernels.size());
        out.all.text += s.text;
        for (const cuda::LaunchEntry& k : s.kernels) out.all.kernels.push_back(k);
    }
    return out;
}

/// Compiles the kernels of all cases in one go, and runs each in these orders.
void check_emulated(const std::vector<Case>& cases, const std::vector<EmulatorOptions>& ways) {
    const Printed p = printed(cases);
    std::vector<Outcome> expected;
    for (const Case& c : cases) expected.push_back(by_nests(c));
    for (const EmulatorOptions& way : ways) {
        CAPTURE(static_cast<int>(way.order));
        CAPTURE(way.portable);
        const auto gpu = std::make_shared<EmulatorDriver>(way);
        const std::shared_ptr<cuda::GpuModule> module = gpu->load(p.all);
        for (std::size_t i = 0; i < cases.size(); ++i) {
            const Case& c = cases[i];
            cuda::GpuProgram program(c.program(), p.sources[i], gpu, module, p.first[i]);
            const Outcome got =
                run(c, [&](IdSpan<SlotId, void*> table) { return program.run(table); });
            const std::string wrong = differences(c, got, expected[i]);
            CHECK_MESSAGE(wrong.empty(), wrong);
        }
    }
}

const std::vector<EmulatorOptions>& all_ways() {
    static const std::vector<EmulatorOptions> ways{
        ordered(ThreadOrder::round_robin), ordered(ThreadOrder::reversed),
        ordered(ThreadOrder::by_warp), ordered(ThreadOrder::round_robin, true)};
    return ways;
}

}  // namespace

TEST_CASE("emulator: every op has the bits of its nests, in every order of threads") {
    const std::vector<Case> cases = samples({DType::F32});
    MESSAGE(cases.size(), " programs");
    check_emulated(cases, all_ways());
}

TEST_CASE("emulator: ops of the other dtypes") {
    // All of them where ARETE_ALL_CASES is set, which takes a minute; otherwise one of four.
    std::vector<Case> cases;
    std::size_t number = 0;
    for (Case& c : samples({DType::F64, DType::I64, DType::I32, DType::U8, DType::Bool}))
        if (std::getenv("ARETE_ALL_CASES") || number++ % 4 == 0) cases.push_back(std::move(c));
    MESSAGE(cases.size(), " programs");
    check_emulated(cases, {ordered(ThreadOrder::reversed)});
}

TEST_CASE("emulator: every third form of what is larger, in every order of threads") {
    std::vector<Case> cases;
    std::size_t n = 0;
    for (const Case& c : larger_cases())
        for (std::size_t choice = n++ % 3;; choice += 3) {
            std::optional<Case> other = with_choice(c, choice);
            if (!other) break;
            cases.push_back(*std::move(other));
        }
    MESSAGE(cases.size(), " programs");
    check_emulated(cases, all_ways());
}

TEST_CASE("emulator: functions of huge arguments have the bits of the host's") {
    std::vector<Case> cases;
    for (const DType t : {DType::F32, DType::F64}) {
        const Expr x = tensor(t, 1, "x", {4000}), y = tensor(t, 1, "y", {4000});
        Array a(DType::F64, {4000}), b(DType::F64, {4000});
        Generator random(5);
        const double most = t == DType::F32 ? 38 : 300;
        const Array exponents = random.uniform({4000}, -most, most).astype(DType::F64),
                    others = random.uniform({4000}, -most, most).astype(DType::F64);
        for (std::int64_t i = 0; i < 4000; ++i) {
            const double sign = i % 2 ? 1 : -1;
            a.data<double>()[i] = sign * std::pow(10.0, exponents.data<double>()[i]);
            b.data<double>()[i] = std::pow(10.0, others.data<double>()[i] / 2);
        }
        cases.push_back(case_of(fmt::format("sin, cos, mod of {}", name(t)),
                                fmt::format("far{}", cases.size()), {x, y},
                                {a.astype(t), b.astype(t)}, {sin(x), cos(x), mod(x, y)}));
    }
    check_emulated(cases, {ordered(ThreadOrder::round_robin)});
}

namespace {

Case reduction() {
    const Expr x = matrix<float>("x", {6, 200});
    return case_of("sum", "sum", {x}, {Generator(1).uniform({6, 200}, -1, 1)}, {max(x, Axes(1))});
}
// Of which nothing may be left out or counted twice, as it may of a maximum.
Case total() {
    const Expr x = matrix<float>("x", {6, 200});
    return case_of("total", "total", {x}, {Generator(1).uniform({6, 200}, 1, 2)},
                   {sum(x, Axes(1))});
}
Case product() {
    const Expr x = matrix<float>("x", {40, 50}), y = matrix<float>("y", {50, 30});
    return case_of("product", "product", {x, y},
                   {Generator(1).uniform({40, 50}, -1, 1), Generator(2).uniform({50, 30}, -1, 1)},
                   {dot(x, y)});
}
Case of_form(const Case& c, const std::string& form) {
    for (std::size_t n = 0;; ++n) {
        std::optional<Case> choice = with_choice(c, n);
        REQUIRE(choice);
        const loops::Kernel& k = choice->program().steps.back().kernel()->kernel;
        if (k.comment.find("; " + form) != std::string::npos) return *std::move(choice);
    }
}

/// What is wrong with a changed text in one of the orders; empty where none shows it.
std::string found(const Case& c, const cuda::Source& source) {
    const Outcome expected = by_nests(c);
    for (const ThreadOrder order :
         {ThreadOrder::round_robin, ThreadOrder::reversed, ThreadOrder::by_warp}) {
        const auto gpu = std::make_shared<EmulatorDriver>(ordered(order));
        try {
            cuda::GpuProgram program(c.program(), source, gpu);
            const Outcome got =
                run(c, [&](IdSpan<SlotId, void*> table) { return program.run(table); });
            if (std::string wrong = differences(c, got, expected); !wrong.empty()) return wrong;
        } catch (const InternalError& e) {
            return e.what();
        }
    }
    return "";
}

void replace_nth(std::string& text, const std::string& from, const std::string& to, int n) {
    std::size_t at = text.find(from);
    while (n-- > 0) at = text.find(from, at + 1);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("emulator: a barrier that is left out of the text shows in some order") {
    for (const auto& [c, form] :
         {std::pair{total(), std::string("team of 64,")}, {product(), "tiles of 16 x 16"}}) {
        CAPTURE(form);
        const Case whole = of_form(c, form);
        const cuda::Source source = cuda::print(whole.program());
        CHECK(found(whole, source).empty());
        int barriers = 0;
        for (std::size_t at = 0;
             (at = source.text.find("__syncthreads();", at)) != std::string::npos; ++at)
            ++barriers;
        CHECK(barriers >= 2);
        for (int b = 0; b < barriers; ++b) {
            CAPTURE(b);
            cuda::Source other = source;
            replace_nth(other.text, "__syncthreads();", "", b);
            CHECK(!found(whole, other).empty());
        }
    }
}

TEST_CASE("emulator: what is written beside a buffer, or not at all, is found") {
    const Expr x = vector<float>("x", {100});
    const Case c = case_of("twice", "twice", {x}, {Generator(1).uniform({100}, -1, 1)}, {x * 2});
    const cuda::Source source = cuda::print(c.program());
    CHECK(found(c, source).empty());
    const std::string store = fmt::format("{}[", "mul1_1");
    REQUIRE(source.text.find(store) != std::string::npos);
    for (const auto& [change, expected] : {std::pair{"1 + ", "writes outside of"},
                                           {"-1 + ", "writes outside of"},
                                           {"0 * ", "should be"}}) {
        cuda::Source other = source;
        replace_nth(other.text, store, store + change, 0);
        CAPTURE(change);
        CHECK(found(c, other).find(expected) != std::string::npos);
    }
    // Threads that do not all come to a barrier.
    const Case whole = of_form(reduction(), "team of 64,");
    cuda::Source some = cuda::print(whole.program());
    replace_nth(some.text, "__syncthreads();", "if (threadIdx.x != 3) __syncthreads();", 0);
    CHECK(!found(whole, some).empty());
    replace_nth(some.text, "if (threadIdx.x != 3) __syncthreads();",
                "__syncthreads(); if (threadIdx.x == 3) return;", 0);
    CHECK(found(whole, some).find("wait for others that do not come") != std::string::npos);
    // Behind the shared memory of a block.
    cuda::Source behind = cuda::print(whole.program());
    replace_nth(behind.text, "__syncthreads();", "all_acc0_3[64 + 10] = 1.0f; __syncthreads();", 0);
    const std::string error = found(whole, behind);
    CAPTURE(behind.text);
    CHECK(error.find("behind its block's shared memory") != std::string::npos);
}

TEST_CASE("emulator: shared objects are kept on disk, and what is damaged is made anew") {
    const Expr x = vector<float>("x", {30});
    const Case c = case_of("kept", "kept", {x}, {Generator(1).uniform({30}, -1, 1)}, {x * 3 - 1});
    const cuda::Source source = cuda::print(c.program());
    const EmulatorOptions way = ordered(ThreadOrder::round_robin);
    const std::string file = EmulatorDriver(way).compiler().file_for(EmulatorDriver::text(source));
    CHECK(!std::filesystem::exists(file));
    CHECK(found(c, source).empty());
    REQUIRE(std::filesystem::exists(file));
    // A file that is written anew is another one; one that is used is marked as such.
    std::filesystem::create_hard_link(file, file + ".same");
    CHECK(found(c, source).empty());
    CHECK(std::filesystem::equivalent(file, file + ".same"));
    std::filesystem::remove(file + ".same");
    const auto size = std::filesystem::file_size(file);
    for (const std::uintmax_t left : {size / 2, std::uintmax_t{10}, std::uintmax_t{0}}) {
        std::filesystem::resize_file(file, left);
        CHECK(found(c, source).empty());
        CHECK(std::filesystem::file_size(file) == size);
    }
}

TEST_CASE("emulator: without a compiler the error says what to do") {
    const auto message = [](const char* compiler, const char* path) {
        const char* old = std::getenv("PATH");
        const std::string kept = old ? old : "";
        ::setenv("PATH", path, 1);
        if (compiler) ::setenv("ARETE_EMULATOR_CXX", compiler, 1);
        std::string said = message_of([] {
            const Expr x = vector<float>("x", {3});
            (void)function({.inputs = {x}, .outputs = {x + 1}, .device = "emulator"})(
                std::vector<float>{1, 2, 3});
        });
        ::setenv("PATH", kept.c_str(), 1);
        ::unsetenv("ARETE_EMULATOR_CXX");
        return said;
    };
    CHECK(message(nullptr, "/nowhere").find("install g++ or clang++") != std::string::npos);
    CHECK(message("/no/such/compiler", "/usr/bin").find("ARETE_EMULATOR_CXX=/no/such/compiler") !=
          std::string::npos);
    CHECK(message("/bin/false", "/usr/bin").find("'/bin/false' does not compile") !=
          std::string::npos);
}

TEST_CASE("emulator: what the environment says of it") {
    const auto message = [](const char* variable, const char* value) {
        ::setenv(variable, value, 1);
        std::string said = message_of([] { (void)open_device({.device = "emulator"}); });
        ::unsetenv(variable);
        return said;
    };
    CHECK(message("ARETE_EMULATOR_ORDER", "reversed").empty());
    CHECK(message("ARETE_EMULATOR_ORDER", "sideways").find("round-robin, reversed or by-warp") !=
          std::string::npos);
    CHECK(message("ARETE_CARD", "b200").empty());
    CHECK(message("ARETE_CARD", "voodoo").find("there are a100, h100, h200, rtx4090, b200") !=
          std::string::npos);
}

TEST_CASE("emulator: dumps and the report show CUDA") {
    const Expr x = vector<float>("x", {30});
    const std::string dumps = folder() + "/dumps", page = folder() + "/page.html";
    Options options;
    options.device = "emulator";
    options.cache_dir.clear();
    options.dump = parse_stages("cuda");
    options.dump_dir = dumps;
    const Function f =
        function({.inputs = {x}, .outputs = {x * 3}, .name = "thrice", .options = options});
    CHECK(f(Generator(1).uniform({30}, 0, 1))[0].size() == 30);
    const auto text = [](const std::string& file) {
        std::stringstream all;
        all << std::ifstream(file).rdbuf();
        return all.str();
    };
    std::string dumped;
    for (const auto& entry : std::filesystem::directory_iterator(dumps))
        dumped += text(entry.path().string());
    CHECK(dumped.find("__global__") != std::string::npos);
    CHECK(dumped.find("thrice_k0_") != std::string::npos);
    CHECK(dumped.find("test_emulator.cpp:") != std::string::npos);
    f.report(page);
    CHECK(text(page).find("__global__") != std::string::npos);
}

TEST_CASE("sources: as bytes and back") {
    const cuda::Source source = cuda::print(product().program());
    REQUIRE(!source.kernels.empty());
    const std::string bytes = cuda::to_bytes(source);
    CHECK(cuda::source_from(bytes) == source);
    for (const std::string& bad :
         {std::string(), std::string("arete-cuda-1 9 9"), bytes.substr(0, 30), "x" + bytes})
        CHECK_THROWS_AS((void)cuda::source_from(bad), CompileError);
}

// What LLVM gets wrong: the reduced modules in tests/llvm, the workarounds that keep such forms
// from it, and what becomes of LLVM's own failures.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "runtime/cpu/jit.h"
#include "tests/support.h"
#include "tests/targets.h"

using namespace arete;
using test::message_of;
namespace fs = std::filesystem;

namespace {

constexpr const char* levels[] = {"baseline", "avx2", "avx512"};

bool runs_here(const std::string& level) {
    return message_of([&] { (void)host_machine(level); }).empty();
}

// A module of tests/llvm and what its comment says of it.
struct Case {
    std::string name, text, workaround, level;
    std::vector<double> expected;
};

std::string field(const std::string& text, const std::string& name) {
    const std::string head = "; " + name + ": ";
    const std::size_t at = text.find(head);
    if (at == std::string::npos) return {};
    return text.substr(at + head.size(), text.find('\n', at) - at - head.size());
}

std::vector<Case> cases() {
    std::vector<fs::path> files;
    for (const auto& f : fs::directory_iterator(fs::path(ARETE_SOURCE_DIR) / "tests" / "llvm"))
        if (f.path().extension() == ".ll") files.push_back(f.path());
    std::sort(files.begin(), files.end());
    std::vector<Case> out;
    for (const fs::path& file : files) {
        std::stringstream text;
        text << std::ifstream(file).rdbuf();
        Case c{file.stem().string(), text.str(), {}, {}, {}};
        c.workaround = field(c.text, "Workaround");
        c.level = field(c.text, "Level");
        std::stringstream numbers(field(c.text, "Expected"));
        for (std::string n; numbers >> n;) c.expected.push_back(std::strtod(n.c_str(), nullptr));
        out.push_back(std::move(c));
    }
    return out;
}

// Runs `step` on the numbers 1, 2, ... and compares what it writes.
bool right(const std::string& object, const Case& c) {
    constexpr std::size_t around = 64;
    std::vector<double> in(3 * around, -7), out(3 * around, -7);
    for (std::size_t k = 0; k < around; ++k) in[around + k] = static_cast<double>(k + 1);
    void* table[] = {in.data() + around, out.data() + around};
    StepContext context;
    NativeProgram(object, host_machine(c.level)).step()(table, &context);
    for (std::size_t k = 0; k < c.expected.size(); ++k) {
        const double is = out[around + k], should = c.expected[k];
        if (!(is == should || (std::isnan(is) && std::isnan(should)))) return false;
    }
    return true;
}

enum Outcome { Right, Wrong, Refused };

// In a process of its own, which LLVM may leave in any state. The exit status, or minus a signal.
template <class F>
int in_child(F&& f) {
    const pid_t child = fork();
    if (child == 0) {
        // Neither this process's reports nor its destructors.
        _exit(f());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

CompileRequest request(std::vector<Expr> inputs, std::vector<Expr> outputs, const Machine& m) {
    CompileRequest r{.inputs = std::move(inputs), .outputs = std::move(outputs)};
    r.name = "f";
    r.target = cpu_target(m);
    r.options = Options::from_environment();
    for (const Expr& e : r.inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    return r;
}

// Masked loads of 32 or 64 bits an element in a module's text.
int masked_loads(const std::string& ir) {
    int out = 0;
    for (const char* type : {"f32", "f64", "i32", "i64"})
        for (std::size_t at = 0; (at = ir.find("@llvm.masked.load.v", at)) != std::string::npos;
             ++at) {
            const std::size_t line = ir.rfind('\n', at) + 1;
            if (ir.compare(line, 7, "declare") == 0) continue;
            out += ir.substr(at, 32).find(type) != std::string::npos;
        }
    return out;
}

}  // namespace

TEST_CASE("llvm faults: reduced modules are found, mended, and right") {
    const std::vector<Case> all = cases();
    REQUIRE(all.size() >= 6);
    for (const Case& c : all) {
        CAPTURE(c.name);
        REQUIRE_FALSE(c.expected.empty());
        LlvmModule module = LlvmModule::parse(c.text, described_machine(c.level));
        const std::vector<std::string> found = module.faulty_forms();
        REQUIRE_FALSE(found.empty());
        for (const std::string& f : found) CHECK(f == c.workaround);
        module.work_around();
        CHECK(module.faulty_forms().empty());
        const std::string object = module.object();
        CHECK(object.size() > 100);
        if (runs_here(c.level)) CHECK(right(object, c));
        // A processor with wider vectors, and one that does without the workaround.
        for (const char* level : levels) {
            LlvmModule other = LlvmModule::parse(c.text, described_machine(level));
            other.work_around();
            CHECK(other.object().size() > 100);
        }
        LlvmModule arm = LlvmModule::parse(c.text, described_machine("aarch64"));
        arm.work_around();
        CHECK(arm.object().size() > 100);
    }
}

// For information: once a new LLVM gets all of a workaround's modules right, it can go.
TEST_CASE("llvm faults: what this LLVM does without the workarounds") {
    for (const Case& c : cases()) {
        const int outcome = in_child([&] {
            std::string object;
            try {
                object = LlvmModule::parse(c.text, described_machine(c.level)).object();
            } catch (const CompileError&) {
                return Refused;
            }
            return !runs_here(c.level) || right(object, c) ? Right : Wrong;
        });
        const std::string what = outcome == Right     ? "right, as far as this processor can tell"
                                 : outcome == Wrong   ? "wrong code"
                                 : outcome == Refused ? "LLVM dies of it"
                                                      : "the process dies of it";
        MESSAGE("LLVM ", llvm_version(), ", ", c.name, " (", c.workaround, "): ", what);
        // Whatever LLVM does, the process lives.
        CHECK(outcome >= 0);
    }
}

TEST_CASE("llvm faults: an error inside of LLVM is a CompileError, and the next module compiles") {
    const Machine m = described_machine("baseline");
    const auto step = [](const std::string& body, const std::string& more) {
        return "define i64 @step(ptr %t, ptr %c) {\n" + body + "  ret i64 0\n}\n" + more;
    };
    const std::string
        fatal = step(
            "  %v = load <2 x i64>, ptr %t\n"
            "  %w = call <2 x i64> @llvm.x86.aesni.aesenc(<2 x i64> %v, <2 x i64> %v)\n"
            "  store <2 x i64> %w, ptr %t\n",
            "declare <2 x i64> @llvm.x86.aesni.aesenc(<2 x i64>, <2 x i64>)\n"),
        reported = step("  call void asm sideeffect \"no such thing\", \"\"()\n", "");
    for (int k = 0; k < 3; ++k) {
        for (const std::string& text : {fatal, reported}) {
            const std::string message =
                message_of([&] { (void)LlvmModule::parse(text, m).object(); });
            CHECK(message.find("LLVM " + llvm_version() + " cannot compile") == 0);
            CHECK_THROWS_AS((void)LlvmModule::parse(text, m).object(), CompileError);
        }
        CHECK(LlvmModule::parse(step("", ""), m).object().size() > 100);
    }
    CHECK(message_of([&] { (void)LlvmModule::parse(fatal, m).object(); }).find("Cannot select") !=
          std::string::npos);
}

TEST_CASE("llvm faults: the user's lines are in the message") {
    const auto x = vector<double>("x", {100});
    Machine m = described_machine("baseline");
    m.features = "-64bit";  // which LLVM refuses by a fatal error
    const int line = __LINE__ + 1;
    const Expr y = exp(x) + 1;
    const Compiled c = compile(request({x}, {y}, m));
    const std::string message = message_of([&] {
        LlvmModule module(c.program, m);
        module.optimize(true);
        (void)module.object();
    });
    CHECK_MESSAGE(message.find(fmt::format("test_llvm_faults.cpp:{}: LLVM", line)) == 0, message);
}

TEST_CASE("llvm faults: signals that are not LLVM's reach whom they are for") {
    static volatile std::sig_atomic_t seen = 0;
    struct sigaction own = {}, old = {};
    own.sa_handler = [](int) { seen = 1; };
    sigaction(SIGFPE, &own, &old);
    const auto x = vector<double>("x", {1000});
    std::thread other([] {
        for (int k = 0; k < 200; ++k) {
            raise(SIGFPE);
            std::this_thread::yield();
        }
    });
    const Compiled c = compile(request({x}, {sin(x) + exp(x)}, described_machine("avx2")));
    LlvmModule module(c.program, described_machine("avx2"));
    module.optimize(true);
    CHECK(module.object().size() > 100);
    other.join();
    CHECK(seen == 1);
    struct sigaction now = {};
    sigaction(SIGFPE, &old, &now);
    const bool same = now.sa_handler == own.sa_handler;
    CHECK(same);
}

// The samples of all ops, for processors that this one need not be.
TEST_CASE("llvm faults: what is made of each op has none of these forms, at any level") {
    int modules = 0, instructions = 0;
    std::size_t number = 0;
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->samples) continue;
        for (const Sample& sample : op->samples()) {
            const DType t = ++number % 2 ? DType::F64 : DType::F32;
            const test::Drawn drawn = test::draw(sample, t, number);
            Expr e = sample.build(drawn.leaves);
            std::vector<Expr> outputs{e};
            // Bools of f64, and the quotient of two padded values: wide vectors, guarded operands.
            if (e.rank() >= 2 && e.dtype() == DType::F64)
                outputs.push_back(pad2d(e / (e + 1), 1, 2) > 0.5);
            for (std::size_t k = 0; k < 4; ++k) {
                if (k != number % 4 && k != 1) continue;  // one of them, and avx2
                const Machine m =
                    k < 3 ? described_machine(levels[k]) : described_machine("aarch64");
                INFO(op->info.name, ", ", sample.name, ", ", m.cpu);
                CompileRequest r = request(drawn.leaves, outputs, m);
                r.quick = number % 3 == 0;
                const Compiled c = compile(r);
                LlvmModule module(c.program, m);
                module.optimize(true);
                CHECK(module.faulty_forms().empty());
                if (k == 1) CHECK(masked_loads(module.ir()) == 0);
                instructions += module.ir().find("x86.avx.maskload") != std::string::npos;
                CHECK(module.object().size() > 100);
                ++modules;
            }
        }
    }
    CHECK(modules > 300);
    CHECK(instructions > 20);
}

TEST_CASE("llvm faults: nor has what other workarounds put in the place of a form") {
    for (const DType t : {DType::F32, DType::F64})
        for (const std::int64_t n : {3, 4, 5, 8}) {
            const Expr x = tensor(t, 2, "x", {n, n});
            const Expr slope = grad(sum(sin(cholesky(x))), x);
            const std::vector<Expr> outputs{grad(sum(sin(slope)), x), grad(sum(sqr(slope)), x)};
            for (const char* level : {"baseline", "avx2", "avx512_256", "avx512"}) {
                const Machine m = described_machine(level);
                INFO(n, ", ", level);
                LlvmModule module(compile(request({x}, outputs, m)).program, m);
                module.optimize(true);
                CHECK(module.faulty_forms().empty());
            }
        }
}

TEST_CASE("llvm faults: products of widened numbers, in vectors of any length") {
    for (const std::int64_t n : {1, 2, 3, 5, 8, 12, 16, 31, 32, 100}) {
        CAPTURE(n);
        Array a(DType::I32, {n}), b(DType::I32, {n});
        for (std::int64_t i = 0; i < n; ++i) {
            a.data<std::int32_t>()[i] =
                static_cast<std::int32_t>(i % 2 ? -1000003 * i : 1000003 * i);
            b.data<std::int32_t>()[i] = static_cast<std::int32_t>(70000 + 7 * i);
        }
        const Expr x = tensor(DType::I32, 1, "x", {n}), y = tensor(DType::I32, 1, "y", {n});
        const Expr product = cast(x, DType::I64) * cast(y, DType::I64);
        const Expr turned = cast(x(slice(none, none, -1)), DType::I64) * cast(y, DType::I64);
        const auto f = function({.inputs = {x, y},
                                 .outputs = {product > 0, cast(product, DType::F32), product,
                                             where(turned < 0, x, y)}});
        const std::vector<Array> out = f(a, b);
        bool right = true;
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t u = a.data<std::int32_t>()[i], v = b.data<std::int32_t>()[i],
                               t = a.data<std::int32_t>()[n - 1 - i];
            right = right && (out[0].as_int(i) != 0) == (u * v > 0) &&
                    out[1].data<float>()[i] == static_cast<float>(u * v) &&
                    out[2].data<std::int64_t>()[i] == u * v &&
                    out[3].as_int(i) == (t * v < 0 ? u : v);
        }
        CHECK(right);
    }
}

// Modules in parts: each function is in one of them, and what is linked from them computes the same.
#include <set>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "runtime/cpu/jit.h"
#include "tests/cpu/machines.h"

using namespace arete;

namespace {

// Products and reductions of many different sizes: as many kernels, some of them parallel loops.
Expr many_kernels(const Expr& x, int n) {
    Expr e = x;
    for (int k = 0; k < n; ++k) {
        const Array w = Generator(static_cast<std::uint64_t>(k)).normal({40 + k, 41 + k}, 0, 0.1);
        e = tanh(dot(e, constant(w))) + mean(e) * 0.1f;
    }
    return e;
}

std::set<std::string> defined(const std::string& ir) {
    std::set<std::string> out;
    for (std::size_t at = ir.find("\ndefine "); at != std::string::npos;
         at = ir.find("\ndefine ", at + 1)) {
        const std::size_t name = ir.find('@', at);
        CHECK(out.insert(ir.substr(name, ir.find('(', name) - name)).second);
    }
    return out;
}

}  // namespace

TEST_CASE("modules in parts: every function is in one part, and parts are of about equal size") {
    const Expr x = matrix<float>("x", {3000, 40});
    CompileRequest r;
    r.name = "f";
    r.inputs = {x};
    r.outputs = {many_kernels(x, 30)};
    r.binding.sizes[x.node().id] = {3000, 40};
    const Machine machine = described_machine("avx2");
    r.target = cpu_target(machine);
    LlvmModule whole(compile(r).program, machine);
    const std::set<std::string> all = defined(whole.ir());
    CHECK(all.size() > 40);
    std::vector<LlvmModule> parts = std::move(whole).in_parts();
    REQUIRE(parts.size() > 2);
    std::set<std::string> together;
    std::size_t largest = 0, total = 0;
    for (const LlvmModule& part : parts) {
        const std::string ir = part.ir();
        largest = std::max(largest, ir.size());
        total += ir.size();
        for (const std::string& name : defined(ir)) CHECK(together.insert(name).second);
    }
    CHECK(together == all);
    CHECK(largest < 2 * total / parts.size());

    const Expr y = vector<float>("y", {100});
    r.inputs = {y};
    r.outputs = {y + 1.0f};
    r.binding.sizes[y.node().id] = {100};
    CHECK(LlvmModule(compile(r).program, machine).in_parts().size() == 1);
}

TEST_CASE("modules in parts: several threads compile what one does") {
    const Expr x = matrix<float>("x", {2000, 40});
    const Expr y = many_kernels(x, 25);
    const auto g = grad(sum(sqr(y)), x);
    const Array v = Generator(3).normal({2000, 40}, 0, 1);
    std::vector<std::vector<Array>> results;
    for (const int threads : {1, 2, 5}) {
        Options o;
        o.cache_dir.clear();
        o.num_threads = threads;
        const auto f = function({.inputs = {x}, .outputs = {y, g}, .options = o});
        results.push_back(f(v));
    }
    for (std::size_t k = 1; k < results.size(); ++k)
        for (std::size_t i = 0; i < 2; ++i) CHECK(results[k][i].equals(results[0][i]));
}

TEST_CASE("modules in parts: what is no archive of objects is refused") {
    const Machine machine = host_machine();
    CHECK_THROWS_AS(NativeProgram("!<arch>\nnot one", machine), CompileError);
    CHECK_THROWS_AS(NativeProgram("nothing", machine), CompileError);
    CHECK_THROWS_AS(NativeProgram(LlvmModule::joined({"a", "b"}), machine), CompileError);
}

// Kernels of several nests, where simplifying has left a nest's parameter without a reader.
#include <doctest/doctest.h>

#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/schedule.h"
#include "tests/support.h"

using namespace arete;
using loops::Index;

namespace {

std::vector<double> numbers(const Array& a) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < a.size(); ++i) out.push_back(a.as_double(i));
    return out;
}

constexpr Mode modes[] = {Mode::fast_compile, Mode::fast_run, Mode::interpret, Mode::debug,
                          Mode::nan_guard};

}  // namespace

TEST_CASE("splice: choices between one value read no condition") {
    const std::vector<double> start{1, 2, 3, 4}, step{4, 3, 2, 1}, signs{-1, 0, 1, 2};
    for (Mode mode : modes) {
        CAPTURE(static_cast<int>(mode));
        const Shared s = shared(start, "s"), t = shared(start, "t"), r = shared(start, "r");
        const Expr x = vector<double>("x", {4}), u = vector<double>("u", {4});
        // u is an argument, a value of another kernel, and one of the same.
        const Expr far = sum(outer(u, u), 1);
        const Function f =
            function({.inputs = {x, u},
                      .outputs = {where(far > 0, x, x), far},
                      .updates = {{s, s - x},
                                  {t, where(u > 0, t, t)},
                                  {r, where(far > 1, r, r) + where(u * x > 0, x, x)}},
                      .mode = mode});
        for (int k = 1; k <= 2; ++k) {
            const std::vector<Array> got = f(step, signs);
            CHECK(numbers(got[0]) == step);
            CHECK(numbers(got[1]) == std::vector<double>{-2, 0, 2, 4});
            for (std::size_t i = 0; i < 4; ++i) {
                CHECK(numbers(s.get_value())[i] == start[i] - k * step[i]);
                CHECK(numbers(t.get_value())[i] == start[i]);
                CHECK(numbers(r.get_value())[i] == start[i] + k * step[i]);
            }
        }
    }
}

TEST_CASE("splice: a step of nests with parameters that none of them reads") {
    // Two nests, both with a parameter too many, of slots that the step has not.
    Program program;
    program.name = "p";
    for (int k = 0; k < 4; ++k)
        program.slots.push_back({Slot::Kind::Input, k, 0, DType::F64, {8}, "a"});
    KernelStep step;
    step.slots = {SlotId(0), SlotId(1), SlotId(2)};
    for (int k = 0; k < 2; ++k) {
        Part p;
        p.nest.name = "n";
        for (int b = 0; b < 3; ++b) p.nest.add_buffer({"b", DType::F64, {8}});
        const loops::Var i = p.nest.add_var("i", 8);
        p.nest.axes = {i};
        const loops::Value v = p.nest.load(loops::BufferId(0), Index::var(i)) + 1.0;
        p.nest.stores.push_back({loops::BufferId(2), Index::var(i), v.id, {}});
        p.slots = {SlotId(k), SlotId(3), SlotId(k + 1)};
        step.parts.push_back(std::move(p));
    }
    Machine m;
    m.vector_bytes = 32;
    const loops::Kernel kernel = schedule(step, program, m);
    loops::verify(kernel);
    std::vector<double> a(8, 1), b(8, 0), c(8, 0);
    IdVector<loops::BufferId, void*> pointers{a.data(), b.data(), c.data()};
    pointers.resize(kernel.buffers.size(), nullptr);
    CHECK_FALSE(loops::interpret(kernel, pointers).failed);
    CHECK(b == std::vector<double>(8, 2));
    CHECK(c == std::vector<double>(8, 3));

    // One that is read is an error of the compiler, told as such.
    KernelStep wrong = step;
    wrong.slots = {SlotId(1), SlotId(2)};
    CHECK_THROWS_AS((void)schedule(wrong, program, m), InternalError);
}

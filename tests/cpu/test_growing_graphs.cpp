// No graph costs more than a small multiple of computing every node once.
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "compiler/loops/kernel.h"
#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "tests/cpu/machines.h"
#include "tests/growing.h"
#include "tests/unit/programs.h"

using namespace arete;
using namespace arete::test;

namespace {

/// Instructions of all nests of a program: what is emitted, before tiles repeat it.
std::size_t instructions(const Program& p) {
    std::size_t out = 0;
    for (const Step& s : p.steps)
        for (const Part& part : parts_of(s)) {
            std::vector<loops::ValueId> roots;
            for (const loops::Accumulator& a : part.nest.accumulators) roots.push_back(a.element);
            for (const loops::StoreTo& t : part.nest.stores) roots.push_back(t.value);
            out += needed(part.nest, roots).size();
        }
    return out;
}

/// The same times the iterations of each nest.
double work(const Program& p) {
    double out = 0;
    for (const Step& s : p.steps)
        for (const Part& part : parts_of(s)) {
            std::vector<loops::ValueId> roots;
            for (const loops::Accumulator& a : part.nest.accumulators) roots.push_back(a.element);
            for (const loops::StoreTo& t : part.nest.stores) roots.push_back(t.value);
            double iterations = 1;
            for (std::int64_t extent : part.nest.extents) iterations *= static_cast<double>(extent);
            out += iterations * static_cast<double>(needed(part.nest, roots).size());
        }
    return out;
}

Program program_of(const Mirror& from, const Expr& e) {
    return program({from.e}, {e});
}

}  // namespace

TEST_CASE("growing graphs: work grows with the number of steps, and results are right") {
    const Mirror x = mirror_input("x", some_values(77));
    Array input(DType::F64, {77});
    std::copy(x.v.begin(), x.v.end(), input.data<double>());
    for (const Growth& kind : growths()) {
        CAPTURE(kind.name);
        const Program one = program_of(x, kind.step(kind.step(x, 0), 1).e);
        for (const int steps : {7, 40, 200}) {
            CAPTURE(steps);
            const Mirror e = grown(kind, x, steps);
            const Program p = program_of(x, e.e);
            // Of two steps, each has half.
            CHECK(static_cast<double>(instructions(p)) <
                  2.5 * steps * static_cast<double>(instructions(one)) + 100);
            CHECK(work(p) < 2.5 * steps * work(one) + 10000);
            auto f = function({.inputs = {x.e}, .outputs = {e.e}, .mode = Mode::interpret});
            const Array y = f(input)[0];
            double apart = 0, size = 1e-30;
            for (std::size_t i = 0; i < e.size(); ++i) {
                apart = std::max(apart, std::fabs(y.data<double>()[i] - e.v[i]));
                size = std::max(size, std::fabs(e.v[i]));
            }
            CHECK(apart < 1e-9 * size);
        }
    }
}

namespace {

/// Functions for kernels in the LLVM IR of a function's native program.
std::size_t compiled_kernels(const std::vector<Expr>& inputs, const Expr& output) {
    CompileRequest r;
    r.name = "f";
    for (const Expr& e : inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    r.inputs = inputs;
    r.outputs = {output};
    const Machine machine = described_machine("baseline");
    r.target = cpu_target(machine);
    const std::string ir = LlvmModule(compile(r).program, machine).ir();
    std::size_t out = 0;
    for (std::size_t at = ir.find("define internal void @k"); at != std::string::npos;
         at = ir.find("define internal void @k", at + 1)) {
        // Each step has a small function of its own that cuts a loop over threads.
        const std::string name = ir.substr(at, ir.find('(', at) - at);
        out += name.find("_chunk") == std::string::npos;
    }
    return out;
}

std::vector<Array> arrays(std::size_t n, const Sizes& sizes) {
    std::vector<Array> out;
    for (std::size_t k = 0; k < n; ++k) {
        Array a(DType::F32, sizes);
        for (std::int64_t i = 0; i < a.size(); ++i)
            a.data<float>()[i] = static_cast<float>(100 * k) + static_cast<float>(i);
        out.push_back(std::move(a));
    }
    return out;
}

}  // namespace

TEST_CASE("growing graphs: equal kernels are compiled once") {
    const auto x = vector<float>("x", {100000});
    Expr e = x;
    for (int k = 0; k < 200; ++k) e = sin(e) + x;
    CHECK(compiled_kernels({x}, e) <= 8);
    std::vector<Expr> inputs;
    std::vector<Operand> rows;
    for (int k = 0; k < 100; ++k) {
        inputs.push_back(vector<float>(fmt::format("x{}", k), {100000}));
        rows.emplace_back(inputs.back());
    }
    CHECK(compiled_kernels(inputs, stack(rows)) <= 2);
}

TEST_CASE("growing graphs: what joins many arrays is stored piece by piece") {
    for (const std::size_t n : {4u, 5u, 6u, 60u, 400u})
        for (const int axis : {0, 1, 2})
            for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret,
                                    Mode::debug, Mode::nan_guard}) {
                if (n > 60 && (mode == Mode::debug || axis > 0)) continue;
                CAPTURE(n);
                CAPTURE(axis);
                CAPTURE(static_cast<int>(mode));
                const std::vector<Array> values = arrays(n, {3, 2});
                std::vector<Expr> inputs;
                std::vector<Operand> parts;
                for (std::size_t k = 0; k < n; ++k) {
                    inputs.push_back(matrix<float>(fmt::format("x{}", k), {3, 2}));
                    // Pieces that are computed, that are arguments, and that are constants.
                    parts.emplace_back(k % 3 == 0   ? inputs.back() + 1.0f
                                       : k % 3 == 1 ? inputs.back()
                                                    : inputs.back() * 0.0f + 7.0f);
                }
                const Expr all = stack(parts, axis);
                auto f =
                    function({.inputs = inputs, .outputs = {all, sum(all) * 2.0f}, .mode = mode});
                const std::vector<Array> out = f.call(values);
                double total = 0;
                std::int64_t wrong = 0;
                const std::int64_t rows = 3, columns = 2, many = static_cast<std::int64_t>(n);
                for (std::int64_t k = 0; k < many; ++k)
                    for (std::int64_t r = 0; r < rows; ++r)
                        for (std::int64_t c = 0; c < columns; ++c) {
                            const std::int64_t at = axis == 0   ? (k * rows + r) * columns + c
                                                    : axis == 1 ? (r * many + k) * columns + c
                                                                : (r * columns + c) * many + k;
                            const float x = values[k].data<float>()[r * columns + c];
                            const float want = k % 3 == 0 ? x + 1 : k % 3 == 1 ? x : 7.0f;
                            total += static_cast<double>(want);
                            wrong += out[0].data<float>()[at] != want;
                        }
                CHECK(wrong == 0);
                CHECK(out[1].as_double() == doctest::Approx(2 * total).epsilon(1e-5));
            }
}

TEST_CASE("growing graphs: pieces of an update, of themselves, and empty ones") {
    auto s = shared(zeros<float>({6}), "s");
    std::vector<Operand> parts;
    // Turned round, one up: each piece reads what another one stores.
    for (int k = 5; k >= 0; --k) parts.emplace_back(s(slice(k, k + 1)) + float(k));
    auto f = function({.inputs = {}, .outputs = {sum(s)}, .updates = {{s, concatenate(parts)}}});
    f();
    const Array once = s.get_value();
    for (int k = 0; k < 6; ++k) CHECK(once.data<float>()[k] == static_cast<float>(5 - k));
    f();
    const Array twice = s.get_value();
    for (int k = 0; k < 6; ++k) CHECK(twice.data<float>()[k] == static_cast<float>(5));

    const auto x = vector<float>("x", {4}), none_of_x = vector<float>("y", {0});
    const Expr joined_up = concatenate({none_of_x, x, none_of_x, x + 1.0f, none_of_x, none_of_x});
    const Expr nothing =
        concatenate({none_of_x, none_of_x, none_of_x, none_of_x, none_of_x, none_of_x});
    auto g = function({.inputs = {x, none_of_x}, .outputs = {joined_up, nothing}});
    Array four(DType::F32, {4});
    for (int k = 0; k < 4; ++k) four.data<float>()[k] = static_cast<float>(k);
    const std::vector<Array> out = g(four, zeros<float>({0}));
    for (int k = 0; k < 8; ++k) CHECK(out[0].data<float>()[k] == static_cast<float>(k % 4 + k / 4));
    CHECK(out[1].size() == 0);
}

TEST_CASE("growing graphs: many stored pieces do not stretch what they have in common") {
    // What all pieces need is stored, once it is more than a few of them.
    const auto x = vector<float>("x", {1000});
    const Expr common = exp(x);
    std::vector<Operand> parts;
    for (int k = 0; k < 100; ++k) parts.emplace_back(common * static_cast<float>(k + 1));
    const Program p = program({x}, {concatenate(parts)});
    CHECK(instructions(p) < 100 * 8);
}

TEST_CASE("growing graphs: addresses made of values that are shared again and again") {
    // Paths from the address to the index double with each step.
    const auto x = vector<float>("x", {7}), y = vector<float>("y", {100});
    const auto i = vector<std::int64_t>("i", {100});
    Expr k = i;
    for (int step = 0; step < 60; ++step) k = mod(k * k + k + 1, 7);
    const auto f = function({.inputs = {x, y, i}, .outputs = {take(x, k) + y, sum(take(x, k))}});
    Array values(DType::F32, {7}), indices(DType::I64, {100});
    for (std::int64_t n = 0; n < 7; ++n) values.data<float>()[n] = static_cast<float>(n);
    for (std::int64_t n = 0; n < 100; ++n) indices.data<std::int64_t>()[n] = n;
    const std::vector<Array> out = f(values, zeros<float>({100}), indices);
    double total = 0;
    for (std::int64_t n = 0; n < 100; ++n) {
        std::int64_t want = n;
        for (int step = 0; step < 60; ++step) want = (want * want + want + 1) % 7;
        total += static_cast<double>(want);
        CHECK(out[0].data<float>()[n] == static_cast<float>(want));
    }
    CHECK(out[1].as_double() == total);
}

// The loop IR's verifiers and interpreter on hand-made nests and kernels.
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"

using namespace arete;
using namespace arete::loops;

namespace {

/// out[i] = in[i] + 1 over n elements, with room for variations.
struct Example {
    Nest nest;
    BufferId in, out;
    Var i;

    explicit Example(std::int64_t n, DType t = DType::F32) {
        nest.name = "example";
        in = nest.add_buffer({"in", t, {n}});
        out = nest.add_buffer({"out", t, {n}});
        i = nest.add_var("i", n);
        nest.axes = {i};
    }
    void store(Value v, const Index& at) { nest.stores.push_back({out, at, v.id, std::nullopt}); }
};

template <class F>
std::string internal_error(F f) {
    try {
        f();
    } catch (const InternalError& e) {
        return e.what();
    }
    return "no error";
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("interpret: an elementwise nest") {
    Example e(5);
    e.store(e.nest.load(e.in, Index::var(e.i)) + 1, Index::var(e.i));
    verify(e.nest);
    const Kernel k = naive(e.nest);
    verify(k);
    std::vector<float> in{1, 2, 3, 4, 5}, out(5);
    void* buffers[] = {in.data(), out.data()};
    CHECK(!interpret(k, buffers).failed);
    CHECK(out == std::vector<float>{2, 3, 4, 5, 6});
    CHECK(has(to_string(e.nest), "example"));
    CHECK(has(to_string(k), "for"));
}

TEST_CASE("interpret: reductions of every kind, of NaN too") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> inputs[] = {{3, -1, 4, -1, 4}, {3, nan, 4, nan, 5}};
    for (const Reduction r : {Reduction::Sum, Reduction::Mean, Reduction::Prod, Reduction::Max,
                              Reduction::Min, Reduction::ArgMax, Reduction::ArgMin}) {
        const bool position = r == Reduction::ArgMax || r == Reduction::ArgMin;
        for (int which = 0; which < 2; ++which) {
            INFO(std::string(name(r)));
            Nest nest;
            nest.name = "reduce";
            const BufferId in = nest.add_buffer({"in", DType::F32, {5}});
            const DType t = position ? DType::I32 : DType::F32;
            const BufferId out = nest.add_buffer({"out", t, {}});
            const Var j = nest.add_var("j", 5);
            nest.reduce_axes = {j};
            nest.accumulators = {{r, nest.load(in, Index::var(j)).id, t}};
            nest.stores.push_back({out, 0, nest.acc(AccId(0), t).id, std::nullopt});
            verify(nest);
            std::vector<float> x = inputs[which];
            float f = -7;
            std::int32_t p = -7;
            void* buffers[] = {x.data(), position ? static_cast<void*>(&p) : &f};
            interpret(naive(nest), buffers);
            const bool all = which == 0;
            switch (r) {
                case Reduction::Sum: CHECK((all ? f == 9 : f != f)); break;
                case Reduction::Mean: CHECK((all ? f == 1.8f : f != f)); break;
                case Reduction::Prod: CHECK((all ? f == 48 : f != f)); break;
                case Reduction::Max: CHECK((all ? f == 4 : f != f)); break;
                case Reduction::Min: CHECK((all ? f == -1 : f != f)); break;
                case Reduction::ArgMax: CHECK(p == (all ? 2 : 1)); break;
                case Reduction::ArgMin: CHECK(p == 1); break;
            }
        }
    }
}

TEST_CASE("interpret: the first failing check is told, and nothing is stored after it") {
    Example e(6, DType::I64);
    const Value v = e.nest.load(e.in, Index::var(e.i));
    e.nest.checks.push_back({lt(v, 10).id, 3, Index::value(v.id)});
    e.store(v * 2, Index::var(e.i));
    verify(e.nest);
    std::vector<std::int64_t> in{1, 2, 30, 4, 50, 6}, out(6, -1);
    void* buffers[] = {in.data(), out.data()};
    const Failure f = interpret(naive(e.nest), buffers);
    CHECK(f.failed);
    CHECK(f.code == 3);
    CHECK(f.element == 30);
    in[2] = in[4] = 0;
    CHECK(!interpret(naive(e.nest), buffers).failed);
    CHECK(out == std::vector<std::int64_t>{2, 4, 0, 8, 0, 12});
}

TEST_CASE("interpret: stores that combine") {
    Example e(6, DType::F64);
    const BufferId sums = e.nest.add_buffer({"sums", DType::F64, {2}});
    e.nest.sequential = true;
    const Index half = mod(Index::var(e.i), 2, e.nest.extents);
    e.nest.stores.push_back({sums, half, e.nest.load(e.in, Index::var(e.i)).id, Reduction::Sum});
    verify(e.nest);
    std::vector<double> in{1, 2, 3, 4, 5, 6}, out(6), sum{100, 200};
    void* buffers[] = {in.data(), out.data(), sum.data()};
    interpret(naive(e.nest), buffers);
    CHECK(sum == std::vector<double>{109, 212});
}

TEST_CASE("verify: addresses that can leave their buffer") {
    for (const std::int64_t offset : {1, -1}) {
        Example e(4);
        e.store(e.nest.load(e.in, Index::var(e.i) + offset), Index::var(e.i));
        const std::string message = internal_error([&] { verify(e.nest); });
        CAPTURE(message);
        CHECK(has(message, offset > 0 ? "f32[4] 'in' ranges over 1..4" : "ranges over -1..2"));
        CHECK(has(internal_error([&] { verify(naive(e.nest)); }), "ranges over"));
    }
    Example e(4);
    e.store(e.nest.load(e.in, Index::var(e.i)), Index::var(e.i) * 2);
    CHECK(has(internal_error([&] { verify(e.nest); }), "'out' ranges over 0..6"));
    // A wrapped address stays inside.
    Example w(4);
    w.store(w.nest.load(w.in, mod(Index::var(w.i) + 1, 4, w.nest.extents)), Index::var(w.i));
    CHECK(internal_error([&] { verify(w.nest); }) == "no error");
}

TEST_CASE("verify: types") {
    Example e(4);
    const BufferId wide = e.nest.add_buffer({"wide", DType::F64, {4}});
    e.nest.stores.push_back(
        {wide, Index::var(e.i), e.nest.load(e.in, Index::var(e.i)).id, std::nullopt});
    CHECK(has(internal_error([&] { verify(e.nest); }), "store of another type to wide"));

    Example f(4);
    const Value x = f.nest.load(f.in, Index::var(f.i));
    Instr bad;
    bad.op = Op::Add;
    bad.dtype = DType::F32;
    bad.args = {x.id, f.nest.constant(DType::F64, 1.0).id};
    f.store(f.nest.append(bad), Index::var(f.i));
    CHECK(has(internal_error([&] { verify(f.nest); }), "add of f32 and f64"));

    Example g(4);
    Instr select;
    select.op = Op::Select;
    select.dtype = DType::F32;
    const Value y = g.nest.load(g.in, Index::var(g.i));
    select.args = {y.id, y.id, y.id};
    g.store(g.nest.append(select), Index::var(g.i));
    CHECK(has(internal_error([&] { verify(g.nest); }), "select"));

    Example h(4);
    Instr load;
    load.op = Op::Load;
    load.dtype = DType::F64;
    load.buffer = h.in;
    load.index = Index::var(h.i);
    h.store(cast(h.nest.append(load), DType::F32), Index::var(h.i));
    CHECK(has(internal_error([&] { verify(h.nest); }), "load of another type"));
}

TEST_CASE("verify: accumulators and loops out of place") {
    Example e(4);
    const Var j = e.nest.add_var("j", 3);
    e.nest.reduce_axes = {j};
    const Value first = e.nest.acc(AccId(0), DType::F32);
    e.nest.accumulators = {{Reduction::Sum, e.nest.load(e.in, Index::var(j)).id, DType::F32},
                           {Reduction::Sum, (first + 1).id, DType::F32}};
    e.store(first, Index::var(e.i));
    CHECK(has(internal_error([&] { verify(e.nest); }), "an accumulator uses an accumulator"));
    e.nest.accumulators.pop_back();
    CHECK(internal_error([&] { verify(e.nest); }) == "no error");
    e.nest.stores[0].value = (first + e.nest.load(e.in, Index::var(j))).id;
    CHECK(has(internal_error([&] { verify(e.nest); }), "j is used outside its reduction"));

    Example p(8);
    p.store(p.nest.load(p.in, Index::var(p.i)), Index::var(p.i));
    Kernel k = naive(p.nest);
    Loop* loop = k.body[0].get_if<Loop>();
    REQUIRE(loop);
    loop->kind = LoopKind::Vector;
    loop->lanes = 4;
    CHECK(has(internal_error([&] { verify(k); }), "vector loop longer than its width"));
    loop->lanes = 8;
    CHECK(internal_error([&] { verify(k); }) == "no error");
    std::vector<float> in{1, 2, 3, 4, 5, 6, 7, 8}, out(8);
    void* buffers[] = {in.data(), out.data()};
    interpret(k, buffers);
    CHECK(out == in);
    loop->kind = LoopKind::Parallel;
    CHECK(internal_error([&] { verify(k); }) == "no error");
    const Var outer = k.add_var("outer", 2);
    k.body = {Loop{outer, LoopKind::Serial, k.body}};
    CHECK(has(internal_error([&] { verify(k); }), "inner parallel loop"));
}

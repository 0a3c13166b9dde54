// Kernels of several nests: what may share one, and that it computes what the nests do apart.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/loops/kernel.h"
#include "compiler/pipeline/compile.h"
#include "compiler/program/group.h"
#include "compiler/program/inspect.h"
#include "compiler/program/interpret.h"
#include "compiler/program/slices.h"
#include "compiler/targets/cpu/schedule.h"
#include "tests/cpu/machines.h"
#include "tests/support.h"
#include "tests/unit/programs.h"

using namespace arete;
using arete::test::difference;
using arete::test::message_of;
using arete::test::parts_of;
using arete::test::wide_vectors;
using loops::Index;

namespace {

struct Case {
    std::vector<Expr> inputs, outputs;
    std::vector<std::pair<Expr, Expr>> updates;
};

// A machine that holds little near it, and to which one more kernel is dear.
Machine narrow_near() {
    Machine m = wide_vectors();
    m.vector_bytes = 128;
    m.scratch_bytes = 48 << 10;
    m.l2_bytes = 64 << 10;
    m.launch_cycles = 4400;
    return m;
}

Compiled compiled(const Case& c, bool scheduled, const Machine& machine = {}) {
    CompileRequest r;
    r.name = "f";
    for (const Expr& e : c.inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    r.inputs = c.inputs;
    r.outputs = c.outputs;
    r.updates = c.updates;
    if (scheduled) r.target = cpu_target(machine);
    return compile(r);
}

/// Runs a program's kernels in the loop interpreter; returns outputs, then shared variables.
std::vector<Array> run(const Compiled& c, const Case& of, bool scheduled) {
    const Program& p = c.program;
    Generator random(5);
    std::map<std::pair<Slot::Kind, int>, Array> named;  // arena slots by slot, others by number
    auto key = [&](SlotId slot) {
        const Slot& s = p.slots[slot];
        return std::pair(s.kind, s.kind == Slot::Kind::Arena ? slot.number() : s.number);
    };
    std::vector<Array> memory;
    for (const Expr& e : of.inputs) {
        const Sizes sizes = concrete(e.shape());
        Array a = e.dtype() == DType::F32 ? random.uniform(sizes, -1, 1) : Array(e.dtype(), sizes);
        for (std::int64_t i = 0; e.dtype() != DType::F32 && i < a.size(); ++i)
            a.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 7);
        memory.push_back(a);
    }
    for (SlotId k : p.slots.ids()) {
        const Slot& s = p.slots[k];
        Array a(s.dtype, s.sizes);
        std::memset(a.raw(), 0xff, a.bytes());
        const auto n = static_cast<std::size_t>(s.number);
        if (s.kind == Slot::Kind::Input) a = memory[n];
        if (s.kind == Slot::Kind::Shared) a = c.shared[n].node().storage->host_value().copy();
        if (s.kind == Slot::Kind::Constant) a = c.constants[n];
        named.emplace(key(k), a);
    }
    IdVector<SlotId, void*> table;
    for (SlotId slot : p.slots.ids()) table.push_back(named.at(key(slot)).raw());
    using Loops = ProgramInterpreter::Loops;
    // Blocks do not meet, and their order does not matter.
    const ProgramInterpreter interpreter(p, scheduled ? Loops::Scheduled : Loops::Nests,
                                         {.order = loops::Order::Reversed, .conflicts = scheduled});
    CHECK(!interpreter.run(table).failed);
    std::vector<Array> out;
    for (Slot::Kind kind : {Slot::Kind::Output, Slot::Kind::Shared})
        for (const auto& [place, a] : named)
            if (place.first == kind) out.push_back(a);
    return out;
}

/// Grouped and scheduled for several machines, the program gives what its nests give one by one.
/// Returns the program of the wide machine, or of another.
Program check(const Case& c, const Machine& last = wide_vectors()) {
    const std::vector<Array> expected = run(compiled(c, false), c, false);
    REQUIRE(!expected.empty());
    for (const Machine& m : {Machine{}, narrow_near(), wide_vectors(), last}) {
        const Compiled grouped = compiled(c, true, m);
        verify_groups(grouped.program);
        const std::vector<Array> got = run(grouped, c, true);
        REQUIRE(got.size() == expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(difference(got[i], expected[i]) < 1e-5);
    }
    return compiled(c, true, last).program;
}

const KernelStep* blocked(const Program& p) {
    for (const Step& s : p.steps)
        if (s.kernel() && s.kernel()->blocks > 1) return s.kernel();
    return nullptr;
}

}  // namespace

TEST_CASE("groups: a large softmax is one kernel, a row at a time") {
    const auto x = matrix<float>("x", {64, 1500});
    const Program p = check({{x}, {softmax(x)}, {}});
    CHECK(kernel_count(p) == 1);
    REQUIRE(blocked(p));
    CHECK(blocked(p)->blocks == 64);
    // The exponentials, their sums and the maxima are never stored whole.
    CHECK(p.arena_bytes == 0);
    CHECK(blocked(p)->scratch.size() >= 2);
    CHECK(blocked(p)->slots.size() == 2);
}

TEST_CASE("groups: an elementwise chain with several outputs is one kernel") {
    const auto x = vector<float>("x", {64000});
    const Expr a = tanh(x), b = exp(a) + x;
    const Program p = check({{x}, {a, b, a * b}, {}});
    CHECK(kernel_count(p) == 1);
    REQUIRE(blocked(p));
    CHECK(blocked(p)->parts.size() == 3);
    const auto m = matrix<float>("m", {96, 700});
    const Expr c = sigmoid(m);
    CHECK(kernel_count(check({{m}, {c, c + m, sum(sqr(c), 1)}, {}})) == 1);
}

TEST_CASE("groups: cross-entropy, forward and backward, is one pass over the logits") {
    const auto x = matrix<float>("x", {64, 1500});
    const auto y = vector<std::int32_t>("y", {64});
    const Expr cost = mean(categorical_crossentropy(softmax(x), y));
    const Program p = check({{x, y}, {cost, grad(cost, {x})[0]}, {}});
    int passes = 0;
    for (const Step& s : p.steps)
        for (SlotId slot : s.slots())
            passes += p.slots[slot].kind == Slot::Kind::Input && p.slots[slot].number == 0;
    CHECK(passes == 1);
    CHECK(kernel_count(p) == 2);  // that one, which checks the labels, too, and the mean
}

TEST_CASE("groups: convolution, pooling and activation run image by image") {
    const auto x = tensor4<float>("x", {8, 3, 26, 26});
    const auto w = shared(Generator(1).normal({8, 3, 3, 3}, 0, 0.2), "w");
    const auto v = shared(Generator(2).normal({8, 8, 3, 3}, 0, 0.2), "v");
    const auto b = shared(Generator(3).normal({8}, 0, 1), "b");
    auto layer = [&](const Expr& in, const Expr& filters) {
        return relu(pool2d(conv2d(in, filters), {2, 2}) + dimshuffle(b, {'x', 0, 'x', 'x'}));
    };
    const Expr h = layer(layer(x, w), v), cost = mean(sqr(h));
    const auto g = grad(cost, {w, v});
    const Program p = check({{x}, {cost}, {{w, w - 0.1f * g[0]}, {v, v - 0.1f * g[1]}}});
    REQUIRE(blocked(p));
    CHECK(blocked(p)->blocks == 8);
    CHECK(blocked(p)->parts.size() >= 4);
    CHECK(!blocked(p)->scratch.empty());
}

TEST_CASE(
    "groups: what blocks read again stays in the second cache with all that a block touches") {
    const auto x = tensor4<float>("x", {8, 48, 12, 12});
    const auto w = shared(Generator(1).normal({48, 48, 3, 3}, 0, 0.2), "w");
    // Images are made, convolved and pooled: 138 KB for one, 81 of which are the filters.
    const Case c{{x}, {pool2d(conv2d(relu(x) + exp(x), w), {2, 2})}, {}};
    const auto planned = [&](std::int64_t l2) {
        Machine m = wide_vectors();
        m.l2_bytes = l2;
        return compiled(c, true, m).program;
    };
    // Of caches from four times the filters on, of others as far as there is room beside a block.
    for (const std::int64_t kilobytes : {512, 256, 192})
        CHECK(kernel_count(planned(kilobytes << 10)) == 1);
    CHECK(kernel_count(planned(128 << 10)) == 3);
}

TEST_CASE("groups: a sum over images is cut where nothing else needs what is summed") {
    const auto x = tensor4<float>("x", {16, 2, 13, 12});
    const Shared w = shared(Generator(1).uniform({5, 2, 4, 3}, -1, 1), "w"),
                 b = shared(Generator(2).uniform({5}, -1, 1), "b");
    const Expr pooled = pool2d(conv2d(x, w), {2, 2});
    const Expr cost = sum(sqr(relu(pooled + dimshuffle(b, {'x', 0, 'x', 'x'}))));
    const auto g = grad(cost, {w, b});
    const Case step{{x}, {cost}, {{w, w - 0.1f * g[0]}, {b, b - 0.1f * g[1]}}};
    const auto pieces = [](const Program& p) {
        std::vector<std::string> names;
        for (const Step& s : p.steps)
            for (const Part& part : parts_of(s))
                if (part.nest.name.find("_pieces") != std::string::npos)
                    names.push_back(part.nest.name);
        return names;
    };
    Machine little = wide_vectors();
    little.l1_bytes = 4 << 10;
    little.l2_bytes = 16 << 10;
    little.l3_bytes_per_cycle = 1;
    const Program p = check(step, little);
    // The gradients of the images are in one kernel with the sums over them, an image at a time.
    CHECK(!pieces(p).empty());
    const auto stored = [](const Program& q) {
        std::size_t most = 0;
        for (const Step& s : q.steps)
            for (SlotId slot : s.slots())
                if (const Slot& of = q.slots[slot]; of.kind == Slot::Kind::Arena)
                    most = std::max(most, of.bytes());
        return most;
    };
    // Every value has its place in the graph.
    const Compiled c = compiled(step, true, little);
    std::size_t nodes = 0;
    for (StepId k : c.program.steps.ids()) {
        for (const auto& values : {stored_by(c, k), read_by(c, k)})
            for (const SlotValue& v : values) CHECK_FALSE(v.value.empty());
        for (const auto& node : nodes_of_step(c, k))
            nodes += node->op->name == "conv2d_grad_weights";
    }
    CHECK(nodes == 1);
    constexpr std::size_t unpooled = 16 * 5 * 10 * 10 * sizeof(float);
    CHECK(stored(p) < unpooled);
    // What the second cache holds is read from there.
    const Program q = check(step);
    CHECK(pieces(q).empty());
    CHECK(stored(q) == unpooled);
}

TEST_CASE("groups: one pass over a weight forms the data gradient and the update") {
    const auto x = matrix<float>("x", {4, 640}), g = matrix<float>("g", {4, 500});
    const auto w = shared(Generator(1).normal({640, 500}, 0, 1), "w");
    const Program p = check({{x, g}, {dot(g, w.T())}, {{w, w - 0.1f * dot(x.T(), g)}}});
    CHECK(kernel_count(p) == 1);
    REQUIRE(blocked(p));
    const KernelStep& s = *blocked(p);
    // The reader of the old weight comes first.
    REQUIRE(s.parts.size() == 2);
    auto writes_w = [&](const Part& part) {
        for (const Access& a : accesses(part.nest))
            if (a.write && p.slots[part.slots[a.buffer]].kind == Slot::Kind::Shared) return true;
        return false;
    };
    CHECK(!writes_w(s.parts[0]));
    CHECK(writes_w(s.parts[1]));
    CHECK(p.arena_bytes == 0);
}

TEST_CASE("groups: values used in other pieces than they are made in keep kernels apart") {
    const auto x = matrix<float>("x", {400, 400});
    const Expr h = exp(x) * tanh(x);
    // The second reads columns where the first makes rows.
    const Program p = check({{x}, {h, sum(h, 0)}, {}});
    CHECK(kernel_count(p) == 2);
    CHECK(p.steps.at(StepId(1)).kernel()->boundary.find("in different pieces") != std::string::npos);
}

TEST_CASE("groups: small nests run in a row; a shared variable changes after all checks") {
    const auto x = matrix<float>("x", {8, 20});
    const auto y = vector<std::int32_t>("y", {8});
    const auto w = shared(Generator(1).normal({20, 7}, 0, 1), "w");
    const Expr cost = mean(categorical_crossentropy(softmax(dot(x, w)), y));
    const Program p = check({{x, y}, {cost}, {{w, w - 0.1f * grad(cost, {w})[0]}}});
    CHECK(kernel_count(p) == 2);
    REQUIRE(p.steps.size() == 2);
    CHECK(p.steps[StepId(0)].checks());
    CHECK(!p.steps[StepId(1)].checks());
    CHECK(p.steps[StepId(1)].kernel()->boundary.find("checked before a shared variable changes") !=
          std::string::npos);
}

TEST_CASE("groups: the verifier sees what parts must not share") {
    const auto x = matrix<float>("x", {64, 1500});
    Program p = compiled({{x}, {softmax(x)}, {}}, true, wide_vectors()).program;
    REQUIRE(p.steps.at(StepId(0)).kernel());
    REQUIRE(p.steps[StepId(0)].kernel()->blocks == 64);
    Program broken = p;
    broken.steps[StepId(0)].kernel()->parts[1].axis = {};
    CHECK(message_of([&] { verify_groups(broken); }).find("other blocks") != std::string::npos);
    broken = p;
    // A part that reads its operand from one row further on.
    loops::Nest& nest = broken.steps[StepId(0)].kernel()->parts.back().nest;
    for (loops::Instr& i : nest.values)
        if (i.op == loops::Op::Load) i.index = i.index + Index(1);
    CHECK(message_of([&] { verify_groups(broken); }).find("shared across blocks") !=
          std::string::npos);
    broken = p;
    broken.steps.push_back(broken.steps[StepId(0)]);
    CHECK(message_of([&] { verify_groups(broken); }).find("scratch of two kernels") !=
          std::string::npos);
}

TEST_CASE("slices: bounds under a guard") {
    loops::Nest n;
    n.name = "shifted";
    const loops::BufferId in = n.add_buffer({"in", DType::F32, {6, 5, 8}});
    const loops::Var i = n.add_var("i", 6), x = n.add_var("x", 12), k = n.add_var("k", 5);
    n.axes = {i, x};
    n.reduce_axes = {k};
    const loops::Value at = n.index(Index::var(x) - Index::var(k));
    const loops::Value inside = le(n.constant(DType::I64, std::int64_t{0}), at) &
                                lt(at, n.constant(DType::I64, std::int64_t{8}));
    const Index address = Index::var(i) * 40 + Index::var(k) * -9 + Index::var(x) + 32;
    const loops::Value v = n.load_if(inside, in, address);
    const Access guarded{in, &n.values[v.id].index, inside.id, false};
    CHECK(slice(n, guarded, i) == 40);
    const Access bare{in, guarded.index, {}, false};
    CHECK(!slice(n, bare, i));
    CHECK(!slice(n, guarded, x));
    const loops::Range r = bounds(n, guarded);
    CHECK(r.low == 0);
    CHECK(r.high == 239);
}

#include "tests/bench/limits.h"

#include <time.h>

#include <algorithm>
#include <limits>

#include "compiler/loops/kernel.h"
#include "compiler/program/program.h"
#include "compiler/targets/cpu/llvm/module.h"

namespace arete {

using namespace loops;

namespace {

int lanes_of(const Machine& m) {
    return m.vector_bytes / static_cast<int>(sizeof(float));
}

Stmt vector_loop(Kernel& k, int lanes, const std::function<StoreTo(const Index& lane)>& body) {
    const Var lane = k.add_var("lane", lanes);
    return Loop{lane, LoopKind::Vector, {body(Index::var(lane))}, lanes};
}

// acc[a] = step(acc[a]) for all accumulators, inside the given serial loops, from `out` and back.
// Accumulators are vectors in registers.
struct Chain {
    Kernel kernel;
    int lanes = 1;
    std::int64_t count = 1;
    loops::BufferId in, out, acc;

    Chain(const char* name, const Machine& m, std::int64_t accumulators, std::int64_t elements)
        : lanes(lanes_of(m)), count(accumulators) {
        kernel.name = name;
        in = kernel.add_buffer({"in", DType::F32, {elements}});
        out = kernel.add_buffer({"out", DType::F32, {count * lanes}});
        acc = kernel.add_buffer({"acc", DType::F32, {count * lanes}, Space::Register});
    }

    Stmt each(const std::function<StoreTo(const Index& first, const Index& lane)>& body) {
        const Var a = kernel.add_var("a", count);
        Stmt inner = vector_loop(
            kernel, lanes, [&](const Index& lane) { return body(Index::var(a) * lanes, lane); });
        return Loop{a, LoopKind::Unrolled, {std::move(inner)}};
    }

    /// A native program around `loop`, whose slots are `in` and `out`.
    std::unique_ptr<NativeProgram> compile(Stmt loop, const Machine& m) {
        kernel.body.push_back(each([&](const Index& a, const Index& lane) {
            return StoreTo{acc, a + lane, kernel.load(out, a + lane).id, {}};
        }));
        kernel.body.push_back(std::move(loop));
        kernel.body.push_back(each([&](const Index& a, const Index& lane) {
            return StoreTo{out, a + lane, kernel.load(acc, a + lane).id, {}};
        }));
        verify(kernel);
        Program program;
        program.name = kernel.name;
        for (const BufferId k : {in, out})
            program.slots.push_back({k == out ? Slot::Kind::Output : Slot::Kind::Input, 0, 0,
                                     DType::F32, kernel.buffers[k].sizes, kernel.buffers[k].name});
        KernelStep run;
        run.kernel = kernel;
        run.slots = {SlotId(0), SlotId(1)};
        Step step;
        step.action = std::move(run);
        program.steps.push_back(std::move(step));
        LlvmModule module(program, m);
        module.optimize(true);
        return std::make_unique<NativeProgram>(module.object(), m);
    }
};

// This thread's own time: when the machine runs something else does not count.
double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds_of(const NativeProgram& p, const float* in, float* out) {
    void* table[] = {const_cast<float*>(in), out};
    StepContext context;
    const double start = now();
    p.step()(table, &context);
    return now() - start;
}

double read_rate(const Machine& m, std::int64_t bytes) {
    PlainSum sum(m, bytes);
    double best = std::numeric_limits<double>::infinity();
    for (int k = 0; k < 7; ++k) best = std::min(best, sum.seconds());
    return sum.bytes() / best * 1e-9;
}

}  // namespace

PlainSum::PlainSum(const Machine& m, std::int64_t bytes) {
    constexpr std::int64_t accumulators = 8;
    const std::int64_t lanes = lanes_of(m), row = accumulators * lanes;
    const std::int64_t rows = std::max<std::int64_t>(1, bytes / (4 * row));
    passes_ = std::max<std::int64_t>(1, (std::int64_t{16} << 20) / (4 * rows * row));
    Chain c("read", m, accumulators, rows * row);
    const Var t = c.kernel.add_var("t", passes_), r = c.kernel.add_var("r", rows);
    Stmt inner = c.each([&](const Index& a, const Index& lane) {
        const Value old = c.kernel.load(c.acc, a + lane),
                    now = c.kernel.load(c.in, Index::var(r) * row + a + lane);
        return StoreTo{c.acc, a + lane, (old + now).id, {}};
    });
    Stmt loop = Loop{r, LoopKind::Serial, {std::move(inner)}};
    if (passes_ > 1) loop = Loop{t, LoopKind::Serial, {std::move(loop)}};
    program_ = c.compile(std::move(loop), m);
    in_.assign(static_cast<std::size_t>(rows * row), 1e-3F);
    out_.assign(static_cast<std::size_t>(row), 0);
}

double PlainSum::seconds() {
    return seconds_of(*program_, in_.data(), out_.data()) / static_cast<double>(passes_);
}

double PlainSum::bytes() const {
    return static_cast<double>(in_.size() * sizeof(float));
}

Limits::Limits(const Machine& machine) : machine_(machine) {
    constexpr std::int64_t steps = 20000;
    // As many chains as leave a few registers free; more than latency times throughput asks for.
    const std::int64_t chains = machine.vector_registers - 4;
    Chain c("fma", machine, chains, 2 * lanes_of(machine));
    const Var n = c.kernel.add_var("n", steps);
    Stmt inner = c.each([&](const Index& a, const Index& lane) {
        const Value old = c.kernel.load(c.acc, a + lane), x = c.kernel.load(c.in, lane),
                    y = c.kernel.load(c.in, Index(c.lanes) + lane);
        return StoreTo{c.acc, a + lane, muladd(x, y, old).id, {}};
    });
    fma_ = c.compile(Loop{n, LoopKind::Serial, {std::move(inner)}}, machine);
    flops_ = 2.0 * static_cast<double>(steps * chains * c.lanes);
    registers_.assign(static_cast<std::size_t>((2 + chains) * c.lanes), 0.5F);
}

const std::vector<Limits::Level>& Limits::levels() {
    if (!levels_.empty()) return levels_;
    const auto level = [&](const char* name, std::int64_t capacity) {
        // Half of it, for a footprint of exactly its size is not held.
        levels_.push_back({name, capacity, read_rate(machine_, capacity / 2)});
    };
    level("L1", machine_.l1_bytes);
    level("L2", machine_.l2_bytes);
    level("L3", machine_.l3_bytes);
    levels_.push_back({"memory", std::numeric_limits<std::int64_t>::max(),
                       read_rate(machine_, std::clamp<std::int64_t>(6 * machine_.l3_bytes, 64 << 20,
                                                                    512 << 20))});
    return levels_;
}

double Limits::fma_gflops() const {
    std::vector<float> sums(registers_.size());
    double best = std::numeric_limits<double>::infinity();
    for (int k = 0; k < 4; ++k)
        best = std::min(best, seconds_of(*fma_, registers_.data(), sums.data()));
    return flops_ / best * 1e-9;
}

double Limits::read_gbytes(std::int64_t bytes) {
    for (const Level& l : levels())
        if (bytes <= l.bytes) return l.gbytes;
    return levels_.back().gbytes;
}

double Limits::least_seconds(double flops, double bytes, double fma_gflops) {
    return 1e-9 *
           std::max(flops / fma_gflops, bytes / read_gbytes(static_cast<std::int64_t>(bytes)));
}

}  // namespace arete

// What becomes of kernels for GPUs that a processor is asked to run.
#include <string>

#include <doctest/doctest.h>

#include "compiler/targets/cpu/llvm/module.h"
#include "tests/unit/grid_kernels.h"

using namespace arete;
using namespace arete::loops;
using namespace arete::test;

TEST_CASE("LLVM: what is for GPUs alone is refused by name") {
    const auto printed = [](const Kernel& kernel) {
        Program program;
        program.name = kernel.name;
        program.slots.push_back({Slot::Kind::Output, 0, 0, DType::F32, {8}, "out"});
        KernelStep run;
        run.kernel = kernel;
        run.slots = {SlotId(0)};
        Step step;
        step.action = std::move(run);
        program.steps.push_back(std::move(step));
        return error_of([&] { LlvmModule(program, Machine{}); });
    };
    Variation v;
    v.kernel.body = {v.store()};
    CHECK(printed(v.kernel) == "no error");
    v.head({{LoopKind::Grid, v.b, 0}}, {v.store()});
    CHECK(has(printed(v.kernel), "odd: 'grid x for b in 0..4:' is for GPUs only"));
    v.head({{LoopKind::Block, v.t, 0}}, {v.store()});
    CHECK(has(printed(v.kernel), "odd: 'block x for t in 0..8:' is for GPUs only"));
    v.head({{LoopKind::Warp, v.t, 0}}, {v.store()});
    CHECK(has(printed(v.kernel), "odd: 'warp for t in 0..8:' is for GPUs only"));
    v.kernel.body = {v.store(), Barrier{}};
    CHECK(has(printed(v.kernel), "odd: 'barrier of the block' is for GPUs only"));
    v.kernel.body = {If{v.kernel.constant(DType::Bool, 1.0).id, {v.store()}}};
    CHECK(has(printed(v.kernel), "odd: 'if true:' is for GPUs only"));
    v.shared("kept", {4});
    v.kernel.body = {v.store()};
    CHECK(has(printed(v.kernel), "odd: 'shared kept' is for GPUs only"));
}

// Schedules for cards, without any CUDA: every form of every nest is well-formed, free of races and
// computes what the nest does.
#include <cstring>
#include <map>

#include <doctest/doctest.h>

#include "compiler/loops/collapse.h"
#include "compiler/program/interpret.h"
#include "compiler/targets/cuda/schedule.h"
#include "tests/cuda/cases.h"

using namespace arete;
using namespace arete::test;

namespace {

/// The cases' scheduled kernels, in an order of threads.
void check_scheduled(const std::vector<Case>& cases, loops::Order order) {
    for (const Case& c : cases) {
        const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled,
                                           {.order = order});
        const Outcome got =
            run(c, [&](std::span<void*> table) { return scheduled.run(table); });
        const std::string wrong = differences(c, got, by_nests(c));
        CHECK_MESSAGE(wrong.empty(), wrong);
    }
}

}  // namespace

TEST_CASE("cuda schedules: every op's kernels compute what its nests do") {
    const std::vector<Case> cases = samples({DType::F32, DType::I64});
    MESSAGE("programs: ", cases.size());
    check_scheduled(cases, loops::Order::Ascending);
}

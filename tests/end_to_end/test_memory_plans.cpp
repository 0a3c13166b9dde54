// Function::memory: the chapter's nets waste little, and the plan is what the step uses.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "examples/mnist/nets.h"

using namespace arete;

namespace {

// Any two buffers that are alive at once lie apart, inside the arena.
void check_plan(const MemoryPlan& plan) {
    REQUIRE(plan.live_bytes <= plan.arena_bytes);
    for (const PlannedBuffer& a : plan.buffers) {
        CAPTURE(a.name);
        CHECK(a.bytes >= 0);
        CHECK(a.offset % 64 == 0);
        CHECK(a.offset + a.bytes <= plan.arena_bytes);
        CHECK(a.first >= 0);
        CHECK(a.last < static_cast<int>(plan.steps.size()));
        for (const PlannedBuffer& b : plan.buffers) {
            if (&a == &b) break;
            const bool together = a.first <= b.last && b.first <= a.last;
            const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            CHECK(!(together && overlap));
        }
    }
}

}  // namespace

TEST_CASE("memory: the arena of every net is at most 1.15 times what is alive at once") {
    Generator random(1);
    const std::int64_t batch = 10;
    const SharedData data = shared_data(random.uniform({batch, kSide * kSide}, 0, 1),
                                        zeros<std::int32_t>({batch}), "random");
    for (const NetRow& row : nets()) {
        CAPTURE(std::string(row.name));
        const Network net = build_net(row, batch, {.seed = 1});
        const Function train = net.train_function(data, row.eta, {.lmbda = row.lmbda});
        train(std::int64_t{0});
        const std::vector<MemoryPlan> plans = train.memory();
        REQUIRE(plans.size() == 1);
        const MemoryPlan& plan = plans[0];
        check_plan(plan);
        CHECK(plan.function == "train");
        CHECK(plan.arena_bytes == train.stats().arena_bytes);
        CHECK(plan.live_bytes > 0);
        CHECK(!plan.buffers.empty());
        CHECK_MESSAGE(
            static_cast<double>(plan.arena_bytes) <= 1.15 * static_cast<double>(plan.live_bytes),
            plan.arena_bytes, " bytes, of which ", plan.live_bytes, " are alive");
        CHECK(plan.shared_copied_bytes == 0);  // every parameter is updated in place
    }
}

TEST_CASE("memory: a chain that is stored step by step uses two buffers") {
    const auto x = matrix<float>("x");
    Expr e = x;
    for (int k = 0; k < 6; ++k) e = dot(e, e);  // each needs all of the one before
    const Function f = function({.inputs = {x}, .outputs = {e}, .name = "power"});
    CHECK(f.memory().empty());  // nothing is compiled yet
    f(zeros<float>({192, 192}));
    f(zeros<float>({256, 256}));
    const std::vector<MemoryPlan> plans = f.memory();
    REQUIRE(plans.size() == 2);
    CHECK(plans[0].function == "power");
    CHECK(plans[1].function == "power.1");
    for (const MemoryPlan& plan : plans) {
        check_plan(plan);
        CHECK(plan.steps == std::vector<std::string>(6, "dot"));
        REQUIRE(plan.buffers.size() == 5);
        for (std::size_t k = 0; k < 5; ++k) {
            CHECK(plan.buffers[k].name == "dot");
            CHECK(plan.buffers[k].first == static_cast<int>(k));
            CHECK(plan.buffers[k].last == static_cast<int>(k) + 1);
        }
    }
    CHECK(plans[0].arena_bytes == 2 * 192 * 192 * 4);
    CHECK(plans[0].live_bytes == 2 * 192 * 192 * 4);
    CHECK(plans[0].buffers[0].type == "f32[192,192]");
    const std::string text = to_string(plans[1]);
    CAPTURE(text);
    CHECK(text.find("power.1: 524288 bytes of arena, 524288 alive at most, 6 steps") == 0);
    CHECK(text.find("f32[256,256]") != std::string::npos);
}

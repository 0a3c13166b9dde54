// call_into allocates nothing once compiled, and copies no shared variable.
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "examples/mnist/nets.h"
#include "tests/allocations/allocator.h"

using namespace arete;

#if ARETE_COUNTS
using arete::test::allocations;

TEST_CASE("the counter counts, in every way to allocate") {
    const long before = allocations;
    void* volatile p = std::malloc(10);
    std::free(p);
    p = ::operator new(10);
    ::operator delete(p);
    p = ::operator new (128, std::align_val_t{64});
    ::operator delete (p, std::align_val_t{64});
    p = std::aligned_alloc(64, 128);
    std::free(p);
    const auto array = std::make_shared<Array>(zeros<float>({100}));
    CHECK(allocations - before >= 6);
}

TEST_CASE("call_into allocates nothing after the first call") {
    for (const char* name : {"shallow", "dbl_conv_relu", "dropout"})
        for (const int threads : {1, 2}) {
            CAPTURE(name);
            CAPTURE(threads);
            Options options = Options::from_environment();
            options.num_threads = threads;
            const NetRow& row = *find_net(name);
            const std::int64_t batches = 3;
            const Network net = build_net(row, 10, {.seed = 1});
            Generator random(1);
            const SharedData data = shared_data(random.uniform({10 * batches, kSide * kSide}, 0, 1),
                                                zeros<std::int32_t>({10 * batches}), "random");
            const SgdOptions sgd{.lmbda = row.lmbda, .options = options};
            for (const Function& f :
                 {net.train_function(data, 1e-3, sgd), net.accuracy_function(data, sgd)}) {
                CAPTURE(f.name());
                std::vector<Array> inputs{Array(std::int64_t{0})}, outputs{Array(0.0f)};
                std::int64_t* index = inputs[0].data<std::int64_t>();
                f.call_into(outputs, inputs);
                const void* weights = net.params[0].get_value(true).raw();
                const long before = allocations;
                for (int k = 0; k < 20; ++k) {
                    *index = k % batches;
                    f.call_into(outputs, inputs);
                }
                const long after = allocations;
                CHECK(after == before);
                // Updated where they are.
                CHECK(net.params[0].get_value(true).raw() == weights);
                CHECK(f.memory().at(0).shared_copied_bytes == 0);
            }
        }
}
#endif

TEST_CASE("shared variables that must be copied are counted") {
    const auto a = shared(zeros<float>({5}), "a"), b = shared(ones<float>({5}), "b");
    const Function swap = function({.updates = {{a, b}, {b, a}}});
    swap();
    // One is set aside, then both are written.
    CHECK(swap.memory().at(0).shared_copied_bytes >= 2 * 5 * 4);
    const Function step = function({.updates = {{a, a + 1}}});
    step();
    CHECK(step.memory().at(0).shared_copied_bytes == 0);
}

// The chapter's nets on the emulator: their costs are the processor's.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "examples/mnist/embedded_digits.h"
#include "examples/mnist/nets.h"

using namespace arete;

#ifdef ARETE_CPU_BACKEND  // the interpreter would take an hour

namespace {

std::vector<double> costs(const NetRow& row, std::int64_t batch, std::int64_t steps,
                          const std::string& device) {
    const MnistData data = load_embedded_digits();
    const Network net = build_net(row, batch, {.seed = 3});
    const SharedData training = shared_data(data.train_x, data.train_y, "training");
    Options options = Options::from_environment();
    options.device = device;
    const Function step =
        net.train_function(training, row.eta, {.lmbda = row.lmbda, .options = options});
    std::vector<double> out;
    for (std::int64_t i = 0; i < steps; ++i) out.push_back(step(i)[0].as_double());
    return out;
}

}  // namespace

TEST_CASE("emulator: the first costs of the chapter's nets are those of the default device") {
    std::vector<std::pair<std::string, std::int64_t>> nets_and_steps{
        {"shallow", 20}, {"omit_fc", 5}, {"dbl_conv_relu", 5}, {"dropout", 2}};
    // Of all nets 20, which takes half an hour.
    if (std::getenv("ARETE_ALL_CASES")) {
        nets_and_steps.clear();
        for (const NetRow& row : nets()) nets_and_steps.emplace_back(row.name, 20);
    }
    for (const auto& [name, steps] : nets_and_steps) {
        const NetRow* row = find_net(name);
        REQUIRE(row);
        const std::vector<double> expected = costs(*row, 10, steps, ""),
                                  got = costs(*row, 10, steps, "emulator");
        for (std::size_t i = 0; i < expected.size(); ++i) {
            CAPTURE(name);
            CAPTURE(i);
            CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-4));
        }
    }
}

#endif

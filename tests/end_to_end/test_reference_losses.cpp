// The chapter's nets against the NumPy reference in tests/reference.
#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "examples/mnist/embedded_digits.h"
#include "examples/mnist/nets.h"

using namespace arete;

namespace {

/// The reference's initial values: a hash of the flat index, in [-scale/2, scale/2).
Array initial(std::uint64_t salt, const Sizes& sizes, double scale) {
    Array out(DType::F32, sizes);
    float* p = out.data<float>();
    for (std::int64_t i = 0; i < out.size(); ++i) {
        auto x = static_cast<std::uint32_t>(static_cast<std::uint64_t>(i) + 1000003 * salt);
        x ^= x >> 16;
        x *= 0x85EBCA6Bu;
        x ^= x >> 13;
        x *= 0xC2B2AE35u;
        x ^= x >> 16;
        p[i] = static_cast<float>((x / 4294967296.0 - 0.5) * scale);
    }
    return out;
}

void set_initial(const Network& net) {
    for (std::size_t l = 0; l < net.size(); ++l) {
        const Shared &w = net.layer(l).w, &b = net.layer(l).b;
        const Sizes sizes = concrete(w.shape());
        // Filters are [out, in, h, w], matrices [in, out].
        const std::int64_t n_in = sizes.size() == 4 ? sizes[1] * sizes[2] * sizes[3] : sizes[0];
        w.set_value(initial(2 * l, sizes, std::sqrt(12.0 / static_cast<double>(n_in))));
        b.set_value(initial(2 * l + 1, concrete(b.shape()), 0.2));
    }
}

std::vector<double> train(const NetRow& row, std::int64_t steps) {
    const MnistData data = load_embedded_digits();
    const Network net = build_net(row, 10, {});
    set_initial(net);
    const SharedData training = shared_data(data.train_x, data.train_y, "training");
    const Function step = net.train_function(training, row.eta, {.lmbda = row.lmbda});
    std::vector<double> losses;
    for (std::int64_t i = 0; i < steps; ++i) losses.push_back(step(i)[0].as_double());
    return losses;
}

}  // namespace

TEST_CASE("the chapter's nets: the first 20 costs equal the NumPy reference's") {
    std::ifstream file(ARETE_SOURCE_DIR "/tests/reference/losses.txt");
    REQUIRE(file);
    int checked = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        std::string name;
        words >> name;
        std::vector<double> expected;
        for (double v; words >> v;) expected.push_back(v);
        REQUIRE(expected.size() == 20);
        CAPTURE(name);
        const NetRow* row = find_net(name);
        REQUIRE(row);
        const auto losses = train(*row, static_cast<std::int64_t>(expected.size()));
        for (std::size_t i = 0; i < expected.size(); ++i) {
            CAPTURE(i);
            CHECK(losses[i] == doctest::Approx(expected[i]).epsilon(1e-3));
        }
        ++checked;
    }
    CHECK(checked == 5);
}

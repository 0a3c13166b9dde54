// Where functions run: every device of the build gives what the interpreter gives.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "runtime/device.h"
#include "tests/support.h"

using namespace arete;
using arete::test::message_of;

namespace {

std::vector<Array> run_on(const std::string& device, Mode mode) {
    const auto x = matrix<float>("x", {5, 7});
    const Shared w = shared(Generator(1).normal({7, 3}, 0, 1), "w"), n = shared(Array(2.0f), "n");
    const Expr p = softmax(dot(x, w));
    const Expr cost = mean(sqr(p)) * n;
    const Function f = function({.inputs = {x},
                                 .outputs = {cost, p},
                                 // Each takes the other's old value; one is copied aside.
                                 .updates = {{w, w - 0.1f * grad(cost, w)}, {n, sum(w)}},
                                 .mode = mode,
                                 .device = device});
    std::vector<Array> out;
    for (int call = 0; call < 3; ++call)
        for (Array& a : f(Generator(7).uniform({5, 7}, -1, 1))) out.push_back(a);
    out.push_back(w.get_value());
    out.push_back(n.get_value());
    return out;
}

}  // namespace

TEST_CASE("devices: each runs what the interpreter runs, in every mode") {
    const std::vector<Array> expected = run_on("interpreter", Mode::interpret);
    const std::vector<std::string> names = device_names();
    REQUIRE(std::count(names.begin(), names.end(), "interpreter") == 1);
    for (const std::string& device : device_names_at_hand())
        for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::fast_math, Mode::debug,
                                Mode::nan_guard, Mode::interpret}) {
            CAPTURE(device);
            CAPTURE(static_cast<int>(mode));
            const std::vector<Array> got = run_on(device, mode);
            REQUIRE(got.size() == expected.size());
            for (std::size_t i = 0; i < got.size(); ++i)
                CHECK(test::difference(got[i], expected[i]) < 1e-5);
        }
}

TEST_CASE("devices: the default is the first; an unknown one is an error that names all") {
    Options options;
    const std::shared_ptr<const Target> standard = open_device(options)->target();
    CHECK((standard ? standard->device() : "interpreter") == device_names().front());
    for (const std::string& name : device_names_at_hand()) {
        options.device = name;
        const std::shared_ptr<const Device> device = open_device(options);
        CHECK((device->target() == nullptr) == (name == "interpreter"));
        if (device->target()) CHECK(device->target()->device() == name);
    }
    const auto x = vector<float>("x", {3});
    for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
        const std::string message = message_of([&] {
            (void)function({.inputs = {x}, .outputs = {x + 1}, .mode = mode, .device = "abacus"});
        });
        CHECK(message.find("device 'abacus'") != std::string::npos);
        for (const std::string& name : device_names())
            CHECK(message.find(name) != std::string::npos);
    }
}

TEST_CASE("devices: a check that fails leaves shared variables alone, on each") {
    for (const std::string& device : device_names_at_hand()) {
        CAPTURE(device);
        const auto i = vector<std::int64_t>("i", {2});
        const Shared s = shared(Array(std::vector<float>{1, 2, 3}), "s");
        const Function f =
            function({.inputs = {i}, .outputs = {s(i)}, .updates = {{s, s * 2}}, .device = device});
        CHECK_THROWS_AS((void)f(std::vector<std::int64_t>{0, 3}), RangeError);
        CHECK(s.get_value().data<float>()[2] == 3);
        (void)f(std::vector<std::int64_t>{0, 2});
        CHECK(s.get_value().data<float>()[2] == 6);
    }
}

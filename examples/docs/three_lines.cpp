// Three lines whose way to machine code docs/debugging.md follows. Usage: three_lines [interpret |
// profile]
#include <cstdio>
#include <string_view>

#include <arete/arete.h>

using namespace arete;

namespace {

/// f32 values that repeat -period, ..., period.
Array wave(const Sizes& sizes, std::int64_t period) {
    Array a(DType::F32, sizes);
    for (std::int64_t i = 0; i < a.size(); ++i)
        a.data<float>()[i] = static_cast<float>(i % (2 * period + 1) - period);
    return a;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Array weights = wave({8, 16}, 3), biases = wave({16}, 2);
        // [region three_lines]
        auto x = matrix<float>("x", {4, 8});
        auto w = shared(weights, "w"), b = shared(biases, "b");
        auto y = relu(dot(x, w) + b);
        // [end]

        // [region mode]
        const std::string_view how = argc > 1 ? argv[1] : "";
        auto f = function({.inputs = {x},
                           .outputs = {y},
                           .name = "three_lines",
                           .mode = how == "interpret" ? Mode::interpret : Mode::fast_run,
                           .profile = how == "profile"});
        // [end]

        // [region call]
        const Array result = f(wave({4, 8}, 1))[0];
        fmt::print("y = {}\n", result.str());
        // [end]

        // [region profile]
        if (how == "profile") {
            for (int call = 0; call < 1000; ++call) f(wave({4, 8}, 1));
            fmt::print("{}", to_string(f.profile()));
        }
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

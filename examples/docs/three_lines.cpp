// Three lines whose way to machine code docs/debugging.md follows. Usage: three_lines [fast_compile
// | debug | nan_guard | interpret | profile | print | report FILE]
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
                           .mode = how == "fast_compile" ? Mode::fast_compile
                                   : how == "debug"      ? Mode::debug
                                   : how == "nan_guard"  ? Mode::nan_guard
                                   : how == "interpret"  ? Mode::interpret
                                                         : Mode::fast_run,
                           .profile = how == "profile" || how == "report"});
        // [end]

        // [region call]
        const Array result = f(wave({4, 8}, 1))[0];
        fmt::print("y = {}\n", result.str());
        // [end]

        // [region profile]
        if (how == "profile") {
            for (int call = 0; call < 1000; ++call) f(wave({4, 8}, 1));
            fmt::print("{}\n{}\n{}", to_string(f.profile()), to_string(f.stats().passes),
                       to_string(f.memory()[0]));
        }
        // [end]

        // [region print]
        if (how == "print") fmt::print("{}\n\n{}\n{}", pp(y), debugprint(y), to_dot(y));
        // [end]

        // [region report]
        if (how == "report" && argc > 2) f.report(argv[2]);
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

// A function of one's own, made of elementwise ops: it becomes one loop over the data, which the
// dump shows. Usage: custom_elementwise [folder for the dump]
#include <cstdio>
#include <filesystem>
#include <set>

#include <arete/arete.h>

using namespace arete;

// [region mish]
/// Mish, an activation that Arete does not have: z * tanh(softplus(z)).
Expr my_mish(const Expr& z) { return z * tanh(softplus(z)); }
// [end]

int main(int argc, char** argv) {
    try {
        // [region dump]
        auto options = Options::from_environment();
        options.dump = parse_stages("graph,fusion,loops,llvm");
        options.dump_dir = argc > 1 ? argv[1] : "arete_dump";

        auto x = vector<float>("x", {8});
        auto y = my_mish(x);
        auto dy = grad(sum(y), x);
        auto f = function({.inputs = {x}, .outputs = {y, dy}, .name = "mish", .options = options});
        // [end]

        const std::vector<float> points{-4, -2, -1, 0, 0.5f, 1, 2, 4};
        const auto values = f(points);
        fmt::print("x     = {}\nmish  = {}\nmish' = {}\n", Array(points).str(), values[0].str(),
                   values[1].str());
        fmt::print("{} kernel(s); what the compiler made of it:\n", f.stats().kernels);
        std::set<std::filesystem::path> files;  // numbered in the order of the passes
        for (const auto& entry : std::filesystem::directory_iterator(options.dump_dir))
            files.insert(entry.path());
        for (const auto& file : files) fmt::print("  {}\n", file.string());
    } catch (const std::exception& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}

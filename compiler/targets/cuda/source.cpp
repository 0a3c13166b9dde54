// Sources as bytes: a table of launches in lines of words, then the text.
#include "compiler/targets/cuda/source.h"

#include <sstream>

#include "compiler/core/error.h"

namespace arete::cuda {

namespace {
constexpr std::string_view magic = "arete-cuda-2";
}

std::string to_bytes(const Source& source) {
    std::string out = fmt::format("{} {} {} {}\n", magic, source.kernels.size(),
                                  source.steps.size(), source.advance);
    for (const LaunchEntry& k : source.kernels)
        out += fmt::format("{} {} {} {} {} {} {} {} {} {} {} {}\n", k.name, k.grid[0], k.grid[1],
                           k.grid[2], k.block[0], k.block[1], k.block[2], k.shared_bytes,
                           int{k.barriers}, int{k.status}, int{k.checks}, "w" + k.writes);
    out += fmt::format("{}\n", fmt::join(source.steps, " "));
    return out + source.text;
}

Source source_from(std::string_view bytes) {
    std::istringstream in{std::string(bytes)};
    std::string word;
    std::size_t kernels = 0, steps = 0;
    int advance = -1;
    const auto bad = [] { fail<CompileError>({}, "these bytes are no program for a card"); };
    Source out;
    if (!(in >> word >> kernels >> steps >> advance) || word != magic || kernels > bytes.size() ||
        steps > bytes.size() || advance < -1 || advance >= static_cast<int>(kernels))
        bad();
    out.advance = LaunchId(advance);
    for (std::size_t i = 0; i < kernels; ++i) {
        LaunchEntry& k = out.kernels.emplace_back();
        in >> k.name >> k.grid[0] >> k.grid[1] >> k.grid[2] >> k.block[0] >> k.block[1] >>
            k.block[2] >> k.shared_bytes >> k.barriers >> k.status >> k.checks >> k.writes;
        if (k.writes.empty()) bad();
        k.writes.erase(0, 1);
    }
    for (std::size_t i = 0; i < steps; ++i) {
        int kernel = -1;
        in >> kernel;
        if (kernel >= static_cast<int>(kernels) || kernel < -1) bad();
        out.steps.emplace_back(kernel);
    }
    if (!in || in.get() != '\n') bad();
    out.text = std::string(bytes.substr(static_cast<std::size_t>(in.tellg())));
    return out;
}

}  // namespace arete::cuda

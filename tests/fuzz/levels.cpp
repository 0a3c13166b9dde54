#include "tests/fuzz/levels.h"

#include "compiler/codegen/llvm/module.h"

namespace arete::fuzz {

namespace {

std::vector<std::string> levels(bool run) {
    std::vector<std::string> out;
    for (const char* level : {"native", "avx2", "baseline", "avx512"}) {
        bool runs = true;
        try {
            host_machine(level);
        } catch (const ArgumentError&) {
            runs = false;
        }
        if (runs == run) out.emplace_back(level);
    }
    return out;
}

}  // namespace

const std::vector<std::string>& levels_that_run() {
    static const std::vector<std::string> out = levels(true);
    return out;
}

const std::vector<std::string>& levels_that_do_not() {
    static const std::vector<std::string> out = [] {
        std::vector<std::string> all = levels(false);
        all.emplace_back("aarch64");
        return all;
    }();
    return out;
}

std::vector<Setting> settings_for(std::uint64_t seed, bool quick) {
    std::vector<Setting> out{{Mode::interpret}};
    // Seeds are dealt to processes by turns: what is run must not follow their remainders.
    const std::uint64_t n = (seed * 0x9e3779b97f4a7c15ULL) >> 20;
    if (quick && n % 10 != 0) return out;
    const std::uint64_t turn = n / 10;
    const auto& run = levels_that_run();
    // Levels by turns among the graphs of each mode, and among those with two threads.
    out.push_back({Mode::fast_run, run[(turn + turn / 8) % run.size()], turn % 8 == 3 ? 2 : 1});
    if (turn % 4 == 1) out.push_back({Mode::fast_compile, run[turn / 4 % run.size()]});
    if (turn % 8 == 2) out.push_back({Mode::debug, run[turn / 8 % run.size()]});
    const auto& other = levels_that_do_not();
    if (turn % 16 == 4) out.push_back({Mode::fast_run, other[turn / 16 % other.size()], 1, true});
    return out;
}

}  // namespace arete::fuzz

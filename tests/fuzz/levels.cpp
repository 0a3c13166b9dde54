#include "tests/fuzz/levels.h"

#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"

namespace arete::fuzz {

namespace {

bool runs(const std::string& level) {
    try {
        host_machine(level);
        return true;
    } catch (const ArgumentError&) {
        return false;
    }
}

}  // namespace

const std::vector<std::string>& levels_that_run() {
    static const std::vector<std::string> out = [] {
        std::vector<std::string> some;
        for (const char* level : {"native", "avx2", "baseline", "avx512", "avx512_256"})
            if (runs(level)) some.emplace_back(level);
        return some;
    }();
    return out;
}

const std::vector<std::string>& levels_that_do_not() {
    static const std::vector<std::string> out = [] {
        std::vector<std::string> others;
        for (const DescribedMachine& m : described_machines())
            if (!runs(m.name)) others.push_back(m.name);
        return others;
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

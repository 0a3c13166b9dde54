// The processor this process runs on.
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"

namespace arete {

namespace {

// Linux lists each core's caches, with the instructions' among them. The C library's answer is the
// second choice: of a shared cache it can tell the sum over all sockets. 0 where neither knows.
std::int64_t cache_bytes(int level) {
    for (int i = 0; i < 8; ++i) {
        const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", i);
        int found = 0;
        std::string type, unit;
        std::int64_t size = 0;
        if (!(std::ifstream(folder + "level") >> found) || found != level) continue;
        if (!(std::ifstream(folder + "type") >> type) || type == "Instruction") continue;
        if (!(std::ifstream(folder + "size") >> size)) continue;
        std::ifstream(folder + "size") >> size >> unit;  // the unit may be missing
        return size << (unit == "M" ? 20 : unit == "K" ? 10 : 0);
    }
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    return std::max(0L, sysconf(names[level - 1]));
#else
    return 0;
#endif
}

const llvm::StringMap<bool>& host_features() {
    static const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
    return features;
}

bool runs(const DescribedMachine& m) {
    return std::all_of(m.needs.begin(), m.needs.end(),
                       [](const std::string& f) { return host_features().lookup(f); });
}

// The processor that is here: what is described of it, or else of the widest level that it has,
// with its own features and caches.
Machine detected() {
    Machine m;
    for (const char* level : {"aarch64", "baseline", "avx2", "avx512"})
        if (runs(*find_machine(level))) m = find_machine(level)->machine;
    const std::string cpu = llvm::sys::getHostCPUName().str();
    for (const DescribedMachine& d : described_machines())
        if (d.machine.cpu == cpu && d.machine.vector_bytes == m.vector_bytes) m = d.machine;
    // LLVM need not know how to tell what an ARM processor has.
    const bool x86 = llvm::Triple(llvm::sys::getProcessTriple()).isX86();
    if (x86) {
        m.cpu = cpu;
        m.features.clear();
        for (const auto& f : host_features())
            m.features += fmt::format("{}{}{}", m.features.empty() ? "" : ",", f.second ? "+" : "-",
                                      f.first().str());
    } else if (m.triple.empty()) {
        m.cpu = "generic";
        m.fused_muladd = false;
    }
    m.triple.clear();
    // A virtual machine may tell nothing of them, or of some: what is described stays.
    std::string sizes;
    for (int level = 1; level <= 3; ++level)
        if (const std::int64_t bytes = cache_bytes(level); bytes > 0)
            sizes += fmt::format("{}l{}={}", sizes.empty() ? "" : ",", level, bytes);
    if (!sizes.empty()) set_caches(m, sizes);
    return m;
}

Machine native() {
    if (const char* instead = std::getenv("ARETE_NATIVE"); instead && *instead)
        return host_machine(instead);
    static const Machine machine = detected();
    return machine;
}

}  // namespace

Machine host_machine(std::string_view name) {
    const std::string_view plain = name.substr(0, name.find(','));
    if (plain == "native") {
        Machine m = native();
        if (plain.size() < name.size()) set_caches(m, name.substr(plain.size() + 1));
        return m;
    }
    const DescribedMachine* found = find_machine(plain);
    if (!found || !runs(*found))
        fail<ArgumentError>(
            {},
            "ARETE_CPU={}: this processor is no such thing, or there is no such name; the names "
            "are {}",
            name, machine_names());
    return described_machine(name);
}

std::string host_text() {
    const Machine m = host_machine();
    std::string model;
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; model.empty() && std::getline(info, line);)
        if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
    const auto bytes = [](std::int64_t n) {
        return n % (1 << 20) == 0 ? fmt::format("{} MB", n >> 20) : fmt::format("{} KB", n >> 10);
    };
    std::string out =
        fmt::format("{} ({}), vectors of {} bits, caches of {}, {} and {}, {} cores",
                    model.empty() ? "a processor without a name" : model, m.cpu, 8 * m.vector_bytes,
                    bytes(m.l1_bytes), bytes(m.l2_bytes), bytes(m.l3_bytes),
                    std::max(1U, std::thread::hardware_concurrency()));
    for (const char* variable : {"ARETE_NATIVE", "ARETE_CPU"})
        if (const char* v = std::getenv(variable); v && *v)
            out += fmt::format(", {}={}", variable, v);
    return out;
}

}  // namespace arete

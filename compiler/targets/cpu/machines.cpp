#include "compiler/targets/cpu/machines.h"

#include <algorithm>
#include <charconv>

#include "compiler/core/error.h"

namespace arete {

namespace {

constexpr std::int64_t operator""_kb(unsigned long long n) {
    return static_cast<std::int64_t>(n) << 10;
}
constexpr std::int64_t operator""_mb(unsigned long long n) {
    return static_cast<std::int64_t>(n) << 20;
}

using Names = std::vector<std::string>;

Names with(Names names, const Names& more) {
    names.insert(names.end(), more.begin(), more.end());
    return names;
}

// Of features that a processor has beyond its level, LLVM uses these without being asked to:
// shuffles of bytes, shifts across words, counts of bits. x86-64-v3 and -v4: System V ABI for
// AMD64, 1.0, table 3.1.
const Names v3{"avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe", "popcnt"};
const Names v4 = with(v3, {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"});
const Names ice_lake = with(v4, {"avx512ifma", "avx512vbmi", "avx512vbmi2", "avx512vnni",
                                 "avx512bitalg", "avx512vpopcntdq", "gfni"});

Machine x86(std::string cpu, int vector_bytes, int vector_registers) {
    Machine m;
    m.triple = "x86_64-unknown-linux-gnu";
    m.cpu = std::move(cpu);
    m.vector_bytes = vector_bytes;
    m.vector_registers = vector_registers;
    m.masked_memory = m.fused_muladd = vector_bytes > 16;
    m.scales = vector_registers == 32;  // AVX-512VL
    return m;
}

void caches(Machine& m, std::int64_t l1, std::int64_t l2, std::int64_t l3) {
    m.l1_bytes = l1;
    m.l2_bytes = l2;
    m.l3_bytes = l3;
}

// The levels are no processors, and have the defaults of Machine. Processors with nothing beyond
// AVX2 are better off with 'native': who asks for less than there is has a wide one, and these,
// from Ice Lake and Zen 5 on, have 48 KB near the core.
Machine level(std::string cpu, int vector_bytes, int vector_registers) {
    Machine m = x86(std::move(cpu), vector_bytes, vector_registers);
    m.l1_bytes = 48_kb;
    return m;
}

// AMD, Software Optimization Guide for the AMD Family 19h Processors (Zen 3), 2.10-2.12: two
// pipes for multiply-adds of 256 bits with 4 cycles, three loads a cycle of which two may have 256
// bits, 32 bytes a cycle from the second cache; a complex of eight cores shares 32 MB.
Machine zen3() {
    Machine m = x86("znver3", 32, 16);
    caches(m, 32_kb, 512_kb, 32_mb);
    return m;
}

// AMD, Software Optimization Guide for the Zen 4 Microarchitecture: 512 bits run in two halves,
// one multiply-add and one load a cycle; a second cache of 1 MB, otherwise as Zen 3.
Machine zen4() {
    Machine m = x86("znver4", 64, 32);
    m.fma_per_cycle = m.loads_per_cycle = 1;
    caches(m, 32_kb, 1_mb, 32_mb);
    return m;
}

// AMD, Software Optimization Guide for the Zen 5 Microarchitecture: pipes of 512 bits, two
// multiply-adds and two loads a cycle; 48 KB near the core, 64 bytes a cycle from the second
// cache.
Machine zen5() {
    Machine m = x86("znver5", 64, 32);
    m.l2_bytes_per_cycle = 64;
    caches(m, 48_kb, 1_mb, 32_mb);
    return m;
}

// Intel, 64 and IA-32 Architectures Optimization Reference Manual, Golden Cove: two multiply-adds
// (ports 0 and 5) and two loads of 512 bits a cycle, 48 KB and 2 MB for each core, 64 bytes a
// cycle from the second, 48 of them sustained. The third is one of 1.875 MB a core, 105 MB on a
// Xeon 8480+, behind a mesh.
Machine sapphire_rapids() {
    Machine m = x86("sapphirerapids", 64, 32);
    m.l2_bytes_per_cycle = 48;
    caches(m, 48_kb, 2_mb, 105_mb);
    return m;
}

Machine aarch64() {
    Machine m;
    m.triple = "aarch64-unknown-linux-gnu";
    m.cpu = "generic";
    m.features = "+neon";
    m.vector_registers = 32;
    return m;
}

// Arm, Neoverse V2 Core Software Optimization Guide: four pipes for multiply-adds of 128 bits with
// 4 cycles, three loads; 64 KB near the core. NVIDIA Grace: 1 MB for each core, of 114 MB that
// all share. Vectors are NEON's: SVE2 has 128 bits here, too.
Machine neoverse_v2() {
    Machine m = aarch64();
    m.cpu = "neoverse-v2";
    m.features.clear();
    m.fma_per_cycle = 4;
    m.loads_per_cycle = 3;
    m.l2_bytes_per_cycle = 64;
    caches(m, 64_kb, 1_mb, 114_mb);
    return m;
}

}  // namespace

const std::vector<DescribedMachine>& described_machines() {
    static const std::vector<DescribedMachine> all{
        {"baseline", x86("x86-64", 16, 16), {"sse2"}},
        {"avx2", level("x86-64-v3", 32, 16), v3},
        // Processors whose clock falls where they use all 512 bits, Skylake's servers say, are
        // better off with 256, masks and twice the registers.
        {"avx512_256", level("x86-64-v4", 32, 32), v4},
        {"avx512", level("x86-64-v4", 64, 32), v4},
        {"zen3", zen3(), with(v3, {"sse4a"})},
        {"zen4", zen4(), with(ice_lake, {"sse4a", "avx512bf16"})},
        {"zen5", zen5(), with(ice_lake, {"sse4a", "avx512bf16", "avxvnni"})},
        {"sapphire_rapids", sapphire_rapids(),
         with(ice_lake, {"avx512bf16", "avx512fp16", "avxvnni"})},
        {"aarch64", aarch64(), {"neon"}},
        {"neoverse_v2", neoverse_v2(), {"neon", "sve2", "bf16", "i8mm"}},
    };
    return all;
}

const DescribedMachine* find_machine(std::string_view name) {
    for (const DescribedMachine& m : described_machines())
        if (m.name == name) return &m;
    return nullptr;
}

Machine described_machine(std::string_view name) {
    const std::size_t comma = std::min(name.find(','), name.size());
    const DescribedMachine* found = find_machine(name.substr(0, comma));
    if (!found)
        fail<ArgumentError>({}, "there is no description of a processor '{}'; there are {}",
                            name.substr(0, comma), machine_names());
    Machine m = found->machine;
    if (comma < name.size()) set_caches(m, name.substr(comma + 1));
    return m;
}

void set_caches(Machine& m, std::string_view sizes) {
    const auto refuse = [&] {
        fail<ArgumentError>(
            {}, "'{}' gives no sizes of caches; they are written like l1=32K,l2=512K,l3=32M",
            sizes);
    };
    for (std::string_view rest = sizes;;) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view one = rest.substr(0, comma);
        if (one.size() < 4 || one[0] != 'l' || one[1] < '1' || one[1] > '3' || one[2] != '=')
            refuse();
        std::int64_t bytes = 0;
        const char* end = one.data() + one.size();
        const auto [at, error] = std::from_chars(one.data() + 3, end, bytes);
        const std::string_view unit(at, static_cast<std::size_t>(end - at));
        const int shift = unit == "M" ? 20 : unit == "K" ? 10 : 0;
        if (error != std::errc() || (shift == 0 && !unit.empty()) || bytes <= 0 ||
            bytes > (std::int64_t{1} << 40 >> shift))
            refuse();
        (one[1] == '1' ? m.l1_bytes : one[1] == '2' ? m.l2_bytes : m.l3_bytes) = bytes << shift;
        if (comma == rest.size()) break;
        rest.remove_prefix(comma + 1);
    }
    m.l2_bytes = std::max(m.l2_bytes, m.l1_bytes);
    m.l3_bytes = std::max(m.l3_bytes, m.l2_bytes);
}

std::string machine_names() {
    std::string out = "native";
    for (const DescribedMachine& m : described_machines()) out += ", " + m.name;
    return out;
}

}  // namespace arete

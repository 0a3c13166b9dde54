// A processor's programs as object files, and as text.
#include <chrono>
#include <thread>

#include "compiler/targets/cpu/llvm/impl.h"
#include "compiler/targets/cpu/target.h"

namespace arete {

namespace {

// Appends what a value is made of, so that different values have different keys.
void add(std::string& key, std::string_view text) {
    key += fmt::format("{}:{};", text.size(), text);
}
void add(std::string& key, double value) {
    key += fmt::format("{:a};", value);
}

// The step whose kernel a function is: names start with "k<step>_"; nothing for others.
std::optional<StepId> step_of(std::string_view name) {
    if (name.size() < 3 || name[0] != 'k') return std::nullopt;
    std::size_t number = 0, i = 1;
    for (; i < name.size() && name[i] >= '0' && name[i] <= '9'; ++i)
        number = 10 * number + static_cast<std::size_t>(name[i] - '0');
    if (i == 1 || i == name.size() || name[i] != '_') return std::nullopt;
    return StepId(number);
}

// The text of each LLVM function, or of each function of an assembly listing, by step.
IdVector<StepId, std::string> by_step(const std::string& text, bool assembly, std::size_t steps) {
    IdVector<StepId, std::string> out(steps);
    std::optional<StepId> now;
    std::size_t at = 0;
    while (at < text.size()) {
        std::size_t end = text.find('\n', at);
        if (end == std::string::npos) end = text.size();
        const std::string_view line(text.data() + at, end - at);
        at = end + 1;
        if (assembly) {
            // A function begins with its label; others begin with a dot or belong to it.
            if (!line.empty() && line[0] != '\t' && line[0] != '.' && line[0] != '#' &&
                line.find(':') != std::string_view::npos)
                now = step_of(line);
            const bool noise = line.substr(0, 2) == "\t." || line.substr(0, 5) == ".Lfun" ||
                               line.substr(0, 3) == "\t# " || line.substr(0, 2) == "# ";
            if (noise) continue;
        } else if (line.substr(0, 7) == "define ") {
            const std::size_t name = line.find('@');
            now = name == std::string_view::npos ? std::nullopt : step_of(line.substr(name + 1));
        }
        if (now && out.contains(*now)) out[*now] += std::string(line) + "\n";
        if (!assembly && line == "}") now.reset();
    }
    return out;
}

}  // namespace

std::string CpuTarget::key() const {
    // Every member by name: a new one does not compile until it is part of the key.
    const auto& [triple, cpu, features, vector_bytes, vector_registers, masked_memory, fused_muladd,
                 scales, fma_per_cycle, loads_per_cycle, fma_latency, l1_bytes, l2_bytes, l3_bytes,
                 l2_bytes_per_cycle, l3_bytes_per_cycle, memory_bytes_per_cycle, launch_cycles,
                 scratch_bytes] = machine_;
    std::string key;
    add(key, "LLVM " + llvm_version());
    for (const std::string* v : {&triple, &cpu, &features}) add(key, *v);
    for (int v : {vector_bytes, vector_registers, int{masked_memory}, int{fused_muladd},
                  int{scales}, fma_latency})
        add(key, v);
    for (double v : {fma_per_cycle, loads_per_cycle, l2_bytes_per_cycle, l3_bytes_per_cycle,
                     memory_bytes_per_cycle, launch_cycles})
        add(key, v);
    for (std::int64_t v : {l1_bytes, l2_bytes, l3_bytes, scratch_bytes})
        add(key, static_cast<double>(v));
    return key;
}

std::string CpuTarget::translate(const Program& program, const Translation& watch) const {
    using Clock = std::chrono::steady_clock;
    auto start = Clock::now();
    const auto passed = [&](const char* pass) {
        const auto now = Clock::now();
        watch.passed(pass, std::chrono::duration<double, std::milli>(now - start).count());
    };
    LlvmModule module(program, machine_);
    passed("llvm_print");
    const bool dumps = watch.dumps(Stage::Llvm) || watch.dumps(Stage::Asm);
    if (watch.dumps(Stage::Llvm)) watch.dump("llvm", "ll", module.ir());
    start = Clock::now();
    // One text for people, one piece for one core; otherwise parts.
    const int cores = watch.threads > 0 ? watch.threads
                                        : static_cast<int>(std::thread::hardware_concurrency());
    std::vector<LlvmModule> parts;
    if (dumps || cores < 2)
        parts.push_back(std::move(module));
    else
        parts = std::move(module).in_parts();
    llvm_codegen::side_by_side(parts.size(), cores,
                               [&](std::size_t k) { parts[k].optimize(watch.verify); });
    passed("llvm_passes");
    if (watch.dumps(Stage::Llvm)) watch.dump("llvm_optimized", "ll", parts[0].ir());
    if (watch.dumps(Stage::Asm)) watch.dump("asm", "s", parts[0].assembly());
    start = Clock::now();
    std::vector<std::string> objects(parts.size());
    llvm_codegen::side_by_side(parts.size(), cores,
                               [&](std::size_t k) { objects[k] = parts[k].object(); });
    std::string object = LlvmModule::joined(objects);
    passed("llvm_machine_code");
    return object;
}

std::vector<Listing> CpuTarget::listings(const Program& program) const {
    LlvmModule module(program, machine_);
    module.optimize(false);
    const std::size_t steps = program.steps.size();
    return {{"llvm", "LLVM IR", by_step(module.ir(), false, steps)},
            {"asm", "Assembly", by_step(module.assembly(), true, steps)}};
}

}  // namespace arete

#include "runtime/device.h"

#include <array>

#include "compiler/core/error.h"
#include "compiler/program/interpret.h"
#ifdef ARETE_CPU_BACKEND
#include "runtime/cpu/device.h"
#endif
#ifdef ARETE_CUDA_BACKEND
#include "runtime/cuda/device.h"
#include "runtime/emulator/device.h"
#endif

namespace arete {

namespace {

class InterpretedProgram final : public LoadedProgram {
  public:
    explicit InterpretedProgram(const Program& program) : interpreter_(program) {}
    loops::Failure run(IdSpan<SlotId, void*> table) override { return interpreter_.run(table); }
    loops::Failure run(IdSpan<SlotId, void*> table,
                       const std::function<bool(StepId)>& after_step) override {
        return interpreter_.run(table, after_step);
    }

  private:
    ProgramInterpreter interpreter_;
};

class Interpreter final : public Device {
  public:
    const std::shared_ptr<const Target>& target() const override { return none_; }
    std::unique_ptr<LoadedProgram> load(const Program& program, std::string_view) const override {
        return std::make_unique<InterpretedProgram>(program);
    }

  private:
    std::shared_ptr<const Target> none_;
};

struct Row {
    std::string_view name;
    std::shared_ptr<const Device> (*open)(const Options&);
    bool numbered = false;  // there may be several, and there may be none
};

// The devices of this build, the default first: a new one is a row.
constexpr auto devices = std::to_array<Row>({
#ifdef ARETE_CPU_BACKEND
    {"cpu", open_cpu},
#endif
    {"interpreter", open_interpreter},
#ifdef ARETE_CUDA_BACKEND
    {"emulator", open_emulator},
    {"cuda", open_cuda, true},
#endif
});

}  // namespace

std::vector<std::string> device_names() {
    std::vector<std::string> out;
    for (const Row& row : devices) out.emplace_back(row.name);
    return out;
}

std::vector<std::string> device_names_at_hand() {
    std::vector<std::string> out;
    for (const Row& row : devices) {
        if (row.numbered) try {
                Options options;
                options.device = row.name;
                (void)row.open(options);
            } catch (const DeviceError&) {
                continue;
            }
        out.emplace_back(row.name);
    }
    return out;
}

std::shared_ptr<const Device> open_interpreter(const Options&) {
    return std::make_shared<Interpreter>();
}

std::shared_ptr<const Device> open_device(const Options& options) {
    if (options.device.empty()) return devices[0].open(options);
    for (const Row& row : devices)
        if (row.name == options.device ||
            (row.numbered && options.device.starts_with(std::string(row.name) + ":")))
            return row.open(options);
    fail<ArgumentError>({}, "device '{}': there is no such device; this build of Arete has {}",
                        options.device, fmt::join(device_names(), ", "));
}

}  // namespace arete

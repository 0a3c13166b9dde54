#include "runtime/emulator/device.h"

#include <cstdlib>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/target.h"
#include "runtime/cuda/gpu_program.h"
#include "runtime/emulator/driver.h"

namespace arete {

namespace {

std::string card_name() {
    const char* named = std::getenv("ARETE_CARD");
    return named && *named ? named : "h100";
}

class EmulatorDevice final : public Device {
  public:
    explicit EmulatorDevice(const Options& options)
        : target_(cuda_target(card_name(), "emulator")) {
        emulator::EmulatorOptions o = emulator::EmulatorOptions::from_environment();
        o.cache_dir = options.cache_dir;
        driver_ = emulator::EmulatorDriver::open(o);
    }

    const std::shared_ptr<const Target>& target() const override { return target_; }
    std::unique_ptr<LoadedProgram> load(const Program& program,
                                        std::string_view translated) const override {
        return std::make_unique<cuda::GpuProgram>(program, cuda::source_from(translated), driver_);
    }

  private:
    std::shared_ptr<const Target> target_;
    std::shared_ptr<cuda::GpuDriver> driver_;
};

}  // namespace

std::shared_ptr<const Device> open_emulator(const Options& options) {
    return std::make_shared<EmulatorDevice>(options);
}

}  // namespace arete

#include "runtime/cuda/device.h"

#include "compiler/targets/cuda/target.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/gpu_program.h"

namespace arete {

namespace {

// "cuda:1" is 1.
int number_of(const std::string& device) {
    constexpr std::string_view prefix = "cuda:";
    if (!device.starts_with(prefix)) return 0;
    const std::string digits = device.substr(prefix.size());
    if (digits.empty() || digits.size() > 4 ||
        digits.find_first_not_of("0123456789") != std::string::npos)
        fail<ArgumentError>({}, "device '{}': expected the number of a card, as in 'cuda:1'",
                            device);
    return std::stoi(digits);
}

class CudaDevice final : public Device {
  public:
    explicit CudaDevice(const Options& options)
        : driver_(cuda::CudaDriver::open(number_of(options.device))),
          target_(std::make_shared<CudaTarget>(driver_->card(), "cuda")),
          cache_dir_(options.cache_dir) {}

    const std::shared_ptr<const Target>& target() const override { return target_; }
    std::unique_ptr<LoadedProgram> load(const Program& program,
                                        std::string_view translated) const override {
        const cuda::Source source = cuda::source_from(translated);
        return std::make_unique<cuda::GpuProgram>(program, source, driver_,
                                                  driver_->load(source, cache_dir_), 0);
    }

  private:
    std::shared_ptr<cuda::CudaDriver> driver_;
    std::shared_ptr<const Target> target_;
    std::string cache_dir_;
};

}  // namespace

std::shared_ptr<const Device> open_cuda(const Options& options) {
    return std::make_shared<CudaDevice>(options);
}

}  // namespace arete

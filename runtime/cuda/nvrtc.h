// NVIDIA's run-time compiler.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/targets/cuda/source.h"
#include "runtime/cuda/libraries.h"

namespace arete::cuda {

/// What the compiler tells of one kernel.
struct KernelResources {
    std::string kernel;
    int registers = 0;
    std::int64_t spill_bytes = 0;  ///< stored and loaded
    std::int64_t stack_bytes = 0;
    std::int64_t shared_bytes = 0;
};

/// Code for one architecture.
struct Cubin {
    std::string bytes;
    std::string log;
    /// By kernel of the log; only where it was asked for.
    std::vector<KernelResources> resources;
};

/// NVRTC, loaded. One compilation at a time.
class Nvrtc {
  public:
    /// A DeviceError says where it was looked for, where it is not there.
    static std::shared_ptr<Nvrtc> open();
    /// The first of these files that is it.
    static std::shared_ptr<Nvrtc> open(const std::vector<std::string>& files);
    /// Whether it is there.
    static bool is_there();

    /// For "sm_90". `verbose`: with registers and spills. A CompileError with the compiler's words
    /// where the text does not compile.
    Cubin compile(const std::string& text, const std::string& architecture, bool verbose) const;
    /// What it is told for an architecture.
    static std::vector<std::string> options(const std::string& architecture, bool verbose);
    /// The architecture to compile for where the card is of this compute capability: its own, or
    /// one before it whose code it runs. A DeviceError where there is none.
    std::string architecture_for(int major, int minor) const;
    /// 13.0 is 13000.
    int version() const;
    /// Architectures that it compiles for, as numbers: 90 is sm_90.
    std::vector<int> architectures() const;
    const std::string& file() const { return library_->file(); }

  private:
    explicit Nvrtc(std::shared_ptr<LoadedLibrary> library);
    struct Functions;
    std::shared_ptr<LoadedLibrary> library_;
    std::shared_ptr<const Functions> f_;
};

/// What a compiler's log says of each kernel.
std::vector<KernelResources> resources_of(std::string_view log);

/// The text that NVRTC gets for a source.
std::string device_text(const Source& source);

}  // namespace arete::cuda

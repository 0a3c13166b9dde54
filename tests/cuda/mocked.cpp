#include "tests/cuda/mocked.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <tuple>

#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/prelude.h"
#include "runtime/emulator/driver.h"
#include "tests/temporary_folder.h"

namespace arete::test {

namespace {

// A text's kernel for a grid, as the emulator runs it.
struct Emulated {
    TemporaryFolder folder;
    std::shared_ptr<emulator::EmulatorDriver> driver = std::make_shared<emulator::EmulatorDriver>(
        emulator::EmulatorOptions{emulator::ThreadOrder::round_robin, false, folder.path});
    using Key = std::tuple<std::string, std::string, std::array<unsigned, 6>>;
    std::map<Key, std::unique_ptr<cuda::GpuModule>> modules;
};
Emulated& emulated() {
    static Emulated the;
    return the;
}

void run_emulated(const char* text, const char* kernel, const unsigned* grid, const unsigned* block,
                  void* const* arguments, int count) {
    const std::array<unsigned, 6> size{grid[0], grid[1], grid[2], block[0], block[1], block[2]};
    std::unique_ptr<cuda::GpuModule>& module = emulated().modules[{text, kernel, size}];
    if (!module) {
        cuda::Source source;
        source.text = std::string(text).substr(cuda::device_prelude().size());
        cuda::LaunchEntry& e = source.kernels.emplace_back();
        e.name = kernel;
        for (std::size_t d = 0; d < 3; ++d) {
            e.grid[d] = grid[d];
            e.block[d] = block[d];
        }
        e.barriers = true;
        e.shared_bytes = 48 << 10;
        module = emulated().driver->load(source);
    }
    module->launch(0, {arguments, static_cast<std::size_t>(count)});
}

}  // namespace

Mocked::Mocked(bool run_kernels) {
    ::setenv("ARETE_CUDA_PATH", ARETE_MOCK_CUDA_DIR, 1);
    void* library = ::dlopen(ARETE_MOCK_CUDA_DIR "/libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library);
    mock_ = static_cast<MockCuda*>(::dlsym(library, "arete_mock_cuda"));
    REQUIRE(mock_);
    REQUIRE(mock_->contexts == 0);
    *mock_ = {};
    if (run_kernels) mock_->run = run_emulated;
}

Mocked::~Mocked() {
    CHECK(mock_->contexts == 0);
    CHECK(mock_->leaked == 0);
    CHECK(mock_->allocations == 0);
    CHECK(mock_->host_allocations == 0);
    CHECK(mock_->stray == 0);
    ::unsetenv("ARETE_CUDA_PATH");
}

Variable::Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) {
        was_ = true;
        old_ = old;
    }
    if (value)
        ::setenv(name, value, 1);
    else
        ::unsetenv(name);
}

Variable::~Variable() {
    if (was_)
        ::setenv(name_.c_str(), old_.c_str(), 1);
    else
        ::unsetenv(name_.c_str());
}

}  // namespace arete::test

#include "runtime/cuda/api.h"

#include <type_traits>

#include "compiler/core/error.h"

namespace arete::cuda {

namespace {

[[noreturn]] void no_driver(std::string_view why) {
    fail<DeviceError>({},
                      "device 'cuda': {}; NVIDIA's driver is needed (ARETE_CUDA_PATH names a "
                      "folder to look for libcuda.so.1 first), or another device: 'emulator' runs "
                      "the same kernels on the host",
                      why);
}

}  // namespace

std::shared_ptr<const CuApi> CuApi::open() {
    return open(places_of({"libcuda.so.1"}));
}

std::shared_ptr<const CuApi> CuApi::open(const std::vector<std::string>& files) {
    auto api = std::make_shared<CuApi>();
    api->library = LoadedLibrary::first_of(files);
    if (!api->library) no_driver("libcuda.so.1 is not found");
    const auto get = [&](auto& to, const char* name) {
        void* at = api->library->symbol(name);
        if (!at)
            no_driver(fmt::format("'{}' has no function {}: the driver is too old",
                                  api->library->file(), name));
        to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(at);
    };
#define ARETE_GET(member, symbol, parameters) get(api->member, #symbol);
    ARETE_CUDA_FUNCTIONS(ARETE_GET)
#undef ARETE_GET
    if (const CuResult r = api->init(0); r != cu_result::success) {
        if (r == cu_result::no_device) no_driver("there is no card that CUDA can use");
        if (r == cu_result::stub_library)
            no_driver(
                fmt::format("'{}' is the toolkit's stub of the driver's library, for linking "
                            "only",
                            api->library->file()));
        no_driver("the driver does not start: " + api->text(r));
    }
    int version = 0;
    if (const CuResult r = api->driver_version(&version); r != cu_result::success)
        no_driver("the driver does not tell its version: " + api->text(r));
    if (version < oldest_driver)
        no_driver(fmt::format("the driver is of CUDA {}, and {} or newer is needed",
                              version_text(version), version_text(oldest_driver)));
    return api;
}

std::string CuApi::text(CuResult result) const {
    const char *name = nullptr, *words = nullptr;
    if (error_name(result, &name) != cu_result::success || !name)
        return fmt::format("error {}", result);
    if (error_text(result, &words) != cu_result::success || !words) return name;
    return fmt::format("{}: {}", name, words);
}

std::string version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

bool is_sticky(CuResult r) {
    switch (r) {
        case cu_result::device_unavailable:
        case cu_result::ecc_uncorrectable:
        case cu_result::illegal_address:
        case cu_result::launch_timeout:
        case cu_result::context_destroyed:
        case cu_result::assertion:
        case cu_result::hardware_stack:
        case cu_result::illegal_instruction:
        case cu_result::misaligned_address:
        case cu_result::invalid_address_space:
        case cu_result::invalid_pc:
        case cu_result::launch_failed:
        case cu_result::unknown: return true;
        default: return false;
    }
}

}  // namespace arete::cuda

// The functions of CUDA's driver that are called, declared here: no header of the toolkit is
// needed. A test compares all of it with cuda.h, where that is installed.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cuda/libraries.h"

namespace arete::cuda {

using CuResult = int;
using CuDevice = int;
using CuAddress = unsigned long long;  // CUdeviceptr
using CuContext = struct CuContextTag*;
using CuModule = struct CuModuleTag*;
using CuFunction = struct CuFunctionTag*;
using CuStream = struct CuStreamTag*;
using CuGraph = struct CuGraphTag*;
using CuNode = struct CuNodeTag*;
using CuGraphExec = struct CuGraphExecTag*;

/// Results that are told apart.
namespace cu_result {
enum : CuResult {
    success = 0,
    out_of_memory = 2,
    not_initialized = 3,
    deinitialized = 4,
    stub_library = 34,
    device_unavailable = 46,
    no_device = 100,
    invalid_device = 101,
    invalid_image = 200,
    no_binary = 209,
    ecc_uncorrectable = 214,
    unsupported_ptx = 222,
    illegal_address = 700,
    launch_out_of_resources = 701,
    launch_timeout = 702,
    context_destroyed = 709,
    assertion = 710,
    hardware_stack = 714,
    illegal_instruction = 715,
    misaligned_address = 716,
    invalid_address_space = 717,
    invalid_pc = 718,
    launch_failed = 719,
    system_driver_mismatch = 803,
    unknown = 999,
};
}

/// Attributes of a device.
namespace cu_attribute {
enum : int {
    block_shared_bytes = 8,
    clock_khz = 13,
    processors = 16,
    memory_clock_khz = 36,
    memory_bus_bits = 37,
    l2_bytes = 38,
    processor_threads = 39,
    major = 75,
    minor = 76,
    processor_shared_bytes = 81,
    processor_registers = 82,
    processor_blocks = 106,
};
}

/// CUmemorytype.
inline constexpr int cu_memory_host = 1, cu_memory_device = 2;
/// CU_STREAM_NON_BLOCKING.
inline constexpr unsigned cu_stream_non_blocking = 1;

/// CUDA_KERNEL_NODE_PARAMS_v2.
struct CuKernelNode {
    CuFunction function = nullptr;
    unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
    unsigned shared_bytes = 0;
    void** arguments = nullptr;
    void** extra = nullptr;
    void* kernel = nullptr;
    CuContext context = nullptr;
};
/// CUDA_MEMSET_NODE_PARAMS_v1.
struct CuMemsetNode {
    CuAddress to = 0;
    std::size_t pitch = 0;
    unsigned value = 0, element_bytes = 1;
    std::size_t width = 0, height = 1;
};
/// One side of a CUDA_MEMCPY3D_v2; the pointer to host memory is const in the source.
template <class Host>
struct CuCopySide {
    std::size_t x_bytes = 0, y = 0, z = 0, level = 0;
    int memory = cu_memory_device;
    Host host = nullptr;
    CuAddress device = 0;
    void* array = nullptr;
    void* reserved = nullptr;
    std::size_t pitch = 0, height = 0;
};
/// CUDA_MEMCPY3D_v2.
struct CuCopyNode {
    CuCopySide<const void*> from;
    CuCopySide<void*> to;
    std::size_t width_bytes = 0, height = 1, depth = 1;
};

/// F(member of CuApi, name in the library, parameters).
#define ARETE_CUDA_FUNCTIONS(F)                                                                    \
    F(init, cuInit, (unsigned))                                                                    \
    F(driver_version, cuDriverGetVersion, (int*))                                                  \
    F(device_count, cuDeviceGetCount, (int*))                                                      \
    F(device, cuDeviceGet, (CuDevice*, int))                                                       \
    F(device_name, cuDeviceGetName, (char*, int, CuDevice))                                        \
    F(attribute, cuDeviceGetAttribute, (int*, int, CuDevice))                                      \
    F(retain_context, cuDevicePrimaryCtxRetain, (CuContext*, CuDevice))                            \
    F(release_context, cuDevicePrimaryCtxRelease_v2, (CuDevice))                                   \
    F(push_context, cuCtxPushCurrent_v2, (CuContext))                                              \
    F(pop_context, cuCtxPopCurrent_v2, (CuContext*))                                               \
    F(error_name, cuGetErrorName, (CuResult, const char**))                                        \
    F(error_text, cuGetErrorString, (CuResult, const char**))                                      \
    F(create_stream, cuStreamCreate, (CuStream*, unsigned))                                        \
    F(destroy_stream, cuStreamDestroy_v2, (CuStream))                                              \
    F(synchronize, cuStreamSynchronize, (CuStream))                                                \
    F(memory_info, cuMemGetInfo_v2, (std::size_t*, std::size_t*))                                  \
    F(allocate, cuMemAlloc_v2, (CuAddress*, std::size_t))                                          \
    F(free, cuMemFree_v2, (CuAddress))                                                             \
    F(allocate_host, cuMemHostAlloc, (void**, std::size_t, unsigned))                              \
    F(free_host, cuMemFreeHost, (void*))                                                           \
    F(copy_in, cuMemcpyHtoDAsync_v2, (CuAddress, const void*, std::size_t, CuStream))              \
    F(copy_out, cuMemcpyDtoHAsync_v2, (void*, CuAddress, std::size_t, CuStream))                   \
    F(copy, cuMemcpyDtoDAsync_v2, (CuAddress, CuAddress, std::size_t, CuStream))                   \
    F(clear, cuMemsetD8Async, (CuAddress, unsigned char, std::size_t, CuStream))                   \
    F(load_module, cuModuleLoadData, (CuModule*, const void*))                                     \
    F(unload_module, cuModuleUnload, (CuModule))                                                   \
    F(function, cuModuleGetFunction, (CuFunction*, CuModule, const char*))                         \
    F(launch, cuLaunchKernel,                                                                      \
      (CuFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CuStream, \
       void**, void**))                                                                            \
    F(create_graph, cuGraphCreate, (CuGraph*, unsigned))                                           \
    F(destroy_graph, cuGraphDestroy, (CuGraph))                                                    \
    F(add_kernel, cuGraphAddKernelNode_v2,                                                         \
      (CuNode*, CuGraph, const CuNode*, std::size_t, const CuKernelNode*))                         \
    F(add_copy, cuGraphAddMemcpyNode,                                                              \
      (CuNode*, CuGraph, const CuNode*, std::size_t, const CuCopyNode*, CuContext))                \
    F(add_memset, cuGraphAddMemsetNode,                                                            \
      (CuNode*, CuGraph, const CuNode*, std::size_t, const CuMemsetNode*, CuContext))              \
    F(instantiate, cuGraphInstantiateWithFlags, (CuGraphExec*, CuGraph, unsigned long long))       \
    F(destroy_exec, cuGraphExecDestroy, (CuGraphExec))                                             \
    F(launch_graph, cuGraphLaunch, (CuGraphExec, CuStream))

/// CUDA's driver, loaded.
struct CuApi {
#define ARETE_MEMBER(member, symbol, parameters) CuResult(*member) parameters = nullptr;
    ARETE_CUDA_FUNCTIONS(ARETE_MEMBER)
#undef ARETE_MEMBER
    std::shared_ptr<LoadedLibrary> library;

    /// A DeviceError where there is no driver, or one that lacks a function. Initialised.
    static std::shared_ptr<const CuApi> open();
    /// The first of these files that is it.
    static std::shared_ptr<const CuApi> open(const std::vector<std::string>& files);
    /// "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".
    std::string text(CuResult result) const;
};

/// The oldest driver that can be used, as drivers number themselves: 12.0.
inline constexpr int oldest_driver = 12000;
/// 12040 is "12.4".
std::string version_text(int version);
/// Nothing works in the context any more after this result.
bool is_sticky(CuResult result);

}  // namespace arete::cuda

// Declarations of our own against the toolkit's header, where that is installed; elsewhere skipped,
// and shown as skipped.
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <type_traits>

#include <doctest/doctest.h>

#include "runtime/cuda/api.h"

#ifndef ARETE_HAS_CUDA_H

TEST_CASE("cuda declarations are those of the toolkit's header") {
    std::cout << "skipped: the toolkit's header cuda.h is not installed\n";
    if (std::getenv("ARETE_TEST_ALONE")) std::exit(77);
}

#else

#include <cuda.h>

using namespace arete::cuda;

namespace {

// A parameter is passed alike: a pointer to constant memory or to other, or a number of a size.
template <class Ours, class Theirs>
constexpr bool alike() {
    if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
        using O = std::remove_pointer_t<Ours>;
        using T = std::remove_pointer_t<Theirs>;
        if constexpr (std::is_function_v<T>)
            return false;
        else if constexpr (std::is_void_v<O> || std::is_void_v<T>)
            return std::is_const_v<O> == std::is_const_v<T>;
        else if constexpr (std::is_pointer_v<O> || std::is_pointer_v<T>)
            return std::is_pointer_v<O> && std::is_pointer_v<T> &&
                   std::is_const_v<O> == std::is_const_v<T>;
        else if constexpr (requires { sizeof(O) == sizeof(T); })
            return sizeof(O) == sizeof(T) && std::is_const_v<O> == std::is_const_v<T>;
        else  // handles: what they point to is nobody's business
            return true;
    } else {
        return !std::is_pointer_v<Ours> && !std::is_pointer_v<Theirs> &&
               sizeof(Ours) == sizeof(Theirs);
    }
}
template <class Ours, class Theirs>
struct Alike : std::false_type {};
template <class... A, class... B>
    requires(sizeof...(A) == sizeof...(B))
struct Alike<CuResult (*)(A...), CUresult (*)(B...)> : std::bool_constant<(alike<A, B>() && ...)> {
};

// The header's macros give functions their versions, so a name that is not the newest version's
// does not compile, or has other parameters.
#define ARETE_COMPARE(member, symbol, parameters) \
    static_assert(Alike<decltype(CuApi::member), decltype(&::symbol)>::value, #symbol);
ARETE_CUDA_FUNCTIONS(ARETE_COMPARE)
#undef ARETE_COMPARE

// Each is the version that the header's own name for the function stands for today.
template <auto Ours, auto Header>
constexpr bool same_function = std::is_same_v<std::integral_constant<decltype(Ours), Ours>,
                                              std::integral_constant<decltype(Header), Header> >;
static_assert(same_function<&cuMemAlloc_v2, &cuMemAlloc>);
static_assert(same_function<&cuMemFree_v2, &cuMemFree>);
static_assert(same_function<&cuMemGetInfo_v2, &cuMemGetInfo>);
static_assert(same_function<&cuMemcpyHtoDAsync_v2, &cuMemcpyHtoDAsync>);
static_assert(same_function<&cuMemcpyDtoHAsync_v2, &cuMemcpyDtoHAsync>);
static_assert(same_function<&cuMemcpyDtoDAsync_v2, &cuMemcpyDtoDAsync>);
static_assert(same_function<&cuStreamDestroy_v2, &cuStreamDestroy>);
static_assert(same_function<&cuCtxPushCurrent_v2, &cuCtxPushCurrent>);
static_assert(same_function<&cuCtxPopCurrent_v2, &cuCtxPopCurrent>);
static_assert(same_function<&cuDevicePrimaryCtxRelease_v2, &cuDevicePrimaryCtxRelease>);
static_assert(same_function<&cuGraphAddKernelNode_v2, &cuGraphAddKernelNode>);

#define SAME_RESULT(ours, theirs) \
    static_assert(static_cast<int>(cu_result::ours) == static_cast<int>(theirs))
SAME_RESULT(success, CUDA_SUCCESS);
SAME_RESULT(out_of_memory, CUDA_ERROR_OUT_OF_MEMORY);
SAME_RESULT(not_initialized, CUDA_ERROR_NOT_INITIALIZED);
SAME_RESULT(deinitialized, CUDA_ERROR_DEINITIALIZED);
SAME_RESULT(stub_library, CUDA_ERROR_STUB_LIBRARY);
SAME_RESULT(device_unavailable, CUDA_ERROR_DEVICE_UNAVAILABLE);
SAME_RESULT(no_device, CUDA_ERROR_NO_DEVICE);
SAME_RESULT(invalid_device, CUDA_ERROR_INVALID_DEVICE);
SAME_RESULT(invalid_image, CUDA_ERROR_INVALID_IMAGE);
SAME_RESULT(no_binary, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME_RESULT(ecc_uncorrectable, CUDA_ERROR_ECC_UNCORRECTABLE);
SAME_RESULT(unsupported_ptx, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME_RESULT(illegal_address, CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_RESULT(launch_out_of_resources, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
SAME_RESULT(launch_timeout, CUDA_ERROR_LAUNCH_TIMEOUT);
SAME_RESULT(context_destroyed, CUDA_ERROR_CONTEXT_IS_DESTROYED);
SAME_RESULT(assertion, CUDA_ERROR_ASSERT);
SAME_RESULT(hardware_stack, CUDA_ERROR_HARDWARE_STACK_ERROR);
SAME_RESULT(illegal_instruction, CUDA_ERROR_ILLEGAL_INSTRUCTION);
SAME_RESULT(misaligned_address, CUDA_ERROR_MISALIGNED_ADDRESS);
SAME_RESULT(invalid_address_space, CUDA_ERROR_INVALID_ADDRESS_SPACE);
SAME_RESULT(invalid_pc, CUDA_ERROR_INVALID_PC);
SAME_RESULT(launch_failed, CUDA_ERROR_LAUNCH_FAILED);
SAME_RESULT(system_driver_mismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
SAME_RESULT(unknown, CUDA_ERROR_UNKNOWN);

#define SAME_ATTRIBUTE(ours, theirs)                      \
    static_assert(static_cast<int>(cu_attribute::ours) == \
                  static_cast<int>(CU_DEVICE_ATTRIBUTE_##theirs))
SAME_ATTRIBUTE(block_shared_bytes, MAX_SHARED_MEMORY_PER_BLOCK);
SAME_ATTRIBUTE(clock_khz, CLOCK_RATE);
SAME_ATTRIBUTE(processors, MULTIPROCESSOR_COUNT);
SAME_ATTRIBUTE(memory_clock_khz, MEMORY_CLOCK_RATE);
SAME_ATTRIBUTE(memory_bus_bits, GLOBAL_MEMORY_BUS_WIDTH);
SAME_ATTRIBUTE(l2_bytes, L2_CACHE_SIZE);
SAME_ATTRIBUTE(processor_threads, MAX_THREADS_PER_MULTIPROCESSOR);
SAME_ATTRIBUTE(major, COMPUTE_CAPABILITY_MAJOR);
SAME_ATTRIBUTE(minor, COMPUTE_CAPABILITY_MINOR);
SAME_ATTRIBUTE(processor_shared_bytes, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
SAME_ATTRIBUTE(processor_registers, MAX_REGISTERS_PER_MULTIPROCESSOR);
SAME_ATTRIBUTE(processor_blocks, MAX_BLOCKS_PER_MULTIPROCESSOR);

static_assert(cu_memory_host == CU_MEMORYTYPE_HOST && cu_memory_device == CU_MEMORYTYPE_DEVICE);
static_assert(cu_stream_non_blocking == CU_STREAM_NON_BLOCKING);

#define SAME_MEMBER(ours, member, theirs, other)                       \
    static_assert(offsetof(ours, member) == offsetof(theirs, other) && \
                  sizeof(ours::member) >= sizeof(theirs::other))
static_assert(sizeof(CuKernelNode) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2));
SAME_MEMBER(CuKernelNode, function, CUDA_KERNEL_NODE_PARAMS_v2, func);
SAME_MEMBER(CuKernelNode, grid, CUDA_KERNEL_NODE_PARAMS_v2, gridDimX);
SAME_MEMBER(CuKernelNode, block, CUDA_KERNEL_NODE_PARAMS_v2, blockDimX);
SAME_MEMBER(CuKernelNode, shared_bytes, CUDA_KERNEL_NODE_PARAMS_v2, sharedMemBytes);
SAME_MEMBER(CuKernelNode, arguments, CUDA_KERNEL_NODE_PARAMS_v2, kernelParams);
SAME_MEMBER(CuKernelNode, extra, CUDA_KERNEL_NODE_PARAMS_v2, extra);
SAME_MEMBER(CuKernelNode, kernel, CUDA_KERNEL_NODE_PARAMS_v2, kern);
SAME_MEMBER(CuKernelNode, context, CUDA_KERNEL_NODE_PARAMS_v2, ctx);
static_assert(offsetof(CUDA_KERNEL_NODE_PARAMS_v2, gridDimZ) -
                  offsetof(CUDA_KERNEL_NODE_PARAMS_v2, gridDimX) ==
              2 * sizeof(unsigned));
static_assert(std::is_same_v<CUDA_KERNEL_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS_v2>);

static_assert(sizeof(CuMemsetNode) == sizeof(CUDA_MEMSET_NODE_PARAMS));
SAME_MEMBER(CuMemsetNode, to, CUDA_MEMSET_NODE_PARAMS, dst);
SAME_MEMBER(CuMemsetNode, pitch, CUDA_MEMSET_NODE_PARAMS, pitch);
SAME_MEMBER(CuMemsetNode, value, CUDA_MEMSET_NODE_PARAMS, value);
SAME_MEMBER(CuMemsetNode, element_bytes, CUDA_MEMSET_NODE_PARAMS, elementSize);
SAME_MEMBER(CuMemsetNode, width, CUDA_MEMSET_NODE_PARAMS, width);
SAME_MEMBER(CuMemsetNode, height, CUDA_MEMSET_NODE_PARAMS, height);

static_assert(sizeof(CuCopyNode) == sizeof(CUDA_MEMCPY3D));
#define SAME_SIDE(side, prefix)                                                                  \
    static_assert(offsetof(CuCopyNode, side) == offsetof(CUDA_MEMCPY3D, prefix##XInBytes));      \
    static_assert(offsetof(CuCopyNode, side.y) == offsetof(CUDA_MEMCPY3D, prefix##Y));           \
    static_assert(offsetof(CuCopyNode, side.z) == offsetof(CUDA_MEMCPY3D, prefix##Z));           \
    static_assert(offsetof(CuCopyNode, side.level) == offsetof(CUDA_MEMCPY3D, prefix##LOD));     \
    static_assert(offsetof(CuCopyNode, side.memory) ==                                           \
                  offsetof(CUDA_MEMCPY3D, prefix##MemoryType));                                  \
    static_assert(offsetof(CuCopyNode, side.host) == offsetof(CUDA_MEMCPY3D, prefix##Host));     \
    static_assert(offsetof(CuCopyNode, side.device) == offsetof(CUDA_MEMCPY3D, prefix##Device)); \
    static_assert(offsetof(CuCopyNode, side.array) == offsetof(CUDA_MEMCPY3D, prefix##Array));   \
    static_assert(offsetof(CuCopyNode, side.pitch) == offsetof(CUDA_MEMCPY3D, prefix##Pitch));   \
    static_assert(offsetof(CuCopyNode, side.height) == offsetof(CUDA_MEMCPY3D, prefix##Height))
SAME_SIDE(from, src);
SAME_SIDE(to, dst);
static_assert(offsetof(CuCopyNode, width_bytes) == offsetof(CUDA_MEMCPY3D, WidthInBytes));
static_assert(offsetof(CuCopyNode, height) == offsetof(CUDA_MEMCPY3D, Height));
static_assert(offsetof(CuCopyNode, depth) == offsetof(CUDA_MEMCPY3D, Depth));

}  // namespace

TEST_CASE("cuda declarations are those of the toolkit's header") {
    // Asserted where this file is compiled.
    MESSAGE("compared with cuda.h of CUDA ", CUDA_VERSION / 1000, ".", CUDA_VERSION % 1000 / 10);
    CHECK(CUDA_VERSION >= oldest_driver);
}

#endif

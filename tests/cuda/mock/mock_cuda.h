// A stand-in for CUDA's driver and NVRTC, which tests load in their place.
#pragma once

#include <cstddef>

namespace arete::test {

/// What the mock is told, and what it tells. It lives in the mock's library libcuda.so.1, where
/// `arete_mock_cuda` points to it.
struct MockCuda {
    int driver_version = 12040, cards = 2, major = 9, minor = 0;
    int init_result = 0;
    std::size_t capacity = std::size_t{1} << 40;  ///< bytes of a card
    /// The `fail_at`-th call from now on returns `fail_result`; 0: none. Of the function
    /// `fail_function` only, where that is not null.
    int fail_at = 0, fail_result = 0;
    const char* fail_function = nullptr;
    /// A kernel of this name that runs ends in an illegal address.
    const char* crashing_kernel = nullptr;
    /// What load_module returns.
    int load_result = 0;
    /// Runs a kernel of a module's text; null: kernels do nothing.
    void (*run)(const char* text, const char* kernel, const unsigned* grid, const unsigned* block,
                void* const* arguments, int count) = nullptr;

    long calls = 0;           ///< of all functions
    const char* failed = "";  ///< which function was made to fail
    long stray = 0;           ///< pointers, sizes and handles that are not the driver's
    /// What is alive.
    int contexts = 0, streams = 0, modules = 0, graphs = 0, executables = 0, allocations = 0,
        host_allocations = 0;
    std::size_t bytes = 0;
    /// What was alive when the last user of a context left it, and was not forgiven by an error.
    int leaked = 0;
    long launches = 0, graph_launches = 0, waits = 0, copies_in = 0;

    /// The graph that was instantiated last.
    struct Node {
        enum Kind { Kernel, Copy, Memset } kind;
        char name[128];
        void* arguments[64];
        int argument_count;
        const void* from;
        void* to;
        std::size_t bytes;
        int after[64];
        int after_count;
    };
    const Node* nodes = nullptr;
    int node_count = 0;
};

}  // namespace arete::test

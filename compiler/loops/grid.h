// Kernels for GPUs: a grid of blocks of threads.
//
// Such a kernel begins with its grid, block and warp loops, in this order and perfectly nested,
// each of up to three dimensions (warps of one). All else is the program of a thread: shared
// buffers belong to a block, private ones and registers to a thread, and barriers stand where all
// threads of their scope come. So there are no barriers at ends of loops, and a printer has nothing
// to decide: the head is what a launch says, and its variables are what a thread asks of the
// machine.
#pragma once

#include <array>
#include <optional>

#include "compiler/loops/kernel.h"

namespace arete::loops {

/// What a machine allows of one launch. As it stands: what every CUDA device allows.
struct GridLimits {
    std::array<std::int64_t, 3> blocks{(std::int64_t{1} << 31) - 1, 65535, 65535};
    std::array<std::int64_t, 3> block{1024, 1024, 64};  ///< threads of a block in each dimension
    std::int64_t threads = 1024;                        ///< of a block
    std::int64_t warp = 32;                             ///< threads of a warp
    std::int64_t shared_bytes = 48 << 10;               ///< of a block
};

/// The head of a kernel for a GPU.
struct Launch {
    std::array<Var, 3> grid, block;  ///< by dimension
    Var warp;
    std::array<std::int64_t, 3> blocks{1, 1, 1};  ///< extents of the grid loops
    /// Extents of the block loops; x times the lanes of a warp loop, which vary first.
    std::array<std::int64_t, 3> block_size{1, 1, 1};
    std::int64_t lanes = 1;  ///< extent of the warp loop
    std::int64_t shared_bytes = 0;
    bool cooperative = false;  ///< has barriers of the grid: all blocks must run at a time
    const std::vector<Stmt>* body = nullptr;  ///< what each thread runs; part of the kernel

    std::int64_t block_count() const { return blocks[0] * blocks[1] * blocks[2]; }
    std::int64_t thread_count() const { return block_size[0] * block_size[1] * block_size[2]; }
    /// Sets the variables of a block and of a thread of it, both counted with x first.
    void set_block(std::int64_t number, IdSpan<Var, std::int64_t> vars) const;
    void set_thread(std::int64_t number, IdSpan<Var, std::int64_t> vars) const;
};

/// The head of a verified kernel, which must live longer; none where no loop is a grid's.
std::optional<Launch> launch(const Kernel& kernel);

/// As verify(kernel), and that a machine with these limits can launch it. Of kernels for GPUs this
/// says: grid, block and warp loops are the head; barriers stand where no condition differs between
/// threads of their scope; warps are full; shared buffers fit.
void verify(const Kernel& kernel, const GridLimits& limits);

/// The part of `verify` that looks at grids alone (verify_grid.cpp).
void verify_grid(const Kernel& kernel, const GridLimits& limits);

}  // namespace arete::loops

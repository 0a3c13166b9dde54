// Kernels for GPUs, as they would be written by hand.
#pragma once

#include <string>
#include <vector>

#include "compiler/core/error.h"
#include "compiler/loops/grid.h"

namespace arete::test {

/// A kernel with values for its parameters, the last of which it writes.
struct GridKernel {
    struct Head {
        loops::LoopKind kind;
        loops::Var var;
        int dimension;
    };
    loops::Kernel kernel;
    std::vector<std::vector<float>> inputs;

    explicit GridKernel(std::string name) { kernel.name = std::move(name); }

    /// A parameter of small integers, whose sums and products are exact, or of -1.
    loops::BufferId input(std::string name, Sizes sizes);
    loops::BufferId output(std::string name, Sizes sizes);
    loops::BufferId shared(std::string name, Sizes sizes);
    loops::BufferId registers(std::string name, Sizes sizes);
    /// The loops of the grid, outermost first, around the program of a thread.
    void head(const std::vector<Head>& loops, std::vector<loops::Stmt> body);

    /// Are these indices below the sizes beside them?
    loops::Value inside(const std::vector<std::pair<loops::Index, std::int64_t>>& indices);
};

// Barriers are counted in their order; the one with number `left_out` is left out.

/// out[c, r] = in[r, c] by tiles of 4 by 4 in shared memory whose rows are 5 apart.
GridKernel transposition(std::int64_t rows, std::int64_t columns, int left_out = -1);
/// Sums of 32 neighbours, the last of fewer.
GridKernel tree_reduction(std::int64_t n, int left_out = -1);
/// The same of two blocks of two warps, each of which sums up 32 elements, by barriers of warps.
GridKernel warp_reduction(int left_out = -1);
/// c[m, n] = a[m, k] b[k, n] by tiles of 4 by 4 by 4.
GridKernel matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, int left_out = -1);
/// The sum of n elements: of three blocks of eight threads each, then, behind a barrier of the
/// grid, of what these have found.
GridKernel two_phases(std::int64_t n, int left_out = -1);
/// Every 32 elements turned round by a block of eight threads that load and store four at a time;
/// what is left over is copied.
GridKernel reversed_pieces(std::int64_t n, int left_out = -1);

/// The text of the InternalError that f throws.
template <class F>
std::string error_of(F f) {
    try {
        f();
    } catch (const InternalError& e) {
        return e.what();
    }
    return "no error";
}

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// out[t] = 1 in blocks of 8 threads, with room for variations.
struct Variation : GridKernel {
    loops::BufferId out;
    loops::Var b, t, s;
    Variation() : GridKernel("odd") {
        out = output("out", {8});
        b = kernel.add_var("b", 4);
        t = kernel.add_var("t", 8);
        s = kernel.add_var("s", 3);
    }
    loops::Stmt store() { return loops::StoreTo{out, 0, kernel.constant(DType::F32, 1.0).id, {}}; }
    std::string verified(const loops::GridLimits& limits = {}) const {
        return error_of([&] { verify(kernel, limits); });
    }
    /// Verified with this body under one loop over blocks and one over threads.
    std::string of(std::vector<loops::Stmt> body) {
        head({{loops::LoopKind::Grid, b, 0}, {loops::LoopKind::Block, t, 0}}, std::move(body));
        return verified();
    }
};

}  // namespace arete::test

// The forms that a nest's kernel can have. Each is correct for the nests that it says; which is
// fastest, the costs say (costs.h).
#pragma once

#include <optional>

#include "compiler/targets/cuda/builder.h"

namespace arete::cuda {

/// A thread for each iteration of the axes, which runs the reduction alone. For every nest: the
/// axes of a sequential one along which its iterations meet are loops of the thread.
/// `threads` of a block; 0: as many as suit the card.
Kernel thread_each(const Nest& nest, const Card& card, std::int64_t threads = 0);
/// Over how many iterations its threads are spread.
std::int64_t spread_iterations(const Nest& nest);

/// How many threads of a block share the reduction of an iteration, and of how many iterations.
struct Team {
    std::int64_t members = 256;
    std::int64_t outputs = 1;
    /// Do neighbouring threads have neighbouring iterations, rather than neighbouring elements of
    /// a reduction?
    bool outputs_first = false;
};
/// Threads of a block share the reductions of an iteration and put their parts together in a tree.
/// For every nest with reductions that is not sequential. `members` is a power of two.
Kernel thread_team(const Nest& nest, const Team& team);

/// A sum of products each of whose factors serves several results: a product of matrices, however
/// the addresses of its rows and columns are made. Axes by the factors that they move.
struct Product {
    ValueId a, b;              ///< the factors
    std::vector<Var> rows;     ///< of a alone
    std::vector<Var> columns;  ///< of b alone: they hold the axis along which results lie
    std::vector<Var> batch;    ///< of both, or of neither
    std::int64_t m = 1, n = 1, k = 1, batches = 1;  ///< sizes
};
std::optional<Product> as_product(const Nest& nest);

/// Tiles of a product: a block computes rows * columns results, each thread some in registers.
struct Tile {
    std::int64_t threads_m = 16, threads_n = 16;  ///< of a block
    std::int64_t each_m = 4, each_n = 4;          ///< results of a thread
    std::int64_t depth = 16;                      ///< of the reduction that is in shared memory
    std::int64_t rows() const { return threads_m * each_m; }
    std::int64_t columns() const { return threads_n * each_n; }
    std::int64_t threads() const { return threads_m * threads_n; }
};
/// Blocks load tiles of both factors to shared memory, threads multiply them in registers.
Kernel tiled_product(const Nest& nest, const Product& product, const Tile& tile);

}  // namespace arete::cuda

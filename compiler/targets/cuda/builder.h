// What all forms of a schedule share: a kernel that is made from a nest.
#pragma once

#include <vector>

#include "compiler/loops/grid.h"
#include "compiler/targets/cuda/machine.h"

namespace arete::cuda {

using namespace loops;

/// The kernel of a nest's buffers, without statements.
Kernel kernel_for(const Nest& nest, std::string comment);

/// A cloner of the nest's instructions into its kernel, with a place for each variable.
Cloner cloner_for(const Nest& nest, Kernel& kernel);

/// Product of the extents.
std::int64_t iterations(const Nest& nest, const std::vector<Var>& axes);

/// Sets the variables of these axes so that `flat` runs through all of their values, the last axis
/// fastest.
void spread(const Nest& nest, const std::vector<Var>& axes, const Index& flat, const Kernel& kernel,
            IdVector<Var, Index>& vars);

/// index < size as a value of the kernel; none where the index cannot reach it.
Value below(Kernel& kernel, const Index& index, std::int64_t size);
/// Both, either of which may be none.
Value both(Value a, Value b);
/// The statements where the condition holds; as they are where there is none.
std::vector<Stmt> guarded(Value condition, std::vector<Stmt> body);

/// The nest's axes, that one last along which neighbours lie side by side most often.
std::vector<Var> coalesced(const Nest& nest, std::vector<Var> axes);
/// How many of the nest's accesses walk neighbours along an axis, those to what it writes twice.
int neighbours_along(const Nest& nest, Var axis);

/// The checks and stores of an iteration, whose accumulators `clone` knows.
std::vector<Stmt> results(const Nest& nest, Cloner& clone);

/// Puts the program of a thread under a grid of blocks.
struct Shape {
    Var grid_x, grid_y, grid_z, block_x, block_y;
};
void set_body(Kernel& kernel, const Shape& shape, std::vector<Stmt> body);

/// Threads of a block for so many independent threads: fewer where that lets more processors work.
std::int64_t block_threads(std::int64_t all, const Card& card);

}  // namespace arete::cuda

// From a nest to a kernel for a grid: the forms that it can have, and which is fastest.
#pragma once

#include <functional>
#include <vector>

#include "compiler/program/program.h"
#include "compiler/targets/cuda/forms.h"

namespace arete::cuda {

/// One form of a nest's kernel and what it is expected to take.
struct Candidate {
    std::string form;  ///< "each", "team of 64, 4 results", "tiles of 64 x 64"
    double us = 0;
    /// For so many threads of a block, where they can be chosen, which they can up to
    /// `any_threads`; 0: they cannot.
    std::function<Kernel(std::int64_t threads)> make;
    std::int64_t threads = 0, blocks = 0;  ///< of a block; of the grid
    std::int64_t any_threads = 0;
    std::int64_t registers = 64;  ///< of a thread, about
    double work_us = 0;  ///< of `us`, that all processors together are busy: others wait as long
};
/// All forms of a nest whose transcendental instructions have been expanded, the fastest first.
/// The candidates refer to the nest and the card.
std::vector<Candidate> candidates(const Nest& nest, const Card& card);

/// The fastest form. Its comment says which it is, and the estimate.
Kernel schedule(const Nest& nest, const Card& card);

/// Parameters that are one memory become one: the first of them is read and written for all, as a
/// printer may take others for memory of their own. `slots` says which memory, by parameter.
void merge_aliases(Kernel& kernel, const IdVector<BufferId, SlotId>& slots);

/// Microseconds that the nest's kernel is expected to take, its launch included.
double estimated_us(const Nest& nest, const Card& card);

}  // namespace arete::cuda

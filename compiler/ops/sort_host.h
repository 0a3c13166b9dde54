// Orders of elements, on the host. Private to the folder.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/core/array.h"

namespace arete {

/// What rows compute by them: see the rows.
namespace order {
/// Positions of elements along an axis of x, the first `out.shape()[axis]` in order, stable.
void positions(const Array& x, std::size_t axis, bool descending, Array& out);
/// Positions of elements that are not 0, as many as fit, then zeros; returns how many there are.
std::int64_t not_zero(const Array& x, Array& out);
/// Of a vector: the first position of each distinct element, ascending by element, as many as fit,
/// behind them the last one repeated; how often it occurs, then 0; by element of x which distinct
/// one it is. Returns how many there are.
std::int64_t distinct(const Array& x, Array& first, Array& counts, Array& inverse);
}  // namespace order

}  // namespace arete

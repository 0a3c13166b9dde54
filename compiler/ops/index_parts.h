// What an index of slices, integers and index arrays says, axis by axis. Private to the folder.
#pragma once

#include <string_view>
#include <vector>

#include "compiler/ops/subtensor.h"

namespace arete {

/// What is read along one axis: `length` elements from `start`. `run_time` is set where the start
/// is only known at run time; it has been checked.
struct Window {
    Dim start = 0;
    Expr run_time;
    std::int64_t step = 1;
    Dim length;
};

struct IndexParts {
    std::vector<Window> windows;  ///< by axis of x; the whole axis for index arrays
    std::vector<int> place;       ///< by axis of x: its axis in `shape`, -1 where it is dropped
    Shape shape;  ///< after integers have dropped their axes and new ones have come, before arrays
    std::vector<int> axes;     ///< of `shape`, that arrays index
    std::vector<Expr> arrays;  ///< on these
};

/// Errors are those of an index.
IndexParts index_parts(const Expr& x, std::span<const SliceArg> items, Loc loc);

/// x within the windows, one an axis.
Expr apply_windows(const Expr& x, const std::vector<Window>& windows, Loc loc);

/// Every element of a part of x by its place: one index an axis of x, all broadcast together over
/// `shape`, of which index arrays span the first `block` axes.
struct PartPlaces {
    std::vector<Expr> index;
    Shape shape;
    std::int64_t block = 0;
    Ints arrays;  ///< the axes of x that index arrays name
};

/// What a scatter of values at places does, as one node; values have the shape of the places.
Expr update_at(Scatter how, const Expr& x, const PartPlaces& places, const Expr& values, Loc loc);
/// x + scale * (values added up at places); scale is a scalar.
Expr add_scaled_at(const Expr& x, const PartPlaces& places, const Expr& values, const Expr& scale,
                   Loc loc);
/// The places that take(x, index, axis) reads, and its result with the axes of the index first.
PartPlaces places_of_take(const Shape& x, const Expr& index, std::int64_t axis, Loc loc);
/// The places that index arrays on the first axes of x read.
PartPlaces places_of_arrays(const Shape& x, std::span<const Expr> index, Loc loc);

/// The index arrays on the first axes of x that the last axis of `indices` holds, one behind the
/// other: their number is that axis's size, which is known and at most x's rank. A GraphError in
/// the name of `op` otherwise. They are not checked yet.
std::vector<Expr> indices_of_last_axis(const Expr& x, const Expr& indices, std::string_view op,
                                       Loc loc);

}  // namespace arete

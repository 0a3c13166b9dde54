// The declarative form of a computation: one loop nest with its reductions, before scheduling.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/loops/code.h"

namespace arete::loops {

/// How elements are combined. A sum of floats has a small error however many there are (see
/// docs/architecture.md, Accuracy of sums). Mean, of floats alone, divides it by their number and
/// is exact where all elements are equal. Max and Min propagate NaN; ArgMax and ArgMin give the
/// position (i32, row-major over the reduction axes) of the first extreme, a NaN counting as
/// extreme, as in NumPy. Zeros of both signs are equal: Max and Min give either.
enum class Reduction : std::uint8_t { Sum, Mean, Prod, Max, Min, ArgMax, ArgMin };

std::string_view name(Reduction r);
/// The value that combining leaves unchanged (for ArgMax and ArgMin: of the elements).
Scalar identity(Reduction r, DType t);
/// combine(a, b), for a mean of what is divided afterwards; not for ArgMax and ArgMin, which carry
/// two values.
Value combine(Reduction r, Value a, Value b);

/// One reduction over all of a nest's reduction axes. Its result is `Acc k` in the stores.
struct Accumulator {
    Reduction reduction = Reduction::Sum;
    ValueId element;           // depends on axes and reduction axes, on no Acc
    DType dtype = DType::F32;  // of the result
};

/// buffer[index] = value, or, where `combine` is set, buffer[index] = combine(buffer[index],
/// value).
struct StoreTo {
    BufferId buffer;
    Index index;
    ValueId value;
    std::optional<Reduction> combine;
};

/// A run-time condition: where `ok` is false the run fails with (code, element), the lowest failing
/// element winning, and no later kernel runs.
struct CheckThat {
    ValueId ok;
    int code = 0;
    Index element;
};

/// for axes: { accumulate over reduce_axes; checks; stores }. Iterations are independent of each
/// other unless `sequential` is set (scatters that may meet). Loads that read a buffer which the
/// nest writes must use the index of the store: elementwise in-place updates.
struct Nest : Code {
    std::string name;
    std::vector<Var> axes;
    std::vector<Var> reduce_axes;
    IdVector<AccId, Accumulator> accumulators;
    std::vector<CheckThat> checks;
    std::vector<StoreTo> stores;
    bool sequential = false;
    /// It writes part of a buffer that has values already (scatters): no other nest runs with it
    /// in one kernel.
    bool partial = false;
};

/// A nest of the same buffers and axes that computes nothing yet.
Nest same_loops(const Nest& nest);

/// Values that a nest accumulates.
std::vector<ValueId> accumulated(const Nest& nest);
/// Values that it stores.
std::vector<ValueId> stored(const Nest& nest);
/// All values that it asks for: what it accumulates, checks and stores, and what is in the indices
/// of these.
std::vector<ValueId> roots(const Nest& nest);

/// Do iterations that differ along this axis, whatever else they differ in, never store to the same
/// element? Of a nest that is not sequential none do.
bool independent(const Nest& nest, Var axis);

/// Is it a sum of floats, divided or not?
bool is_float_sum(const Accumulator& a);
/// Iterations of all reduction axes together.
std::int64_t reduced_elements(const Nest& nest);

/// A nest as text.
std::string to_string(const Nest& nest);
/// Throws an InternalError where a nest is malformed: types, ids, accumulators that use
/// accumulators, addresses that can leave their buffer.
void verify(const Nest& nest);

}  // namespace arete::loops

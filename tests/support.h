// What several test folders share: random inputs, comparison, gradient checks.
#pragma once

#include <arete/arete.h>

#include <string>
#include <vector>

#include "compiler/ops/op.h"

namespace arete::test {

/// A sample's inputs drawn for dtype `t`: the leaves and their values. Integers and bool are drawn
/// from the sample's range too; unsigned ones from its non-negative part.
struct Drawn {
    std::vector<Expr> leaves;
    std::vector<Array> values;
};
Drawn draw(const Sample& sample, DType t, std::uint64_t seed);

/// The largest difference between two arrays, relative to 1 + |expected|; infinite where dtype or
/// sizes differ, or where one is NaN and the other is not. Equal infinities differ by 0.
double difference(const Array& got, const Array& expected);

/// The message of an exception that `f` must throw; empty where it throws none.
template <class F>
std::string message_of(F&& f) {
    try {
        f();
    } catch (const std::exception& e) {
        return e.what();
    }
    return {};
}

}  // namespace arete::test

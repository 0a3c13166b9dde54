// What tests of control flow share: the same outputs in all modes.
#pragma once

#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/support.h"

namespace arete::test {

inline Array f64(std::vector<double> values, Sizes sizes) {
    return Array(values, std::move(sizes));
}
inline Array f64(std::vector<double> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return f64(std::move(values), {n});
}

/// The outputs must be `expected` in every mode.
inline void check_all(const std::vector<Expr>& inputs, const std::vector<Expr>& outputs,
                      const std::vector<Array>& values, const std::vector<Array>& expected,
                      double tolerance = 1e-12) {
    for (Mode mode :
         {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug, Mode::nan_guard}) {
        CAPTURE(static_cast<int>(mode));
        const Function f = function({.inputs = inputs,
                                     .outputs = outputs,
                                     .on_unused_input = OnUnusedInput::ignore,
                                     .mode = mode});
        const std::vector<Array> got = f.call(values);
        REQUIRE(got.size() == expected.size());
        for (std::size_t k = 0; k < got.size(); ++k) {
            CAPTURE(k);
            CAPTURE(got[k].str());
            CAPTURE(expected[k].str());
            CHECK(difference(got[k], expected[k]) <= tolerance);
        }
    }
}

}  // namespace arete::test

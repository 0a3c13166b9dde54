// Shared sample domains: rows name one, tests draw from it.
#pragma once

#include "compiler/ops/elementwise.h"
#include "compiler/ops/op.h"

namespace arete {

/// Samples of a unary builder over [Low, High] tenths.
template <auto Build, int Low = -20, int High = 20, bool Smooth = true, bool FloatsOnly = false>
std::vector<Sample> unary_samples() {
    auto build = [](std::span<const Expr> x) { return Build(x[0]); };
    return {{"matrix", {{{3, 5}, Low / 10.0, High / 10.0}}, build, Smooth, FloatsOnly},
            {"vectors and a rest", {{{37}, Low / 10.0, High / 10.0}}, build, Smooth, FloatsOnly},
            {"scalar", {{{}, Low / 10.0, High / 10.0}}, build, Smooth, FloatsOnly}};
}

/// Samples of a binary builder, with every way of broadcasting.
template <auto Build, int Low = -20, int High = 20, bool Smooth = true, bool FloatsOnly = false>
std::vector<Sample> binary_samples() {
    auto build = [](std::span<const Expr> x) { return Build(x[0], x[1]); };
    auto input = [](Sizes sizes) { return SampleInput{std::move(sizes), Low / 10.0, High / 10.0}; };
    return {{"same shape", {input({4, 9}), input({4, 9})}, build, Smooth, FloatsOnly},
            {"row", {input({4, 9}), input({9})}, build, Smooth, FloatsOnly},
            {"outer", {input({4, 1}), input({1, 7})}, build, Smooth, FloatsOnly},
            {"scalar", {input({}), input({33})}, build, Smooth, FloatsOnly}};
}

inline std::vector<Sample> where_samples() {
    return {{"same shape", {{{3, 5}}, {{3, 5}}, {{5}}}, [](std::span<const Expr> x) {
                 return where(x[1] > x[2], x[0], x[1] * x[2]);
             }}};
}

std::vector<Sample> cast_samples();

}  // namespace arete

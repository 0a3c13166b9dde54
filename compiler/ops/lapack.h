// What factorisations compute, by LAPACK: private to their rows.
#pragma once

#include "compiler/ops/op.h"

namespace arete::lapack {

void cholesky(const Node& node, std::span<const Array> x, std::span<Array> y);
void solve(const Node& node, std::span<const Array> x, std::span<Array> y);
void solve_triangular(const Node& node, std::span<const Array> x, std::span<Array> y);
void inverse(const Node& node, std::span<const Array> x, std::span<Array> y);
void det(const Node& node, std::span<const Array> x, std::span<Array> y);
void slogdet(const Node& node, std::span<const Array> x, std::span<Array> y);
void eigh(const Node& node, std::span<const Array> x, std::span<Array> y);
void svd(const Node& node, std::span<const Array> x, std::span<Array> y);
void qr(const Node& node, std::span<const Array> x, std::span<Array> y);

}  // namespace arete::lapack

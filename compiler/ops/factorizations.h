// Linear algebra by LAPACK: factorisations, solutions, inverses. Floats only, one matrix each.
#pragma once

#include <vector>

#include "compiler/ops/operand.h"

namespace arete {

/// The lower triangular L with L L^T = a, of a symmetric positive definite a[n,n], of which only
/// the lower triangle is read. A call with another matrix ends in a CallError.
Expr cholesky(const Operand& a);
/// x with a x = b, for a[n,n] and b[n] or b[n,k]. A CallError where a is singular.
Expr solve(const Operand& a, const Operand& b);
/// The same for a triangular a, of which only that triangle is read; with `transposed`, a^T x = b.
Expr solve_triangular(const Operand& a, const Operand& b, bool lower = false,
                      bool transposed = false);
/// The inverse of a[n,n]. A CallError where it is singular.
Expr matrix_inverse(const Operand& a);
/// The determinant of a[n,n]; 1 where n is 0.
Expr det(const Operand& a);
/// Sign and logarithm of the absolute value of the determinant: 0 and -inf where it is 0.
struct SignAndLogdet {
    Expr sign, logdet;
};
SignAndLogdet slogdet(const Operand& a);
/// Eigenvalues w[n], ascending, and eigenvectors v[n,n], column by column, of a symmetric a[n,n],
/// of which only the lower triangle is read. The sign of a vector is LAPACK's choice. NaN
/// everywhere where a has a NaN or an infinity anywhere.
struct Eigh {
    Expr w, v;
};
Eigh eigh(const Operand& a);
/// a[m,n] = u diag(s) vt with u[m,k], s[k] descending, vt[k,n] and k = min(m, n). Signs and NaN as
/// with eigh.
struct Svd {
    Expr u, s, vt;
};
Svd svd(const Operand& a);
/// a[m,n] = q r with q[m,k] of orthonormal columns and an upper triangular r[k,n], k = min(m, n).
/// The sizes must be known for a gradient, unless a is square by its type.
struct Qr {
    Expr q, r;
};
Qr qr(const Operand& a);

}  // namespace arete

// One file includes LAPACK.
#include "compiler/ops/lapack.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace arete::lapack {

namespace {

constexpr int rows = LAPACK_ROW_MAJOR;

lapack_int size(std::int64_t n) {
    if (n > std::numeric_limits<lapack_int>::max())
        fail<ArgumentError>({}, "LAPACK knows no matrix of {} rows or columns", n);
    return static_cast<lapack_int>(n);
}

// Both precisions under one name.
struct Single {
    using T = float;
    static constexpr auto potrf = LAPACKE_spotrf;
    static constexpr auto gesv = LAPACKE_sgesv;
    static constexpr auto trtrs = LAPACKE_strtrs;
    static constexpr auto getrf = LAPACKE_sgetrf;
    static constexpr auto getri = LAPACKE_sgetri;
    static constexpr auto syevd = LAPACKE_ssyevd;
    static constexpr auto gesdd = LAPACKE_sgesdd;
    static constexpr auto geqrf = LAPACKE_sgeqrf;
    static constexpr auto orgqr = LAPACKE_sorgqr;
};
struct Double {
    using T = double;
    static constexpr auto potrf = LAPACKE_dpotrf;
    static constexpr auto gesv = LAPACKE_dgesv;
    static constexpr auto trtrs = LAPACKE_dtrtrs;
    static constexpr auto getrf = LAPACKE_dgetrf;
    static constexpr auto getri = LAPACKE_dgetri;
    static constexpr auto syevd = LAPACKE_dsyevd;
    static constexpr auto gesdd = LAPACKE_dgesdd;
    static constexpr auto geqrf = LAPACKE_dgeqrf;
    static constexpr auto orgqr = LAPACKE_dorgqr;
};

// Calls f with the precision of an array. Results may be NaN where operands are: LAPACK's own check
// of that is off.
template <class F>
void by_dtype(const Array& a, F&& f) {
    static const bool unchecked = (LAPACKE_set_nancheck(0), true);
    (void)unchecked;
    if (a.dtype() == DType::F64)
        f(Double{});
    else
        f(Single{});
}

void check(lapack_int info, const char* otherwise) {
    if (info > 0) fail<ArgumentError>({}, "{}", otherwise);
    // No memory has values of its own; anything else is a wrong argument.
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        fail<MemoryError>({}, "LAPACK has no memory");
    ARETE_CHECK(info == 0, "LAPACK: argument {} is wrong", -info);
}

template <class T>
bool all_finite(const Array& a) {
    const T* p = a.data<T>();
    return std::all_of(p, p + a.size(), [](T v) { return std::isfinite(v); });
}
template <class T>
void fill_nan(std::span<Array> all) {
    for (Array& a : all) std::fill_n(a.data<T>(), a.size(), std::numeric_limits<T>::quiet_NaN());
}

void copy(Array& to, const Array& from) {
    if (from.bytes()) std::memcpy(to.raw(), from.raw(), from.bytes());
}

// The factors of P A = L U, in place; the rows that were swapped. False where A is singular.
template <class P>
bool factorize(Array& a, std::vector<lapack_int>& swaps) {
    const lapack_int n = size(a.shape(0));
    swaps.resize(static_cast<std::size_t>(n));
    const lapack_int info =
        P::getrf(rows, n, n, a.data<typename P::T>(), std::max(n, 1), swaps.data());
    check(std::min(info, 0), "");
    return info == 0;
}

constexpr const char* singular = "the matrix is singular";

}  // namespace

void cholesky(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        const lapack_int n = size(x[0].shape(0));
        copy(y[0], x[0]);
        if (n == 0) return;
        auto* l = y[0].data<typename P::T>();
        check(P::potrf(rows, 'L', n, l, n), "the matrix is not positive definite");
        for (std::int64_t i = 0; i < n; ++i) std::fill(l + i * n + i + 1, l + (i + 1) * n, 0);
    });
}

void solve(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        const lapack_int n = size(x[0].shape(0)), k = size(x[1].rank() == 1 ? 1 : x[1].shape(1));
        copy(y[0], x[1]);
        if (n == 0 || k == 0) return;
        Array a = x[0].copy();
        std::vector<lapack_int> swaps(static_cast<std::size_t>(n));
        check(P::gesv(rows, n, k, a.data<typename P::T>(), n, swaps.data(),
                      y[0].data<typename P::T>(), k),
              singular);
    });
}

void solve_triangular(const Node& node, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        using T = typename P::T;
        const lapack_int n = size(x[0].shape(0)), k = size(x[1].rank() == 1 ? 1 : x[1].shape(1));
        copy(y[0], x[1]);
        if (n == 0 || k == 0) return;
        const char triangle = node.attrs.get<bool>("lower") ? 'L' : 'U',
                   transposed = node.attrs.get<bool>("transposed") ? 'T' : 'N';
        check(P::trtrs(rows, triangle, transposed, 'N', n, k, x[0].data<T>(), n, y[0].data<T>(), k),
              singular);
    });
}

void inverse(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        const lapack_int n = size(x[0].shape(0));
        copy(y[0], x[0]);
        if (n == 0) return;
        std::vector<lapack_int> swaps;
        check(factorize<P>(y[0], swaps) ? 0 : 1, singular);
        check(P::getri(rows, n, y[0].data<typename P::T>(), n, swaps.data()), singular);
    });
}

namespace {

// Calls f with each factor of the determinant, and the sign that the swapped rows leave.
template <class P, class F>
void determinant(const Array& x, F&& f) {
    Array a = x.copy();
    std::vector<lapack_int> swaps;
    const std::int64_t n = x.shape(0);
    if (n > 0) factorize<P>(a, swaps);
    for (std::int64_t i = 0; i < n; ++i) {
        const bool swapped = swaps[i] != i + 1;
        const auto v = a.data<typename P::T>()[i * n + i];
        f(swapped ? -v : v);
    }
}

}  // namespace

void det(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        typename P::T product = 1;
        determinant<P>(x[0], [&](auto v) { product *= v; });
        *y[0].data<typename P::T>() = product;
    });
}

void slogdet(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        using T = typename P::T;
        T sign = 1, log = 0;
        determinant<P>(x[0], [&](T v) {
            sign *= static_cast<T>(v == 0 ? 0 : v < 0 ? -1 : std::isnan(v) ? v : 1);
            log += std::log(std::abs(v));
        });
        *y[0].data<T>() = sign;
        *y[1].data<T>() = log;
    });
}

void eigh(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        using T = typename P::T;
        const lapack_int n = size(x[0].shape(0));
        if (n == 0) return;
        if (!all_finite<T>(x[0])) return fill_nan<T>(y);
        copy(y[1], x[0]);
        check(P::syevd(rows, 'V', 'L', n, y[1].data<T>(), n, y[0].data<T>()),
              "the eigenvalues were not found");
    });
}

void svd(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        using T = typename P::T;
        const lapack_int m = size(x[0].shape(0)), n = size(x[0].shape(1)), k = std::min(m, n);
        if (k == 0) return;
        if (!all_finite<T>(x[0])) return fill_nan<T>(y);
        Array a = x[0].copy();
        check(P::gesdd(rows, 'S', m, n, a.data<T>(), n, y[1].data<T>(), y[0].data<T>(), k,
                       y[2].data<T>(), n),
              "the singular values were not found");
    });
}

void qr(const Node&, std::span<const Array> x, std::span<Array> y) {
    by_dtype(x[0], [&](auto p) {
        using P = decltype(p);
        using T = typename P::T;
        const lapack_int m = size(x[0].shape(0)), n = size(x[0].shape(1)), k = std::min(m, n);
        if (k == 0) return;
        Array a = x[0].copy(), scales(x[0].dtype(), {k});
        T *q = y[0].data<T>(), *r = y[1].data<T>(), *both = a.data<T>();
        check(P::geqrf(rows, m, n, both, n, scales.data<T>()), "");
        for (std::int64_t i = 0; i < k; ++i)
            for (std::int64_t j = 0; j < n; ++j) r[i * n + j] = j < i ? T(0) : both[i * n + j];
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < k; ++j) q[i * k + j] = both[i * n + j];
        check(P::orgqr(rows, m, k, k, q, k, scales.data<T>()), "");
    });
}

}  // namespace arete::lapack

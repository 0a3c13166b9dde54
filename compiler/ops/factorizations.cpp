// The rows of linear algebra that LAPACK computes. Gradients: Giles, "Collected matrix derivative
// results for forward and reverse mode algorithmic differentiation" (2008), Murray,
// "Differentiation of the Cholesky decomposition" (2016), Townsend, "Differentiating the singular
// value decomposition" (2016), Walter and Lehmann, "Algorithmic differentiation of linear algebra
// functions" (2010).
#include "compiler/ops/factorizations.h"

#include <array>
#include <cmath>
#include <limits>

#include "compiler/ops/branch.h"
#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/lapack.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/product.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

extern const OpDef cholesky_op, solve_op, solve_triangular_op, matrix_inverse_op, det_op,
    slogdet_op, eigh_op, svd_op, qr_op;

namespace {

void require_matrix(const InferArgs& a, bool square) {
    const TensorType& t = a.type(0);
    if (t.rank() != 2 || !is_float(t.dtype)) a.error("needs a matrix of floats: " + a.describe(0));
    if (square && differ(t.shape[0], t.shape[1]))
        a.error("needs a square matrix: " + a.describe(0));
}

// The shorter of a matrix's axes.
Dim shorter(const Shape& s) {
    if (s[0].is_const() && s[1].is_const()) return Dim(std::min(s[0].value(), s[1].value()));
    return s[0] - not_negative(s[0] - s[1]);
}

std::vector<TensorType> infer_square(const InferArgs& a) {
    require_matrix(a, true);
    return {a.type(0)};
}

std::vector<TensorType> infer_solve(const InferArgs& a) {
    require_matrix(a, true);
    const TensorType &m = a.type(0), &b = a.type(1);
    if (b.rank() < 1 || b.rank() > 2 || b.dtype != m.dtype || differ(b.shape[0], m.shape[1]))
        a.error(fmt::format("the right side must be a vector or matrix of as many rows: {}, {}",
                            a.describe(0), a.describe(1)));
    return {b};
}

std::vector<TensorType> infer_det(const InferArgs& a) {
    require_matrix(a, true);
    return {{a.type(0).dtype, {}}};
}

std::vector<TensorType> infer_slogdet(const InferArgs& a) {
    require_matrix(a, true);
    return {{a.type(0).dtype, {}}, {a.type(0).dtype, {}}};
}

std::vector<TensorType> infer_eigh(const InferArgs& a) {
    require_matrix(a, true);
    return {{a.type(0).dtype, {a.type(0).shape[0]}}, a.type(0)};
}

std::vector<TensorType> infer_svd(const InferArgs& a) {
    require_matrix(a, false);
    const Shape& s = a.type(0).shape;
    const DType t = a.type(0).dtype;
    const Dim k = shorter(s);
    return {{t, {s[0], k}}, {t, {k}}, {t, {k, s[1]}}};
}

std::vector<TensorType> infer_qr(const InferArgs& a) {
    require_matrix(a, false);
    const Shape& s = a.type(0).shape;
    const Dim k = shorter(s);
    return {{a.type(0).dtype, {s[0], k}}, {a.type(0).dtype, {k, s[1]}}};
}

// ---- gradients

Expr turned(const Expr& m) {
    return transpose(m);
}

// Column and row numbers of a matrix's elements, to compare: [m,1] and [1,n].
struct Places {
    explicit Places(const Expr& m)
        : row(expand_dims(count_up(m.shape()[0], {}), 1)),
          column(expand_dims(count_up(m.shape()[1], {}), 0)) {}
    Expr row, column;
};
Expr lower_part(const Expr& m) {
    const Places at(m);
    return where(at.row >= at.column, m, zeros_like(m));
}
Expr upper_part(const Expr& m) {
    const Places at(m);
    return where(at.row <= at.column, m, zeros_like(m));
}
Expr diagonal_only(const Expr& m) {
    const Places at(m);
    return where(eq(at.row, at.column), m, zeros_like(m));
}
// A vector on the diagonal of zeros.
Expr diagonal_of(const Expr& v) {
    const Expr wide = broadcast_to(expand_dims(v, 1), Shape{v.shape()[0], v.shape()[0]});
    return diagonal_only(wide);
}
// 1 / (v_j - v_i), and 0 on the diagonal.
Expr gaps(const Expr& v) {
    const Expr apart = expand_dims(v, 0) - expand_dims(v, 1);
    const Places at(apart);
    const Expr own = eq(at.row, at.column);
    return where(own, zeros_like(apart), 1.0f / where(own, ones_like(apart), apart));
}
// Of a function that reads the lower triangle of a symmetric matrix, from the gradient by both.
Expr from_both(const Expr& s) {
    return lower_part(s) + turned(upper_part(s)) - diagonal_only(s);
}

Expr or_zeros(const Expr& g, const Expr& like) {
    return g.empty() ? zeros_like(like) : g;
}

std::vector<Expr> pullback_cholesky(const PullbackArgs& a) {
    const Expr& l = a.y[0];
    const Expr full = lower_part(dot(turned(l), a.g[0]));
    const Expr half = full - 0.5f * diagonal_only(full);
    // L^-T half L^-1
    const Expr left = solve_triangular(l, half, true, true);
    return {from_both(turned(solve_triangular(l, turned(left), true, true)))};
}

Expr outer_product(const Expr& x, const Expr& y) {
    return x.rank() == 1 ? outer(x, y) : dot(x, turned(y));
}

std::vector<Expr> pullback_solve(const PullbackArgs& a) {
    const Expr b = solve(turned(a.x[0]), a.g[0]);
    return {-outer_product(b, a.y[0]), b};
}

std::vector<Expr> pullback_triangular(const PullbackArgs& a) {
    const bool lower = a.node.attrs.get<bool>("lower"),
               transposed = a.node.attrs.get<bool>("transposed");
    const Expr b = solve_triangular(a.x[0], a.g[0], lower, !transposed);
    const Expr g = -(transposed ? outer_product(a.y[0], b) : outer_product(b, a.y[0]));
    return {lower ? lower_part(g) : upper_part(g), b};
}

std::vector<Expr> pullback_inverse(const PullbackArgs& a) {
    const Expr t = turned(a.y[0]);
    return {-dot(t, dot(a.g[0], t))};
}

// The cofactors: by the inverse, or where there is none by the singular values of a = u diag(s) vt,
// of whose product all but one are taken.
std::vector<Expr> pullback_det(const PullbackArgs& a) {
    const Expr regular = a.y[0] * turned(matrix_inverse(a.x[0]));
    const Svd d = svd(a.x[0]);
    const Expr singular = det(d.u) * det(d.vt) * dot(d.u * expand_dims(prod_others(d.s), 0), d.vt);
    return {a.g[0] * ifelse(neq(a.y[0], 0.0f), regular, singular)};
}

std::vector<Expr> pullback_slogdet(const PullbackArgs& a) {
    if (a.g[1].empty()) return {zeros_like(a.x[0])};
    return {a.g[1] * turned(matrix_inverse(a.x[0]))};
}

std::vector<Expr> pullback_eigh(const PullbackArgs& a) {
    const Expr &w = a.y[0], &v = a.y[1];
    Expr inner = diagonal_of(or_zeros(a.g[0], w));
    if (!a.g[1].empty()) inner = inner + gaps(w) * dot(turned(v), a.g[1]);
    const Expr both = dot(v, dot(inner, turned(v)));
    return {lower_part(both) + turned(upper_part(both)) - diagonal_only(both)};
}

std::vector<Expr> pullback_svd(const PullbackArgs& a) {
    const Expr &u = a.y[0], &s = a.y[1], v = turned(a.y[2]);
    const Expr f = gaps(sqr(s));
    Expr inner = diagonal_of(or_zeros(a.g[1], s));
    const auto symmetric = [](const Expr& m) { return m + turned(m); };
    const Expr inverse = expand_dims(1.0f / s, 0);
    Expr outside;
    if (!a.g[0].empty()) {
        inner = inner + symmetric(f * dot(turned(u), a.g[0])) * expand_dims(s, 0);
        const Expr across = a.g[0] - dot(u, dot(turned(u), a.g[0]));
        outside = dot(across * inverse, turned(v));
    }
    if (!a.g[2].empty()) {
        const Expr gv = turned(a.g[2]);
        inner = inner + expand_dims(s, 1) * symmetric(f * dot(turned(v), gv));
        const Expr across = gv - dot(v, dot(turned(v), gv));
        const Expr more = dot(u, turned(across * inverse));
        outside = outside.empty() ? more : outside + more;
    }
    const Expr g = dot(u, dot(inner, turned(v)));
    return {outside.empty() ? g : g + outside};
}

// Of as many rows as columns, or more.
Expr qr_gradient(const Expr& q, const Expr& r, const Expr& gq, const Expr& gr) {
    const Expr m = dot(r, turned(gr)) - dot(turned(gq), q);
    const Expr lower = lower_part(m), b = gq + dot(q, lower + turned(lower) - diagonal_only(m));
    return turned(solve_triangular(r, turned(b), false));
}

std::vector<Expr> pullback_qr(const PullbackArgs& a) {
    const Expr &q = a.y[0], &r = a.y[1];
    const Expr gq = or_zeros(a.g[0], q), gr = or_zeros(a.g[1], r);
    const Dim &k = r.shape()[0], &n = r.shape()[1];
    if (k == n) return {qr_gradient(q, r, gq, gr)};
    // A wide matrix is a square one, and columns beside it that q turns: none of another matrix,
    // which may turn out only when sizes are known.
    const auto columns = [&](const Expr& of, const Dim& first, const Dim& count) {
        return slice_window(of, {0, first}, {1, 1}, {of.shape()[0], count}, a.node.loc());
    };
    const Expr beside = columns(a.x[0], k, n - k), gbeside = columns(gr, k, n - k);
    const Expr square =
        qr_gradient(q, columns(r, 0, k), gq + dot(beside, turned(gbeside)), columns(gr, 0, k));
    return {concatenate({square, dot(q, gbeside)}, 1)};
}

// ---- samples: matrices far from singular ones

using Inputs = std::span<const Expr>;

Expr regular(const Expr& x) {
    return x + 4.0f * diagonal_of(ones_like(x(0)));
}
Expr positive(const Expr& x) {
    return dot(x, turned(x)) + 2.0f * diagonal_of(ones_like(x(0)));
}
// Whatever the signs of its rows or columns.
Expr without_signs(const Expr& m) {
    return sqr(m);
}

std::vector<Sample> cholesky_samples() {
    return {{"positive definite",
             {{{4, 4}}},
             [](Inputs x) { return cholesky(positive(x[0])); },
             true,
             true},
            {"one", {{{1, 1}}}, [](Inputs x) { return cholesky(positive(x[0])); }, true, true}};
}
std::vector<Sample> solve_samples() {
    const auto build = [](Inputs x) { return solve(regular(x[0]), x[1]); };
    return {{"vector", {{{4, 4}}, {{4}}}, build, true, true},
            {"matrix", {{{3, 3}}, {{3, 5}}}, build, true, true}};
}
std::vector<Sample> triangular_samples() {
    return {{"lower",
             {{{4, 4}}, {{4, 2}}},
             [](Inputs x) { return solve_triangular(regular(x[0]), x[1], true); },
             true,
             true},
            {"upper, transposed",
             {{{4, 4}}, {{4}}},
             [](Inputs x) { return solve_triangular(regular(x[0]), x[1], false, true); },
             true,
             true}};
}
std::vector<Sample> inverse_samples() {
    return {{"regular",
             {{{4, 4}}},
             [](Inputs x) { return matrix_inverse(regular(x[0])); },
             true,
             true}};
}
std::vector<Sample> det_samples() {
    return {{"regular", {{{4, 4}}}, [](Inputs x) { return det(regular(x[0])); }, true, true},
            {"none", {{{0, 0}}}, [](Inputs x) { return det(x[0]); }, false, true}};
}
std::vector<Sample> slogdet_samples() {
    return {{"negative",
             {{{3, 3}}},
             [](Inputs x) {
                 const SignAndLogdet d = slogdet(-regular(x[0]));
                 return stack({d.sign, d.logdet});
             },
             true,
             true}};
}
std::vector<Sample> eigh_samples() {
    return {{"values and vectors",
             {{{4, 4}}},
             [](Inputs x) {
                 const Eigh e =
                     eigh(positive(x[0]) + diagonal_of(cast(arange(4), x[0].dtype()) * 3.0f));
                 return concatenate({expand_dims(e.w, 0), without_signs(e.v)});
             },
             true,
             true}};
}
std::vector<Sample> svd_samples() {
    const auto build = [](Inputs x) {
        const Svd d =
            svd(x[0] + broadcast_to(cast(arange(x[0].shape()[1].value()), x[0].dtype()) * 2.0f,
                                    x[0].shape()));
        return concatenate({without_signs(flatten(d.u)), d.s, without_signs(flatten(d.vt))});
    };
    return {{"tall", {{{4, 3}}}, build, true, true}, {"wide", {{{2, 4}}}, build, true, true}};
}
std::vector<Sample> qr_samples() {
    const auto build = [](Inputs x) {
        const Qr d = qr(x[0]);
        return concatenate({without_signs(flatten(d.q)), without_signs(flatten(d.r))});
    };
    return {{"tall", {{{4, 3}, 0.5, 2}}, build, true, true},
            {"wide", {{{2, 3}, 0.5, 2}}, build, true, true}};
}

}  // namespace

constinit const OpDef cholesky_op{.info = {.name = "cholesky", .traits = Trait::Step},
                                  .doc = "lower triangular factor of a symmetric matrix",
                                  .infer = infer_square,
                                  .host = lapack::cholesky,
                                  .pullback = pullback_cholesky,
                                  .samples = cholesky_samples};
constinit const OpDef solve_op{.info = {.name = "solve", .traits = Trait::Step},
                               .doc = "x with a x = b",
                               .arity = 2,
                               .infer = infer_solve,
                               .host = lapack::solve,
                               .pullback = pullback_solve,
                               .samples = solve_samples};
constinit const OpDef solve_triangular_op{
    .info = {.name = "solve_triangular", .traits = Trait::Step},
    .doc = "x with a x = b, a triangular: attrs lower, transposed",
    .arity = 2,
    .infer = infer_solve,
    .host = lapack::solve_triangular,
    .pullback = pullback_triangular,
    .samples = triangular_samples};
constinit const OpDef matrix_inverse_op{.info = {.name = "matrix_inverse", .traits = Trait::Step},
                                        .doc = "inverse of a square matrix",
                                        .infer = infer_square,
                                        .host = lapack::inverse,
                                        .pullback = pullback_inverse,
                                        .samples = inverse_samples};
constinit const OpDef det_op{.info = {.name = "det", .traits = Trait::Step},
                             .doc = "determinant",
                             .infer = infer_det,
                             .host = lapack::det,
                             .pullback = pullback_det,
                             .samples = det_samples};
constinit const OpDef slogdet_op{.info = {.name = "slogdet", .traits = Trait::Step},
                                 .doc = "sign of the determinant, logarithm of its absolute value",
                                 .infer = infer_slogdet,
                                 .host = lapack::slogdet,
                                 .pullback = pullback_slogdet,
                                 .samples = slogdet_samples};
constinit const OpDef eigh_op{.info = {.name = "eigh", .traits = Trait::Step},
                              .doc = "eigenvalues and eigenvectors of a symmetric matrix",
                              .infer = infer_eigh,
                              .host = lapack::eigh,
                              .pullback = pullback_eigh,
                              .samples = eigh_samples};
constinit const OpDef svd_op{.info = {.name = "svd", .traits = Trait::Step},
                             .doc = "singular value decomposition",
                             .infer = infer_svd,
                             .host = lapack::svd,
                             .pullback = pullback_svd,
                             .samples = svd_samples};
constinit const OpDef qr_op{.info = {.name = "qr", .traits = Trait::Step},
                            .doc = "orthonormal columns times an upper triangular matrix",
                            .infer = infer_qr,
                            .host = lapack::qr,
                            .pullback = pullback_qr,
                            .samples = qr_samples};

// ---- builders

namespace {

// Integers become floats, as in sqrt.
Expr as_float(const Operand& a) {
    const Expr e = a.expr();
    return is_float(e.dtype()) ? e : cast(at(e, a.loc), DType::F32);
}
Expr one(const OpDef& op, const Operand& a) {
    return apply(op, {as_float(a)}, {}, a.loc);
}

}  // namespace

Expr cholesky(const Operand& a) {
    return one(cholesky_op, a);
}
Expr solve(const Operand& a, const Operand& b) {
    const auto [x, y] = unify_floats(a, b, "solve");
    return apply(solve_op, {x, y}, {}, a.loc);
}
Expr solve_triangular(const Operand& a, const Operand& b, bool lower, bool transposed) {
    const auto [x, y] = unify_floats(a, b, "solve_triangular");
    return apply(solve_triangular_op, {x, y}, {{"lower", lower}, {"transposed", transposed}},
                 a.loc);
}
Expr matrix_inverse(const Operand& a) {
    return one(matrix_inverse_op, a);
}
Expr det(const Operand& a) {
    return one(det_op, a);
}
SignAndLogdet slogdet(const Operand& a) {
    const std::vector<Expr> r = apply_all(slogdet_op, {as_float(a)}, {}, a.loc);
    return {r[0], r[1]};
}
Eigh eigh(const Operand& a) {
    const std::vector<Expr> r = apply_all(eigh_op, {as_float(a)}, {}, a.loc);
    return {r[0], r[1]};
}
Svd svd(const Operand& a) {
    const std::vector<Expr> r = apply_all(svd_op, {as_float(a)}, {}, a.loc);
    return {r[0], r[1], r[2]};
}
Qr qr(const Operand& a) {
    const std::vector<Expr> r = apply_all(qr_op, {as_float(a)}, {}, a.loc);
    return {r[0], r[1]};
}

std::span<const OpDef* const> factorization_ops() {
    static constexpr std::array rows = {&cholesky_op,       &solve_op, &solve_triangular_op,
                                        &matrix_inverse_op, &det_op,   &slogdet_op,
                                        &eigh_op,           &svd_op,   &qr_op};
    return rows;
}

}  // namespace arete

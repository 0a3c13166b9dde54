// Rows of contractions: a product and one reduction axis.
#include "compiler/ops/linalg.h"

#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;

extern const OpDef dot_op, batched_dot_op;

namespace {

// Sizes along the summed axes must agree; named in the error as the user wrote the operands.
void require_inner(const InferArgs& a) {
    const Shape &x = a.type(0).shape, &y = a.type(1).shape;
    if (differ(x.back(), y[y.size() == 1 ? 0 : y.size() - 2]))
        a.error(fmt::format("inner sizes differ: {}, {}", a.describe(0), a.describe(1)));
    if (a.type(0).dtype != a.type(1).dtype)
        a.error(fmt::format("dtypes differ: {}, {}", a.describe(0), a.describe(1)));
}

std::vector<TensorType> infer_dot(const InferArgs& a) {
    for (std::size_t i : {0, 1})
        if (a.type(i).rank() < 1 || a.type(i).rank() > 2)
            a.error("needs vectors and matrices: " + a.describe(i));
    require_inner(a);
    Shape shape(a.type(0).shape.begin(), a.type(0).shape.end() - 1);
    if (a.type(1).rank() == 2) shape.push_back(a.type(1).shape[1]);
    return {{a.type(0).dtype, shape}};
}

Value lower_dot(Lowering& l, std::span<const Index> out) {
    const Index k = l.reduce_axis("k", l.shape(0).back());
    std::vector<Index> a, b{k};
    if (l.shape(0).size() == 2) a.push_back(out.front());
    a.push_back(k);
    if (l.shape(1).size() == 2) b.push_back(out.back());
    return l.reduce(loops::Reduction::Sum, l.load(0, a) * l.load(1, b));
}

std::vector<Expr> pullback_dot(const PullbackArgs& p) {
    const Expr &a = p.x[0], &b = p.x[1], &g = p.g[0];
    const bool matrix_a = a.rank() == 2, matrix_b = b.rank() == 2;
    if (matrix_a && matrix_b) return {dot(g, b.T()), dot(a.T(), g)};
    if (matrix_a) return {outer(g, b), dot(a.T(), g)};
    if (matrix_b) return {dot(b, g), outer(a, g)};
    return {g * b, g * a};
}

std::vector<TensorType> infer_batched_dot(const InferArgs& a) {
    for (std::size_t i : {0, 1})
        if (a.type(i).rank() != 3) a.error("needs rank 3: " + a.describe(i));
    require_inner(a);
    const Shape &x = a.type(0).shape, &y = a.type(1).shape;
    if (differ(x[0], y[0]))
        a.error(fmt::format("numbers of matrices differ: {}, {}", a.describe(0), a.describe(1)));
    return {{a.type(0).dtype, {x[0], x[1], y[2]}}};
}

Value lower_batched_dot(Lowering& l, std::span<const Index> out) {
    const Index k = l.reduce_axis("k", l.shape(0)[2]);
    return l.reduce(loops::Reduction::Sum,
                    l.load(0, {out[0], out[1], k}) * l.load(1, {out[0], k, out[2]}));
}

std::vector<Expr> pullback_batched_dot(const PullbackArgs& p) {
    auto swapped = [](const Expr& e) { return transpose(e, {0, 2, 1}); };
    return {batched_dot(p.g[0], swapped(p.x[1])), batched_dot(swapped(p.x[0]), p.g[0])};
}

std::vector<Sample> dot_samples() {
    auto build = [](std::span<const Expr> x) { return dot(x[0], x[1]); };
    return {{"vectors", {{{37}}, {{37}}}, build},
            {"matrix, vector", {{{5, 9}}, {{9}}}, build},
            {"vector, matrix", {{{9}}, {{9, 7}}}, build},
            {"matrices", {{{4, 9}}, {{9, 17}}}, build},
            {"one row", {{{1, 3}}, {{3, 1}}}, build},
            {"higher ranks", {{{2, 3, 4}}, {{2, 4, 5}}}, build},
            {"transposed", {{{9, 4}}, {{7, 9}}}, [](std::span<const Expr> x) {
                 return dot(x[0].T(), x[1].T());
             }}};
}

std::vector<Sample> batched_dot_samples() {
    auto build = [](std::span<const Expr> x) { return batched_dot(x[0], x[1]); };
    return {{"odd sizes", {{{3, 5, 7}}, {{3, 7, 2}}}, build},
            {"one", {{{1, 1, 4}}, {{1, 4, 1}}}, build}};
}

}  // namespace

constinit const OpDef dot_op{.info = {.name = "dot", .traits = Trait::Reduces | Trait::Bilinear},
                             .doc = "product of vectors and matrices",
                             .arity = 2,
                             .infer = infer_dot,
                             .lower = lower_dot,
                             .pullback = pullback_dot,
                             .samples = dot_samples};
constinit const OpDef batched_dot_op{
    .info = {.name = "batched_dot", .traits = Trait::Reduces | Trait::Bilinear},
    .doc = "a product of matrices for each index of the first axis",
    .arity = 2,
    .infer = infer_batched_dot,
    .lower = lower_batched_dot,
    .pullback = pullback_batched_dot,
    .samples = batched_dot_samples};

// ---- builders

namespace {

// Both of one dtype; products of integers are summed in i64, as sum does, which literals beside
// them take at once.
std::pair<Expr, Expr> factors(const Operand& a, const Operand& b) {
    const auto grown = [](const Operand& literal, const Operand& tensor) {
        const DType t = tensor.expr().dtype();
        return at(literal.beside(is_float(t) ? t : DType::I64, "dot"), literal.loc);
    };
    const bool both = a.is_literal() && b.is_literal();
    auto [x, y] = !both && a.is_literal()   ? unify(grown(a, b), b)
                  : !both && b.is_literal() ? unify(a, grown(b, a))
                                            : unify(a, b, "dot");
    if (is_float(x.dtype())) return {x, y};
    return {cast(at(x, a.loc), DType::I64), cast(at(y, a.loc), DType::I64)};
}

// The operands as the user wrote them, for errors: casts have no names.
void check_inner(const OpDef& op, const Operand& a, const Operand& b, const Expr& x,
                 const Expr& y) {
    if (x.rank() == 0 || y.rank() == 0) return;
    if (!differ(x.shape().back(), y.shape()[y.rank() == 1 ? 0 : y.shape().size() - 2])) return;
    const std::array written{a.expr(), b.expr()};
    const Attrs none;
    require_inner({op, written, none, a.loc});
}

}  // namespace

Expr dot(const Operand& a, const Operand& b) {
    auto [x, y] = factors(a, b);
    const Loc loc = a.loc;
    if (x.rank() == 0 || y.rank() == 0) return at(x, loc) * at(y, loc);
    check_inner(dot_op, a, b, x, y);
    if (x.rank() <= 2 && y.rank() <= 2) return apply(dot_op, {x, y}, {}, loc);
    // [..., k] times [..., k, n] as one product of matrices.
    const Dim k = x.shape().back();
    Shape shape(x.shape().begin(), x.shape().end() - 1);
    if (x.rank() > 2) x = reshape(at(x, loc), Shape{size_of(shape), k});
    if (y.rank() > 2) {
        std::vector<int> order{y.rank() - 2};
        Shape rest;
        for (int i = 0; i < y.rank(); ++i) {
            if (i == y.rank() - 2) continue;
            order.push_back(i);
            rest.push_back(y.shape()[i]);
        }
        y = reshape(at(transpose(at(y, loc), order), loc), Shape{k, size_of(rest)});
        shape.insert(shape.end(), rest.begin(), rest.end());
    } else if (y.rank() == 2) {
        shape.push_back(y.shape()[1]);
    }
    return reshape(at(apply(dot_op, {x, y}, {}, loc), loc), shape);
}

Expr batched_dot(const Operand& a, const Operand& b) {
    auto [x, y] = factors(a, b);
    if (x.rank() == 3 && y.rank() == 3) check_inner(batched_dot_op, a, b, x, y);
    return apply(batched_dot_op, {x, y}, {}, a.loc);
}

Expr outer(const Operand& a, const Operand& b) {
    return at(expand_dims(a, 1), a.loc) * at(expand_dims(b, 0), a.loc);
}

std::span<const OpDef* const> linalg_ops() {
    static constexpr std::array rows = {&dot_op, &batched_dot_op};
    return rows;
}

}  // namespace arete

// Rows of index sequences and of the run-time checks that keep computed indices in range.
#include "compiler/ops/checks.h"

#include <algorithm>
#include <array>

#include "compiler/core/integers.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

using loops::Index;
using loops::Value;
namespace ir = loops;

extern const OpDef arange_op, check_index_op, check_range_op;

void require_index(const InferArgs& a, std::size_t i) {
    if (a.type(i).dtype != DType::I64) a.error("an index must be i64: " + a.describe(i));
}

namespace {

std::vector<TensorType> infer_arange(const InferArgs& a) {
    return {{DType::I64, {a.attrs.get<Dim>("size")}}};
}

Value lower_arange(Lowering& l, std::span<const Index> out) {
    return l.code.index(out[0] * l.node.attrs.get<std::int64_t>("step") +
                        l.node.attrs.get<std::int64_t>("start"));
}

std::vector<TensorType> infer_check(const InferArgs& a) {
    require_index(a, 0);
    return {a.type(0)};
}

// The value is kept in range even where the check fails, so that reads fused with it are safe.
Value lower_check_index(Lowering& l, std::span<const Index> out) {
    const std::int64_t size = l.node.attrs.get<Dim>("size").value();
    Value v = l.load(0, out);
    const ir::Range r = to_index(v).range(l.code.extents);
    if (r.low >= 0 && r.high < size) return v;
    const auto n = static_cast<double>(size);
    l.check(ir::ge(v, -n) & ir::lt(v, n), to_index(v),
            fmt::format("index {{}} is out of range for an axis of size {}", size));
    Value wrapped = ir::select(ir::lt(v, 0.0), v + n, v);
    return ir::max(ir::min(wrapped, n - 1), 0.0);
}

Value lower_check_range(Lowering& l, std::span<const Index> out) {
    const std::int64_t size = l.node.attrs.get<Dim>("size").value();
    const std::int64_t length = l.node.attrs.get<Dim>("length").value();
    const std::int64_t reach = std::max(
        -INT64_MAX, saturating_product(length - 1, l.node.attrs.get<std::int64_t>("step")));
    Value v = l.load(0, out);
    if (length <= 0) return v;
    const std::int64_t low = std::max<std::int64_t>(0, -reach);
    const std::int64_t high = size - 1 - std::max<std::int64_t>(0, reach);
    const auto least = static_cast<double>(low), most = static_cast<double>(high);
    l.check(
        ir::ge(v, least) & ir::le(v, most), to_index(v),
        fmt::format("a slice of {} elements from {{}} leaves its axis of size {}", length, size));
    return ir::max(ir::min(v, most), least);
}

std::vector<Sample> arange_samples() {
    return {{"plain", {}, [](std::span<const Expr>) { return arange(7); }, false},
            {"step", {}, [](std::span<const Expr>) { return arange(20, 3, -4); }, false},
            {"symbolic start",
             {{{}, -3, 9, true}},
             [](std::span<const Expr> x) { return arange(x[0], x[0] + 5); },
             false}};
}

std::vector<Sample> check_index_samples() {
    return {{"wraps",
             {{{4, 5}, -6, 5, true}},
             [](std::span<const Expr> x) { return checked_index(x[0], 6, {}); },
             false}};
}

std::vector<Sample> check_range_samples() {
    return {{"forwards",
             {{{}, 0, 2, true}},
             [](std::span<const Expr> x) { return checked_range(x[0], 12, 4, 3, {}) + 0; },
             false},
            {"backwards",
             {{{}, 6, 11, true}},
             [](std::span<const Expr> x) { return checked_range(x[0], 12, 3, -3, {}) + 0; },
             false}};
}

}  // namespace

constinit const OpDef arange_op{.info = {.name = "arange"},
                                .doc = "attr start + k * attr step for k below attr size",
                                .arity = 0,
                                .infer = infer_arange,
                                .lower = lower_arange,
                                .pullback = no_gradient,
                                .samples = arange_samples};
constinit const OpDef check_index_op{
    .info = {.name = "check_index", .traits = Trait::Checks},
    .doc = "the index, wrapped; fails where it is not in [-attr size, attr size)",
    .infer = infer_check,
    .lower = lower_check_index,
    .pullback = no_gradient,
    .samples = check_index_samples};
constinit const OpDef check_range_op{
    .info = {.name = "check_range", .traits = Trait::Checks},
    .doc = "a slice's start; fails where a slice of attr length and step leaves attr size",
    .infer = infer_check,
    .lower = lower_check_range,
    .pullback = no_gradient,
    .samples = check_range_samples};
// ---- builders

namespace {

bool is_check(const Node& n) {
    return n.op == &check_index_op.info;
}

}  // namespace

bool counts_up(const Expr& e) {
    const Node& n = is_check(e.node()) ? e.node().inputs[0].node() : e.node();
    return n.op == &arange_op.info && n.attrs.get<std::int64_t>("start") == 0 &&
           n.attrs.get<std::int64_t>("step") == 1;
}

namespace {

// e as an i64, which must be an integer.
Expr as_index(const Expr& e, std::string_view op, Loc loc) {
    if (is_float(e.dtype()) || e.dtype() == DType::Bool)
        fail<GraphError>(loc, "{}: an index must be an integer: {}", op, describe(e, "this one"));
    return cast(at(e, loc), DType::I64);
}

// The elements of a constant or an arange, where both ends are known.
std::optional<loops::Range> known_range(const Expr& e) {
    if (const Array* c = constant_value(e)) {
        loops::Range r{0, -1};
        for (std::int64_t i = 0; i < c->size(); ++i) {
            const std::int64_t v = c->as_int(i);
            r = i == 0 ? loops::Range{v, v} : loops::Range{std::min(r.low, v), std::max(r.high, v)};
        }
        return r;
    }
    const Node& n = e.node();
    if (n.op != &arange_op.info || !n.attrs.get<Dim>("size").is_const()) return std::nullopt;
    const std::int64_t first = n.attrs.get<std::int64_t>("start");
    const std::int64_t steps = n.attrs.get<Dim>("size").value() - 1;
    if (steps < 0) return loops::Range{0, -1};
    const std::int64_t last =
        saturating_sum(first, saturating_product(steps, n.attrs.get<std::int64_t>("step")));
    return loops::Range{std::min(first, last), std::max(first, last)};
}

bool index_fits(const Expr& index, const Dim& size) {
    if (counts_up(index) && !is_check(index.node()) && index.node().attrs.get<Dim>("size") == size)
        return true;
    const auto r = known_range(index);
    return r && size.is_const() && r->low >= 0 && r->high < size.value();
}

}  // namespace

Expr checked_index(const Expr& e, const Dim& size, Loc loc) {
    Expr index = as_index(e, "index", loc);
    if (index_fits(index, size)) return index;
    const Array* c = constant_value(index);
    if (c && size.is_const()) {
        Array wrapped = c->copy();
        auto* v = wrapped.data<std::int64_t>();
        for (std::int64_t i = 0; i < wrapped.size(); ++i) {
            if (v[i] < -size.value() || v[i] >= size.value())
                fail<GraphError>(loc, "index {} is out of range for an axis of size {}", v[i],
                                 size.value());
            if (v[i] < 0) v[i] += size.value();
        }
        return constant(wrapped, loc.file, loc.line);
    }
    return apply(check_index_op, {index}, {{"size", size}}, loc);
}

Expr checked_range(const Expr& start, const Dim& size, const Dim& length, std::int64_t step,
                   Loc loc) {
    return apply(check_range_op, {as_index(start, "slice", loc)},
                 {{"size", size}, {"length", length}, {"step", step}}, loc);
}

bool check_is_redundant(const Node& node) {
    if (is_check(node)) return index_fits(node.inputs[0], node.attrs.get<Dim>("size"));
    if (node.op != &check_range_op.info) return false;
    const Dim &size = node.attrs.get<Dim>("size"), &length = node.attrs.get<Dim>("length");
    const auto r = known_range(node.inputs[0]);
    if (!r || !size.is_const() || !length.is_const()) return false;
    const std::int64_t reach =
        saturating_product(length.value() - 1, node.attrs.get<std::int64_t>("step"));
    return length.value() <= 0 || (r->low + std::min<std::int64_t>(0, reach) >= 0 &&
                                   r->high + std::max<std::int64_t>(0, reach) < size.value());
}

Expr arange(const Operand& stop) {
    return arange({0, stop.loc.file, stop.loc.line}, stop);
}

Expr arange(const Operand& start, const Operand& stop, std::int64_t step) {
    const Loc loc = start.loc;
    const Expr first = as_index(start.expr(), "arange", loc);
    const Expr last = as_index(stop.expr(), "arange", loc);
    if (first.rank() != 0 || last.rank() != 0 || step == 0 || step == INT64_MIN)
        fail<GraphError>(loc, "arange: needs scalar bounds and a step that is not 0");
    const Dim from = as_dim_or_opaque(first), to = as_dim_or_opaque(last);
    Dim size = step > 0 ? floordiv(to - from + Dim(step - 1), Dim(step))
                        : floordiv(from - to + Dim(-step - 1), Dim(-step));
    size = not_negative(size);
    if (has_opaque(size))
        fail<GraphError>(loc, "arange: the length depends on values that are no sizes");
    const std::int64_t constant_start = from.is_const() ? from.value() : 0;
    Expr counted =
        apply(arange_op, {}, {{"start", constant_start}, {"step", step}, {"size", size}}, loc);
    return from.is_const() ? counted : at(counted, loc) + at(first, loc);
}

Expr count_up(const Dim& size, Loc loc) {
    return apply(arange_op, {},
                 {{"start", std::int64_t{0}}, {"step", std::int64_t{1}}, {"size", size}}, loc);
}

std::span<const OpDef* const> check_ops() {
    static constexpr std::array rows = {&arange_op, &check_index_op, &check_range_op};
    return rows;
}

}  // namespace arete

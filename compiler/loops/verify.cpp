// Well-formedness of nests and kernels.
#include <algorithm>
#include <cstdlib>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/grid.h"

namespace arete::loops {

namespace {

void verify_types(const Code& code, ValueId id) {
    const Instr& i = code.values[id];
    auto type = [&](int k) { return code.values[operands(i)[k]].dtype; };
    for (ValueId a : operands(i)) {
        ARETE_CHECK(a && a < id, "%{}: operand %{} does not come before it", id, a);
    }
    switch (i.op) {
        case Op::Const: ARETE_CHECK(i.constant.dtype == i.dtype, "%{}", id); break;
        case Op::IndexOf: ARETE_CHECK(i.dtype == DType::I64, "%{}", id); break;
        case Op::Load:
            ARETE_CHECK(code.buffers.at(i.buffer).dtype == i.dtype, "%{}: load of another type",
                        id);
            break;
        case Op::LoadIf:
            ARETE_CHECK(type(0) == DType::Bool && code.buffers.at(i.buffer).dtype == i.dtype,
                        "%{}: guarded load of another type", id);
            break;
        case Op::Acc: break;
        case Op::Rem:
        case Op::Fmod:
            ARETE_CHECK(is_float(i.dtype) == (i.op == Op::Fmod), "%{}: {} of {}", id, name(i.op),
                        name(i.dtype));
            [[fallthrough]];
        case Op::Add:
        case Op::Sub:
        case Op::Mul:
        case Op::Div:
        case Op::Min:
        case Op::Max:
        case Op::And:
        case Op::Or:
        case Op::Xor:
        case Op::Shl:
        case Op::Shr:
        case Op::Pow:
        case Op::Scale:
            ARETE_CHECK(type(0) == i.dtype && type(1) == i.dtype, "%{}: {} of {} and {}", id,
                        name(i.op), name(type(0)), name(type(1)));
            break;
        case Op::Neg:
        case Op::Abs:
        case Op::Sqrt:
        case Op::Floor:
        case Op::Ceil:
        case Op::Trunc:
        case Op::Round:
        case Op::Exp:
        case Op::Expm1:
        case Op::Log:
        case Op::Log1p:
        case Op::Tanh:
        case Op::Sin:
        case Op::Cos:
        case Op::Erf:
        case Op::Not:
            ARETE_CHECK(type(0) == i.dtype, "%{}: {} of {}", id, name(i.op), name(type(0)));
            break;
        case Op::MulAdd:
        case Op::Fma:
            ARETE_CHECK(
                is_float(i.dtype) && type(0) == i.dtype && type(1) == i.dtype && type(2) == i.dtype,
                "%{}: {}", id, name(i.op));
            break;
        case Op::Eq:
        case Op::Ne:
        case Op::Lt:
        case Op::Le:
            ARETE_CHECK(i.dtype == DType::Bool && type(0) == type(1), "%{}: {}", id, name(i.op));
            break;
        case Op::Select:
            ARETE_CHECK(type(0) == DType::Bool && type(1) == i.dtype && type(2) == i.dtype,
                        "%{}: select", id);
            break;
        case Op::Cast: break;
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf:
            ARETE_CHECK(type(0) == DType::Bool && is_float(i.dtype), "%{}: {}", id, name(i.op));
            for (int k = 1; k < arity(i.op); ++k)
                ARETE_CHECK(type(k) == i.dtype, "%{}: {} of {}", id, name(i.op), name(type(k)));
            break;
        case Op::Bitcast: ARETE_CHECK(size_of(type(0)) == size_of(i.dtype), "%{}", id); break;
    }
}

// Addresses made of loop variables alone must stay inside their buffer, except a guarded load's,
// and those under a condition on one of the variables, of which `guards` are the values.
void verify_address(const Code& code, BufferId buffer, const Index& e, std::string_view what,
                    std::span<const ValueId> guards) {
    bool has_values = false;
    e.for_each_value([&](ValueId) { has_values = true; });
    if (has_values) return;
    for (ValueId g : needed(code, guards))
        for (Var v : code.extents.ids())
            if (e.uses(v) && code.values[g].index.uses(v)) return;
    const Buffer& b = code.buffers.at(buffer);
    for (std::int64_t extent : code.extents)
        if (extent == 0) return;  // an empty loop reads nothing
    Range r = e.range(code.extents);
    ARETE_CHECK(r.low >= 0 && r.high < b.elements(), "{}: address {} of {} '{}' ranges over {}..{}",
                what, code.str(e), type_name(b.dtype, b.sizes), b.name, r.low, r.high);
}

void verify_values(const Code& code, std::span<const ValueId> roots, std::string_view what,
                   std::span<const ValueId> guards = {}) {
    for (ValueId id : needed(code, roots)) {
        verify_types(code, id);
        const Instr& i = code.values[id];
        if (i.op == Op::Load) verify_address(code, i.buffer, i.index, what, guards);
    }
}

void verify_store(const Code& code, const StoreTo& s, std::string_view what,
                  std::span<const ValueId> guards = {}) {
    std::vector<ValueId> roots{s.value};
    s.index.for_each_value([&](ValueId v) { roots.push_back(v); });
    verify_values(code, roots, what, guards);
    verify_address(code, s.buffer, s.index, what, guards);
    ARETE_CHECK(code.values[s.value].dtype == code.buffers.at(s.buffer).dtype,
                "{}: store of another type to {}", what, code.buffers[s.buffer].name);
}

void verify_fold(const Kernel& k, const FoldLanes& f) {
    const Buffer &from = k.buffers.at(f.from), &to = k.buffers.at(f.to);
    ARETE_CHECK(from.takes_whole_vectors() && to.takes_whole_vectors() && from.dtype == to.dtype &&
                    from.elements() >= f.slots * f.lanes && to.elements() >= f.slots &&
                    to.elements() % f.lanes == 0,
                "{}: fold of {} into {}", k.name, from.name, to.name);
    ARETE_CHECK(static_cast<bool>(f.from_error) == static_cast<bool>(f.to_error), "{}", k.name);
    if (!f.from_error) return;
    const Buffer &lost = k.buffers.at(f.from_error), &all = k.buffers.at(f.to_error);
    ARETE_CHECK(is_float(from.dtype) && lost.takes_whole_vectors() && all.takes_whole_vectors() &&
                    lost.dtype == from.dtype && all.dtype == from.dtype &&
                    lost.elements() >= f.slots * f.lanes && all.elements() >= to.elements(),
                "{}: fold of {} into {}", k.name, lost.name, all.name);
}

class KernelVerifier {
  public:
    explicit KernelVerifier(const Kernel& k) : k_(k) {}

    void body(const std::vector<Stmt>& statements, bool outermost) {
        for (const Stmt& s : statements)
            std::visit(Cases{[&](const Loop& l) { loop(l, outermost); },
                             [&](const If& i) { condition(s, i); }, [](const Barrier&) {},
                             [&](const StoreTo& to) { verify_store(k_, to, k_.name, guards_); },
                             [&](const CheckThat&) { values(roots(s)); },
                             [&](const FoldLanes& f) { verify_fold(k_, f); },
                             [&](const PrefetchAt&) {
                                 ARETE_CHECK(roots(s).empty(), "{}: prefetch at a run-time index",
                                             k_.name);
                             },
                             [&](const TransposeTile& t) {
                                 values(roots(s));
                                 transpose(t);
                             }},
                       s);
    }

  private:
    void values(const std::vector<ValueId>& roots) const {
        verify_values(k_, roots, k_.name, guards_);
    }

    void loop(const Loop& l, bool outermost) {
        ARETE_CHECK(k_.extents.contains(l.var), "{}", k_.name);
        ARETE_CHECK(outermost || l.kind != LoopKind::Parallel, "{}: inner parallel loop", k_.name);
        ARETE_CHECK(l.kind != LoopKind::Vector || l.lanes >= k_.extents[l.var],
                    "{}: vector loop longer than its width", k_.name);
        body(l.body, false);
    }

    void condition(const Stmt& s, const If& i) {
        values({i.condition});
        ARETE_CHECK(k_.values[i.condition].dtype == DType::Bool, "{}: '{}' asks for a {}", k_.name,
                    line_of(k_, s), name(k_.values[i.condition].dtype));
        guards_.push_back(i.condition);
        body(i.body, false);
        guards_.pop_back();
    }

    void transpose(const TransposeTile& t) const {
        const Buffer &from = k_.buffers.at(t.from), &to = k_.buffers.at(t.to);
        ARETE_CHECK(to.takes_whole_vectors() && from.dtype == to.dtype && t.rows > 0 &&
                        t.rows <= t.lanes && t.columns > 0 && t.columns <= t.lanes &&
                        std::abs(t.to_stride) >= t.lanes,
                    "{}: transposed copy of {} to {}", k_.name, from.name, to.name);
        // Both ends of the matrix; whole vectors are written.
        const auto inside = [&](BufferId buffer, const Index& at) {
            verify_address(k_, buffer, at, k_.name, guards_);
        };
        inside(t.from, t.at);
        inside(t.from, t.at + Index((t.rows - 1) * t.from_stride + t.columns - 1));
        inside(t.to, t.place);
        inside(t.to, t.place + Index((t.columns - 1) * t.to_stride + t.lanes - 1));
    }

    const Kernel& k_;
    std::vector<ValueId> guards_;  // conditions around the statement
};

}  // namespace

void verify(const Nest& nest) {
    for (const Accumulator& a : nest.accumulators) {
        verify_values(nest, {&a.element, 1}, nest.name);
        const bool position = a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin;
        ARETE_CHECK(a.dtype == (position ? DType::I32 : nest.values[a.element].dtype),
                    "{}: {} of type {}", nest.name, name(a.reduction), name(a.dtype));
        ARETE_CHECK(a.reduction != Reduction::Mean || is_float(a.dtype), "{}: mean of {}",
                    nest.name, name(a.dtype));
        for (ValueId id : needed(nest, {&a.element, 1}))
            ARETE_CHECK(nest.values[id].op != Op::Acc, "{}: an accumulator uses an accumulator",
                        nest.name);
    }
    for (const CheckThat& c : nest.checks) verify_values(nest, {&c.ok, 1}, nest.name);
    for (const StoreTo& s : nest.stores) {
        verify_store(nest, s, nest.name);
        std::vector<ValueId> roots{s.value};
        for (ValueId id : needed(nest, roots)) {
            const Instr& i = nest.values[id];
            if (i.op == Op::Acc) ARETE_CHECK(nest.accumulators.contains(i.acc), "{}", nest.name);
            // Outside the accumulators the reduction axes have no value.
            if (i.op == Op::Load || i.op == Op::LoadIf || i.op == Op::IndexOf)
                for (Var v : nest.reduce_axes)
                    ARETE_CHECK(!i.index.uses(v), "{}: {} is used outside its reduction", nest.name,
                                nest.var_names[v]);
        }
    }
}

void verify(const Kernel& kernel, const GridLimits& limits) {
    KernelVerifier(kernel).body(kernel.body, true);
    verify_grid(kernel, limits);
}

void verify(const Kernel& kernel) {
    verify(kernel, GridLimits{});
}

}  // namespace arete::loops

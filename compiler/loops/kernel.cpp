#include "compiler/loops/kernel.h"

#include <algorithm>
#include <limits>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"

namespace arete::loops {

std::string_view name(Reduction r) {
    switch (r) {
        case Reduction::Sum: return "sum";
        case Reduction::Mean: return "mean";
        case Reduction::Prod: return "prod";
        case Reduction::Max: return "max";
        case Reduction::Min: return "min";
        case Reduction::ArgMax: return "argmax";
        case Reduction::ArgMin: return "argmin";
    }
    return "?";
}

std::string_view name(Scope s) {
    switch (s) {
        case Scope::Warp: return "warp";
        case Scope::Block: return "block";
        case Scope::Grid: return "grid";
    }
    return "?";
}

Scalar identity(Reduction r, DType t) {
    auto extreme = [&](bool low) {
        return visit(t, [&](auto tag) {
            using T = decltype(tag);
            using L = std::numeric_limits<T>;
            if constexpr (std::is_floating_point_v<T>)
                return Scalar::of(t, low ? -static_cast<double>(L::infinity())
                                         : static_cast<double>(L::infinity()));
            else
                return Scalar::of(t, static_cast<std::int64_t>(low ? L::min() : L::max()));
        });
    };
    switch (r) {
        case Reduction::Sum:
        case Reduction::Mean: return Scalar::of(t, 0);
        case Reduction::Prod: return Scalar::of(t, 1);
        case Reduction::Max:
        case Reduction::ArgMax: return extreme(true);
        case Reduction::Min:
        case Reduction::ArgMin: return extreme(false);
    }
    return {};
}

Value combine(Reduction r, Value a, Value b) {
    switch (r) {
        case Reduction::Sum:
        case Reduction::Mean: return a + b;
        case Reduction::Prod: return a * b;
        case Reduction::Max: return max(a, b);
        case Reduction::Min: return min(a, b);
        case Reduction::ArgMax:
        case Reduction::ArgMin: break;
    }
    throw InternalError("argmax and argmin combine positions, not values");
}

Value Cloner::value(ValueId id) {
    if (auto it = done_.find(id); it != done_.end()) return it->second;
    const Instr& old = from_.values[id];
    Value result;
    if (old.op == Op::Acc) {
        result = accs.at(old.acc);
    } else {
        Value args[3];
        const auto n = static_cast<std::size_t>(arity(old.op));
        for (std::size_t k = 0; k < n; ++k) args[k] = value(old.args[k]);
        Instr renumbered = old;
        if (old.buffer && !buffers.empty()) renumbered.buffer = buffer(old.buffer);
        Index at = index(old.index);
        if (old.buffer && !shift.empty()) at = at + shift[old.buffer];
        result = to_.copy(renumbered, {args, n}, at);
    }
    done_.emplace(id, result);
    return result;
}

BufferId Cloner::buffer(BufferId old) const {
    const BufferId now = buffers.at(old);
    ARETE_CHECK(now, "'{}' is read or written, and no buffer takes its place",
                from_.buffers.at(old).name);
    return now;
}

Index Cloner::index(const Index& e) {
    return e.substitute(
        [this](const Index::Term& t) {
            return t.kind == Index::Kind::Var ? vars.at(t.var())
                                              : Index::value(value(t.value()).id);
        },
        to_.extents);
}

StoreTo Cloner::store(const StoreTo& s) {
    StoreTo out = s;
    if (!buffers.empty()) out.buffer = buffer(s.buffer);
    out.index = index(s.index);
    if (!shift.empty()) out.index = out.index + shift[s.buffer];
    out.value = value(s.value).id;
    return out;
}

CheckThat Cloner::check(const CheckThat& c) {
    return {value(c.ok).id, c.code, index(c.element)};
}

std::vector<ValueId> accumulated(const Nest& nest) {
    std::vector<ValueId> out;
    for (const Accumulator& a : nest.accumulators) out.push_back(a.element);
    return out;
}

std::vector<ValueId> stored(const Nest& nest) {
    std::vector<ValueId> out;
    for (const StoreTo& s : nest.stores) out.push_back(s.value);
    return out;
}

std::vector<ValueId> roots(const Nest& nest) {
    std::vector<ValueId> out = accumulated(nest);
    const auto add = [&](ValueId v) { out.push_back(v); };
    for (const CheckThat& c : nest.checks) {
        add(c.ok);
        c.element.for_each_value(add);
    }
    for (const StoreTo& s : nest.stores) {
        add(s.value);
        s.index.for_each_value(add);
    }
    return out;
}

std::vector<ValueId> roots(const Stmt& s) {
    std::vector<ValueId> out;
    const auto add = [&](ValueId v) { out.push_back(v); };
    std::visit(
        Cases{[](const Loop&) {}, [](const Barrier&) {}, [&](const If& i) { add(i.condition); },
              [&](const StoreTo& store) {
                  add(store.value);
                  store.index.for_each_value(add);
              },
              [&](const CheckThat& check) {
                  add(check.ok);
                  check.element.for_each_value(add);
              },
              [](const FoldLanes&) {}, [&](const PrefetchAt& p) { p.index.for_each_value(add); },
              [&](const TransposeTile& t) {
                  t.at.for_each_value(add);
                  t.place.for_each_value(add);
              }},
        s);
    return out;
}

Nest same_loops(const Nest& nest) {
    Nest out;
    out.name = nest.name;
    out.buffers = nest.buffers;
    out.extents = nest.extents;
    out.var_names = nest.var_names;
    out.axes = nest.axes;
    out.reduce_axes = nest.reduce_axes;
    out.sequential = nest.sequential;
    out.partial = nest.partial;
    return out;
}

Nest with_values(const Nest& nest,
                 const std::function<Value(const Instr&, std::span<const Value>)>& replace) {
    Nest out = same_loops(nest);
    // Ids are a topological order, also of the values inside indices.
    IdVector<ValueId, Value> copies;
    auto copy_index = [&](const Index& e) {
        return e.substitute(
            [&](const Index::Term& t) {
                return t.kind == Index::Kind::Var ? Index::var(t.var())
                                                  : Index::value(copies.at(t.value()).id);
            },
            out.extents);
    };
    auto copy_id = [&](ValueId id) { return copies.at(id).id; };
    for (const Instr& old : nest.values) {
        const auto n = static_cast<std::size_t>(arity(old.op));
        std::array<Value, 3> args;
        for (std::size_t k = 0; k < n; ++k) args[k] = copies.at(old.args[k]);
        const Value other = replace(old, {args.data(), n});
        copies.push_back(other ? other : out.copy(old, {args.data(), n}, copy_index(old.index)));
    }
    for (const Accumulator& a : nest.accumulators)
        out.accumulators.push_back({a.reduction, copy_id(a.element), a.dtype});
    for (const CheckThat& c : nest.checks)
        out.checks.push_back({copy_id(c.ok), c.code, copy_index(c.element)});
    for (const StoreTo& s : nest.stores)
        out.stores.push_back({s.buffer, copy_index(s.index), copy_id(s.value), s.combine});
    return out;
}

void clone_body(const Nest& from, Nest& to, IdVector<Var, Index> vars) {
    Cloner clone(from, to);
    clone.vars = std::move(vars);
    for (AccId k : from.accumulators.ids())
        clone.accs.push_back(to.acc(k, from.accumulators[k].dtype));
    for (const Accumulator& a : from.accumulators)
        to.accumulators.push_back({a.reduction, clone.value(a.element).id, a.dtype});
    for (const CheckThat& c : from.checks) to.checks.push_back(clone.check(c));
    for (const StoreTo& s : from.stores) to.stores.push_back(clone.store(s));
}

std::vector<ValueId> needed(const Code& code, std::span<const ValueId> roots) {
    IdVector<ValueId, char> seen(code.values.size(), 0);
    std::vector<ValueId> stack(roots.begin(), roots.end()), out;
    while (!stack.empty()) {
        ValueId id = stack.back();
        stack.pop_back();
        if (seen[id]) continue;
        seen[id] = 1;
        out.push_back(id);
        const Instr& i = code.values[id];
        for (ValueId a : operands(i)) stack.push_back(a);
        i.index.for_each_value([&](ValueId v) { stack.push_back(v); });
    }
    std::sort(out.begin(), out.end());
    return out;
}

bool is_float_sum(const Accumulator& a) {
    return (a.reduction == Reduction::Sum || a.reduction == Reduction::Mean) && is_float(a.dtype);
}

std::int64_t reduced_elements(const Nest& nest) {
    std::int64_t n = 1;
    for (Var v : nest.reduce_axes) n *= nest.extents[v];
    return n;
}

// Knuth's two-sum: `of_term` is what the rounded sum holds of the term.
std::vector<Stmt> add_exactly(Kernel& k, Value term, BufferId sum, BufferId error,
                              const Index& at) {
    const Value old = k.load(sum, at), rounded = old + term, of_term = rounded - old;
    const Value lost = (old - (rounded - of_term)) + (term - of_term);
    return {StoreTo{error, at, (k.load(error, at) + lost).id, {}},
            StoreTo{sum, at, rounded.id, {}}};
}

Value rounded_sum(Value sum, Value error) {
    return select(eq(error, error), sum + error, sum);
}

// A quotient, and the quotient of what it leaves.
Value rounded_mean(Value sum, Value error, std::int64_t count) {
    const Value n = literal(sum, static_cast<double>(count)), quotient = sum / n;
    const Value better = quotient + (fma(-quotient, n, sum) + error) / n;
    return select(eq(better, better), better, quotient);
}

Value identity_value(Code& code, Reduction reduction, DType t) {
    Instr constant;
    constant.dtype = t;
    constant.constant = identity(reduction, t);
    return code.append(std::move(constant));
}

AccId best_of(const Nest& nest, AccId k) {
    const Accumulator& own = nest.accumulators[k];
    if (own.reduction != Reduction::Max && own.reduction != Reduction::Min) return k;
    const Reduction position =
        own.reduction == Reduction::Max ? Reduction::ArgMax : Reduction::ArgMin;
    for (AccId i : nest.accumulators.ids())
        if (nest.accumulators[i].reduction == position &&
            nest.accumulators[i].element == own.element)
            return i;
    return k;
}

std::vector<Stmt> accumulate(Kernel& k, Reduction reduction, Value element, BufferId best,
                             BufferId where, const Index& slot, const Index& position) {
    DType t = element.dtype();
    Value old = k.load(best, slot);
    const bool is_max = reduction == Reduction::Max || reduction == Reduction::ArgMax;
    const bool is_min = reduction == Reduction::Min || reduction == Reduction::ArgMin;
    if (!where && (is_max || is_min) && is_float(t)) {
        // One instruction on x86, which keeps a NaN in `old`; that of the element is known before
        // `old` is, so that little is in the way from one element to the next.
        const Value extreme = select(is_max ? lt(old, element) : lt(element, old), element, old);
        return {StoreTo{best, slot, select(ne(element, element), element, extreme).id, {}}};
    }
    if (where) {
        Value better = is_max ? lt(old, element) : lt(element, old);
        // A NaN is better than any number, and none is better than a NaN.
        if (is_float(t)) better = (!(is_max ? le(element, old) : le(old, element))) & eq(old, old);
        Value extreme = select(better, element, old);
        Value at = select(better, cast(k.index(position), DType::I32), k.load(where, slot));
        return {StoreTo{where, slot, at.id, {}}, StoreTo{best, slot, extreme.id, {}}};
    }
    const Instr& e = k.values[element.id];
    Value sum = reduction == Reduction::Sum && is_float(t) && e.op == Op::Mul
                    ? muladd({&k, e.args[0]}, {&k, e.args[1]}, old)
                    : combine(reduction, old, element);
    return {StoreTo{best, slot, sum.id, {}}};
}

Kernel naive(const Nest& nest) {
    Kernel k;
    k.name = nest.name;
    k.buffers = nest.buffers;
    k.extents = nest.extents;
    k.var_names = nest.var_names;
    Cloner clone(nest, k);
    for (Var v : nest.extents.ids()) clone.vars.push_back(Index::var(v));

    std::vector<Stmt> body, inner;
    Index position;
    for (Var v : nest.reduce_axes) position = position * nest.extents[v] + Index::var(v);
    struct Local {
        BufferId best, where, error;
    };
    IdVector<AccId, Local> locals(nest.accumulators.size());
    for (AccId i : locals.ids()) {
        if (best_of(nest, i) != i) continue;
        const Accumulator& a = nest.accumulators[i];
        Value element = clone.value(a.element);
        bool positions = a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin;
        std::string number = std::to_string(i.number());
        Local& l = locals[i];
        if (is_float_sum(a)) {
            // f32 in f64; f64 with what rounding loses beside it.
            l.best = k.add_buffer({"acc" + number, DType::F64, {}, Space::Register});
            const Value zero = k.constant(DType::F64, 0.0);
            body.push_back(StoreTo{l.best, 0, zero.id, {}});
            if (a.dtype == DType::F32) {
                const Value sum = k.load(l.best, 0) + cast(element, DType::F64);
                inner.push_back(StoreTo{l.best, 0, sum.id, {}});
                continue;
            }
            l.error = k.add_buffer({"error" + number, DType::F64, {}, Space::Register});
            const BufferId term = k.add_buffer({"term" + number, DType::F64, {}, Space::Register});
            body.push_back(StoreTo{l.error, 0, zero.id, {}});
            inner.push_back(StoreTo{term, 0, element.id, {}});
            for (Stmt& s : add_exactly(k, k.load(term, 0), l.best, l.error, 0))
                inner.push_back(std::move(s));
            continue;
        }
        l.best = k.add_buffer({"acc" + number, element.dtype(), {}, Space::Register});
        if (positions) l.where = k.add_buffer({"arg" + number, DType::I32, {}, Space::Register});
        Value start = identity_value(k, a.reduction, element.dtype());
        body.push_back(StoreTo{l.best, 0, start.id, {}});
        if (positions)
            body.push_back(StoreTo{l.where, 0, k.constant(DType::I32, std::int64_t{0}).id, {}});
        for (Stmt& s : accumulate(k, a.reduction, element, l.best, l.where, 0, position))
            inner.push_back(std::move(s));
    }
    for (AccId i : locals.ids()) {
        const Local& l = locals[i];
        const Accumulator& a = nest.accumulators[i];
        if (is_float_sum(a)) {
            const Value sum = k.load(l.best, 0);
            const bool mean = a.reduction == Reduction::Mean;
            const std::int64_t count = reduced_elements(nest);
            Value result;
            if (!l.error)
                result = cast(mean ? sum / static_cast<double>(count) : sum, DType::F32);
            else
                result = mean ? rounded_mean(sum, k.load(l.error, 0), count)
                              : rounded_sum(sum, k.load(l.error, 0));
            clone.accs.push_back(result);
            continue;
        }
        const AccId shared = best_of(nest, i);
        clone.accs.push_back(k.load(l.where ? l.where : locals[shared].best, 0));
    }
    auto wrap = [](const std::vector<Var>& axes, std::vector<Stmt> statements) {
        for (auto it = axes.rbegin(); it != axes.rend(); ++it) {
            std::vector<Stmt> outer;
            outer.push_back(Loop{*it, LoopKind::Serial, std::move(statements)});
            statements = std::move(outer);
        }
        return statements;
    };
    for (Stmt& s : wrap(nest.reduce_axes, std::move(inner))) body.push_back(std::move(s));
    for (const CheckThat& c : nest.checks) body.push_back(clone.check(c));
    for (const StoreTo& s : nest.stores) body.push_back(clone.store(s));
    k.body = wrap(nest.axes, std::move(body));
    return k;
}

}  // namespace arete::loops

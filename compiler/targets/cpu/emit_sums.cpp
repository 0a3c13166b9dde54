// Long sums of floats: in parts, which are added to a second accumulator.
#include <algorithm>

#include "compiler/core/integers.h"
#include "compiler/targets/cpu/emitter.h"

namespace arete {

namespace {

// Vectors that are added pairwise; more would cost registers and code.
constexpr std::int64_t most_pairs = 8;

// As many as divide the loop, if a number not much smaller than `most` does.
std::int64_t even_steps(std::int64_t trips, std::int64_t most) {
    for (std::int64_t steps = most; 2 * steps > most; --steps)
        if (trips % steps == 0) return steps;
    return ceil_div(trips, ceil_div(trips, most));
}

}  // namespace

DType Emitter::type_of_sum(AccId a) const {
    const Accumulator& acc = nest_.accumulators[a];
    if (in_parts(a) && order_.exact) return DType::F64;
    return nest_.values[acc.element].dtype;
}

DType Emitter::type_of_part(AccId a) const {
    const Accumulator& acc = nest_.accumulators[a];
    const Instr& element = nest_.values[acc.element];
    // A mean of numbers that are read may be representable where the sum of a few is not.
    if (acc.reduction == Reduction::Mean && (element.op == Op::Load || !order_.pairs))
        return type_of_sum(a);
    return element.dtype;
}

Emitter::Statements Emitter::add_part(BufferId best, const Index& slot, BufferId sum,
                                      BufferId error, const Index& at) {
    Value part = k_.load(best, slot);
    if (error) return add_exactly(k_, part, sum, error, at);
    const Value old = k_.load(sum, at);
    if (part.dtype() != old.dtype()) part = cast(part, old.dtype());
    return {StoreTo{sum, at, (old + part).id, {}}};
}

Emitter::Statements Emitter::reduce(const Locals& locals) {
    if (!in_chains()) return reduce_axis(0, locals);
    // The innermost loop of which a chain does not hold all iterations.
    std::int64_t additions = 1;
    if (t_.over_reduction) additions = ceil_div(block_elements(t_.block), t_.lanes);
    if (order_.pairs) additions = ceil_div(additions, most_pairs);
    for (std::size_t k = nest_.reduce_axes.size(); k-- > 0;) {
        const Var v = nest_.reduce_axes[k];
        if (t_.over_reduction && t_.outer && v == t_.inner) continue;
        const std::int64_t trips =
            vector_axis(v) ? ceil_div(range(v).size, t_.block) : range(v).size;
        if (additions * trips > order_.chain) {
            chain_at_ = k;
            chain_steps_ = even_steps(trips, std::max<std::int64_t>(1, order_.chain / additions));
            return reduce_axis(0, locals);
        }
        additions *= trips;
    }
    Statements out = begin_parts(locals);
    append(out, reduce_axis(0, locals));
    append(out, end_parts(locals));
    return out;
}

Emitter::Statements Emitter::begin_parts(const Locals& locals) {
    const bool partial = t_.lanes > 1 && t_.over_reduction;
    Locals parts(locals.size());
    for (AccId a : locals.ids())
        if (in_parts(a)) parts[a].best = locals[a].best;
    return over_elements([&](const Index& slot) { return initialise(parts, slot, partial); });
}

Emitter::Statements Emitter::end_parts(const Locals& locals) {
    const bool waits = phase_ == Phase::Accumulate;
    const auto add = [&](const Index& slot) {
        const Index at = waits ? waiting_tile_ * waiting_slots_ + slot : slot;
        Statements s;
        for (AccId a : locals.ids()) {
            if (!in_parts(a)) continue;
            const BufferId sum = waits ? waiting_[a] : locals[a].sum,
                           error = waits ? waiting_errors_[a] : locals[a].error;
            append(s, add_part(locals[a].best, slot, sum, error, at));
        }
        return s;
    };
    return over_elements([&](const Index& slot) {
        if (t_.lanes == 1 || !t_.over_reduction) return add(slot);
        return over_vectors(t_.lanes, [&](const Index& p, const Index&, std::int64_t) {
            return add(slot * t_.lanes + p);
        });
    });
}

Emitter::Statements Emitter::update_pairs(const Locals& locals) {
    const std::int64_t elements = block_elements(block_size_), lanes = t_.lanes,
                       whole = elements / lanes, rest = elements % lanes;
    Statements out;
    const auto add = [&](std::int64_t from, std::int64_t count, std::int64_t active) {
        const Var number = k_.add_var("lane", active);
        const Index lane = Index::var(number);
        Statements inner = over_tiles(0, 0, [&](const Index& slot) {
            return fold_group(
                locals, slot * lanes + lane, count,
                [&](std::int64_t k) {
                    set_vector_axes(block_start_, Index((from + k) * lanes) + lane);
                },
                lane, active);
        });
        out.push_back(Loop{number, LoopKind::Vector, std::move(inner), static_cast<int>(lanes)});
    };
    std::int64_t from = 0;
    for (std::int64_t count = most_pairs; from < whole; from += count) {
        // Pairs of pairs of equal numbers have an exact sum.
        while (count > whole - from) count = order_.chain > 0 ? whole - from : count / 2;
        add(from, count, lanes);
    }
    if (rest) add(whole, 1, rest);
    return out;
}

Emitter::Statements Emitter::fold_group(const Locals& locals, const Index& slot, std::int64_t count,
                                        const std::function<void(std::int64_t)>& go_to,
                                        const Index& lane, std::int64_t active) {
    Statements out;
    for (AccId a : locals.ids()) {
        if (!locals[a].best) continue;
        if (!is_float_sum(nest_.accumulators[a])) {
            for (std::int64_t k = 0; k < count; ++k) {
                go_to(k);
                append(out, fold_one(locals, a, slot, lane, active));
            }
            continue;
        }
        std::vector<Value> elements;
        for (std::int64_t k = 0; k < count; ++k) {
            go_to(k);
            Cloner clone = cloner();
            read_panels(clone);
            Value element = clone.value(nest_.accumulators[a].element);
            if (active >= 0 && active < t_.lanes)
                element = select(lt(k_.index(lane), k_.constant(DType::I64, active)), element,
                                 literal(element, 0));
            if (k_.buffers[locals[a].best].dtype != element.dtype())
                element = cast(element, DType::F64);
            elements.push_back(element);
        }
        for (std::size_t apart = 1; apart < elements.size(); apart *= 2)
            for (std::size_t k = 0; k + apart < elements.size(); k += 2 * apart)
                elements[k] = elements[k] + elements[k + apart];
        const BufferId part = locals[a].best;
        if (in_elements()) {
            out.push_back(StoreTo{part, slot, elements[0].id, {}});
            append(out, add_part(part, slot, locals[a].sum, locals[a].error, slot));
        } else {
            const Value sum = k_.load(part, slot) + elements[0];
            out.push_back(StoreTo{part, slot, sum.id, {}});
        }
    }
    return out;
}

}  // namespace arete

#include "compiler/targets/cuda/accumulators.h"

#include <algorithm>

#include "compiler/core/error.h"

namespace arete::cuda {

namespace {

bool finds_position(Reduction r) {
    return r == Reduction::ArgMax || r == Reduction::ArgMin;
}

void append(std::vector<Stmt>& to, std::vector<Stmt> more) {
    for (Stmt& s : more) to.push_back(std::move(s));
}

// Does an operand serve several results? Chains may then be long, as in products of matrices.
bool reuses_operand(const Nest& nest) {
    for (ValueId id : needed(nest, accumulated(nest))) {
        const Instr& i = nest.values[id];
        if (i.op != Op::Load && i.op != Op::LoadIf) continue;
        const auto uses = [&](Var v) { return i.index.uses(v); };
        if (std::any_of(nest.reduce_axes.begin(), nest.reduce_axes.end(), uses) &&
            !std::all_of(nest.axes.begin(), nest.axes.end(), uses))
            return true;
    }
    return false;
}

}  // namespace

Chains chains_of(const Nest& nest, std::int64_t steps, bool alone) {
    constexpr std::int64_t few = 40, of_products = 256, of_others = 16;
    const bool mean = std::any_of(nest.accumulators.begin(), nest.accumulators.end(),
                                  [](const auto& a) { return a.reduction == Reduction::Mean; });
    if (alone && steps <= few && !mean) return {true, 1};
    return {false, std::min(steps, reuses_operand(nest) ? of_products : of_others)};
}

BufferId Accumulators::add(const char* what, AccId number, DType t, Space space,
                           std::int64_t size) {
    return k_.add_buffer({fmt::format("{}{}", what, number), t, {size}, space});
}

Accumulators::Accumulators(const Nest& nest, Kernel& kernel, Chains chains)
    : nest_(nest), k_(kernel), chains_(chains) {
    for (AccId i : nest.accumulators.ids()) {
        const Accumulator& a = nest.accumulators[i];
        const DType t = nest.values[a.element].dtype;
        State& s = states_.emplace_back();
        s.best = add("acc", i, exact(a) ? DType::F64 : t, Space::Register, 1);
        if (exact(a) && t == DType::F64) s.error = add("lost", i, t, Space::Register, 1);
        if (exact(a) && (chained(a) || t == DType::F64))
            s.chain = add("chain", i, t, Space::Register, 1);
        if (finds_position(a.reduction)) s.where = add("at", i, DType::I32, Space::Register, 1);
    }
}

bool Accumulators::in_chains() const {
    return std::any_of(nest_.accumulators.begin(), nest_.accumulators.end(),
                       [&](const Accumulator& a) { return chained(a); });
}

std::vector<Stmt> Accumulators::start() {
    std::vector<Stmt> out;
    for (AccId i : states_.ids()) {
        const State& s = states_[i];
        const DType t = k_.buffers[s.best].dtype;
        const Value first = identity_value(k_, nest_.accumulators[i].reduction, t);
        out.push_back(StoreTo{s.best, 0, first.id, {}});
        if (s.error) out.push_back(StoreTo{s.error, 0, first.id, {}});
        if (s.where)
            out.push_back(StoreTo{s.where, 0, k_.constant(DType::I32, std::int64_t{0}).id, {}});
    }
    return out;
}

std::vector<Stmt> Accumulators::start_chain() {
    std::vector<Stmt> out;
    for (AccId i : states_.ids())
        if (const Accumulator& a = nest_.accumulators[i]; chained(a))
            out.push_back(StoreTo{states_[i].chain, 0, k_.constant(a.dtype, 0.0).id, {}});
    return out;
}

// One more term of a sum that is kept in twice the precision.
std::vector<Stmt> Accumulators::to_total(const State& s, const Accumulator& a, Value term) {
    if (a.dtype == DType::F32) {
        const Value sum = k_.load(s.best, 0) + cast(term, DType::F64);
        return {StoreTo{s.best, 0, sum.id, {}}};
    }
    return add_exactly(k_, term, s.best, s.error, 0);
}

std::vector<Stmt> Accumulators::fold(Cloner& clone, const Index& position) {
    std::vector<Stmt> out;
    for (AccId i : states_.ids()) {
        const State& s = states_[i];
        const Accumulator& a = nest_.accumulators[i];
        const Value element = clone.value(a.element);
        if (!exact(a)) {
            append(out, accumulate(k_, a.reduction, element, s.best, s.where, 0, position));
        } else if (chained(a)) {
            append(out, accumulate(k_, Reduction::Sum, element, s.chain, {}, 0, position));
        } else if (a.dtype == DType::F32) {
            append(out, to_total(s, a, element));
        } else {
            out.push_back(StoreTo{s.chain, 0, element.id, {}});
            append(out, to_total(s, a, k_.load(s.chain, 0)));
        }
    }
    return out;
}

std::vector<Stmt> Accumulators::end_chain() {
    std::vector<Stmt> out;
    for (AccId i : states_.ids())
        if (const Accumulator& a = nest_.accumulators[i]; chained(a))
            append(out, to_total(states_[i], a, k_.load(states_[i].chain, 0)));
    return out;
}

Value Accumulators::result(const Accumulator& a, Value best, Value error, Value where) const {
    if (finds_position(a.reduction)) return where;
    if (!exact(a)) return best;
    const bool mean = a.reduction == Reduction::Mean;
    const std::int64_t count = reduced_elements(nest_);
    if (a.dtype == DType::F32)
        return cast(mean ? best / static_cast<double>(count) : best, DType::F32);
    return mean ? rounded_mean(best, error, count) : rounded_sum(best, error);
}

IdVector<AccId, Value> Accumulators::results() {
    IdVector<AccId, Value> out;
    for (AccId i : states_.ids()) {
        const State& s = states_[i];
        const auto value = [&](BufferId buffer) { return !buffer ? Value{} : k_.load(buffer, 0); };
        out.push_back(result(nest_.accumulators[i], value(s.best), value(s.error), value(s.where)));
    }
    return out;
}

std::vector<Stmt> Accumulators::share(std::int64_t threads, const Index& own) {
    std::vector<Stmt> out;
    for (AccId i : states_.ids()) {
        State& s = states_[i];
        const auto to_shared = [&](BufferId from, const char* what) -> BufferId {
            if (!from) return {};
            const DType t = k_.buffers[from].dtype;
            const BufferId to = add(what, i, t, Space::Shared, threads);
            out.push_back(StoreTo{to, own, k_.load(from, 0).id, {}});
            return to;
        };
        s.shared_best = to_shared(s.best, "all_acc");
        s.shared_error = to_shared(s.error, "all_lost");
        s.shared_where = to_shared(s.where, "all_at");
    }
    return out;
}

// Of two extremes the first; equal ones, also NaNs, are told apart by their positions. A thread
// without elements has the identity at 0, which is right where all elements are that, too. Once
// the position is stored, a value that was better for its position alone is no longer so, and is
// equal to the one that stays.
std::vector<Stmt> Accumulators::fold_extreme(const State& s, Reduction r, const Index& own,
                                             const Index& other) {
    const Value a = k_.load(s.shared_best, own), b = k_.load(s.shared_best, other);
    const Value at_a = k_.load(s.shared_where, own), at_b = k_.load(s.shared_where, other);
    Value better = r == Reduction::ArgMax ? lt(a, b) : lt(b, a);
    Value same = eq(a, b);
    if (is_float(a.dtype())) {
        const Value a_is_number = eq(a, a), b_is_number = eq(b, b);
        better = better | ((!b_is_number) & a_is_number);
        same = same | ((!a_is_number) & (!b_is_number));
    }
    better = better | (same & lt(at_b, at_a));
    return {StoreTo{s.shared_where, own, select(better, at_b, at_a).id, {}},
            StoreTo{s.shared_best, own, select(better, b, a).id, {}}};
}

std::vector<Stmt> Accumulators::fold_shared(const Index& own, const Index& other) {
    std::vector<Stmt> out;
    for (AccId i : states_.ids()) {
        const State& s = states_[i];
        const Accumulator& a = nest_.accumulators[i];
        const Value term = k_.load(s.shared_best, other);
        if (finds_position(a.reduction)) {
            append(out, fold_extreme(s, a.reduction, own, other));
        } else if (s.shared_error) {
            out.push_back(
                StoreTo{s.shared_error, own, k_.load(s.shared_error, other).id, Reduction::Sum});
            append(out, add_exactly(k_, term, s.shared_best, s.shared_error, own));
        } else if (exact(a)) {
            out.push_back(StoreTo{s.shared_best, own, term.id, Reduction::Sum});
        } else {
            append(out, accumulate(k_, a.reduction, term, s.shared_best, {}, own, 0));
        }
    }
    return out;
}

IdVector<AccId, Value> Accumulators::shared_results(const Index& at) {
    IdVector<AccId, Value> out;
    for (AccId i : states_.ids()) {
        const State& s = states_[i];
        const auto value = [&](BufferId buffer) { return !buffer ? Value{} : k_.load(buffer, at); };
        out.push_back(result(nest_.accumulators[i], value(s.shared_best), value(s.shared_error),
                             value(s.shared_where)));
    }
    return out;
}

}  // namespace arete::cuda

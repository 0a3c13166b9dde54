// What one register tile does: accumulators, the steps of the reduction, what follows it.
#include <algorithm>
#include <limits>
#include <utility>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/emitter.h"

namespace arete {

Emitter::Statements Emitter::emit_tile() {
    if (nest_.accumulators.empty())
        return over_elements([&](const Index&) {
            Cloner clone = cloner();
            read_panels(clone);
            return stores(clone);
        });
    std::int64_t slots = tile_count();
    if (lanes_are_spatial())
        slots *= (block_elements(block_size_) + t_.lanes - 1) / t_.lanes * t_.lanes;
    bool partial = t_.lanes > 1 && t_.over_reduction;
    const bool at_once = short_window();
    parts_ = order_.in_parts && !at_once;
    Locals locals(nest_.accumulators.size());
    for (AccId a : locals.ids()) {
        if (best_of(nest_, a) != a) continue;
        const Accumulator& acc = nest_.accumulators[a];
        std::string n = std::to_string(a.number());
        Local& l = locals[a];
        const std::int64_t elements = partial ? slots * t_.lanes : slots;
        const DType wide = type_of_sum(a);
        l.best = k_.add_buffer({"acc" + n, type_of_part(a), {elements}, Space::Register});
        if (in_parts(a)) l.sum = k_.add_buffer({"all" + n, wide, {elements}, Space::Register});
        if (keeps_errors(a))
            l.error = k_.add_buffer({"error" + n, wide, {elements}, Space::Register});
        if (acc.reduction == Reduction::ArgMax || acc.reduction == Reduction::ArgMin)
            l.where = k_.add_buffer({"arg" + n, DType::I32, {slots}, Space::Register});
        const std::int64_t folded = (slots + 2 * t_.lanes - 1) / t_.lanes * t_.lanes;
        if (partial) l.total = k_.add_buffer({"sum" + n, wide, {folded}, Space::Register});
        if (partial && l.error)
            l.total_error = k_.add_buffer({"sum_error" + n, wide, {folded}, Space::Register});
    }
    Statements out;
    if (phase_ == Phase::Whole) {
        out = result_prefetches();
        if (!at_once)
            append(out, over_elements(
                            [&](const Index& slot) { return initialise(locals, slot, partial); }));
    } else
        append(out, exchange(locals, partial, false));
    if (phase_ != Phase::Finish && !at_once) append(out, reduce(locals));
    if (phase_ == Phase::Accumulate) {
        append(out, exchange(locals, partial, true));
        return out;
    }
    if (partial) append(out, combine_lanes(locals));
    auto results = [&](const Index& slot) {
        Cloner clone = cloner();
        for (AccId a : locals.ids()) clone.accs.push_back(result(locals, a, slot));
        return clone;
    };
    auto finish = [&](const Index& slot) {
        Cloner clone = results(slot);
        return stores(clone);
    };
    if (at_once && long_finish()) {
        append(out, over_elements([&](const Index& slot) { return window(locals, slot); }));
        append(out, over_elements(finish));
        return out;
    }
    if (at_once) {
        append(out, over_elements([&](const Index& slot) {
                   Statements s = window(locals, slot);
                   append(s, finish(slot));
                   return s;
               }));
        return out;
    }
    if (scatters(locals)) {
        append(out, store_one_by_one(locals));
        return out;
    }
    if (stores_wait(locals)) {
        append(out, over_elements([&](const Index& slot) {
                   Cloner clone = results(slot);
                   const ValueId value = clone.store(nest_.stores[0]).value;
                   return Statements{StoreTo{locals.front().best, slot, value, {}}};
               }));
        append(out, over_elements([&](const Index& slot) {
                   StoreTo store = nest_.stores[0];
                   Cloner clone = cloner();
                   store.index = clone.index(store.index);
                   store.value = k_.load(locals.front().best, slot).id;
                   return Statements{store};
               }));
        return out;
    }
    if (!t_.vector_finish) {
        append(out, over_elements(finish));
        return out;
    }
    const std::size_t last = t_.tiles.size() - 1;
    append(out, over_tiles(0, last, 0, [&](const Index& slot) {
               return over_vectors(tile_size_[last],
                                   [&](const Index& p, const Index&, std::int64_t) {
                                       var(t_.tiles[last].axis) = tile_start_[last] + p;
                                       return finish(slot * tile_size_[last] + p);
                                   });
           }));
    return out;
}

// So much follows a window, each instruction waiting for the one before, that processors do not
// look far enough ahead to begin with the next window meanwhile.
bool Emitter::long_finish() const {
    constexpr std::size_t long_work = 20;
    return needed(nest_, stored(nest_)).size() > long_work;
}

// Lanes that are stored far apart would be taken out of their vectors one by one, in a copy of the
// code for each.
bool Emitter::scatters(const Locals& locals) const {
    constexpr std::int64_t few = 4;
    // More than a few instructions are better done for all lanes at once.
    constexpr std::size_t short_work = 12;
    if (needed(nest_, stored(nest_)).size() > short_work) return false;
    return lanes_are_spatial() && tile_count() * block_elements(block_size_) > few * t_.lanes &&
           std::all_of(
               locals.begin(), locals.end(),
               [&](const Local& l) { return l.best && !l.where && (!l.sum || !order_.exact); }) &&
           std::any_of(nest_.stores.begin(), nest_.stores.end(), [&](const StoreTo& s) {
               return std::abs(s.index.coefficient(t_.inner)) > few;
           });
}

// By loops, from a copy of the accumulators, which so stay in registers while they add up.
Emitter::Statements Emitter::store_one_by_one(const Locals& locals) {
    const std::int64_t elements = block_elements(block_size_),
                       padded = (elements + t_.lanes - 1) / t_.lanes * t_.lanes;
    IdVector<AccId, BufferId> results;
    for (const Local& l : locals) {
        const Buffer& best = k_.buffers[l.best];
        results.push_back(k_.add_buffer(
            {"results" + std::to_string(results.size()), best.dtype, best.sizes, Space::Register}));
    }
    Statements out = over_elements([&](const Index& slot) {
        Statements s;
        for (AccId a : locals.ids())
            s.push_back(StoreTo{results[a], slot, k_.load(locals[a].all(), slot).id, {}});
        return s;
    });
    const auto finish = [&](const Index& slot) {
        Cloner clone = cloner();
        for (BufferId r : results) clone.accs.push_back(k_.load(r, slot));
        return stores(clone);
    };
    const std::function<Statements(std::size_t, const Index&, const Index&)> tiles =
        [&](std::size_t k, const Index& tile, const Index& lane) {
            if (k < t_.tiles.size()) {
                const Var v = t_.tiles[k].axis;
                return repeat(nest_.var_names[v], tile_size_[k], 1, 0, LoopKind::Serial,
                              [&](const Index& at) {
                                  var(v) = tile_start_[k] + at;
                                  return tiles(k + 1, tile * tile_size_[k] + at, lane);
                              });
            }
            if (!t_.outer) return finish(tile * padded + lane);
            return repeat(nest_.var_names[t_.outer], block_size_, 1, 0, LoopKind::Serial,
                          [&](const Index& row) {
                              var(t_.outer) = block_start_ + row;
                              return finish(tile * padded + row * extent(t_.inner) + lane);
                          });
        };
    append(out, repeat(nest_.var_names[t_.inner], t_.outer ? extent(t_.inner) : block_size_, 1, 0,
                       LoopKind::Serial, [&](const Index& lane) {
                           var(t_.inner) = t_.outer ? lane : block_start_ + lane;
                           return tiles(0, Index(0), lane);
                       }));
    return out;
}

bool Emitter::stores_wait(const Locals& locals) const {
    if (!lanes_are_spatial() || block_elements(block_size_) % t_.lanes == 0 || tile_count() == 1 ||
        nest_.stores.size() != 1 || locals.size() != 1 || locals.front().where ||
        !nest_.checks.empty())
        return false;
    const StoreTo& s = nest_.stores[0];
    const ValueId root = s.value;
    const std::vector<ValueId> ids = needed(nest_, {&root, 1});
    return !s.combine && k_.buffers[s.buffer].dtype == k_.buffers[locals.front().best].dtype &&
           (!locals.front().sum || !order_.exact) &&
           std::any_of(ids.begin(), ids.end(), [&](ValueId id) {
               const Instr& i = nest_.values[id];
               return i.op == Op::Load && i.index == s.index;  // the new value may take its place
           });
}

Emitter::Statements Emitter::initialise(const Locals& locals, const Index& slot, bool partial) {
    Statements s;
    for (AccId a : locals.ids()) {
        const Local& l = locals[a];
        if (!l.best) continue;
        DType t = k_.buffers[l.all()].dtype;
        Value start = identity_value(k_, nest_.accumulators[a].reduction, t);
        const auto set = [&](BufferId buffer) {
            if (!buffer) return;
            if (!partial) {
                s.push_back(StoreTo{buffer, slot, start.id, {}});
                return;
            }
            append(s, over_vectors(t_.lanes, [&](const Index& p, const Index&, std::int64_t) {
                       return Statements{StoreTo{buffer, slot * t_.lanes + p, start.id, {}}};
                   }));
        };
        set(l.all());
        set(l.error);
        if (l.where)
            s.push_back(StoreTo{l.where, slot, k_.constant(DType::I32, std::int64_t{0}).id, {}});
    }
    return s;
}

Emitter::Statements Emitter::exchange(const Locals& locals, bool partial, bool back) {
    auto move = [&](const Index& slot) {
        Statements s;
        const Index place = waiting_tile_ * waiting_slots_ + slot;
        const auto swap = [&](BufferId here, BufferId waiting) {
            if (!here) return;
            s.push_back(back ? StoreTo{waiting, place, k_.load(here, slot).id, {}}
                             : StoreTo{here, slot, k_.load(waiting, place).id, {}});
        };
        for (AccId a : locals.ids()) {
            // Chains are added to the sums where they wait.
            if (in_chains() && in_parts(a) && phase_ == Phase::Accumulate) continue;
            swap(locals[a].all(), waiting_[a]);
            swap(locals[a].error, waiting_errors_[a]);
        }
        return s;
    };
    return over_elements([&](const Index& slot) {
        if (!partial) return move(slot);
        return over_vectors(t_.lanes, [&](const Index& p, const Index&, std::int64_t) {
            return move(slot * t_.lanes + p);
        });
    });
}

Emitter::Statements Emitter::combine_lanes(const Locals& locals) {
    Statements s;
    for (AccId a : locals.ids())
        s.push_back(FoldLanes{locals[a].all(), locals[a].total, tile_count(), t_.lanes,
                              nest_.accumulators[a].reduction, locals[a].error,
                              locals[a].total_error});
    return s;
}

Value Emitter::result(const Locals& locals, AccId a, const Index& slot) {
    const Local& l = locals[a];
    if (l.where) return k_.load(l.where, slot);
    const Local& shared = locals[best_of(nest_, a)];
    const bool partial = static_cast<bool>(shared.total);
    const Value sum = k_.load(partial ? shared.total : shared.all(), slot);
    const Accumulator& acc = nest_.accumulators[a];
    const bool mean = acc.reduction == Reduction::Mean;
    const std::int64_t count = reduced_elements(nest_);
    if (!shared.error) {
        const Value all = mean ? sum / static_cast<double>(count) : sum;
        return all.dtype() == acc.dtype ? all : cast(all, acc.dtype);
    }
    const Value error = k_.load(partial ? shared.total_error : shared.error, slot);
    return mean ? rounded_mean(sum, error, count) : rounded_sum(sum, error);
}

bool Emitter::short_window() const {
    if (phase_ != Phase::Whole || t_.over_reduction || !t_.tiles.empty()) return false;
    if (std::any_of(nest_.accumulators.begin(), nest_.accumulators.end(),
                    [](const Accumulator& a) { return a.reduction == Reduction::Mean; }))
        return false;
    std::int64_t steps = 1;
    if (t_.lanes > 1) steps = (block_elements(block_size_) + t_.lanes - 1) / t_.lanes;
    for (Var v : nest_.reduce_axes) steps *= extent(v);
    std::vector<ValueId> elements;
    for (const Accumulator& a : nest_.accumulators) elements.push_back(a.element);
    return written_out(steps, needed(nest_, elements).size());
}

Emitter::Statements Emitter::window(const Locals& locals, const Index& slot) {
    std::int64_t steps = 1;
    for (Var v : nest_.reduce_axes) steps *= extent(v);
    auto go_to = [&](std::int64_t step) {
        for (auto v = nest_.reduce_axes.rbegin(); v != nest_.reduce_axes.rend(); ++v) {
            var(*v) = Index(step % extent(*v));
            step /= extent(*v);
        }
    };
    Statements out;
    Locals one_by_one = locals;
    for (AccId a : locals.ids()) {
        const Accumulator& acc = nest_.accumulators[a];
        const DType t = nest_.values[acc.element].dtype;
        if (!locals[a].best || locals[a].where || !is_float(t) ||
            (acc.reduction != Reduction::Max && acc.reduction != Reduction::Min))
            continue;
        std::vector<Value> elements;
        for (std::int64_t step = 0; step < steps; ++step) {
            go_to(step);
            Cloner clone = cloner();
            read_panels(clone);
            elements.push_back(clone.value(acc.element));
        }
        out.push_back(StoreTo{locals[a].best, slot, extreme(acc.reduction, elements).id, {}});
        one_by_one[a].best = {};
    }
    append(out, initialise(one_by_one, slot, false));
    for (std::int64_t step = 0; step < steps; ++step) {
        go_to(step);
        append(out, fold(one_by_one, slot, 0, -1));
    }
    return out;
}

Value Emitter::extreme(Reduction reduction, const std::vector<Value>& elements) {
    Value best = elements[0], numbers;
    for (std::size_t k = 0; k < elements.size(); ++k) {
        const Value e = elements[k];
        if (k > 0) best = select(reduction == Reduction::Max ? lt(best, e) : lt(e, best), e, best);
        const Value number = eq(e, e);
        numbers = k == 0 ? number : numbers & number;
    }
    const Value nan = k_.constant(best.dtype(), std::numeric_limits<double>::quiet_NaN());
    return select(numbers, best, nan);
}

Emitter::Statements Emitter::reduce_axis(std::size_t position, const Locals& locals) {
    if (position == nest_.reduce_axes.size()) return update(locals);
    Var v = nest_.reduce_axes[position];
    if (chain_steps_ > 0 && position == chain_at_) {
        const Range all = range(v);
        const std::int64_t steps = std::exchange(chain_steps_, 0);
        Statements out = segments(v, steps * (vector_axis(v) ? t_.block : 1), LoopKind::Serial,
                                  [&](const Index& start, std::int64_t size) {
                                      range(v) = {start, size};
                                      Statements chain = begin_parts(locals);
                                      append(chain, reduce_axis(position, locals));
                                      append(chain, end_parts(locals));
                                      return chain;
                                  });
        range(v) = all;
        chain_steps_ = steps;  // for what is left over of the axes outside
        return out;
    }
    if (vector_axis(v)) {
        std::size_t skip = t_.outer ? 2 : 1;
        return segments(v, t_.block, LoopKind::Serial, [&](const Index& start, std::int64_t size) {
            block_start_ = start;
            block_size_ = size;
            Statements out = row_prefetches();
            append(out, block_prefetches());
            append(out, reduce_axis(position + skip, locals));
            return out;
        });
    }
    const Range all = range(v);
    return repeat(nest_.var_names[v], all.size, 1, 0,
                  v == t_.unroll ? LoopKind::Unrolled : LoopKind::Serial, [&](const Index& at) {
                      var(v) = all.start + at;
                      Statements out = prefetches(v);
                      append(out, reduce_axis(position + 1, locals));
                      return out;
                  });
}

Emitter::Statements Emitter::update(const Locals& locals) {
    if (t_.lanes == 1 || !t_.over_reduction)
        return over_elements([&](const Index& slot) {
            if (in_elements())
                return fold_group(
                    locals, slot, 1, [](std::int64_t) {}, 0, -1);
            return fold(locals, slot, 0, -1);
        });
    if (order_.pairs) return update_pairs(locals);
    if (in_elements())
        return over_vectors(block_elements(block_size_), [&](const Index& p, const Index& lane,
                                                             std::int64_t active) {
            set_vector_axes(block_start_, p);
            return over_tiles(0, 0, [&](const Index& slot) {
                return fold_group(
                    locals, slot * t_.lanes + lane, 1, [](std::int64_t) {}, lane, active);
            });
        });
    // Tile by tile for each vector, so that what a vector needs is loaded close to its use; the
    // longer axis of the tile outside, so that few of one factor are held while the other's
    // pass.
    std::vector<std::size_t> order(t_.tiles.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return tile_size_[a] > tile_size_[b]; });
    return over_vectors(
        block_elements(block_size_), [&](const Index& p, const Index& lane, std::int64_t active) {
            set_vector_axes(block_start_, p);
            std::vector<Index> at(order.size());
            std::function<Statements(std::size_t)> each = [&](std::size_t position) {
                if (position == order.size()) {
                    Index slot;
                    for (std::size_t k = 0; k < at.size(); ++k) slot = slot * tile_size_[k] + at[k];
                    return fold(locals, slot * t_.lanes + lane, lane, active);
                }
                const std::size_t k = order[position];
                return repeat(nest_.var_names[t_.tiles[k].axis] + "t", tile_size_[k], 1, 0,
                              LoopKind::Unrolled, [&](const Index& number) {
                                  at[k] = number;
                                  var(t_.tiles[k].axis) = tile_start_[k] + number;
                                  return each(position + 1);
                              });
            };
            return each(0);
        });
}

// A product of two loads, each of which has an element for each lane.
bool Emitter::multiplies_lanes(const Instr& product) const {
    return product.op == Op::Mul &&
           std::all_of(product.args.begin(), product.args.begin() + 2, [&](ValueId id) {
               const Instr& i = nest_.values[id];
               return i.op == Op::Load && i.index.uses(t_.inner);
           });
}

Emitter::Statements Emitter::fold(const Locals& locals, const Index& slot, const Index& lane,
                                  std::int64_t active) {
    Statements out;
    for (AccId a : locals.ids()) append(out, fold_one(locals, a, slot, lane, active));
    return out;
}

Emitter::Statements Emitter::fold_one(const Locals& locals, AccId a, const Index& slot,
                                      const Index& lane, std::int64_t active) {
    if (!locals[a].best) return {};
    Cloner clone = cloner();
    read_panels(clone);
    Index position;
    for (Var v : nest_.reduce_axes) position = position * extent(v) + var(v);
    const Accumulator& acc = nest_.accumulators[a];
    Value element = clone.value(acc.element);
    const bool partly = active >= 0 && active < t_.lanes;
    Value inside;
    if (partly) inside = lt(k_.index(lane), k_.constant(DType::I64, active));
    const Instr& product = nest_.values[acc.element];
    const bool zeros = partly && acc.reduction == Reduction::Sum && multiplies_lanes(product);
    if (zeros) {
        // What is loaded of a part of the lanes is zero in the others at no cost.
        const auto factor = [&](std::size_t k) {
            const Value v = clone.value(product.args[k]);
            return select(inside, v, literal(v, 0));
        };
        element = factor(0) * factor(1);
    }
    Statements step =
        accumulate(k_, acc.reduction, element, locals[a].best, locals[a].where, slot, position);
    if (partly && !zeros) {
        // Chosen last, so that it is the mask of the addition.
        for (Stmt& s : step)
            if (StoreTo* to = s.get_if<StoreTo>())
                to->value = select(inside, {&k_, to->value}, k_.load(to->buffer, slot)).id;
    }
    return step;
}

}  // namespace arete

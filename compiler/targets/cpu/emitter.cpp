// Loops over blocks, axes and vectors.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/emitter.h"
#include "compiler/targets/cpu/schedule.h"

namespace arete {

Emitter::Statements Emitter::emit_axis(std::size_t position, bool outermost) {
    if (position == b_.cut_at && b_.cut && phase_ == Phase::Whole) return emit_blocks(position);
    if (!t_.packed.empty() && position == b_.pack_at && !b_.cut && !packed_) {
        packed_ = true;
        Statements out = pack();
        // Whoever reads a panel has made it.
        append(out, emit_axis(position, false));
        packed_ = false;
        return out;
    }
    if (position == b_.loops.size()) return emit_tile();
    const Blocking::Loop& loop = b_.loops[position];
    const Var v = loop.axis;
    LoopKind kind = outermost && t_.cycles > parallel_cycles && nest_.checks.empty()
                        ? LoopKind::Parallel
                        : LoopKind::Serial;
    const std::size_t k = tile_of(v);
    const std::int64_t size = loop.part == Blocking::Part::Chunks ? b_.chunk
                              : vector_axis(v)                    ? t_.block
                              : k < t_.tiles.size()               ? t_.tiles[k].size
                                                                  : 1;
    const Range all = range(v);
    const Index around = waiting_tile_;
    const std::int64_t count = (all.size + size - 1) / size;
    Statements out = segments(v, size, kind, [&](const Index& start, std::int64_t length) {
        if (phase_ != Phase::Whole) waiting_tile_ = around * count + tile_number_;
        loop_numbers_[position] = tile_number_;
        if (loop.part == Blocking::Part::Chunks) {
            range(v) = {start, length};
        } else if (vector_axis(v)) {
            block_start_ = start;
            block_size_ = length;
        } else if (k < t_.tiles.size()) {
            tile_start_.resize(t_.tiles.size());
            tile_size_.resize(t_.tiles.size());
            tile_start_[k] = start;
            tile_size_[k] = length;
        } else {
            var(v) = start;
        }
        return emit_axis(position + 1, outermost && start.is_const());
    });
    range(v) = all;
    waiting_tile_ = around;
    return out;
}

Emitter::Statements Emitter::emit_blocks(std::size_t position) {
    std::int64_t tiles = 1;
    for (std::size_t k = position; k < b_.loops.size(); ++k) {
        const Var v = b_.loops[k].axis;
        const std::size_t tile = tile_of(v);
        const std::int64_t size = vector_axis(v)           ? t_.block
                                  : tile < t_.tiles.size() ? t_.tiles[tile].size
                                                           : 1;
        tiles *= (range(v).size + size - 1) / size;
    }
    // Of the largest tile, whatever the sizes of those at the ends.
    waiting_slots_ = t_.lanes == 1 ? 1
                     : t_.over_reduction
                         ? t_.lanes
                         : (block_elements(t_.block) + t_.lanes - 1) / t_.lanes * t_.lanes;
    for (const Tiling::Tile& tile : t_.tiles) waiting_slots_ *= tile.size;
    Statements out;
    waiting_.clear();
    waiting_errors_.clear();
    parts_ = order_.in_parts;
    for (AccId a : nest_.accumulators.ids()) {
        const DType t = type_of_sum(a);
        const Value start = identity_value(k_, nest_.accumulators[a].reduction, t);
        const auto wait = [&](const std::string& name) {
            const BufferId buffer = k_.add_buffer({name + std::to_string(a.number()),
                                                   t,
                                                   {tiles * waiting_slots_},
                                                   Space::Private,
                                                   true});
            append(out, repeat("w", tiles * waiting_slots_ / t_.lanes, t_.lanes, 0,
                               LoopKind::Serial, [&](const Index& at) {
                                   return over_vectors(
                                       t_.lanes, [&](const Index& p, const Index&, std::int64_t) {
                                           return Statements{StoreTo{buffer, at + p, start.id, {}}};
                                       });
                               }));
            return buffer;
        };
        waiting_.push_back(wait("waiting"));
        waiting_errors_.push_back(keeps_errors(a) ? wait("waiting_error") : BufferId());
    }
    waiting_tile_ = Index(0);
    const Range all = range(b_.cut);
    phase_ = Phase::Accumulate;
    append(out, segments(b_.cut, b_.cut_size, LoopKind::Serial,
                         [&](const Index& start, std::int64_t size) {
                             range(b_.cut) = {start, size};
                             Statements block = pack();
                             append(block, emit_axis(position, false));
                             return block;
                         }));
    range(b_.cut) = all;
    phase_ = Phase::Finish;
    append(out, emit_axis(position, false));
    phase_ = Phase::Whole;
    return out;
}

Emitter::Statements Emitter::repeat(const std::string& name, std::int64_t count, std::int64_t step,
                                    std::int64_t offset, LoopKind kind,
                                    const std::function<Statements(const Index&)>& body) {
    if (count == 1) return body(Index(offset));
    Var v = k_.add_var(name, count);
    Statements out;
    Statements inner = body(Index::var(v) * step + offset);
    out.push_back(Loop{v, kind, std::move(inner)});
    return out;
}

Emitter::Statements Emitter::segments(
    Var v, std::int64_t size, LoopKind kind,
    const std::function<Statements(const Index& start, std::int64_t size)>& body) {
    const std::string& name = nest_.var_names[v];
    const Range all = range(v);
    std::int64_t whole = all.size / size, rest = all.size % size;
    Statements out;
    if (whole)
        append(out, repeat(name, whole, 1, 0, kind, [&](const Index& number) {
                   tile_number_ = number;
                   return body(all.start + number * size, size);
               }));
    if (rest) {
        tile_number_ = Index(whole);
        append(out, body(all.start + Index(whole * size), rest));
    }
    return out;
}

void Emitter::set_vector_axes(const Index& start, const Index& p) {
    if (t_.outer) {
        var(t_.outer) = start + floordiv(p, extent(t_.inner), k_.extents);
        var(t_.inner) = mod(p, extent(t_.inner), k_.extents);
    } else {
        var(t_.inner) = start + p;
    }
}

Emitter::Statements Emitter::over_vectors(
    std::int64_t elements,
    const std::function<Statements(const Index& p, const Index& lane, std::int64_t active)>& body) {
    std::int64_t lanes = t_.lanes, whole = elements / lanes, rest = elements % lanes;
    auto vector_loop = [&](const Index& start, std::int64_t active) {
        Var lane = k_.add_var("lane", active);
        Statements out, inner = body(start + Index::var(lane), Index::var(lane), active);
        out.push_back(Loop{lane, LoopKind::Vector, std::move(inner), static_cast<int>(lanes)});
        return out;
    };
    Statements out;
    if (whole)
        append(out, repeat("vec", whole, lanes, 0, LoopKind::Unrolled,
                           [&](const Index& start) { return vector_loop(start, lanes); }));
    if (rest) append(out, vector_loop(Index(whole * lanes), rest));
    return out;
}

Emitter::Statements Emitter::over_elements(
    const std::function<Statements(const Index& slot)>& body) {
    return over_tiles(0, 0, [&](const Index& slot) {
        if (!lanes_are_spatial()) return body(slot);
        std::int64_t elements = block_elements(block_size_);
        std::int64_t padded = (elements + t_.lanes - 1) / t_.lanes * t_.lanes;
        return over_vectors(elements, [&](const Index& p, const Index&, std::int64_t) {
            set_vector_axes(block_start_, p);
            return body(slot * padded + p);
        });
    });
}

}  // namespace arete

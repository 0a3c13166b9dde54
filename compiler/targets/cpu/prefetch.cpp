// What a kernel asks the memory for before it needs it.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/emitter.h"
#include "compiler/targets/cpu/traffic.h"

namespace arete {

Emitter::Statements Emitter::prefetches(Var v) {
    Statements out;
    if (v != nest_.reduce_axes.back() || v == t_.unroll) return out;
    const bool blocks = v == b_.cut;
    const std::int64_t ahead = blocks ? b_.cut_size : 12;
    for (ValueId id : nest_.values.ids()) {
        const Instr& i = nest_.values[id];
        if (!walks_far(nest_, t_, i, v) || t_.packs(id)) continue;
        const Buffer& b = nest_.buffers[i.buffer];
        const auto size = static_cast<std::int64_t>(size_of(b.dtype));
        bool values = false;
        i.index.for_each_value([&](ValueId) { values = true; });
        // Out of the last cache whole rows come in time by themselves.
        if (values || b.elements() * size < machine_.l3_bytes / 4) continue;
        const std::int64_t line = std::max<std::int64_t>(1, 64 / size);
        for (std::int64_t p = 0; p < block_size_; p += line) {
            set_vector_axes(block_start_, p);
            Cloner clone = cloner();
            out.push_back(PrefetchAt{i.buffer,
                                     clone.index(i.index) + Index(i.index.coefficient(v) * ahead),
                                     blocks ? 2 : 1});
        }
    }
    return out;
}

Emitter::Statements Emitter::row_prefetches() {
    Statements out;
    if (!t_.over_reduction || t_.outer) return out;
    for (const Instr& i : nest_.values) {
        if (i.op != Op::Load || i.index.coefficient(t_.inner) != 1) continue;
        const Buffer& b = nest_.buffers[i.buffer];
        const auto size = static_cast<std::int64_t>(size_of(b.dtype));
        bool values = false;
        i.index.for_each_value([&](ValueId) { values = true; });
        // Out of the last cache whole rows come in time by themselves.
        if (values || b.elements() * size < machine_.l3_bytes / 4) continue;
        // The innermost loop that moves the rows, and how often the loops inside repeat them:
        // each time another part of the next rows is asked for.
        std::int64_t repeats = 1;
        Index repeat_number;
        std::size_t at = b_.loops.size(), k = t_.tiles.size();
        while (at-- > 0) {
            const Var v = b_.loops[at].axis;
            k = tile_of(v);
            if (i.index.uses(v)) break;
            const std::int64_t step = k < t_.tiles.size() ? t_.tiles[k].size : 1;
            repeat_number = repeat_number + loop_numbers_[at] * repeats;
            repeats *= (extent(v) + step - 1) / step;
        }
        if (repeats > 4 || k == t_.tiles.size()) continue;
        const std::int64_t rows = (tile_size_[k] + repeats - 1) / repeats;
        for (std::size_t other = 0; other < t_.tiles.size(); ++other)
            var(t_.tiles[other].axis) = tile_start_[other];
        for (std::int64_t row = 0; row < rows; ++row) {
            var(t_.tiles[k].axis) =
                tile_start_[k] + Index(t_.tiles[k].size + row) + repeat_number * rows;
            for (std::int64_t p = 0; p < block_size_; p += t_.lanes) {
                set_vector_axes(block_start_, p);
                Cloner clone = cloner();
                out.push_back(PrefetchAt{i.buffer, clone.index(i.index), 2});
            }
        }
    }
    return out;
}

Emitter::Statements Emitter::block_prefetches() {
    Statements out;
    if (!t_.over_reduction || !b_.cut || phase_ != Phase::Accumulate) return out;
    for (const Instr& i : nest_.values) {
        if (i.op != Op::Load || i.index.coefficient(t_.inner) != 1) continue;
        if (t_.outer && i.index.coefficient(t_.outer) != extent(t_.inner)) continue;
        const Buffer& b = nest_.buffers[i.buffer];
        const auto size = static_cast<std::int64_t>(size_of(b.dtype));
        const std::int64_t line = std::max<std::int64_t>(1, 64 / size);
        const std::int64_t lines = (block_elements(block_size_) + line - 1) / line;
        bool values = false;
        i.index.for_each_value([&](ValueId) { values = true; });
        if (values || b.elements() * size < machine_.l3_bytes / 8) continue;
        std::int64_t repeats = 1;
        Index repeat_number;
        for (std::size_t at = b_.cut_at; at < b_.loops.size(); ++at) {
            const Var v = b_.loops[at].axis;
            if (i.index.uses(v)) continue;
            const std::size_t k = tile_of(v);
            const std::int64_t step = k < t_.tiles.size() ? t_.tiles[k].size : 1;
            const std::int64_t count = (extent(v) + step - 1) / step;
            repeat_number = repeat_number * count + loop_numbers_[at];
            repeats *= count;
        }
        // Too many repetitions would ask for the same line again and again.
        if (repeats > lines) continue;
        const std::int64_t each = (lines + repeats - 1) / repeats;
        set_vector_axes(block_start_, Index(0));
        std::vector<std::size_t> moving;
        std::int64_t rows = 1;
        for (std::size_t k = 0; k < t_.tiles.size(); ++k) {
            var(t_.tiles[k].axis) = tile_start_[k];
            if (!i.index.uses(t_.tiles[k].axis)) continue;
            moving.push_back(k);
            rows *= tile_size_[k];
        }
        // Taps of a filter overlap: what one of them reads is nearly all.
        if (moving.size() > 1) continue;
        const std::int64_t stride =
            moving.empty() ? 0 : i.index.coefficient(t_.tiles[moving[0]].axis);
        if (!moving.empty() && std::abs(stride) < line) rows = 1;
        Cloner clone = cloner();
        const Index next = clone.index(i.index) + Index(i.index.coefficient(b_.cut) * b_.cut_size);
        for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t q = 0; q < each; ++q)
                out.push_back(PrefetchAt{
                    i.buffer, next + Index(row * stride + q * line) + repeat_number * (each * line),
                    2});
    }
    return out;
}

Emitter::Statements Emitter::result_prefetches() {
    constexpr std::int64_t short_sum = 64;
    std::int64_t steps = 1;
    for (Var v : nest_.reduce_axes) steps *= extent(v);
    if (!lanes_are_spatial() || steps > short_sum) return {};
    std::vector<StoreTo> large;
    for (const StoreTo& s : nest_.stores) {
        const Buffer& b = nest_.buffers[s.buffer];
        bool values = false;
        s.index.for_each_value([&](ValueId) { values = true; });
        const bool replaces =
            std::any_of(nest_.values.begin(), nest_.values.end(),
                        [&](const Instr& i) { return i.op == Op::Load && i.index == s.index; });
        // Stores alone do not wait, and the second-level cache is near.
        const std::int64_t near = replaces ? machine_.l2_bytes : machine_.l3_bytes / 8;
        if (!values && s.index.coefficient(t_.inner) == 1 &&
            b.elements() * static_cast<std::int64_t>(size_of(b.dtype)) > near)
            large.push_back(s);
    }
    if (large.empty()) return {};
    return over_elements([&](const Index&) {
        Statements out;
        for (const StoreTo& s : large) {
            Cloner clone = cloner();
            out.push_back(PrefetchAt{s.buffer, clone.index(s.index), 1});
        }
        return out;
    });
}

}  // namespace arete

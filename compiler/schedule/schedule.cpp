// Emits the loops that a Tiling describes.
#include "compiler/schedule/schedule.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "compiler/core/error.h"
#include "compiler/schedule/blocking.h"

namespace arete {

using namespace loops;

namespace {

class Emitter {
  public:
    // block: an axis that a loop around the kernel walks, the kernel's variable 0; -1: none.
    Emitter(const Nest& nest, const Tiling& tiling, const Blocking& blocking,
            const Machine& machine, Var block)
        : nest_(nest), t_(tiling), b_(blocking), machine_(machine) {
        k_.name = nest.name;
        k_.buffers = nest.buffers;
        vars_.resize(nest.extents.size());
        if (block >= 0) var(block) = Index::var(k_.add_var("block", extent(block)));
        ranges_.resize(nest.extents.size());
        loop_numbers_.resize(blocking.loops.size());
        for (Var v = 0; v < static_cast<int>(nest.extents.size()); ++v) range(v).size = extent(v);
    }

    Kernel run() {
        k_.body = emit_axis(0, true);
        return std::move(k_);
    }

  private:
    using Statements = std::vector<Stmt>;

    // What of an axis the code that is being made runs over: all, a chunk, a block.
    struct Range {
        Index start;
        std::int64_t size = 1;
    };

    // What becomes of a register tile: all of it, or, where the reduction is cut, one block of the
    // sums, or what follows the last one.
    enum class Phase { Whole, Accumulate, Finish };

    std::int64_t extent(Var v) const { return nest_.extents[static_cast<std::size_t>(v)]; }
    Index& var(Var v) { return vars_[static_cast<std::size_t>(v)]; }
    Range& range(Var v) { return ranges_[static_cast<std::size_t>(v)]; }
    bool vector_axis(Var v) const { return t_.lanes > 1 && (v == t_.inner || v == t_.outer); }
    std::size_t tile_of(Var v) const {
        std::size_t k = 0;
        while (k < t_.tiles.size() && t_.tiles[k].axis != v) ++k;
        return k;
    }

    static void append(Statements& to, Statements from) {
        for (Stmt& s : from) to.push_back(std::move(s));
    }

    // `body` repeated `count` times; the loop variable scaled by `step` plus `offset` is given to
    // it.
    Statements repeat(const std::string& name, std::int64_t count, std::int64_t step,
                      std::int64_t offset, LoopKind kind,
                      const std::function<Statements(const Index&)>& body) {
        if (count == 1) return body(Index(offset));
        Var v = k_.add_var(name, count);
        Statements out;
        Statements inner = body(Index::var(v) * step + offset);
        out.push_back(Stmt::make_loop(v, kind, std::move(inner)));
        return out;
    }

    // The main part of a range of an axis cut into tiles of `size`, then the rest.
    Statements segments(
        Var v, std::int64_t size, LoopKind kind,
        const std::function<Statements(const Index& start, std::int64_t size)>& body) {
        const std::string& name = nest_.var_names[static_cast<std::size_t>(v)];
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

    Statements emit_axis(std::size_t position, bool outermost) {
        if (position == b_.cut_at && b_.cut >= 0 && phase_ == Phase::Whole)
            return emit_blocks(position);
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

    // All tiles of the loops inside, for one block of the reduction after another; their
    // accumulators wait in scratch memory.
    Statements emit_blocks(std::size_t position) {
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
        for (const Accumulator& a : nest_.accumulators) {
            const DType t = nest_.values[static_cast<std::size_t>(a.element)].dtype;
            const int buffer = k_.add_buffer(
                {"waiting" + std::to_string(waiting_.size()), t, {tiles * waiting_slots_}, true});
            waiting_.push_back(buffer);
            const Value start = identity_value(k_, a.reduction, t);
            append(
                out,
                repeat("w", tiles * waiting_slots_ / t_.lanes, t_.lanes, 0, LoopKind::Serial,
                       [&](const Index& at) {
                           return over_vectors(t_.lanes, [&](const Index& p, const Index&,
                                                             std::int64_t) {
                               return Statements{Stmt::make_store({buffer, at + p, start.id, {}})};
                           });
                       }));
        }
        waiting_tile_ = Index(0);
        const Range all = range(b_.cut);
        phase_ = Phase::Accumulate;
        append(out, segments(b_.cut, b_.cut_size, LoopKind::Serial,
                             [&](const Index& start, std::int64_t size) {
                                 range(b_.cut) = {start, size};
                                 return emit_axis(position, false);
                             }));
        range(b_.cut) = all;
        phase_ = Phase::Finish;
        append(out, emit_axis(position, false));
        phase_ = Phase::Whole;
        return out;
    }

    // Sets the axes of the vector space to the p-th element of the current block.
    void set_vector_axes(const Index& start, const Index& p) {
        if (t_.outer >= 0) {
            var(t_.outer) = start + floordiv(p, extent(t_.inner), k_.extents);
            var(t_.inner) = mod(p, extent(t_.inner), k_.extents);
        } else {
            var(t_.inner) = start + p;
        }
    }

    std::int64_t block_elements(std::int64_t block) const {
        return t_.outer >= 0 ? block * extent(t_.inner) : block;
    }

    // The vectors of a block: whole ones, then one with lanes to spare.
    Statements over_vectors(std::int64_t elements,
                            const std::function<Statements(const Index& p, const Index& lane,
                                                           std::int64_t active)>& body) {
        std::int64_t lanes = t_.lanes, whole = elements / lanes, rest = elements % lanes;
        auto vector_loop = [&](const Index& start, std::int64_t active) {
            Var lane = k_.add_var("lane", active);
            Statements out, inner = body(start + Index::var(lane), Index::var(lane), active);
            out.push_back(
                Stmt::make_loop(lane, LoopKind::Vector, std::move(inner), static_cast<int>(lanes)));
            return out;
        };
        Statements out;
        if (whole)
            append(out, repeat("vec", whole, lanes, 0, LoopKind::Unrolled,
                               [&](const Index& start) { return vector_loop(start, lanes); }));
        if (rest) append(out, vector_loop(Index(whole * lanes), rest));
        return out;
    }

    // The register tile: its unrolled axes, numbering their combinations by `slot`.
    Statements over_tiles(std::size_t k, const Index& slot,
                          const std::function<Statements(const Index& slot)>& body) {
        return over_tiles(k, t_.tiles.size(), slot, body);
    }
    Statements over_tiles(std::size_t k, std::size_t end, const Index& slot,
                          const std::function<Statements(const Index& slot)>& body) {
        if (k == end) return body(slot);
        return repeat(nest_.var_names[static_cast<std::size_t>(t_.tiles[k].axis)] + "t",
                      tile_size_[k], 1, 0, LoopKind::Unrolled, [&](const Index& at) {
                          var(t_.tiles[k].axis) = tile_start_[k] + at;
                          return over_tiles(k + 1, end, slot * tile_size_[k] + at, body);
                      });
    }

    std::int64_t tile_count() const {
        return std::accumulate(tile_size_.begin(), tile_size_.end(), std::int64_t{1},
                               std::multiplies<>());
    }

    Cloner cloner() {
        Cloner c(nest_, k_);
        c.vars = vars_;
        return c;
    }

    Statements stores(Cloner& clone) {
        Statements out;
        for (const CheckThat& c : nest_.checks) out.push_back(Stmt::make_check(clone.check(c)));
        for (const StoreTo& s : nest_.stores) out.push_back(Stmt::make_store(clone.store(s)));
        return out;
    }

    bool lanes_are_spatial() const { return t_.lanes > 1 && !t_.over_reduction; }

    // Runs body for each element slot of the tile, vectors included where the lanes are spatial.
    Statements over_elements(const std::function<Statements(const Index& slot)>& body) {
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

    struct Local {
        int best = -1, where = -1, total = -1;
    };

    Statements emit_tile() {
        if (nest_.accumulators.empty())
            return over_elements([&](const Index&) {
                Cloner clone = cloner();
                return stores(clone);
            });
        std::int64_t slots = tile_count();
        if (lanes_are_spatial())
            slots *= (block_elements(block_size_) + t_.lanes - 1) / t_.lanes * t_.lanes;
        bool partial = t_.lanes > 1 && t_.over_reduction;
        std::vector<Local> locals;
        for (const Accumulator& a : nest_.accumulators) {
            DType t = nest_.values[static_cast<std::size_t>(a.element)].dtype;
            std::string n = std::to_string(locals.size());
            Local l;
            l.best = k_.add_buffer({"acc" + n, t, {partial ? slots * t_.lanes : slots}, true});
            if (a.reduction == Reduction::ArgMax || a.reduction == Reduction::ArgMin)
                l.where = k_.add_buffer({"arg" + n, DType::I32, {slots}, true});
            if (partial)
                l.total = k_.add_buffer(
                    {"sum" + n, t, {(slots + 2 * t_.lanes - 1) / t_.lanes * t_.lanes}, true});
            locals.push_back(l);
        }
        Statements out;
        if (phase_ == Phase::Whole) {
            out = result_prefetches();
            append(out, initialise(locals, partial));
        } else
            append(out, exchange(locals, partial, false));
        if (phase_ != Phase::Finish) append(out, reduce_axis(0, locals));
        if (phase_ == Phase::Accumulate) {
            append(out, exchange(locals, partial, true));
            return out;
        }
        if (partial) append(out, combine_lanes(locals));
        auto results = [&](const Index& slot) {
            Cloner clone = cloner();
            for (const Local& l : locals)
                clone.accs.push_back(k_.load(partial        ? l.total
                                             : l.where >= 0 ? l.where
                                                            : l.best,
                                             slot));
            return clone;
        };
        auto finish = [&](const Index& slot) {
            Cloner clone = results(slot);
            return stores(clone);
        };
        if (stores_wait(locals)) {
            append(out, over_elements([&](const Index& slot) {
                       Cloner clone = results(slot);
                       const ValueId value = clone.store(nest_.stores[0]).value;
                       return Statements{Stmt::make_store({locals[0].best, slot, value, {}})};
                   }));
            append(out, over_elements([&](const Index& slot) {
                       StoreTo store = nest_.stores[0];
                       Cloner clone = cloner();
                       store.index = clone.index(store.index);
                       store.value = k_.load(locals[0].best, slot).id;
                       return Statements{Stmt::make_store(store)};
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

    // A masked load that overlaps the vector of a masked store shortly before has to wait for it,
    // even where no element is shared: rows updated in place, with lanes to spare, are all computed
    // before the first is stored.
    bool stores_wait(const std::vector<Local>& locals) const {
        if (!lanes_are_spatial() || block_elements(block_size_) % t_.lanes == 0 ||
            tile_count() == 1 || nest_.stores.size() != 1 || locals.size() != 1 ||
            locals[0].where >= 0 || !nest_.checks.empty())
            return false;
        const StoreTo& s = nest_.stores[0];
        const ValueId root = s.value;
        const std::vector<ValueId> ids = needed(nest_, {&root, 1});
        return !s.combine &&
               k_.buffers[static_cast<std::size_t>(s.buffer)].dtype ==
                   k_.buffers[static_cast<std::size_t>(locals[0].best)].dtype &&
               std::any_of(ids.begin(), ids.end(), [&](ValueId id) {
                   const Instr& i = nest_.values[static_cast<std::size_t>(id)];
                   return i.op == Op::Load &&
                          i.index == s.index;  // the new value may take its place
               });
    }

    Statements initialise(const std::vector<Local>& locals, bool partial) {
        return over_elements([&](const Index& slot) {
            Statements s;
            for (std::size_t a = 0; a < locals.size(); ++a) {
                const Local& l = locals[a];
                DType t = k_.buffers[static_cast<std::size_t>(l.best)].dtype;
                Value start = identity_value(k_, nest_.accumulators[a].reduction, t);
                if (partial) {
                    append(s,
                           over_vectors(t_.lanes, [&](const Index& p, const Index&, std::int64_t) {
                               return Statements{
                                   Stmt::make_store({l.best, slot * t_.lanes + p, start.id, {}})};
                           }));
                } else {
                    s.push_back(Stmt::make_store({l.best, slot, start.id, {}}));
                }
                if (l.where >= 0)
                    s.push_back(Stmt::make_store(
                        {l.where, slot, k_.constant(DType::I32, std::int64_t{0}).id, {}}));
            }
            return s;
        });
    }

    // Accumulators from where they wait, or back there.
    Statements exchange(const std::vector<Local>& locals, bool partial, bool back) {
        auto move = [&](const Index& slot) {
            Statements s;
            const Index place = waiting_tile_ * waiting_slots_ + slot;
            for (std::size_t a = 0; a < locals.size(); ++a) {
                const int best = locals[a].best, waiting = waiting_[a];
                s.push_back(back ? Stmt::make_store({waiting, place, k_.load(best, slot).id, {}})
                                 : Stmt::make_store({best, slot, k_.load(waiting, place).id, {}}));
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

    Statements combine_lanes(const std::vector<Local>& locals) {
        Statements s;
        for (std::size_t a = 0; a < locals.size(); ++a)
            s.push_back(Stmt::make_fold({locals[a].best, locals[a].total, tile_count(), t_.lanes,
                                         nest_.accumulators[a].reduction}));
        return s;
    }

    Statements reduce_axis(std::size_t position, const std::vector<Local>& locals) {
        if (position == nest_.reduce_axes.size()) return update(locals);
        Var v = nest_.reduce_axes[position];
        if (vector_axis(v)) {
            std::size_t skip = t_.outer >= 0 ? 2 : 1;
            return segments(v, t_.block, LoopKind::Serial,
                            [&](const Index& start, std::int64_t size) {
                                block_start_ = start;
                                block_size_ = size;
                                Statements out = row_prefetches();
                                append(out, block_prefetches());
                                append(out, reduce_axis(position + skip, locals));
                                return out;
                            });
        }
        const Range all = range(v);
        return repeat(nest_.var_names[static_cast<std::size_t>(v)], all.size, 1, 0,
                      v == t_.unroll ? LoopKind::Unrolled : LoopKind::Serial, [&](const Index& at) {
                          var(v) = all.start + at;
                          Statements out = prefetches(v);
                          append(out, reduce_axis(position + 1, locals));
                          return out;
                      });
    }

    // A panel of a matrix too large for the cache is walked in short pieces far apart, which the
    // processor does not foresee: ask for the pieces of a few steps ahead, or, where the reduction
    // is cut, for those of the next block, which there is time to fetch from memory.
    Statements prefetches(Var v) {
        Statements out;
        if (v != nest_.reduce_axes.back() || v == t_.unroll) return out;
        const bool blocks = v == b_.cut;
        const std::int64_t ahead = blocks ? b_.cut_size : 12;
        for (const Instr& i : nest_.values) {
            if (!walks_far(nest_, t_, i, v)) continue;
            const Buffer& b = nest_.buffers[static_cast<std::size_t>(i.target)];
            const auto size = static_cast<std::int64_t>(size_of(b.dtype));
            bool values = false;
            i.index.for_each_value([&](ValueId) { values = true; });
            if (values || b.elements() * size < machine_.l2_bytes) continue;
            const std::int64_t line = std::max<std::int64_t>(1, 64 / size);
            for (std::int64_t p = 0; p < block_size_; p += line) {
                set_vector_axes(block_start_, p);
                Cloner clone = cloner();
                out.push_back(Stmt::make_prefetch(
                    {i.target, clone.index(i.index) + Index(i.index.coefficient(v) * ahead),
                     blocks ? 2 : 1}));
            }
        }
        return out;
    }

    // Lanes of partial sums walk several rows of a matrix side by side. Where hardly more is done
    // with a row than reading it from memory, ask for the rows of the next tile meanwhile.
    Statements row_prefetches() {
        Statements out;
        if (!t_.over_reduction || t_.outer >= 0) return out;
        for (const Instr& i : nest_.values) {
            if (i.op != Op::Load || i.index.coefficient(t_.inner) != 1) continue;
            const Buffer& b = nest_.buffers[static_cast<std::size_t>(i.target)];
            const auto size = static_cast<std::int64_t>(size_of(b.dtype));
            bool values = false;
            i.index.for_each_value([&](ValueId) { values = true; });
            if (values || b.elements() * size < machine_.l2_bytes) continue;
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
                    out.push_back(Stmt::make_prefetch({i.target, clone.index(i.index), 2}));
                }
            }
        }
        return out;
    }

    // Where partial sums run over one block of the reduction after another, ask for the next
    // block's part of an operand that comes from memory; loops that repeat this one share the work.
    Statements block_prefetches() {
        Statements out;
        if (!t_.over_reduction || b_.cut < 0 || phase_ != Phase::Accumulate) return out;
        for (const Instr& i : nest_.values) {
            if (i.op != Op::Load || i.index.coefficient(t_.inner) != 1) continue;
            if (t_.outer >= 0 && i.index.coefficient(t_.outer) != extent(t_.inner)) continue;
            const Buffer& b = nest_.buffers[static_cast<std::size_t>(i.target)];
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
            const Index next =
                clone.index(i.index) + Index(i.index.coefficient(b_.cut) * b_.cut_size);
            for (std::int64_t row = 0; row < rows; ++row)
                for (std::int64_t q = 0; q < each; ++q)
                    out.push_back(Stmt::make_prefetch(
                        {i.target,
                         next + Index(row * stride + q * line) + repeat_number * (each * line),
                         2}));
        }
        return out;
    }

    // After a short sum the results are due before a large array has come to the cache: ask for
    // their places, and for what they replace, when the sum begins.
    Statements result_prefetches() {
        constexpr std::int64_t short_sum = 64;
        std::int64_t steps = 1;
        for (Var v : nest_.reduce_axes) steps *= extent(v);
        if (!lanes_are_spatial() || steps > short_sum) return {};
        std::vector<StoreTo> large;
        for (const StoreTo& s : nest_.stores) {
            const Buffer& b = nest_.buffers[static_cast<std::size_t>(s.buffer)];
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
                out.push_back(Stmt::make_prefetch({s.buffer, clone.index(s.index), 1}));
            }
            return out;
        });
    }

    // One step of the reduction for every element of the tile.
    Statements update(const std::vector<Local>& locals) {
        if (t_.lanes == 1 || !t_.over_reduction)
            return over_elements([&](const Index& slot) { return fold(locals, slot, 0, -1); });
        // Tile by tile for each vector, so that what a vector needs is loaded close to its use; the
        // longer axis of the tile outside, so that few of one factor are held while the other's
        // pass.
        std::vector<std::size_t> order(t_.tiles.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return tile_size_[a] > tile_size_[b];
        });
        return over_vectors(block_elements(block_size_), [&](const Index& p, const Index& lane,
                                                             std::int64_t active) {
            set_vector_axes(block_start_, p);
            std::vector<Index> at(order.size());
            std::function<Statements(std::size_t)> each = [&](std::size_t position) {
                if (position == order.size()) {
                    Index slot;
                    for (std::size_t k = 0; k < at.size(); ++k) slot = slot * tile_size_[k] + at[k];
                    return fold(locals, slot * t_.lanes + lane, lane, active);
                }
                const std::size_t k = order[position];
                return repeat(nest_.var_names[static_cast<std::size_t>(t_.tiles[k].axis)] + "t",
                              tile_size_[k], 1, 0, LoopKind::Unrolled, [&](const Index& number) {
                                  at[k] = number;
                                  var(t_.tiles[k].axis) = tile_start_[k] + number;
                                  return each(position + 1);
                              });
            };
            return each(0);
        });
    }

    // active >= 0: lanes from `active` on must leave their partial sum as it is.
    Statements fold(const std::vector<Local>& locals, const Index& slot, const Index& lane,
                    std::int64_t active) {
        Cloner clone = cloner();
        Index position;
        for (Var v : nest_.reduce_axes) position = position * extent(v) + var(v);
        Statements out;
        for (std::size_t a = 0; a < locals.size(); ++a) {
            const Accumulator& acc = nest_.accumulators[a];
            Value element = clone.value(acc.element);
            Statements step = accumulate(k_, acc.reduction, element, locals[a].best,
                                         locals[a].where, slot, position);
            if (active >= 0 && active < t_.lanes) {
                // Chosen last, so that it is the mask of the addition.
                Value inside = lt(k_.index(lane), k_.constant(DType::I64, active));
                for (Stmt& s : step)
                    s.store.value =
                        select(inside, {&k_, s.store.value}, k_.load(s.store.buffer, slot)).id;
            }
            append(out, std::move(step));
        }
        return out;
    }

    const Nest& nest_;
    const Tiling& t_;
    const Blocking& b_;
    const Machine& machine_;
    Kernel k_;
    std::vector<Index> vars_;          // of the nest, in terms of the kernel's
    std::vector<Range> ranges_;        // by the nest's variable
    Index tile_number_;                // of the segment being made
    std::vector<Index> loop_numbers_;  // the same for each of b_.loops
    Phase phase_ = Phase::Whole;
    std::vector<int> waiting_;        // scratch buffers, by accumulator
    std::int64_t waiting_slots_ = 0;  // elements of it a tile
    Index waiting_tile_;              // number of the tile among those that wait
    Index block_start_;
    std::int64_t block_size_ = 1;
    std::vector<Index> tile_start_;
    std::vector<std::int64_t> tile_size_;
};

}  // namespace

Kernel schedule(const Nest& nest, const Machine& machine, Var block) {
    if (nest.sequential) return naive(nest);
    Nest flat = collapse_axes(nest);
    Tiling tiling = choose_tiling(flat, machine);
    Blocking blocking = choose_blocking(flat, tiling, machine);
    Kernel kernel = Emitter(flat, tiling, blocking, machine, block).run();
    kernel.comment = to_string(tiling, flat);
    if (std::string blocks = to_string(blocking, flat); !blocks.empty())
        kernel.comment += "; " + blocks;
    return kernel;
}

double estimated_cycles(const Nest& nest, const Machine& machine) {
    return choose_tiling(collapse_axes(nest), machine).cycles;
}

}  // namespace arete

// Panels: operands that vectors would gather element by element, or fetch from rows far apart, are
// copied to the stack, transposed in registers, where they are read often enough to pay for it.
#include "compiler/targets/cpu/packing.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/loops/kernel.h"
#include "compiler/targets/cpu/emitter.h"
#include "compiler/targets/cpu/walk.h"

namespace arete {

using namespace loops;

namespace {

std::int64_t round_up(std::int64_t n, std::int64_t to) {
    return ceil_div(n, to) * to;
}

// Lanes that lie side by side, in rows of a long reduction that have few places in a cache.
bool rows_collide(const Nest& nest, const Instr& load, Var lanes) {
    constexpr std::int64_t period = 4096, shared = 1024, many = 64;
    const auto size = static_cast<std::int64_t>(size_of(nest.buffers[load.buffer].dtype));
    return load.index.coefficient(lanes) == 1 &&
           std::any_of(nest.reduce_axes.begin(), nest.reduce_axes.end(), [&](Var v) {
               const std::int64_t apart = load.index.coefficient(v) * size;
               return apart != 0 && nest.extents[v] >= many && std::gcd(apart, period) >= shared;
           });
}

// Whether a panel can hold an operand: it is as large as the loops' walk.
bool fits_panel(const Nest& nest, const Instr& load) {
    if (load.op != Op::Load) return false;
    if (std::any_of(nest.stores.begin(), nest.stores.end(),
                    [&](const StoreTo& s) { return s.buffer == load.buffer; }))
        return false;
    // A panel covers what the loops walk: where the walk goes by values, that is not known.
    for (Var v : nest.extents.ids())
        if (varies_by_value(nest, load.index, v)) return false;
    const auto& terms = load.index.terms();
    return std::all_of(terms.begin(), terms.end(), [](const Index::Term& t) {
        return t.kind == Index::Kind::Value || t.kind == Index::Kind::Var;
    });
}

}  // namespace

bool can_pack(const Nest& nest, const Instr& load, Var lanes) {
    return load.index.uses(lanes) && fits_panel(nest, load) &&
           (std::abs(load.index.coefficient(lanes)) >= 2 || rows_collide(nest, load, lanes));
}

bool can_align(const Nest& nest, const Instr& load, Var lanes, int width) {
    if (load.index.coefficient(lanes) != 1 || packed_along(nest, load, lanes) ||
        !fits_panel(nest, load))
        return false;
    return std::any_of(
        load.index.terms().begin(), load.index.terms().end(), [&](const Index::Term& t) {
            return t.kind == Index::Kind::Var && t.var() != lanes && t.coefficient % width != 0;
        });
}

Var packed_along(const Nest& nest, const Instr& load, Var lanes) {
    Var along;
    std::int64_t longest = 1;
    for (const auto* axes : {&nest.axes, &nest.reduce_axes})
        for (Var v : *axes) {
            if (v == lanes || std::abs(load.index.coefficient(v)) != 1 || load.index.uses_nested(v))
                continue;
            if (const auto steps = nest.extents[v]; steps > longest) {
                along = v;
                longest = steps;
            }
        }
    return along;
}

// A vector is loaded and stored. In a square of as many as lanes, each is shuffled as well, once
// for each bit of a lane's number. Two instructions a cycle.
double packing_cycles(const Nest& nest, const Instr& load, Var lanes, int width) {
    double bits = 0;
    if (load.index.coefficient(lanes) != 1) {
        if (!packed_along(nest, load, lanes)) return 2;
        for (int l = 1; l < width; l *= 2) ++bits;
    }
    return (bits + 2) / 2 / width;
}

double panel_elements(const Nest& nest, const Instr& load, const Tiling& t, const Box& steps) {
    double n = 1;
    // A loop around the nest stands still.
    for (const auto* axes : {&nest.axes, &nest.reduce_axes})
        for (Var v : *axes) {
            if (!load.index.uses(v)) continue;
            const std::int64_t own = steps[v];
            n *= static_cast<double>(
                v != t.inner ? own : round_up(own, t.over_reduction ? t.lanes : t.block));
        }
    return n;
}

Nest with_panels(const Nest& nest, const Tiling& t) {
    Nest out = nest;
    for (ValueId id : t.packed) {
        Instr& i = out.values[id];
        Index at = Index::var(t.inner);
        const std::int64_t lanes = nest.extents[t.inner];
        std::int64_t stride = t.over_reduction ? round_up(lanes, t.lanes) : t.block;
        auto append = [&](const std::vector<Var>& axes) {
            for (auto v = axes.rbegin(); v != axes.rend(); ++v) {
                if (*v == t.inner || !i.index.uses(*v)) continue;
                at = at + Index::var(*v) * stride;
                stride *= nest.extents[*v];
            }
        };
        append(nest.reduce_axes);
        append(nest.axes);
        Buffer b = nest.buffers[i.buffer];
        b.sizes = {round_up(stride * lanes, t.block)};
        i.index = at;
        i.buffer = out.add_buffer(std::move(b));
    }
    return out;
}

Emitter::Range Emitter::span(Var v) const {
    for (std::size_t k = 0; k < b_.pack_at; ++k) {
        const Blocking::Loop& l = b_.loops[k];
        if (l.axis != v || l.part == Blocking::Part::Chunks) continue;
        if (vector_axis(v)) return {block_start_, block_size_};
        const std::size_t tile = tile_of(v);
        if (tile < t_.tiles.size()) return {tile_start_[tile], tile_size_[tile]};
        return {vars_[v], 1};
    }
    return ranges_[v];
}

Emitter::Statements Emitter::pack() {
    Statements out;
    if (t_.packed.empty()) return out;
    panels_.resize(t_.packed.size());
    for (std::size_t k = 0; k < panels_.size(); ++k) {
        const Instr& load = nest_.values[t_.packed[k]];
        Panel& p = panels_[k];
        p.axes.clear();
        for (const auto* axes : {&nest_.axes, &nest_.reduce_axes})
            for (Var v : *axes)
                if (v != t_.inner && load.index.uses(v)) p.axes.push_back({v, span(v)});
        p.lanes = span(t_.inner);
        p.block = t_.over_reduction ? round_up(p.lanes.size, t_.lanes)
                                    : round_up(std::min(p.lanes.size, t_.block), t_.lanes);
        p.rows = 1;
        for (const auto& [v, range] : p.axes) p.rows *= range.size;
        const std::int64_t elements = p.rows * round_up(p.lanes.size, p.block);
        if (!p.buffer)
            p.buffer = k_.add_buffer({"panel" + std::to_string(k),
                                      nest_.buffers[load.buffer].dtype,
                                      {elements},
                                      Space::Private,
                                      true});
        std::int64_t& size = k_.buffers[p.buffer].sizes[0];
        size = std::max(size, elements);
        append(out, fill(p, load));
    }
    return out;
}

Index Emitter::row_of(const Panel& p) const {
    Index row;
    for (const auto& [v, range] : p.axes) row = row * range.size + vars_[v] - range.start;
    return row;
}

// The rows of a panel whose elements of a lane lie side by side in memory: those along an axis, and
// along the axes around it as long as they go on where it ends.
Emitter::Run Emitter::run_along(const Panel& p, const Instr& load, Var along) const {
    const auto axis =
        std::find_if(p.axes.begin(), p.axes.end(), [&](const auto& a) { return a.first == along; });
    Run run{.along = along, .rows = {axis->second.start, axis->second.size}};
    for (auto a = axis + 1; a != p.axes.end(); ++a) run.stride *= a->second.size;
    run.backwards = load.index.coefficient(along) < 0;
    run.first = static_cast<std::size_t>(axis - p.axes.begin());
    run.last = run.first;
    while (run.first > 0) {
        const auto& [v, range] = p.axes[run.first - 1];
        const std::int64_t goes_on = run.backwards ? -run.rows.size : run.rows.size;
        if (range.size > 1 && (load.index.coefficient(v) != goes_on || load.index.uses_nested(v)))
            break;
        run.rows.size *= range.size;
        --run.first;
    }
    return run;
}

// Pieces of `size` of a range, then the rest.
Emitter::Statements Emitter::pieces(
    const std::string& what, const Range& range, std::int64_t size,
    const std::function<Statements(const Index&, std::int64_t)>& body) {
    Statements out;
    const std::int64_t whole = range.size / size, rest = range.size % size;
    if (whole)
        out = repeat(what, whole, size, 0, LoopKind::Serial,
                     [&](const Index& at) { return body(at, size); });
    if (rest) append(out, body(Index(whole * size), rest));
    return out;
}

// Loops over a panel's axes from the k-th on but those of a run, which stand at their begin.
Emitter::Statements Emitter::each_row(const Panel& p, std::size_t k, const Run* run,
                                      const std::function<Statements()>& body) {
    if (k == p.axes.size()) return body();
    const auto& [v, range] = p.axes[k];
    if (range.size == 1 || (run && k >= run->first && k <= run->last)) {
        var(v) = range.start;
        return each_row(p, k + 1, run, body);
    }
    return repeat(nest_.var_names[v], range.size, 1, 0, LoopKind::Serial, [&](const Index& at) {
        var(v) = range.start + at;
        return each_row(p, k + 1, run, body);
    });
}

// Vectors of lanes that lie side by side are copied row by row. Where a row's lanes lie apart, a
// few of them are read along a run of rows, so that each cache line is read once, by squares.
Emitter::Statements Emitter::fill(const Panel& p, const Instr& load) {
    const Var along = packed_along(nest_, load, t_.inner);
    const IdVector<Var, Index> kept = vars_;
    const std::string lanes_name = nest_.var_names[t_.inner];
    // `start` is a multiple of the block.
    const auto blocks = [&](const std::function<Statements(const Index&, const Range&)>& body) {
        return pieces(lanes_name + "b", p.lanes, p.block,
                      [&](const Index& start, std::int64_t size) {
                          const Index number = floordiv(start, p.block, k_.extents);
                          return body(number, {p.lanes.start + start, size});
                      });
    };
    const auto place = [&](const Index& block, const Index& lane) {
        return (block * p.rows + row_of(p)) * p.block + lane;
    };
    const auto vectors = [&](const Index& block, const Range& lanes) {
        return pieces(lanes_name, lanes, t_.lanes, [&](const Index& lane, std::int64_t n) {
            return over_vectors(n, [&](const Index& at, const Index&, std::int64_t) {
                var(t_.inner) = lanes.start + lane + at;
                Cloner clone = cloner();
                const Value element = k_.load(load.buffer, clone.index(load.index));
                return Statements{StoreTo{p.buffer, place(block, lane + at), element.id, {}}};
            });
        });
    };
    const auto squares = [&](const Run& run, const Index& block, const Range& lanes) {
        return pieces(lanes_name, lanes, t_.lanes, [&](const Index& lane, std::int64_t rows) {
            return each_row(p, 0, &run, [&] {
                const auto square = [&](const Index& c, std::int64_t count) {
                    var(t_.inner) = lanes.start + lane;
                    var(run.along) = run.rows.start + c + (run.backwards ? count - 1 : 0);
                    const std::int64_t stride = p.block * run.stride;
                    Cloner clone = cloner();
                    TransposeTile t;
                    t.from = load.buffer;
                    t.at = clone.index(load.index);
                    t.from_stride = load.index.coefficient(t_.inner);
                    t.to = p.buffer;
                    t.place = place(block, lane);
                    t.to_stride = run.backwards ? -stride : stride;
                    t.rows = rows;
                    t.columns = count;
                    t.lanes = t_.lanes;
                    return Statements{std::move(t)};
                };
                return pieces(nest_.var_names[run.along], run.rows, t_.lanes, square);
            });
        });
    };
    Statements out;
    if (along) {
        const Run run = run_along(p, load, along);
        out = blocks(
            [&](const Index& block, const Range& lanes) { return squares(run, block, lanes); });
    } else {
        out = each_row(p, 0, nullptr, [&] { return blocks(vectors); });
    }
    vars_ = kept;
    return out;
}

void Emitter::read_panels(Cloner& clone) {
    for (std::size_t k = 0; k < panels_.size(); ++k) {
        const Panel& p = panels_[k];
        Index place = row_of(p) * p.block;
        if (t_.over_reduction || p.lanes.size <= p.block) {
            place = place + vars_[t_.inner] - p.lanes.start;
        } else {
            Index number;
            for (std::size_t at = b_.pack_at; at < b_.loops.size(); ++at)
                if (b_.loops[at].axis == t_.inner)
                    number =
                        number +
                        loop_numbers_[at] *
                            (b_.loops[at].part == Blocking::Part::Chunks ? b_.chunk / t_.block : 1);
            place = place + number * (p.rows * p.block) + vars_[t_.inner] - block_start_;
        }
        clone.replace(t_.packed[k], k_.load(p.buffer, place));
    }
}

}  // namespace arete

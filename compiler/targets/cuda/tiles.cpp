// Products of matrices by tiles in shared memory and in registers.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/targets/cuda/forms.h"

namespace arete::cuda {

namespace {

bool uses(const Nest& nest, ValueId value, Var v) {
    const std::vector<ValueId> all = needed(nest, {&value, 1});
    return std::any_of(all.begin(), all.end(),
                       [&](ValueId id) { return nest.values[id].index.uses(v); });
}

// A copy of a value under a condition: it reads nothing where that does not hold, and is 0 there.
class GuardedCloner {
  public:
    GuardedCloner(const Nest& nest, Kernel& kernel, IdVector<Var, Index> vars, Value guard)
        : nest_(nest), k_(kernel), clone_(nest, kernel), guard_(guard) {
        clone_.vars = std::move(vars);
    }

    Value value(ValueId root) {
        if (guard_.id == ValueId()) return clone_.value(root);
        for (ValueId id : needed(nest_, {&root, 1})) {
            const Instr& i = nest_.values[id];
            if (i.op != Op::Load && i.op != Op::LoadIf) continue;
            const Value own = i.op == Op::LoadIf ? guard_ & clone_.value(i.args[0]) : guard_;
            clone_.replace(id, k_.load_if(own, i.buffer, clone_.index(i.index)));
        }
        const Value v = clone_.value(root);
        const Op op = k_.values[v.id].op;
        return op == Op::LoadIf ? v : select(guard_, v, literal(v, 0));
    }

  private:
    const Nest& nest_;
    Kernel& k_;
    Cloner clone_;
    Value guard_;
};

// One factor: which of its axes its tile runs along, and where the tile is.
struct Factor {
    ValueId value;
    const std::vector<Var>& axes;
    std::int64_t size;   // of all of these axes
    std::int64_t width;  // of the tile
    Index first;         // of the block's tile
    BufferId shared;
};

class Tiler {
  public:
    Tiler(const Nest& nest, const Product& p, const Tile& t)
        : nest_(nest),
          p_(p),
          t_(t),
          type_(nest.accumulators.front().dtype),
          k_(kernel_for(nest, fmt::format("{} x {} results a block of {} threads, {} x {} a "
                                          "thread, {} of the sums at a time",
                                          t.rows(), t.columns(), t.threads(), t.each_m, t.each_n,
                                          t.depth))) {}

    Kernel run() {
        const Shape shape{k_.add_var("block_n", ceil_div(p_.n, t_.columns())),
                          {},
                          {},
                          thread_ = k_.add_var("thread", t_.threads()),
                          {}};
        Shape all = shape;
        // Rows and batches may be more than 65535: they share a dimension with the columns.
        blocks_m_ = ceil_div(p_.m, t_.rows());
        const std::int64_t blocks_n = k_.extents[shape.grid_x];
        k_.extents[shape.grid_x] = blocks_n * blocks_m_ * p_.batches;
        k_.var_names[shape.grid_x] = "block";
        const Index block = Index::var(shape.grid_x);
        const std::vector<Index> at =
            delinear(block, Sizes{p_.batches, blocks_m_, blocks_n}, k_.extents);
        vars_.resize(nest_.extents.size());
        spread(nest_, p_.batch, at[0], k_, vars_);
        tn_ = mod(Index::var(thread_), t_.threads_n, k_.extents);
        tm_ = floordiv(Index::var(thread_), t_.threads_n, k_.extents);
        Factor a{p_.a, p_.rows, p_.m, t_.rows(), at[1] * t_.rows()};
        Factor b{p_.b, p_.columns, p_.n, t_.columns(), at[2] * t_.columns()};
        a.shared = shared("tile_a", a);
        b.shared = shared("tile_b", b);
        set_body(k_, all, thread(a, b));
        return std::move(k_);
    }

  private:
    // Rows of a tile begin in another bank each.
    BufferId shared(const char* what, const Factor& f) {
        return k_.add_buffer({what, type_, {t_.depth * (f.width + 1)}, Space::Shared});
    }
    BufferId registers(const char* what, DType t, std::int64_t size) {
        return k_.add_buffer({what, t, {size}, Space::Register});
    }

    std::vector<Stmt> thread(const Factor& a, const Factor& b) {
        const std::int64_t each = t_.each_m * t_.each_n, tiles = ceil_div(p_.k, t_.depth);
        constexpr std::int64_t chain = 256, plain_parts = 64;
        const std::int64_t parts = ceil_div(tiles, std::max<std::int64_t>(1, chain / t_.depth));
        const std::int64_t tiles_each = parts > 0 ? ceil_div(tiles, parts) : 0;
        sums_ = registers("sums", type_, each);
        if (parts > 1) {
            const bool exact = parts > plain_parts;
            totals_ = registers("totals", exact ? DType::F64 : type_, each);
            if (exact && type_ == DType::F64) lost_ = registers("lost", type_, each);
        }
        from_a_ = registers("from_a", type_, t_.each_m);
        from_b_ = registers("from_b", type_, t_.each_n);
        std::vector<Stmt> out;
        out.push_back(cleared(totals_ ? totals_ : sums_, lost_));
        const Var tile = k_.add_var("tile", tiles_each);
        if (parts <= 1) {
            if (parts == 1)
                out.push_back(Loop{tile, LoopKind::Serial, one_tile(a, b, Index::var(tile))});
        } else {
            const Var part = k_.add_var("part", parts);
            std::vector<Stmt> body;
            body.push_back(cleared(sums_, {}));
            body.push_back(Loop{tile, LoopKind::Serial,
                                one_tile(a, b, Index::var(part) * tiles_each + Index::var(tile))});
            body.push_back(added_up());
            out.push_back(Loop{part, LoopKind::Serial, std::move(body)});
        }
        out.push_back(stored(a, b));
        return out;
    }

    // Zeros in all elements of one or two registers.
    Stmt cleared(BufferId buffer, BufferId second) {
        const Buffer& b = k_.buffers[buffer];
        const Value zero = k_.constant(b.dtype, 0.0);
        const Var i = k_.add_var("i", b.elements());
        std::vector<Stmt> body{StoreTo{buffer, Index::var(i), zero.id, {}}};
        if (second) body.push_back(StoreTo{second, Index::var(i), zero.id, {}});
        return Loop{i, LoopKind::Unrolled, std::move(body)};
    }

    // The sums of a chain go to the totals.
    Stmt added_up() {
        const DType total = k_.buffers[totals_].dtype;
        const Var i = k_.add_var("i", t_.each_m * t_.each_n);
        const Value sum = k_.load(sums_, Index::var(i));
        if (lost_)
            return Loop{i, LoopKind::Unrolled, add_exactly(k_, sum, totals_, lost_, Index::var(i))};
        return Loop{i,
                    LoopKind::Unrolled,
                    {StoreTo{totals_, Index::var(i), (total == type_ ? sum : cast(sum, total)).id,
                             Reduction::Sum}}};
    }

    std::vector<Stmt> one_tile(const Factor& a, const Factor& b, const Index& tile) {
        std::vector<Stmt> out;
        load(a, tile, out);
        load(b, tile, out);
        out.push_back(Barrier{Scope::Block});
        const Var d = k_.add_var("d", t_.depth), i = k_.add_var("i", t_.each_m),
                  j = k_.add_var("j", t_.each_n), m = k_.add_var("m", t_.each_m),
                  n = k_.add_var("n", t_.each_n);
        const auto fetch = [&](BufferId to, const Factor& f, Var v, const Index& first,
                               std::int64_t step) {
            const Index at = Index::var(d) * (f.width + 1) + first + Index::var(v) * step;
            return Loop{
                v, LoopKind::Unrolled, {StoreTo{to, Index::var(v), k_.load(f.shared, at).id, {}}}};
        };
        const Index result = Index::var(m) * t_.each_n + Index::var(n);
        const Value sum = muladd(k_.load(from_a_, Index::var(m)), k_.load(from_b_, Index::var(n)),
                                 k_.load(sums_, result));
        out.push_back(
            Loop{d,
                 LoopKind::Unrolled,
                 {fetch(from_a_, a, i, tm_, t_.threads_m), fetch(from_b_, b, j, tn_, t_.threads_n),
                  Loop{m,
                       LoopKind::Unrolled,
                       {Loop{n, LoopKind::Unrolled, {StoreTo{sums_, result, sum.id, {}}}}}}}});
        out.push_back(Barrier{Scope::Block});
        return out;
    }

    // All threads copy the block's tile, neighbours those elements that lie side by side.
    void load(const Factor& f, const Index& tile, std::vector<Stmt>& out) {
        const std::int64_t all = f.width * t_.depth, rounds = ceil_div(all, t_.threads());
        const Var round = k_.add_var("round", rounds);
        const Index at = Index::var(round) * t_.threads() + Index::var(thread_);
        const bool along_sum = neighbours(f.value, nest_.reduce_axes) > neighbours(f.value, f.axes);
        const std::int64_t fast = along_sum ? t_.depth : f.width;
        const Index in_fast = mod(at, fast, k_.extents), in_slow = floordiv(at, fast, k_.extents);
        const Index depth = along_sum ? in_fast : in_slow, across = along_sum ? in_slow : in_fast;
        const Index row = f.first + across, step = tile * t_.depth + depth;
        IdVector<Var, Index> vars = vars_;
        spread(nest_, f.axes, row, k_, vars);
        spread(nest_, nest_.reduce_axes, step, k_, vars);
        const Value inside = both(below(k_, row, f.size), below(k_, step, p_.k));
        const Value v = GuardedCloner(nest_, k_, std::move(vars), inside).value(f.value);
        out.push_back(Loop{round, LoopKind::Unrolled,
                           guarded(below(k_, at, all),
                                   {StoreTo{f.shared, depth * (f.width + 1) + across, v.id, {}}})});
    }

    // Loads of the value that walk neighbours along the last of these axes.
    int neighbours(ValueId value, const std::vector<Var>& axes) const {
        int n = 0;
        for (ValueId id : needed(nest_, {&value, 1})) {
            const Instr& i = nest_.values[id];
            if (!axes.empty() && (i.op == Op::Load || i.op == Op::LoadIf))
                n += i.index.coefficient(axes.back()) == 1;
        }
        return n;
    }

    Stmt stored(const Factor& a, const Factor& b) {
        const Var i = k_.add_var("i", t_.each_m), j = k_.add_var("j", t_.each_n);
        const Index row = a.first + tm_ + Index::var(i) * t_.threads_m,
                    column = b.first + tn_ + Index::var(j) * t_.threads_n;
        Cloner clone(nest_, k_);
        clone.vars = vars_;
        spread(nest_, p_.rows, row, k_, clone.vars);
        spread(nest_, p_.columns, column, k_, clone.vars);
        const Index own = Index::var(i) * t_.each_n + Index::var(j);
        Value sum = k_.load(totals_ ? totals_ : sums_, own);
        if (lost_) sum = rounded_sum(sum, k_.load(lost_, own));
        clone.accs = {sum.dtype() == type_ ? sum : cast(sum, type_)};
        const Value inside = both(below(k_, row, p_.m), below(k_, column, p_.n));
        return Loop{i,
                    LoopKind::Unrolled,
                    {Loop{j, LoopKind::Unrolled, guarded(inside, results(nest_, clone))}}};
    }

    const Nest& nest_;
    const Product& p_;
    const Tile& t_;
    DType type_;
    Kernel k_;
    Var thread_;
    std::int64_t blocks_m_ = 1;
    IdVector<Var, Index> vars_;  // those that all threads of a block share
    Index tm_, tn_;
    BufferId sums_, totals_, lost_, from_a_, from_b_;
};

}  // namespace

std::optional<Product> as_product(const Nest& nest) {
    if (nest.sequential || nest.accumulators.size() != 1) return std::nullopt;
    const Accumulator& acc = nest.accumulators.front();
    if (acc.reduction != Reduction::Sum || !is_float(acc.dtype)) return std::nullopt;
    const Instr& product = nest.values[acc.element];
    if (product.op != Op::Mul) return std::nullopt;
    Product p;
    p.a = product.args[0];
    p.b = product.args[1];
    for (Var v : nest.axes) {
        const bool of_a = uses(nest, p.a, v), of_b = uses(nest, p.b, v);
        (of_a == of_b ? p.batch : of_a ? p.rows : p.columns).push_back(v);
    }
    // Results that lie side by side belong to neighbouring threads.
    const auto results_along = [&](const std::vector<Var>& axes) {
        return std::any_of(axes.begin(), axes.end(), [&](Var v) {
            return std::any_of(nest.stores.begin(), nest.stores.end(),
                               [&](const StoreTo& s) { return s.index.coefficient(v) == 1; });
        });
    };
    if (results_along(p.rows) && !results_along(p.columns)) {
        std::swap(p.a, p.b);
        std::swap(p.rows, p.columns);
    }
    p.rows = coalesced(nest, p.rows);
    p.columns = coalesced(nest, p.columns);
    p.m = iterations(nest, p.rows);
    p.n = iterations(nest, p.columns);
    p.k = reduced_elements(nest);
    p.batches = iterations(nest, p.batch);
    if (p.m * p.n * p.k * p.batches == 0) return std::nullopt;
    return p;
}

Kernel tiled_product(const Nest& nest, const Product& product, const Tile& tile) {
    return Tiler(nest, product, tile).run();
}

}  // namespace arete::cuda

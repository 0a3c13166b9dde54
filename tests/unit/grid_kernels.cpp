#include "tests/unit/grid_kernels.h"

namespace arete::test {

using namespace loops;

namespace {

// Counts barriers, and leaves one of them out.
class Barriers {
  public:
    explicit Barriers(int left_out) : left_out_(left_out) {}
    void add(std::vector<Stmt>& body, Scope scope = Scope::Block) {
        if (next_++ != left_out_) body.push_back(Barrier{scope});
    }

  private:
    int left_out_, next_ = 0;
};

std::int64_t quotient_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

// sums[at] += sums[at + distance] for threads number < distance, from `distance` down to 1, a
// barrier before each.
void add_tree(GridKernel& g, std::vector<Stmt>& body, Barriers& barriers, BufferId sums,
              const Index& first, const Index& number, std::int64_t distance, Scope scope) {
    Kernel& k = g.kernel;
    for (; distance >= 1; distance /= 2) {
        barriers.add(body, scope);
        const Value sum = k.load(sums, first + number) + k.load(sums, first + number + distance);
        body.push_back(
            If{g.inside({{number, distance}}).id, {StoreTo{sums, first + number, sum.id, {}}}});
    }
}

}  // namespace

BufferId GridKernel::input(std::string name, Sizes sizes) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count(sizes); ++i)
        values.push_back(static_cast<float>((i * 7 + 3) % 11 - 4));
    inputs.push_back(std::move(values));
    return kernel.add_buffer({std::move(name), DType::F32, std::move(sizes)});
}

BufferId GridKernel::output(std::string name, Sizes sizes) {
    inputs.emplace_back(static_cast<std::size_t>(count(sizes)), -1.0F);
    return kernel.add_buffer({std::move(name), DType::F32, std::move(sizes)});
}

BufferId GridKernel::shared(std::string name, Sizes sizes) {
    return kernel.add_buffer({std::move(name), DType::F32, std::move(sizes), Space::Shared});
}

BufferId GridKernel::registers(std::string name, Sizes sizes) {
    return kernel.add_buffer({std::move(name), DType::F32, std::move(sizes), Space::Register});
}

void GridKernel::head(const std::vector<Head>& loops, std::vector<Stmt> body) {
    for (auto l = loops.rbegin(); l != loops.rend(); ++l)
        body = {Loop{l->var, l->kind, std::move(body), 0, l->dimension}};
    kernel.body = std::move(body);
}

Value GridKernel::inside(const std::vector<std::pair<Index, std::int64_t>>& indices) {
    Value all;
    for (const auto& [index, size] : indices) {
        const Value one = lt(kernel.index(index), static_cast<double>(size));
        all = all ? all & one : one;
    }
    return all;
}

GridKernel transposition(std::int64_t rows, std::int64_t columns, int left_out) {
    constexpr std::int64_t tile = 4;
    GridKernel g("transposition");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const BufferId in = g.input("in", {rows, columns}), out = g.output("out", {columns, rows});
    const BufferId kept = g.shared("tile", {tile * (tile + 1)});
    const Var bx = k.add_var("bx", quotient_up(columns, tile)),
              by = k.add_var("by", quotient_up(rows, tile)), tx = k.add_var("tx", tile),
              ty = k.add_var("ty", tile);
    const Index x = Index::var(tx), y = Index::var(ty);
    const Index row = Index::var(by) * tile + y, column = Index::var(bx) * tile + x;
    std::vector<Stmt> body{
        If{g.inside({{row, rows}, {column, columns}}).id,
           {StoreTo{kept, y * (tile + 1) + x, k.load(in, row * columns + column).id, {}}}}};
    barriers.add(body);
    const Index to_row = Index::var(bx) * tile + y, to_column = Index::var(by) * tile + x;
    body.push_back(
        If{g.inside({{to_row, columns}, {to_column, rows}}).id,
           {StoreTo{out, to_row * rows + to_column, k.load(kept, x * (tile + 1) + y).id, {}}}});
    g.head({{LoopKind::Grid, bx, 0},
            {LoopKind::Grid, by, 1},
            {LoopKind::Block, tx, 0},
            {LoopKind::Block, ty, 1}},
           std::move(body));
    return g;
}

GridKernel tree_reduction(std::int64_t n, int left_out) {
    constexpr std::int64_t threads = 32;
    GridKernel g("tree");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const std::int64_t blocks = quotient_up(n, threads);
    const BufferId in = g.input("in", {n}), out = g.output("out", {blocks});
    const BufferId sums = g.shared("sums", {threads});
    const Var b = k.add_var("b", blocks), t = k.add_var("t", threads);
    const Index i = Index::var(b) * threads + Index::var(t);
    std::vector<Stmt> body{
        StoreTo{sums, Index::var(t), k.load_if(g.inside({{i, n}}), in, i).id, {}}};
    add_tree(g, body, barriers, sums, 0, Index::var(t), threads / 2, Scope::Block);
    body.push_back(If{g.inside({{Index::var(t), 1}}).id,
                      {StoreTo{out, Index::var(b), k.load(sums, 0).id, {}}}});
    g.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}}, std::move(body));
    return g;
}

GridKernel warp_reduction(int left_out) {
    constexpr std::int64_t lanes = 32;
    GridKernel g("warps");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const BufferId in = g.input("in", {4 * lanes}), out = g.output("out", {4});
    const BufferId sums = g.shared("sums", {2 * lanes});
    const Var b = k.add_var("b", 2), w = k.add_var("w", 2), lane = k.add_var("lane", lanes);
    const Index l = Index::var(lane), warp = Index::var(b) * 2 + Index::var(w),
                first = Index::var(w) * lanes;
    std::vector<Stmt> body{StoreTo{sums, first + l, k.load(in, warp * lanes + l).id, {}}};
    add_tree(g, body, barriers, sums, first, l, lanes / 2, Scope::Warp);
    body.push_back(If{g.inside({{l, 1}}).id, {StoreTo{out, warp, k.load(sums, first).id, {}}}});
    g.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, w, 0}, {LoopKind::Warp, lane, 0}},
           std::move(body));
    return g;
}

GridKernel matrix_product(std::int64_t m, std::int64_t n, std::int64_t k_size, int left_out) {
    constexpr std::int64_t tile = 4;
    GridKernel g("product");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const BufferId a = g.input("a", {m, k_size}), b = g.input("b", {k_size, n}),
                   c = g.output("c", {m, n});
    const BufferId tile_a = g.shared("tile_a", {tile, tile}),
                   tile_b = g.shared("tile_b", {tile, tile});
    const BufferId acc = g.registers("acc", {1});
    const Var bx = k.add_var("bx", quotient_up(n, tile)),
              by = k.add_var("by", quotient_up(m, tile)), tx = k.add_var("tx", tile),
              ty = k.add_var("ty", tile), part = k.add_var("part", quotient_up(k_size, tile)),
              l = k.add_var("l", tile);
    const Index x = Index::var(tx), y = Index::var(ty), first = Index::var(part) * tile;
    const Index row = Index::var(by) * tile + y, column = Index::var(bx) * tile + x;
    std::vector<Stmt> step{
        StoreTo{
            tile_a,
            y * tile + x,
            k.load_if(g.inside({{row, m}, {first + x, k_size}}), a, row * k_size + first + x).id,
            {}},
        StoreTo{
            tile_b,
            y * tile + x,
            k.load_if(g.inside({{first + y, k_size}, {column, n}}), b, (first + y) * n + column).id,
            {}}};
    barriers.add(step);
    const Value sum = muladd(k.load(tile_a, y * tile + Index::var(l)),
                             k.load(tile_b, Index::var(l) * tile + x), k.load(acc, 0));
    step.push_back(Loop{l, LoopKind::Unrolled, {StoreTo{acc, 0, sum.id, {}}}});
    barriers.add(step);
    g.head({{LoopKind::Grid, bx, 0},
            {LoopKind::Grid, by, 1},
            {LoopKind::Block, tx, 0},
            {LoopKind::Block, ty, 1}},
           {StoreTo{acc, 0, k.constant(DType::F32, 0.0).id, {}},
            Loop{part, LoopKind::Serial, std::move(step)},
            If{g.inside({{row, m}, {column, n}}).id,
               {StoreTo{c, row * n + column, k.load(acc, 0).id, {}}}}});
    return g;
}

GridKernel two_phases(std::int64_t n, int left_out) {
    constexpr std::int64_t blocks = 3, threads = 8;
    GridKernel g("phases");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const BufferId in = g.input("in", {n}), partial = g.output("partial", {blocks}),
                   out = g.output("out", {1});
    const BufferId sums = g.shared("sums", {threads});
    const BufferId acc = g.registers("acc", {1});
    const std::int64_t steps = quotient_up(n, blocks * threads);
    const Var b = k.add_var("b", blocks), t = k.add_var("t", threads), s = k.add_var("s", steps),
              p = k.add_var("p", blocks);
    const Index i = (Index::var(s) * blocks + Index::var(b)) * threads + Index::var(t);
    const Value zero = k.constant(DType::F32, 0.0);
    std::vector<Stmt> body{
        StoreTo{acc, 0, zero.id, {}},
        Loop{s,
             LoopKind::Serial,
             {StoreTo{acc, 0, k.load_if(g.inside({{i, n}}), in, i).id, Reduction::Sum}}},
        StoreTo{sums, Index::var(t), k.load(acc, 0).id, {}}};
    add_tree(g, body, barriers, sums, 0, Index::var(t), threads / 2, Scope::Block);
    const Value first = g.inside({{Index::var(t), 1}});
    body.push_back(If{first.id, {StoreTo{partial, Index::var(b), k.load(sums, 0).id, {}}}});
    barriers.add(body, Scope::Grid);
    body.push_back(
        If{g.inside({{Index::var(t), 1}, {Index::var(b), 1}}).id,
           {StoreTo{out, 0, zero.id, {}},
            Loop{p,
                 LoopKind::Serial,
                 {StoreTo{out, 0, k.load(partial, Index::var(p)).id, Reduction::Sum}}}}});
    g.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}}, std::move(body));
    return g;
}

GridKernel reversed_pieces(std::int64_t n, int left_out) {
    constexpr std::int64_t lanes = 4, threads = 8, size = lanes * threads;
    GridKernel g("pieces");
    Kernel& k = g.kernel;
    Barriers barriers(left_out);
    const BufferId in = g.input("in", {n}), out = g.output("out", {n});
    const BufferId piece = g.shared("piece", {size});
    const Var b = k.add_var("b", quotient_up(n, size)), t = k.add_var("t", threads),
              from = k.add_var("from", lanes), to = k.add_var("to", lanes),
              rest = k.add_var("rest", lanes);
    const auto at = [&](Var lane) { return Index::var(t) * lanes + Index::var(lane); };
    const Index first = Index::var(b) * size;
    const auto vector = [&](Var lane, Stmt s) {
        return Loop{lane, LoopKind::Vector, {std::move(s)}, static_cast<int>(lanes)};
    };
    // Whole pieces: the same for all threads of a block, so that these may wait for each other.
    const Value whole = g.inside({{first + (size - 1), n}});
    std::vector<Stmt> turned{
        vector(from, StoreTo{piece, at(from), k.load(in, first + at(from)).id, {}})};
    barriers.add(turned);
    turned.push_back(
        vector(to, StoreTo{out, first + at(to), k.load(piece, Index(size - 1) - at(to)).id, {}}));
    const Index i = first + at(rest);
    const Value left = g.inside({{i, n}}) & !whole;
    g.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}},
           {If{whole.id, std::move(turned)},
            Loop{rest, LoopKind::Serial, {If{left.id, {StoreTo{out, i, k.load(in, i).id, {}}}}}}});
    return g;
}

}  // namespace arete::test

// Kernels for GPUs, written by hand: what they compute in every order of their threads, and that a
// barrier which is left out is found.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/loops/grid.h"
#include "tests/unit/grid_kernels.h"

using namespace arete;
using namespace arete::loops;
using namespace arete::test;

namespace {

std::vector<InterpretOptions> all_orders() {
    std::vector<InterpretOptions> out{
        {.order = Order::Ascending}, {.order = Order::Reversed}, {.order = Order::GreedyByWarp}};
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
        out.push_back({.order = Order::Shuffled, .seed = seed});
    return out;
}

/// What is in the last parameter after a run.
std::vector<float> run(const GridKernel& k, const InterpretOptions& options) {
    std::vector<std::vector<float>> memory = k.inputs;
    IdVector<BufferId, void*> pointers;
    for (std::vector<float>& m : memory) pointers.push_back(m.data());
    const Failure f = interpret(k.kernel, pointers, options);
    CHECK(!f.failed);
    return memory.back();
}

void check_all_orders(const GridKernel& k, const std::vector<float>& expected) {
    INFO(to_string(k.kernel));
    verify(k.kernel);
    for (const InterpretOptions& options : all_orders()) {
        CAPTURE(static_cast<int>(options.order));
        CHECK(run(k, options) == expected);
    }
}

/// Each barrier but one at a time: `make` leaves out the one with that number. All orders find it,
/// and name two statements that begin so.
void check_left_out(const std::function<GridKernel(int)>& make, int barriers,
                    const std::vector<std::pair<std::string, std::string>>& statements) {
    for (int left_out = 0; left_out < barriers; ++left_out) {
        CAPTURE(left_out);
        const GridKernel k = make(left_out);
        for (const InterpretOptions& options : all_orders()) {
            CAPTURE(static_cast<int>(options.order));
            const std::string message = error_of([&] { run(k, options); });
            CAPTURE(message);
            CHECK(has(message, k.kernel.name + ": thread "));
            CHECK(has(message, "no barrier is between them"));
            const auto& [a, b] = statements.at(left_out);
            CHECK(has(message, "'" + a));
            CHECK(has(message, "'" + b));
        }
    }
}

}  // namespace

TEST_CASE("grids: a transposition through padded shared memory") {
    for (const auto& [rows, columns] :
         {std::pair<std::int64_t, std::int64_t>{4, 8}, {1, 1}, {5, 3}, {7, 13}, {17, 9}, {1, 6}}) {
        const GridKernel k = transposition(rows, columns);
        std::vector<float> expected;
        for (std::int64_t c = 0; c < columns; ++c)
            for (std::int64_t r = 0; r < rows; ++r)
                expected.push_back(k.inputs[0][r * columns + c]);
        check_all_orders(k, expected);
    }
    check_left_out([](int left_out) { return transposition(7, 13, left_out); }, 1,
                   {{"tile[", "out["}});
}

TEST_CASE("grids: a tree reduction") {
    for (const std::int64_t n : {1, 31, 32, 33, 1000}) {
        const GridKernel k = tree_reduction(n);
        std::vector<float> expected(k.inputs.back().size());
        for (std::int64_t i = 0; i < n; ++i) expected[i / 32] += k.inputs[0][i];
        check_all_orders(k, expected);
        check_left_out([&](int left_out) { return tree_reduction(n, left_out); }, 5,
                       {{"sums[t] = %", "sums[t] = %"},
                        {"sums[t] = %", "sums[t] = %"},
                        {"sums[t] = %", "sums[t] = %"},
                        {"sums[t] = %", "sums[t] = %"},
                        {"sums[t] = %", "sums[t] = %"}});
    }
}

TEST_CASE("grids: a tree reduction inside of warps") {
    const GridKernel k = warp_reduction();
    std::vector<float> expected(4);
    for (std::size_t i = 0; i < 128; ++i) expected[i / 32] += k.inputs[0][i];
    check_all_orders(k, expected);
    check_left_out([](int left_out) { return warp_reduction(left_out); }, 5,
                   {{"sums[", "sums["},
                    {"sums[", "sums["},
                    {"sums[", "sums["},
                    {"sums[", "sums["},
                    {"sums[", "sums["}});
}

TEST_CASE("grids: a tiled product of matrices") {
    for (const auto& [m, n, k] : {std::tuple<std::int64_t, std::int64_t, std::int64_t>{8, 4, 12},
                                  {1, 1, 1},
                                  {5, 7, 9},
                                  {4, 4, 1},
                                  {3, 9, 5}}) {
        const GridKernel g = matrix_product(m, n, k);
        std::vector<float> expected(static_cast<std::size_t>(m * n));
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j)
                for (std::int64_t l = 0; l < k; ++l)
                    expected[i * n + j] += g.inputs[0][i * k + l] * g.inputs[1][l * n + j];
        check_all_orders(g, expected);
    }
    // The second one keeps the next tile from overwriting this one.
    check_left_out([](int left_out) { return matrix_product(5, 7, 9, left_out); }, 2,
                   {{"acc[0] = ", "tile_"}, {"acc[0] = ", "tile_"}});
}

TEST_CASE("grids: a reduction in two phases, with a barrier of the grid") {
    for (const std::int64_t n : {1, 7, 8, 100}) {
        const GridKernel k = two_phases(n);
        const float sum = std::accumulate(k.inputs[0].begin(), k.inputs[0].end(), 0.0F);
        check_all_orders(k, {sum});
        CHECK(launch(k.kernel)->cooperative);
    }
    check_left_out([](int left_out) { return two_phases(100, left_out); }, 4,
                   {{"sums[t] = ", "sums[t] = "},
                    {"sums[t] = ", "sums[t] = "},
                    {"sums[t] = ", "sums[t] = "},
                    {"partial[b] = ", "out[0] sum= "}});
}

TEST_CASE("grids: threads that load vectors") {
    for (const std::int64_t n : {4, 64, 70, 131}) {
        const GridKernel k = reversed_pieces(n);
        std::vector<float> expected = k.inputs[0];
        for (std::int64_t piece = 0; piece + 32 <= n; piece += 32)
            std::reverse(expected.begin() + piece, expected.begin() + piece + 32);
        check_all_orders(k, expected);
    }
    check_left_out([](int left_out) { return reversed_pieces(70, left_out); }, 1,
                   {{"piece[", "out["}});
}

TEST_CASE("grids: threads and blocks that write one element") {
    for (const bool of_blocks : {false, true}) {
        GridKernel k("clash");
        const BufferId out = k.output("out", {1});
        const Var b = k.kernel.add_var("b", of_blocks ? 2 : 1),
                  t = k.kernel.add_var("t", of_blocks ? 1 : 2);
        k.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}},
               {StoreTo{out, 0, k.kernel.constant(DType::F32, 3.0).id, {}}});
        verify(k.kernel);
        for (const InterpretOptions& options : all_orders()) {
            const std::string message = error_of([&] { run(k, options); });
            CAPTURE(message);
            CHECK(has(message, "writes out[0] in 'out[0] = 3', which thread "));
            CHECK(has(message, "writes in 'out[0] = 3', and no barrier"));
        }
    }
}

TEST_CASE("grids: shared memory belongs to a block, and begins unwritten") {
    GridKernel k("unwritten");
    const BufferId out = k.output("out", {2});
    const BufferId kept = k.shared("kept", {1});
    const Var b = k.kernel.add_var("b", 2), t = k.kernel.add_var("t", 1);
    const Value first = eq(k.kernel.index(Index::var(b)), 0);
    k.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}},
           {If{first.id, {StoreTo{kept, 0, k.kernel.constant(DType::F32, 1.0).id, {}}}},
            StoreTo{out, Index::var(b), k.kernel.load(kept, 0).id, {}}});
    verify(k.kernel);
    for (const InterpretOptions& options : all_orders()) {
        const std::string message = error_of([&] { run(k, options); });
        CAPTURE(message);
        CHECK(has(message, "unwritten: thread 0 of block 1 reads kept[0] in 'out[b] = %"));
        CHECK(has(message, "which nothing has written"));
    }
}

TEST_CASE("grids: a failing check is told, whatever the order") {
    GridKernel k("checked");
    const BufferId in = k.input("in", {12});
    const BufferId out = k.output("out", {12});
    const Var b = k.kernel.add_var("b", 3), t = k.kernel.add_var("t", 4);
    const Index i = Index::var(b) * 4 + Index::var(t);
    const Value v = k.kernel.load(in, i);
    k.head({{LoopKind::Grid, b, 0}, {LoopKind::Block, t, 0}},
           {CheckThat{lt(v, 5).id, 2, i}, StoreTo{out, i, v.id, {}}});
    verify(k.kernel);
    k.inputs[0] = {0, 1, 2, 9, 3, 4, 5, 0, 1, 8, 2, 3};
    for (const InterpretOptions& options : all_orders()) {
        std::vector<std::vector<float>> memory = k.inputs;
        void* pointers[] = {memory[0].data(), memory[1].data()};
        const Failure f = interpret(k.kernel, pointers, options);
        CHECK(f.failed);
        CHECK(f.code == 2);
        CHECK(f.element == 3);
    }
}

TEST_CASE("grids: threads that do not all come to a barrier") {
    for (const bool ended : {true, false}) {
        GridKernel k("parted");
        k.output("out", {1});
        const Var t = k.kernel.add_var("t", 2);
        const Value first = eq(k.kernel.index(Index::var(t)), 0);
        std::vector<Stmt> body{If{first.id, {Barrier{}}}};
        if (!ended) body.push_back(Barrier{});
        k.head({{LoopKind::Block, t, 0}}, body);
        for (const InterpretOptions& options : all_orders()) {
            const std::string message = error_of([&] { run(k, options); });
            CAPTURE(message);
            CHECK(has(message, "parted: thread 0 of block 0 waits at 'barrier of the block'"));
            CHECK(has(message, "thread 1 of block 0"));
        }
    }
}

TEST_CASE("grids: all dimensions, and blocks without threads of their own") {
    // out[i] counts through the blocks and threads of three dimensions each.
    GridKernel k("dimensions");
    const BufferId out = k.output("out", {2 * 3 * 2 * 2 * 2 * 3});
    std::vector<Var> v;
    for (const std::int64_t extent : {2, 3, 2, 2, 2, 3})
        v.push_back(k.kernel.add_var("v" + std::to_string(v.size()), extent));
    std::vector<Index> at;
    for (Var x : v) at.push_back(Index::var(x));
    const std::vector<std::int64_t> extents{2, 3, 2, 2, 2, 3};
    const Index i = linear(at, extents);
    k.head({{LoopKind::Grid, v[0], 2},
            {LoopKind::Grid, v[1], 0},
            {LoopKind::Grid, v[2], 1},
            {LoopKind::Block, v[3], 1},
            {LoopKind::Block, v[4], 2},
            {LoopKind::Block, v[5], 0}},
           {StoreTo{out, i, cast(k.kernel.index(i), DType::F32).id, {}}});
    std::vector<float> expected(144);
    std::iota(expected.begin(), expected.end(), 0.0F);
    check_all_orders(k, expected);
    const Launch l = *launch(k.kernel);
    CHECK(l.blocks == std::array<std::int64_t, 3>{3, 2, 2});
    CHECK(l.block_size == std::array<std::int64_t, 3>{3, 2, 2});

    GridKernel alone("alone");
    const BufferId single = alone.output("out", {5});
    const Var b = alone.kernel.add_var("b", 5);
    alone.head(
        {{LoopKind::Grid, b, 0}},
        {StoreTo{
            single, Index::var(b), cast(alone.kernel.index(Index::var(b)), DType::F32).id, {}}});
    check_all_orders(alone, {0, 1, 2, 3, 4});
}

TEST_CASE("grids: as text") {
    const GridKernel k = transposition(5, 3);
    CHECK(to_string(k.kernel) ==
          "kernel transposition\n"
          "  param in: f32[5,3]\n"
          "  param out: f32[3,5]\n"
          "  shared tile: f32[20]\n"
          "  grid x for bx in 0..1:\n"
          "    grid y for by in 0..2:\n"
          "      block x for tx in 0..4:\n"
          "        block y for ty in 0..4:\n"
          "          %0 = index.i64 4*by+ty\n"
          "          %2 = lt.bool %0, 5\n"
          "          %3 = index.i64 4*bx+tx\n"
          "          %5 = lt.bool %3, 3\n"
          "          %6 = and.bool %2, %5\n"
          "          if %6:\n"
          "            %7 = load.f32 in[4*bx+12*by+tx+3*ty]\n"
          "            tile[tx+5*ty] = %7\n"
          "          barrier of the block\n"
          "          %8 = index.i64 4*bx+ty\n"
          "          %9 = lt.bool %8, 3\n"
          "          %10 = index.i64 4*by+tx\n"
          "          %11 = lt.bool %10, 5\n"
          "          %12 = and.bool %9, %11\n"
          "          if %12:\n"
          "            %13 = load.f32 tile[5*tx+ty]\n"
          "            out[20*bx+4*by+tx+5*ty] = %13\n");
}

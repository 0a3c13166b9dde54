// Scheduled kernels compute what their nests say, for processors of every kind and odd sizes.
#include <cstring>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/fuse/lower.h"
#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/op.h"
#include "compiler/ops/random.h"
#include "compiler/program/blocks.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "compiler/targets/cpu/schedule.h"
#include "compiler/targets/cpu/traffic.h"
#include "tests/cpu/machines.h"
#include "tests/support.h"
#include "tests/unit/programs.h"

using namespace arete;
using arete::test::difference;
using arete::test::program;
using arete::test::wide_vectors;

namespace {

/// Caches so small that the tests' operands do not fit, so that loops are blocked.
Machine small_caches(int vector_bytes) {
    Machine m;
    m.vector_bytes = vector_bytes;
    m.vector_registers = 32;
    m.masked_memory = vector_bytes == 64;
    m.l1_bytes = 2048;
    m.l2_bytes = 8192;
    m.l3_bytes = 65536;
    return m;
}

std::vector<Machine> machines() {
    std::vector<Machine> out;
    for (const int bytes : {16, 32, 64})
        for (const int registers : {16, 32}) {
            Machine m;
            m.vector_bytes = bytes;
            m.vector_registers = registers;
            m.masked_memory = bytes == 64;
            out.push_back(m);
        }
    Machine narrow;
    narrow.vector_bytes = 8;
    narrow.vector_registers = 4;
    out.push_back(narrow);
    out.push_back(small_caches(16));
    out.push_back(small_caches(64));
    out.push_back(small_caches(64));
    out.back().l2_bytes = out.back().l3_bytes;  // with room for panels
    return out;
}

/// The kernel of `e`, everything inlined into it, naive and scheduled for each machine. The
/// schedules' comments, one a line.
std::string check(const std::string& what, const Expr& root) {
    const Expr e = expand_composites({{root}})[0];
    INFO(what);
    LoweredNest l = lower_nest(
        {&e, 1}, [](const Expr& x) { return x.node().is_leaf(); }, "kernel");
    loops::expand_math(l.nest);
    loops::verify(l.nest);
    // Outputs are poisoned, so that what is not written shows.
    IdVector<loops::BufferId, Array> arrays;
    Generator random(3);
    IdVector<loops::BufferId, char> written(l.nest.buffers.size());
    for (const loops::StoreTo& s : l.nest.stores) written[s.buffer] = 1;
    for (loops::BufferId k : l.nest.buffers.ids()) {
        const loops::Buffer& b = l.nest.buffers[k];
        if (const Array* c = constant_value(l.buffers[k]))
            arrays.push_back(c->copy());
        else if (b.dtype == DType::I64)  // indices
            arrays.push_back(random.uniform(b.sizes, 0, 6.9).astype(b.dtype));
        else
            arrays.push_back(random.uniform(b.sizes, -1, 1).astype(b.dtype));
        if (written[k]) std::memset(arrays.back().raw(), 0x7b, arrays.back().bytes());
    }
    const auto result = [&](const loops::Kernel& kernel, const loops::InterpretOptions& how = {}) {
        loops::verify(kernel);
        IdVector<loops::BufferId, Array> mine;
        IdVector<loops::BufferId, void*> pointers(kernel.buffers.size(), nullptr);
        for (loops::BufferId k : l.nest.buffers.ids()) {
            mine.push_back(arrays[k].copy());
            pointers[k] = mine.back().raw();
        }
        CHECK(!loops::interpret(kernel, pointers, how).failed);
        for (loops::BufferId k : l.nest.buffers.ids())
            if (!written[k]) CHECK(mine[k].equals(arrays[k]));
        return mine;
    };
    std::string comments;
    const auto expected = result(loops::naive(l.nest));
    for (const Machine& m : machines()) {
        INFO("vectors of ", m.vector_bytes, " bytes, ", m.vector_registers, " registers");
        const loops::Kernel kernel = schedule(l.nest, m);
        comments += kernel.comment + "\n";
        const auto got = result(kernel);
        // Iterations of parallel loops do not meet, and their order does not matter.
        const auto again =
            result(schedule(l.nest, m), {.order = loops::Order::Shuffled, .conflicts = true});
        for (loops::BufferId k : l.nest.buffers.ids()) {
            if (!written[k]) continue;
            const double allowed = is_float(got[k].dtype()) ? 1e-5 : 0;
            CHECK_MESSAGE(difference(got[k], expected[k]) <= allowed, got[k].str(), " expected ",
                          expected[k].str());
            CHECK(got[k].equals(again[k]));
        }
    }
    const loops::Nest collapsed = collapse_axes(l.nest);
    const auto got = result(loops::naive(collapsed));
    for (loops::BufferId k : l.nest.buffers.ids())
        if (written[k]) CHECK(got[k].equals(expected[k]));
    return comments;
}

}  // namespace

TEST_CASE("schedule: elementwise, of odd sizes and broadcast") {
    for (const Sizes& s : {Sizes{}, Sizes{1}, Sizes{7}, Sizes{64}, Sizes{3, 5}, Sizes{13, 17},
                           Sizes{4, 1, 9}, Sizes{2, 3, 5, 7}, Sizes{0, 5}}) {
        const Expr x = tensor(DType::F32, static_cast<int>(s.size()), "x", s);
        check("polynomial", x * x + 2 * x - 1);
        check("exp", exp(x) / (1 + sqr(x)));
        check("to double", cast(x, DType::F64) * 0.1);
        check("comparison", where(x > 0, x, -x));
        if (s.size() >= 2) {
            const Expr row = vector<float>("row", {s.back()});
            check("row", x + row);
            check("transposed", transpose(x) * 2);
        }
    }
}

TEST_CASE("schedule: reductions over every axis") {
    for (const Sizes& s :
         {Sizes{1, 1}, Sizes{3, 5}, Sizes{17, 33}, Sizes{40, 3}, Sizes{3, 40}, Sizes{128, 65}}) {
        const Expr x = tensor(DType::F32, 2, "x", s);
        const auto i = tensor(DType::I32, 2, "i", s);
        for (const Axes& axes : {Axes(0), Axes(1), Axes()}) {
            check("sum", sum(x, axes));
            check("of squares, and after", sqrt(sum(sqr(x), axes) + 1));
            check("max", max(x, axes));
            check("argmax", argmax(x, axes));
            check("integers", sum(i, axes));
            check("mean of doubles", mean(cast(x, DType::F64), axes));
        }
        check("of a transposed", sum(x.T(), 1));
    }
    const auto cube = tensor3<float>("cube", {5, 7, 11});
    for (const Axes& axes : {Axes{0, 2}, Axes{1}, Axes{0, 1}}) check("cube", sum(cube, axes));
    check("of nothing", sum(matrix<float>("x", {4, 0}), 1));
}

TEST_CASE("schedule: contractions") {
    for (const std::int64_t m : {1, 5, 16, 33})
        for (const std::int64_t n : {1, 7, 32, 37})
            for (const std::int64_t k : {1, 9, 40}) {
                INFO("m ", m, " n ", n, " k ", k);
                const auto a = matrix<float>("a", {m, k}), b = matrix<float>("b", {k, n}),
                           bt = matrix<float>("bt", {n, k}), at = matrix<float>("at", {k, m});
                const auto bias = vector<float>("bias", {n});
                check("a b", dot(a, b));
                check("a b' + bias", relu(dot(a, bt.T()) + bias));
                check("a' b", dot(at.T(), b));
                check("doubles", dot(cast(a, DType::F64), cast(b, DType::F64)));
            }
    check("vectors", dot(vector<float>("v", {77}), vector<float>("u", {77})));
    check("matrix and vector", dot(matrix<float>("m", {19, 45}), vector<float>("v", {45})));
}

namespace {

std::string comment_of(const Expr& e, const Machine& machine) {
    LoweredNest l = lower_nest(
        {&e, 1}, [](const Expr& x) { return x.node().is_leaf(); }, "kernel");
    return schedule(l.nest, machine).comment;
}

}  // namespace

TEST_CASE("schedule: operands are packed where that pays, and only there") {
    const auto product = [](std::int64_t m, std::int64_t k, std::int64_t n, bool transposed) {
        const auto a = matrix<float>("a", {m, k});
        return transposed ? dot(a, matrix<float>("b", {n, k}).T())
                          : dot(a, matrix<float>("b", {k, n}));
    };
    const auto packs = [](const Expr& e) {
        const std::string text = comment_of(e, wide_vectors());
        INFO(text);
        return text.find("packs") != std::string::npos;
    };
    CHECK(packs(product(256, 10, 1000, true)));
    CHECK(packs(product(256, 100, 640, true)));
    CHECK(packs(product(1024, 1024, 1024, true)));
    CHECK(packs(product(128, 128, 8, false)));
    // Rows that lie side by side, but push each other out of the caches.
    CHECK(packs(product(1024, 1024, 1024, false)));
    // Each element of the weight is used ten times: as long as it takes to copy it. What is read
    // for every row of it is aligned.
    const std::string few_rows = comment_of(product(10, 1000, 1000, true), wide_vectors());
    CHECK(few_rows.find("packs a;") != std::string::npos);
    CHECK(few_rows.find("packs b;") == std::string::npos);
    CHECK(!packs(product(10, 1000, 1000, false)));
    CHECK(!packs(product(256, 1000, 1000, false)));
    check("short reduction", product(70, 10, 45, true));
    check("rests of lanes, rows and columns", product(97, 35, 83, true));
    check("few columns", product(61, 75, 7, false));
    const std::string colliding = check("rows a power of two apart", product(40, 70, 256, false));
    CHECK(colliding.find("packs b") != std::string::npos);
    const std::string rest =
        check("the same with a rest of lanes",
              dot(matrix<float>("u", {41, 66}), matrix<float>("v", {66, 256})(all, slice(0, 203))));
    CHECK(rest.find("packs v") != std::string::npos);
    const auto cube = tensor3<float>("cube", {24, 7, 40});
    const Expr picked = apply(*find_op("advanced_index"),
                              {cube, arange(24), vector<std::int64_t>("which", {24})}, {}, {});
    check("rows that values pick", exp(picked.T()));
    check("rows that values pick, in a product", dot(matrix<float>("l", {9, 40}), picked.T()));
    const std::string aligned =
        check("aligned rows, and a rest of lanes", product(6, 205, 230, true));
    CHECK(aligned.find("packs a;") != std::string::npos);
    check("in pieces of the reduction", product(80, 1100, 20, true));
    const auto x = tensor3<float>("x", {3, 50, 20}), y = tensor3<float>("y", {3, 33, 20});
    check("batched", batched_dot(x, transpose(y, {0, 2, 1})));
    const Expr turned = transpose(tensor3<float>("z", {1, 8, 7}), {2, 1, 0});
    check("batched, one term", batched_dot(turned, transpose(turned, {0, 2, 1})));
    // Runs over channels and taps, in both directions.
    for (const bool flip : {true, false}) {
        const auto images = tensor4<float>("images", {2, 11, 9, 9}),
                   filters = tensor4<float>("filters", {37, 11, 3, 3});
        const std::string packed = check(flip ? "filters backwards" : "filters",
                                         conv2d(images, filters, {.filter_flip = flip}));
        CHECK(packed.find("packs filters") != std::string::npos);
    }
    const auto p = tensor3<float>("p", {40, 6, 5}), q = tensor3<float>("q", {34, 5, 6});
    check("more than one axis",
          sum(expand_dims(p, 1) * expand_dims(transpose(q, {0, 2, 1}), 0), {2, 3}));
    const auto start = scalar<std::int64_t>("start");
    const Expr rows = matrix<float>("data", {500, 24})(slice(start * 0, start * 0 + 60));
    check("rows from a run-time index", dot(rows, matrix<float>("v", {40, 24}).T()));
    check("doubles", dot(matrix<double>("s", {90, 20}), matrix<double>("t", {31, 20}).T()));
}

TEST_CASE("schedule: what a call walks is what it leaves in the last cache") {
    const auto x = matrix<float>("x", {10, 500});
    const auto data = matrix<float>("data", {100000, 500});  // 200 MB, of which ten rows are read
    const auto start = scalar<std::int64_t>("start");
    const auto v = matrix<float>("v", {500, 900}), w = matrix<float>("w", {900, 800});
    const Machine m = wide_vectors();  // with 16 MB of it
    const auto l3 = [&](std::vector<Expr> inputs, const Expr& e) {
        return as_found_by(program(std::move(inputs), {e}), m).l3_bytes;
    };
    CHECK(l3({x, v, w}, dot(dot(x, v), w)) == m.l3_bytes);
    CHECK(l3({data, start, v}, dot(data(slice(start, start + 10)), v)) == m.l3_bytes);
    // All of the data set.
    CHECK(l3({data, v}, dot(data, v)) < m.l3_bytes);
}

TEST_CASE("schedule: few elements beyond whole vectors have loops of their own") {
    const auto product = [](std::int64_t n) {
        return dot(matrix<float>("a", {128, 128}), matrix<float>("b", {128, n}));
    };
    const auto apart = [](const Expr& e) {
        const std::string text = comment_of(e, wide_vectors());
        INFO(text);
        return text.find("; then ") != std::string::npos;
    };
    for (const std::int64_t n : {17, 18, 33, 49}) CHECK(apart(product(n)));
    for (const std::int64_t n : {16, 31, 32, 127}) CHECK(!apart(product(n)));
    const auto bias = [](std::int64_t n) { return vector<float>("bias", {n}); };
    for (const std::int64_t n : {17, 18, 33}) {
        INFO("n ", n);
        check("and more", relu(product(n) + bias(n)));
        check("transposed",
              dot(matrix<float>("a", {40, 50}), matrix<float>("b", {n, 50}).T()) + bias(n));
        check("maximum of sums",
              max(expand_dims(matrix<float>("a", {60, 30}), 2) + matrix<float>("c", {30, n}), 1));
    }
}

TEST_CASE("schedule: blocks for the caches") {
    const auto blocks = comment_of;
    const auto contains = [](const std::string& text, const char* what) {
        INFO(text);
        CHECK(text.find(what) != std::string::npos);
    };
    // Few rows: the weight is walked in chunks of its columns, or in panels.
    const auto x = matrix<float>("x", {10, 97}), w = matrix<float>("w", {97, 530});
    const auto bias = vector<float>("bias", {530});
    contains(blocks(dot(x, w), small_caches(16)), "blocks of");
    contains(blocks(dot(x, w), small_caches(64)), "blocks of");
    check("few rows", relu(dot(x, w) + bias));
    check("of doubles", dot(cast(x, DType::F64), cast(w, DType::F64)));
    // Blocks that do not divide the reduction, tiles that do not divide the axes.
    const auto a = matrix<float>("a", {37, 101}), b = matrix<float>("b", {101, 71});
    contains(blocks(dot(a, b), small_caches(16)), "blocks of");
    check("odd", dot(a, b));
    check("odd, transposed", dot(a.T(), matrix<float>("c", {37, 300})));
    check("maximum of sums", max(expand_dims(a, 2) + expand_dims(b, 0), 1));
    // A filter's gradient: images in blocks, partial sums of all taps wait.
    const auto by_filters = [](std::int64_t n, std::int64_t ci, std::int64_t co, std::int64_t side,
                               std::int64_t filter) {
        const auto images = tensor4<float>("images", {n, ci, side, side + 3}),
                   w = tensor4<float>("w", {co, ci, filter, filter}),
                   g = tensor4<float>("g", {n, co, side + 1 - filter, side + 4 - filter});
        return Lop(conv2d(images, w), {w}, g)[0];
    };
    const Machine wide = wide_vectors();
    contains(blocks(by_filters(256, 1, 20, 28, 5), wide), "blocks of");
    // Rows a power of two apart share a few sets of the cache.
    const auto square = matrix<float>("s", {2048, 2048}), other = matrix<float>("o", {2048, 2048});
    contains(blocks(dot(square.T(), other), wide), "blocks of");
    CHECK(blocks(by_filters(2, 1, 20, 28, 5), wide).find("blocks of") == std::string::npos);
    // Of what a loop around the kernel walks, one block counts: here few images, which fit.
    const Expr filters = tensor4<float>("w", {40, 20, 5, 5}),
               gradient = tensor4<float>("g", {256, 40, 8, 8});
    const Expr columns = apply(*find_op("conv2d_columns"), {filters, gradient}, {}, {});
    const LoweredNest product = lower_nest(
        {&columns, 1}, [](const Expr& e) { return e.node().is_leaf(); }, "kernel");
    const loops::Nest block = take_block(product.nest, product.nest.axes[0], 128);
    const loops::Var around(block.extents.size() - 1);
    CHECK(schedule(block, wide, around).comment.find("blocks of") == std::string::npos);
    check("filters", by_filters(7, 3, 23, 9, 3));
    check("filters and more", 1 - 0.5f * by_filters(7, 3, 23, 9, 3));
}

TEST_CASE("schedule: convolutions, pools and gathers") {
    const auto x = tensor4<float>("x", {2, 3, 9, 11}), w = tensor4<float>("w", {4, 3, 3, 2});
    check("conv2d", conv2d(x, w));
    check("cross-correlation", conv2d(x, w, {.filter_flip = false}));
    const auto gradients = grad(sum(conv2d(x, w)), {x, w});
    check("gradient by x", gradients[0]);
    check("gradient by w", gradients[1]);
    // Guards that are known when code is made, that are not, and that differ between lanes.
    for (const std::int64_t places : {2, 3})
        for (const std::int64_t step : {1, 3})
            for (const std::int64_t size : {7, 8, 45}) {
                const Expr columns = tensor4<float>(
                    "columns", {3, 5, places == 2 ? size : 6, places == 2 ? 8 : size});
                check("shifted sum", apply(*find_op("add_taps"), {columns},
                                           {{"taps", std::int64_t{1}},
                                            {"places", places},
                                            {"pixels", Dim((size - 1) * step + 5)},
                                            {"step", step},
                                            {"dilation", std::int64_t{1}},
                                            {"flip", true}},
                                           {}));
            }
    check("pool2d", pool2d(x, {2, 3}));
    check("slices", x(1, all, slice(7, none, -2), slice(1, 10, 3)) + 1);
    check("concatenation", concatenate({x, x * 2}, 1));
    check("random", random_uniform({13, 5}, {constant(Array(std::int64_t{1})),
                                             constant(Array(std::int64_t{2}))}));
}

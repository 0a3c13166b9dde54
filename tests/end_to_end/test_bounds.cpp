// Native kernels touch nothing outside their arguments and results: both lie against pages that
// cannot be read or written, once at their end and once at their start.
#include <cstring>
#include <memory>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/fuse/reference.h"
#include "compiler/ops/op.h"
#include "tests/support.h"
#include "tests/targets.h"

using namespace arete;
using arete::test::difference;
using arete::test::draw;
using arete::test::Drawn;

namespace {

/// An array between two pages that fault.
Array guarded(DType t, const Sizes& sizes, bool at_end) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(count(sizes)) * size_of(t);
    const std::size_t inner = (bytes / page + 1) * page, all = inner + 2 * page;
    void* base = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(base != MAP_FAILED);
    auto* start = static_cast<char*>(base) + page;
    REQUIRE(mprotect(base, page, PROT_NONE) == 0);
    REQUIRE(mprotect(start + inner, page, PROT_NONE) == 0);
    char* elements = at_end ? start + inner - bytes : start;
    return Array(t, sizes,
                 std::shared_ptr<void>(elements, [base, all](void*) { munmap(base, all); }));
}

Array guarded(const Array& a, bool at_end) {
    Array out = guarded(a.dtype(), a.shape(), at_end);
    std::memcpy(out.raw(), a.raw(), a.bytes());
    return out;
}

void check(const std::string& what, const std::vector<Expr>& leaves,
           const std::vector<Array>& values, const Expr& e) {
    INFO(what);
    const Function f =
        function({.inputs = leaves, .outputs = {e}, .on_unused_input = OnUnusedInput::ignore});
    const Array expected = f.call(values)[0];
    for (const bool at_end : {true, false}) {
        std::vector<Array> in, out{guarded(expected.dtype(), expected.shape(), at_end)};
        for (const Array& v : values) in.push_back(guarded(v, at_end));
        f.call_into(out, in);
        CHECK(out[0].equals(expected));
        for (std::size_t k = 0; k < in.size(); ++k) CHECK(in[k].equals(values[k]));
    }
}

}  // namespace

TEST_CASE("bounds: every op stays inside its arrays") {
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->samples) continue;
        for (const Sample& sample : op->samples())
            for (const DType t : {DType::F32, DType::F64, DType::U8}) {
                if (sample.floats_only && !is_float(t)) continue;
                const Drawn d = draw(sample, t, 99);
                Expr e;
                try {
                    e = sample.build(d.leaves);
                } catch (const GraphError&) {
                    continue;  // the op has no such dtype
                }
                check(fmt::format("{} ({}) {}", op->info.name, sample.name, name(t)), d.leaves,
                      d.values, e);
            }
    }
}

TEST_CASE("bounds: odd sizes, products, convolutions and their gradients") {
    Generator random(1);
    for (const std::int64_t n : {1, 3, 7, 15, 17, 31, 33, 63, 65}) {
        const auto x = matrix<float>("x"), w = matrix<float>("w");
        const std::vector<Array> v{random.normal({n, 19}, 0, 1), random.normal({19, n}, 0, 1)};
        check("chain", {x}, {v[0]}, exp(x) * 2 + 1);
        check("transposed", {x}, {v[0]}, x.T() * 2);
        check("rows", {x}, {v[0]}, sum(x, 1));
        check("columns", {x}, {v[0]}, sum(x, 0));
        check("product", {x, w}, v, dot(x, w));
        check("product of transposed", {x, w}, v, dot(w, x));
        const auto tall = matrix<float>("tall"), other = matrix<float>("other");
        check("many rows", {tall, other},
              {random.normal({70, n}, 0, 1), random.normal({37, n}, 0, 1)}, dot(tall, other.T()));
        check("few columns", {tall, other},
              {random.normal({70, 40}, 0, 1), random.normal({40, n}, 0, 1)}, dot(tall, other));
        check("softmax", {x}, {v[0]}, softmax(x));
        check("gradient", {x, w}, v, grad(sum(sqr(dot(x, w))), w));
        const auto image = tensor4<float>("image"), filter = tensor4<float>("filter");
        const std::vector<Array> c{random.normal({2, 3, n + 3, 9}, 0, 1),
                                   random.normal({5, 3, 3, 2}, 0, 1)};
        const Expr y = conv2d(image, filter);
        check("convolution", {image, filter}, c, y);
        check("pool", {image, filter}, c, pool2d(y, {2, 2}));
        const auto g = grad(sum(sqr(pool2d(y, {2, 2}))), {image, filter});
        check("gradient by image", {image, filter}, c, g[0]);
        check("gradient by filter", {image, filter}, c, g[1]);
    }
}

TEST_CASE("bounds: strided slices and their gradients") {
    const auto x = vector<double>("x", {32});
    Array v(DType::F64, {32});
    for (int k = 0; k < 32; ++k) v.data<double>()[k] = k + 1;
    for (const std::int64_t step : {1, 2, 3, 5, -1, -2, -3, -5})
        for (const std::int64_t start : {0, 4, 22, 31}) {
            const Expr y = x(slice(start, none, step));
            const Expr g = grad(sum(sqr(y)), x);
            INFO("start ", start, " step ", step);
            const std::vector<Array> expected = reference_eval({{g}}, {{x, v}});
            const Array got = function({.inputs = {x}, .outputs = {g}})(v)[0];
            // A wrong gradient has read the wrong places: no guarded run then.
            REQUIRE(got.equals(expected[0]));
            check("slice", {x}, {v}, y);
            check("gradient", {x}, {v}, g);
        }
}

TEST_CASE("bounds: every second or third element of rows joined end to end") {
    Generator random(4);
    for (const std::int64_t width : {2, 4, 6, 8, 12, 16, 20, 24, 26, 40, 48, 66})
        for (const std::array<std::int64_t, 2> window :
             {std::array<std::int64_t, 2>{2, 2}, {1, 2}, {3, 2}, {2, 3}}) {
            INFO(width, " columns, windows of ", window[0], " by ", window[1]);
            const auto x = tensor3<float>("x");
            const std::vector<Array> v{random.normal({3, 12, width}, 0, 1)};
            const Expr y = pool2d(x, window), odd = x(all, all, slice(1, none, 2));
            check("pool", {x}, v, y);
            check("gradient", {x}, v, grad(sum(sqr(y)), x));
            check("columns", {x}, v, odd * 2);
            const std::vector<Expr> outputs{y, grad(sum(sqr(y)), x), odd * 2};
            const auto native = function({.inputs = {x}, .outputs = outputs}).call(v);
            const auto expected =
                function({.inputs = {x}, .outputs = outputs, .mode = Mode::interpret}).call(v);
            for (std::size_t k = 0; k < native.size(); ++k) CHECK(native[k].equals(expected[k]));
        }
}

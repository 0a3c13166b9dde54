// Convolution against loops written here, which share nothing with the compiler: every combination
// of sizes, steps, borders, dilations and groups in a table; its gradients, and theirs.
#include <doctest/doctest.h>

#include "compiler/fuse/fusion.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

struct Case {
    std::string name;
    std::int64_t n, c, h, w;  // images
    std::int64_t co, kh, kw;  // filters
    Conv2dOptions options;
};

std::int64_t edge(const BorderMode& b, std::size_t axis, bool after, std::int64_t span) {
    const Sides s = axis ? b.columns : b.rows;
    switch (b.border) {
        case Border::valid: return after ? s.after : s.before;
        case Border::full: return span - 1;
        case Border::half: return span / 2;
    }
    return -1;
}

// The sums as they are written in books. Padding is an image of zeros around the image.
Array by_loops(const Case& t, const Array& x, const Array& f) {
    const Conv2dOptions& o = t.options;
    const std::int64_t sy = o.subsample[0], sx = o.subsample[1], dy = o.filter_dilation[0],
                       dx = o.filter_dilation[1], groups = o.num_groups;
    const std::int64_t spany = (t.kh - 1) * dy + 1, spanx = (t.kw - 1) * dx + 1;
    const std::int64_t top = edge(o.border_mode, 0, false, spany),
                       left = edge(o.border_mode, 1, false, spanx);
    const std::int64_t high = t.h + top + edge(o.border_mode, 0, true, spany),
                       wide = t.w + left + edge(o.border_mode, 1, true, spanx);
    const std::int64_t oh = (high - spany) / sy + 1, ow = (wide - spanx) / sx + 1;
    const std::int64_t ci = t.c / groups, each = t.co / groups;
    auto pixel = [&](std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x_) {
        y -= top;
        x_ -= left;
        if (y < 0 || y >= t.h || x_ < 0 || x_ >= t.w) return 0.0;
        return x.data<double>()[((n * t.c + c) * t.h + y) * t.w + x_];
    };
    Array out(DType::F64, {t.n, t.co, oh, ow});
    double* to = out.data<double>();
    for (std::int64_t n = 0; n < t.n; ++n)
        for (std::int64_t co = 0; co < t.co; ++co)
            for (std::int64_t y = 0; y < oh; ++y)
                for (std::int64_t x_ = 0; x_ < ow; ++x_) {
                    double sum = 0;
                    for (std::int64_t c = 0; c < ci; ++c)
                        for (std::int64_t ky = 0; ky < t.kh; ++ky)
                            for (std::int64_t kx = 0; kx < t.kw; ++kx) {
                                const std::int64_t fy = o.filter_flip ? t.kh - 1 - ky : ky,
                                                   fx = o.filter_flip ? t.kw - 1 - kx : kx;
                                const std::int64_t channel = co / each * ci + c;
                                sum += pixel(n, channel, y * sy + ky * dy, x_ * sx + kx * dx) *
                                       f.data<double>()[((co * ci + c) * t.kh + fy) * t.kw + fx];
                            }
                    *to++ = sum;
                }
    return out;
}

// One value of each option at a time, and all pairs of step, dilation and border.
std::vector<Case> table() {
    std::vector<Case> out{
        {"plain", 2, 3, 7, 6, 4, 3, 2, {}},
        {"1x1", 1, 3, 5, 4, 2, 1, 1, {}},
        {"1x1 by steps", 2, 2, 7, 5, 3, 1, 1, {.subsample = {2, 3}}},
        {"sides", 1, 2, 4, 5, 2, 3, 4, {.border_mode = {{0, 2}, {3, 1}}}},
        {"filter larger than the image", 1, 1, 2, 3, 2, 4, 5, {.border_mode = {1, 2}}},
        {"padding beyond the filter", 1, 1, 3, 3, 1, 2, 2, {.border_mode = 4}},
        {"even half", 1, 2, 6, 6, 2, 2, 4, {.border_mode = Border::half}},
        {"rows of vectors", 2, 3, 9, 33, 5, 3, 3, {.border_mode = 1, .subsample = {1, 2}}},
        {"depthwise", 2, 5, 9, 8, 5, 3, 3, {.border_mode = Border::half, .num_groups = 5}},
        {"depthwise, two each", 1, 3, 6, 7, 6, 3, 2, {.subsample = {2, 2}, .num_groups = 3}},
        {"groups of one filter", 2, 6, 5, 5, 2, 2, 3, {.filter_flip = false, .num_groups = 2}},
    };
    const std::int64_t sizes[][2] = {{7, 5}, {8, 11}};
    const std::array<std::int64_t, 2> steps[] = {{1, 1}, {2, 1}, {2, 3}, {4, 4}},
                                      dilations[] = {{1, 1}, {2, 2}, {1, 3}};
    const BorderMode borders[] = {Border::valid, Border::half, Border::full, {2, 1}};
    for (const auto& size : sizes)
        for (const auto& step : steps)
            for (const auto& dilation : dilations)
                for (std::size_t b = 0; b < std::size(borders); ++b)
                    for (std::int64_t groups : {1, 2}) {
                        const Conv2dOptions o{borders[b], step, groups == 1, dilation, groups};
                        const std::int64_t kh = 3, kw = 2;
                        out.push_back({fmt::format("{}x{} step {},{} dilation {},{} border {} of "
                                                   "{} groups",
                                                   size[0], size[1], step[0], step[1], dilation[0],
                                                   dilation[1], b, groups),
                                       2, 4, size[0], size[1], 6, kh, kw, o});
                    }
    return out;
}

struct Operands {
    explicit Operands(const Case& t)
        : x(random.uniform({t.n, t.c, t.h, t.w}, -1, 1).astype(DType::F64)),
          f(random.uniform({t.co, t.c / t.options.num_groups, t.kh, t.kw}, -1, 1)
                .astype(DType::F64)) {}
    Generator random{7};
    Array x, f;
};

}  // namespace

TEST_CASE("conv2d agrees with plain loops over a table of options") {
    for (const Case& t : table()) {
        const Operands at(t);
        const auto x = tensor4<double>("x"), f = tensor4<double>("f");
        Function fn = function({.inputs = {x, f}, .outputs = {conv2d(x, f, t.options)}});
        const Array got = fn(at.x, at.f)[0], expected = by_loops(t, at.x, at.f);
        CHECK_MESSAGE(got.shape() == expected.shape(), t.name);
        CHECK_MESSAGE(difference(got, expected) < 1e-13, t.name);
    }
}

// <G, conv(x, f)> is linear in x and in f. So with the gradient dx: <dx, x'> = <G, conv(x', f)> for
// every x', here each unit vector: plain loops give all of dx.
TEST_CASE("conv2d has the gradients of plain loops over the table") {
    for (const Case& t : table()) {
        if (t.name.starts_with("8x11")) continue;  // of the two sizes one will do
        Operands at(t);
        const auto x = tensor4<double>("x"), f = tensor4<double>("f"), g = tensor4<double>("g");
        const Array y = by_loops(t, at.x, at.f);
        const Array weights = at.random.uniform(y.shape(), -1, 1).astype(DType::F64);
        const Expr cost = sum(conv2d(x, f, t.options) * g);
        Function slopes = function({.inputs = {x, f, g}, .outputs = grad(cost, {x, f})});
        const std::vector<Array> got = slopes(at.x, at.f, weights);
        auto product = [&](const Array& a) {
            double total = 0;
            for (std::int64_t i = 0; i < a.size(); ++i)
                total += a.data<double>()[i] * weights.data<double>()[i];
            return total;
        };
        for (std::size_t k : {0, 1}) {
            Array unit = zeros(DType::F64, k ? at.f.shape() : at.x.shape());
            Array expected = unit.copy();
            for (std::int64_t i = 0; i < unit.size(); ++i) {
                unit.data<double>()[i] = 1;
                expected.data<double>()[i] =
                    product(k ? by_loops(t, at.x, unit) : by_loops(t, unit, at.f));
                unit.data<double>()[i] = 0;
            }
            CHECK_MESSAGE(difference(got[k], expected) < 1e-13, t.name,
                          k ? ": filters" : ": images");
        }
    }
}

TEST_CASE("gradients of conv2d's gradients are right") {
    const std::pair<std::string, Conv2dOptions> cases[] = {
        {"plain", {}},
        {"half", {.border_mode = Border::half}},
        {"steps", {.border_mode = 1, .subsample = {2, 3}}},
        {"dilation", {.border_mode = Border::full, .filter_dilation = {2, 1}}},
        {"groups", {.border_mode = {{1, 0}, {2, 1}}, .num_groups = 2}},
        {"all",
         {.border_mode = 2,
          .subsample = {3, 2},
          .filter_flip = false,
          .filter_dilation = {1, 2},
          .num_groups = 2}}};
    for (const auto& [name, options] : cases) {
        INFO(name);
        Generator random(11);
        const std::int64_t groups = options.num_groups;
        const Array x = random.uniform({1, 2, 5, 6}, -1, 1).astype(DType::F64),
                    f = random.uniform({2, 2 / groups, 3, 2}, -1, 1).astype(DType::F64);
        for (std::size_t k : {0, 1})
            CHECK(verify_grad(
                      [&, o = options](const std::vector<Expr>& in) {
                          // Of third degree, so that the gradient depends on both operands.
                          return grad(sum(sqr(conv2d(in[0], in[1], o))), in[k]);
                      },
                      {x, f}) < 1e-6);
    }
}

TEST_CASE("sizes of conv2d are symbolic where the operands' are") {
    const auto x = tensor4<float>("x"), w = tensor4<float>("w", {6, 2, 3, 3});
    const Expr y =
        conv2d(x, w, {.border_mode = Border::half, .subsample = {2, 1}, .num_groups = 3});
    CHECK(y.shape()[1] == Dim(6));
    // Odd filters with step 1 keep the image's size, whatever it is.
    CHECK(y.shape()[3] == x.shape()[3]);
    CHECK(conv2d(x, w, {.border_mode = Border::half}).shape()[2] == x.shape()[2]);
    CHECK(conv2d(x, w, {.border_mode = Border::full}).shape()[2] == x.shape()[2] + Dim(2));
    Function f = function({.inputs = {x, w}, .outputs = {y, grad(sum(sqr(y)), w)}});
    Generator random(3);
    for (const Sizes& sizes : {Sizes{1, 6, 5, 4}, Sizes{2, 6, 8, 3}}) {
        const auto out = f(random.uniform(sizes, -1, 1), random.uniform({6, 2, 3, 3}, -1, 1));
        CHECK(out[0].shape() == Sizes{sizes[0], 6, (sizes[2] + 1) / 2, sizes[3]});
        CHECK(out[1].shape() == Sizes{6, 2, 3, 3});
    }
}

TEST_CASE("addresses of convolutions in groups are sums, with what follows in one kernel") {
    const auto x = tensor4<float>("x", {2, 8, 9, 9}), w = tensor4<float>("w", {12, 2, 3, 3});
    const auto b = vector<float>("b", {12});
    const Expr y = relu(conv2d(x, w, {.num_groups = 4}) + dimshuffle(b, {'x', 0, 'x', 'x'}));
    const Graph graph({y});
    const Fusion fusion = fuse(graph, graph.outputs());
    REQUIRE(fusion.groups.size() == 1);
    const std::string nest = loops::to_string(
        lower_nest(
            fusion.groups.front().roots, [&](const Expr& e) { return fusion.stored(e); }, "groups")
            .nest);
    CHECK_MESSAGE(nest.find("select.f32") != std::string::npos, nest);
    CHECK_MESSAGE(nest.find(")/") == std::string::npos, nest);
}

TEST_CASE(
    "padded images without rows have a gradient, and a filter without elements sums nothing") {
    const Array none = zeros(DType::F64, {2, 3, 0, 4});
    const Array filter = Generator(5).uniform({2, 3, 3, 2}, -1, 1).astype(DType::F64);
    for (const bool known : {true, false}) {
        const Expr x =
            known ? tensor(DType::F64, 4, "x", {2, 3, 0, 4}) : tensor(DType::F64, 4, "x");
        const Expr w =
            known ? tensor(DType::F64, 4, "w", {2, 3, 3, 2}) : tensor(DType::F64, 4, "w");
        const Expr y = conv2d(x, w, {.border_mode = {{2, 1}, {0, 0}}});
        const auto g = grad(sum(sqr(y + 1)), {x, w});
        const auto got = function({.inputs = {x, w}, .outputs = {y, g[0], g[1]}})(none, filter);
        CHECK(got[0].equals(zeros(DType::F64, {2, 2, 1, 3})));
        CHECK(got[1].shape() == Sizes{2, 3, 0, 4});
        CHECK(got[2].equals(zeros(DType::F64, {2, 3, 3, 2})));
        // Images that are smaller than the filter are still an error, also where one row is
        // missing.
        const auto f = known ? Function() : function({.inputs = {x, w}, .outputs = {g[0]}});
        if (!known) CHECK_THROWS_AS(f(zeros(DType::F64, {2, 3, 0, 1}), filter), GraphError);
    }
    // As the sum over no taps, at all places that the formula for sizes counts.
    const Expr x = tensor(DType::F64, 4, "x", {1, 2, 3, 4}),
               w = tensor(DType::F64, 4, "w", {5, 2, 0, 0});
    const Expr y = conv2d(x, w);
    const auto g = grad(sum(sqr(y)), {x, w});
    const auto got = function({.inputs = {x, w}, .outputs = {y, g[0], g[1]}})(
        Generator(6).uniform({1, 2, 3, 4}, -1, 1).astype(DType::F64),
        zeros(DType::F64, {5, 2, 0, 0}));
    CHECK(got[0].equals(zeros(DType::F64, {1, 5, 4, 5})));
    CHECK(got[1].equals(zeros(DType::F64, {1, 2, 3, 4})));
    CHECK(got[2].shape() == Sizes{5, 2, 0, 0});
}

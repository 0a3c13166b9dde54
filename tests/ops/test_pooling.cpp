// Pooling against loops written here, over a table of windows, strides, padding and modes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

struct Axis {
    std::int64_t size, ws, stride, pad;
    bool ignore_border;

    std::int64_t step() const { return stride ? stride : ws; }
    /// Windows, counted one by one.
    std::int64_t windows() const {
        std::int64_t n = 0;
        for (std::int64_t start = -pad;; start += step(), ++n) {
            if (ignore_border && start + ws > size + pad) return n;
            if (ignore_border) continue;
            if (start >= size) return n;                                        // begins outside
            if (step() < ws && n > 0 && start - step() + ws >= size) return n;  // all is covered
        }
    }
};

constexpr PoolMode modes[] = {PoolMode::max, PoolMode::sum, PoolMode::average_inc_pad,
                              PoolMode::average_exc_pad};

// The value of a window, and what each of its elements gets of a gradient of 1.
struct Window {
    double value = 0;
    std::vector<std::pair<std::int64_t, double>> shares;
};

Window one(const Array& image, const Axis& h, const Axis& w, std::int64_t oy, std::int64_t ox,
           PoolMode mode) {
    Window out;
    double best = -std::numeric_limits<double>::infinity();
    std::int64_t where = -1, counted = 0;
    double sum = 0;
    std::vector<std::int64_t> inside;
    for (std::int64_t ky = 0; ky < h.ws; ++ky)
        for (std::int64_t kx = 0; kx < w.ws; ++kx) {
            const std::int64_t y = oy * h.step() - h.pad + ky, x = ox * w.step() - w.pad + kx;
            if (y < h.size + h.pad && x < w.size + w.pad) ++counted;  // of the padded image
            if (y < 0 || y >= h.size || x < 0 || x >= w.size) continue;
            const std::int64_t at = y * w.size + x;
            const double v = image.data<double>()[at];
            inside.push_back(at);
            sum += v;
            if (v > best) {
                best = v;
                where = at;
            }
        }
    if (mode == PoolMode::max) {
        out.value = best;
        out.shares = {{where, 1.0}};
        return out;
    }
    const double divisor = mode == PoolMode::sum               ? 1.0
                           : mode == PoolMode::average_inc_pad ? static_cast<double>(counted)
                                                               : static_cast<double>(inside.size());
    out.value = sum / divisor;
    for (std::int64_t at : inside) out.shares.emplace_back(at, 1 / divisor);
    return out;
}

}  // namespace

TEST_CASE("pool2d and its gradient agree with plain loops over a table of options") {
    const Axis axes[] = {{6, 2, 0, 0, true},  {7, 2, 0, 0, true},  {7, 3, 1, 0, true},
                         {8, 3, 2, 1, true},  {9, 2, 3, 1, true},  {7, 2, 0, 0, false},
                         {8, 3, 2, 0, false}, {7, 3, 1, 0, false}, {10, 2, 4, 0, false},
                         {5, 5, 2, 4, true},  {9, 1, 2, 0, false}, {19, 4, 3, 2, true}};
    Generator random(9);
    // Each with itself and with the two after it.
    for (std::size_t first = 0; first < std::size(axes); ++first)
        for (std::size_t second = first; second < first + 3; ++second) {
            const Axis &h = axes[first], &w = axes[second % std::size(axes)];
            if (h.ignore_border != w.ignore_border) continue;
            const Array image = random.uniform({h.size, w.size}, -1, 1).astype(DType::F64);
            const std::int64_t oh = h.windows(), ow = w.windows();
            const Array weights = random.uniform({oh, ow}, -1, 1).astype(DType::F64);
            const auto x = matrix<double>("x"), g = matrix<double>("g");
            std::vector<Expr> outputs;
            for (PoolMode mode : modes) {
                const Expr y = pool2d(x, {h.ws, w.ws},
                                      {.ignore_border = h.ignore_border,
                                       .stride = {h.stride, w.stride},
                                       .pad = {h.pad, w.pad},
                                       .mode = mode});
                outputs.push_back(y);
                outputs.push_back(grad(sum(y * g), x));
            }
            Function f = function({.inputs = {x, g}, .outputs = outputs});
            const std::vector<Array> got = f(image, weights);
            for (std::size_t m = 0; m < std::size(modes); ++m) {
                Array value(DType::F64, {oh, ow}), slope = zeros(DType::F64, {h.size, w.size});
                for (std::int64_t y = 0; y < oh; ++y)
                    for (std::int64_t z = 0; z < ow; ++z) {
                        const Window of = one(image, h, w, y, z, modes[m]);
                        value.data<double>()[y * ow + z] = of.value;
                        for (const auto& [at, share] : of.shares)
                            slope.data<double>()[at] += share * weights.data<double>()[y * ow + z];
                    }
                INFO("mode ", m, " rows ", h.size, " ", h.ws, " ", h.step(), " ", h.pad,
                     " columns ", w.size, " ", w.ws, " ", w.step(), " ", w.pad, " ",
                     h.ignore_border);
                CHECK(difference(got[2 * m], value) < 1e-14);
                CHECK(difference(got[2 * m + 1], slope) < 1e-14);
            }
        }
}

TEST_CASE("pool2d of other dtypes") {
    const auto x = matrix<std::int32_t>("x");
    const std::vector<std::int32_t> image{-5, -2, -3, -4, -7, -9};
    auto pooled = [&](const Pool2dOptions& o) {
        Function f = function({.inputs = {x}, .outputs = {pool2d(x, {2, 2}, o)}});
        return f(Array(image, {2, 3}))[0];
    };
    // Padding is less than any number, not 0.
    CHECK(pooled({.pad = {1, 1}}).equals(Array(std::vector<std::int32_t>{-5, -2, -4, -7}, {2, 2})));
    CHECK(pooled({.pad = {1, 1}, .mode = PoolMode::sum})
              .equals(Array(std::vector<std::int32_t>{-5, -5, -4, -16}, {2, 2})));
    CHECK(pooled({.mode = PoolMode::average_exc_pad})
              .equals(Array(std::vector<float>{-4.5f}, {1, 1})));
}

TEST_CASE("gradients of pool2d's gradients are right") {
    Generator random(4);
    const Array x = random.uniform({2, 7, 6}, -1, 1).astype(DType::F64);
    for (PoolMode mode : modes)
        for (const Pool2dOptions& o : {Pool2dOptions{.stride = {1, 2}, .pad = {1, 1}, .mode = mode},
                                       Pool2dOptions{.ignore_border = false, .mode = mode}})
            CHECK(verify_grad(
                      [&](const std::vector<Expr>& in) {
                          return grad(sum(pow(pool2d(in[0], {3, 2}, o), 3)), in[0]);
                      },
                      {x}) < 1e-6);
}

TEST_CASE("an extreme and its position, found together: the first one, NaN above all") {
    constexpr float inf = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float values[] = {0.5f, -inf, 2, nan, 2, inf, -3, 0.5f, -inf, -3};
    const Sizes sizes{6, 9, 37};
    Generator random(3);
    for (const double special : {0.0, 0.02, 0.3, 1.0})
        for (const int axis : {0, 1, 2})
            for (const bool largest : {true, false}) {
                INFO(special, " of all, along ", axis, ", largest: ", largest);
                Array data = random.uniform(sizes, -2, 2);
                const Array which = random.uniform(sizes, 0, 10),
                            rare = random.uniform(sizes, 0, 1);
                for (std::int64_t i = 0; i < data.size(); ++i)
                    if (rare.data<float>()[i] < special)
                        data.data<float>()[i] =
                            values[static_cast<std::size_t>(which.data<float>()[i]) % 10];
                const auto x = tensor3<float>("x", {6, 9, 37});
                const Expr best = largest ? max(x, axis) : min(x, axis);
                const Expr where = largest ? argmax(x, axis) : argmin(x, axis);
                Sizes kept = sizes;
                kept.erase(kept.begin() + axis);
                Array value(DType::F32, kept), place(DType::I64, kept);
                const std::int64_t step = axis == 0 ? 9 * 37 : axis == 1 ? 37 : 1;
                for (std::int64_t o = 0; o < value.size(); ++o) {
                    const float* at = data.data<float>() + o / step * step * sizes[axis] + o % step;
                    std::int64_t first = 0;
                    for (std::int64_t k = 1; k < sizes[axis]; ++k) {
                        const float now = at[first * step], next = at[k * step];
                        if (std::isnan(now)) break;
                        if (std::isnan(next) || (largest ? now < next : next < now)) first = k;
                    }
                    value.data<float>()[o] = at[first * step];
                    place.data<std::int64_t>()[o] = first;
                }
                for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
                    const Function f =
                        function({.inputs = {x}, .outputs = {best, where}, .mode = mode});
                    const std::vector<Array> got = f.call(std::vector<Array>{data});
                    CHECK(difference(got[0], value) == 0);
                    CHECK(got[1].equals(place));
                    const Function alone =
                        function({.inputs = {x}, .outputs = {best}, .mode = mode});
                    CHECK(difference(alone.call(std::vector<Array>{data})[0], value) == 0);
                }
            }
}

TEST_CASE("pool2d's windows that are larger than the image are as large as that") {
    constexpr std::int64_t huge = 1'000'000'000;
    const Expr x = tensor(DType::F64, 4, "x", {1, 2, 3, 5});
    const Array v = Generator(3).uniform({1, 2, 3, 5}, -2, 2).astype(DType::F64);
    for (const PoolMode mode :
         {PoolMode::max, PoolMode::sum, PoolMode::average_inc_pad, PoolMode::average_exc_pad})
        for (const std::int64_t stride : {std::int64_t{0}, std::int64_t{1}, huge}) {
            const Expr y =
                pool2d(x, {huge, huge},
                       {.ignore_border = false, .stride = {stride, stride}, .mode = mode});
            const Expr all = mode == PoolMode::max   ? max(x, {2, 3}, true)
                             : mode == PoolMode::sum ? sum(x, {2, 3}, true)
                                                     : mean(x, {2, 3}, true);
            const auto got =
                function({.inputs = {x},
                          .outputs = {y, all, grad(sum(sqr(y)), x), grad(sum(sqr(all)), x)}})(v);
            REQUIRE(got[0].shape() == Sizes{1, 2, 1, 1});
            CHECK(test::difference(got[0], got[1]) <= 1e-14);
            CHECK(test::difference(got[2], got[3]) <= 1e-14);
        }
}

TEST_CASE(
    "pool2d of sizes that are known late is that of known ones, also of small and empty images") {
    for (const PoolMode mode :
         {PoolMode::max, PoolMode::sum, PoolMode::average_inc_pad, PoolMode::average_exc_pad})
        for (const std::int64_t height : {0, 1, 2, 5})
            for (const std::int64_t width : {1, 3, 4, 6})
                for (const std::int64_t stride : {1, 2, 3, 5})
                    for (const bool ignore_border : {false, true}) {
                        CAPTURE(height);
                        CAPTURE(width);
                        CAPTURE(stride);
                        CAPTURE(ignore_border);
                        const Pool2dOptions o{.ignore_border = ignore_border,
                                              .stride = {stride, stride},
                                              .mode = mode};
                        const Array v =
                            height == 0
                                ? zeros<double>({height, width})
                                : Generator(1).normal({height, width}, 0, 1).astype(DType::F64);
                        std::vector<std::vector<Array>> both;
                        for (const bool late : {false, true}) {
                            const Expr x =
                                late ? matrix<double>("x") : matrix<double>("x", {height, width});
                            const Expr y = pool2d(x, {3, 4}, o);
                            const auto f = function({.inputs = {x},
                                                     .outputs = {y, grad(sum(sqr(y)), x)},
                                                     .mode = Mode::interpret});
                            both.push_back(f(v));
                        }
                        for (std::size_t k = 0; k < 2; ++k) {
                            CHECK(both[0][k].shape() == both[1][k].shape());
                            CHECK(both[0][k].equals(both[1][k]));
                        }
                    }
}

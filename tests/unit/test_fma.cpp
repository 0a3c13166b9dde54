// Where the loop IR makes products and sums fused multiply-adds, and where it does not.
#include <cmath>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"

using namespace arete;
using namespace arete::loops;

namespace {

/// out[i] = f(a[i], b[i], c[i]), before and after form_fma.
struct Formed {
    template <class F>
    explicit Formed(F f) {
        nest.name = "formed";
        const Var i = nest.add_var("i", 4);
        nest.axes = {i};
        std::vector<Value> in;
        for (const char* name : {"a", "b", "c"})
            in.push_back(nest.load(nest.add_buffer({name, DType::F32, {4}}), Index::var(i)));
        const BufferId out = nest.add_buffer({"out", DType::F32, {4}});
        const Value v = f(in[0], in[1], in[2]);
        nest.stores.push_back({out, Index::var(i), v.id, std::nullopt});
        form_fma(nest);
        verify(nest);
    }
    bool fused() const {
        const ValueId root = nest.stores[0].value;
        for (ValueId id : needed(nest, {&root, 1}))
            if (nest.values[id].op == Op::MulAdd) return true;
        return false;
    }
    float operator()(float a, float b, float c) const {
        std::vector<float> in[] = {std::vector<float>(4, a), std::vector<float>(4, b),
                                   std::vector<float>(4, c)},
                           out(4);
        void* buffers[] = {in[0].data(), in[1].data(), in[2].data(), out.data()};
        CHECK(!interpret(naive(nest), buffers).failed);
        return out[0];
    }
    Nest nest;
};

}  // namespace

TEST_CASE("products that one sum reads are fused with it, with the right signs") {
    const float a = 1.0f + 0x1p-12f, b = 1.0f - 0x1p-12f, c = 0.7f;
    const Formed plus([](Value x, Value y, Value z) { return x * y + z; });
    CHECK(plus.fused());
    CHECK(plus(a, b, c) == std::fma(a, b, c));
    const Formed first([](Value x, Value y, Value z) { return x * y - z; });
    CHECK(first.fused());
    CHECK(first(a, b, c) == std::fma(a, b, -c));
    const Formed second([](Value x, Value y, Value z) { return z - x * y; });
    CHECK(second.fused());
    CHECK(second(a, b, c) == std::fma(-a, b, c));
    const Formed scaled([](Value x, Value, Value z) { return z - 0.1 * x; });
    CHECK(scaled.fused());
    CHECK(scaled(a, b, c) == std::fma(-0.1f, a, c));
}

TEST_CASE("products with other readers, and differences of products, are rounded by themselves") {
    CHECK_FALSE(Formed([](Value x, Value y, Value z) { return (x * y + z) / (x * y); }).fused());
    const Formed zero([](Value x, Value y, Value) { return x * y - y * x; });
    CHECK_FALSE(zero.fused());
    CHECK(zero(1.1f, 1.3f, 0) == 0.0f);
    CHECK_FALSE(Formed([](Value x, Value y, Value z) { return x + y - z; }).fused());
}

TEST_CASE_TEMPLATE("a product that several nodes read is one number for all of them", T, float,
                   double) {
    // The rounding of the largest product is far above what exp takes.
    const T scale = sizeof(T) == 4 ? T(1.1e11) : T(1.1e20);
    const auto a = matrix<T>("a", {3, 5}), b = matrix<T>("b", {3, 5});
    const Expr p = a * b, shape = reshape(p, {5, 3}), top = max(p, 1, true);
    const std::vector<Expr> zeros{max(p - top, 1), max(reshape(p, {5, 3}) - max(shape, 1, true), 1),
                                  max(sum(p - top, 1) - sum(p - top, 1))};
    const std::vector<Expr> finite{softmax(p),           log_softmax(p), logsumexp(p),
                                   sum(exp(p - top), 1), softmax(shape), logsumexp(shape, Axes())};
    std::vector<T> x, y;
    for (int k = 0; k < 15; ++k) {
        x.push_back(scale * (T(1) + T(0.37) * T((k * 7) % 15)));
        y.push_back(T(1.3) - T(0.011) * T(k));
    }
    const std::vector<Array> arguments{Array(x, {3, 5}), Array(y, {3, 5})};
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
        for (const Array& v :
             function({.inputs = {a, b}, .outputs = zeros, .mode = mode}).call(arguments))
            for (std::int64_t i = 0; i < v.size(); ++i) CHECK(v.as_double(i) == 0);
        for (const Array& v :
             function({.inputs = {a, b}, .outputs = finite, .mode = mode}).call(arguments))
            for (std::int64_t i = 0; i < v.size(); ++i) CHECK(std::isfinite(v.as_double(i)));
        // Each by itself: what is stored differs.
        for (const Expr& e : finite) {
            const Array v =
                function({.inputs = {a, b}, .outputs = {e}, .mode = mode}).call(arguments)[0];
            for (std::int64_t i = 0; i < v.size(); ++i) CHECK(std::isfinite(v.as_double(i)));
        }
    }
}

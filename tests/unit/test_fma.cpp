// Where the loop IR makes products and sums fused multiply-adds, and where it does not.
#include <cmath>
#include <vector>

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
        const int out = nest.add_buffer({"out", DType::F32, {4}});
        const Value v = f(in[0], in[1], in[2]);
        nest.stores.push_back({out, Index::var(i), v.id, std::nullopt});
        form_fma(nest);
        verify(nest);
    }
    bool fused() const {
        const ValueId root = nest.stores[0].value;
        for (ValueId id : needed(nest, {&root, 1}))
            if (nest.values[static_cast<std::size_t>(id)].op == Op::MulAdd) return true;
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

// Constants are folded with the arithmetic of the code that would run: every elementwise row of
// constants has the same bits as the row of inputs with the same values, in each mode and at every
// vector level.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "compiler/rewrite/rewrite.h"
#include "tests/ops/levels.h"
#include "tests/support.h"
#include "tests/targets.h"

using namespace arete;
using namespace arete::test;

namespace {

// Where functions have their limits, where their expansions change branch, and in between.
template <class T>
std::vector<T> corners() {
    using L = std::numeric_limits<T>;
    std::vector<T> out{L::infinity(), L::quiet_NaN()};
    for (const T v : {T(0),
                      T(1),
                      T(0.5),
                      T(0.1),
                      T(1.7),
                      T(3),
                      T(12.3),
                      T(30),
                      T(88.5),
                      T(103.2),
                      T(700.1),
                      T(745),
                      T(1e5),
                      T(1e9),
                      T(3e15),
                      T(1e30),
                      T(1e-3),
                      T(1e-9),
                      T(1e-30),
                      1 - L::epsilon() / 2,
                      1 + L::epsilon(),
                      T(0.70710678),
                      T(1.41421356),
                      T(3.14159265358979),
                      T(1.5707963267949),
                      L::min(),
                      L::denorm_min(),
                      7 * L::denorm_min(),
                      L::max(),
                      L::infinity()})
        out.insert(out.end(), {v, -v});
    return out;
}

Array filled_from_corners(DType t, const Sizes& sizes, std::size_t from, std::size_t step) {
    Array out(t, sizes);
    visit(t, [&](auto tag) {
        using T = decltype(tag);
        if constexpr (std::is_floating_point_v<T>) {
            const std::vector<T> all = corners<T>();
            for (std::int64_t i = 0; i < out.size(); ++i)
                out.data<T>()[i] = all[(from + step * static_cast<std::size_t>(i)) % all.size()];
        }
    });
    return out;
}

// The first element that differs, NaNs being equal; empty where there is none.
std::string differing(const Array& folded, const Array& computed) {
    REQUIRE(folded.dtype() == computed.dtype());
    REQUIRE(folded.shape() == computed.shape());
    const std::size_t size = size_of(folded.dtype());
    for (std::int64_t i = 0; i < folded.size(); ++i) {
        const double a = folded.as_double(i), b = computed.as_double(i);
        const std::size_t at = static_cast<std::size_t>(i) * size;
        if ((std::isnan(a) && std::isnan(b)) ||
            std::memcmp(static_cast<const char*>(folded.raw()) + at,
                        static_cast<const char*>(computed.raw()) + at, size) == 0)
            continue;
        return fmt::format("element {}: folded {}, computed {}", i, a, b);
    }
    return {};
}

// The same expressions of constants and of inputs.
struct Pairs {
    std::vector<Expr> leaves, outputs;  // outputs: folded, computed, folded, ...
    std::vector<Array> values;
    std::vector<std::string> names;

    void add(const std::string& name, const std::vector<Array>& arguments,
             const std::function<Expr(std::span<const Expr>)>& build) {
        std::vector<Expr> constants, inputs;
        for (const Array& a : arguments) {
            constants.push_back(constant(a));
            inputs.push_back(tensor(a.dtype(), static_cast<int>(a.shape().size()),
                                    fmt::format("x{}", leaves.size() + inputs.size()), a.shape()));
        }
        outputs.push_back(build(constants));
        outputs.push_back(build(inputs));
        leaves.insert(leaves.end(), inputs.begin(), inputs.end());
        values.insert(values.end(), arguments.begin(), arguments.end());
        names.push_back(name);
    }

    void check(Mode mode, const Options& options) const {
        const auto results = function({.inputs = leaves,
                                       .outputs = outputs,
                                       .on_unused_input = OnUnusedInput::ignore,
                                       .mode = mode,
                                       .options = options})
                                 .call(values);
        for (std::size_t k = 0; k < names.size(); ++k) {
            const std::string wrong = differing(results[2 * k], results[2 * k + 1]);
            CHECK_MESSAGE(wrong.empty(), names[k], " at ", options.cpu, ": ", wrong);
        }
    }

    void check_everywhere() const {
        static const std::vector<Options> levels = every_level();
        for (const Options& level : levels) check(Mode::fast_run, level);
        check(Mode::fast_compile, levels.back());
        check(Mode::interpret, levels.front());
    }
};

}  // namespace

TEST_CASE("folding: every elementwise row of constants has the bits of the row of inputs" *
          doctest::test_suite(every_level_suite)) {
    int folded = 0;
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->scalar || !op->samples) continue;
        for (const DType t : {DType::F32, DType::F64}) {
            Pairs pairs;
            for (const Sample& sample : op->samples()) {
                Drawn d = draw(sample, t, 99);
                try {
                    sample.build(d.leaves);
                } catch (const GraphError&) {
                    continue;
                }
                const std::string name = fmt::format("{} ({})", op->info.name, sample.name);
                pairs.add(name, d.values, sample.build);
                for (std::size_t turn = 0; turn < 2; ++turn) {
                    for (std::size_t k = 0; k < d.values.size(); ++k)
                        if (is_float(d.values[k].dtype()))
                            d.values[k] = filled_from_corners(t, d.values[k].shape(),
                                                              11 * turn + 5 * k, 1 + 2 * k * turn);
                    pairs.add(name, d.values, sample.build);
                }
            }
            for (std::size_t k = 0; k < pairs.names.size(); ++k)
                folded += constant_value(rewrite({&pairs.outputs[2 * k], 1},
                                                 Phase::Canonicalize)[0]) != nullptr;
            INFO(std::string(op->info.name));
            pairs.check_everywhere();
        }
    }
    CHECK(folded > 600);
}

TEST_CASE("folding: literals, conversions and numbers are rounded as they would be" *
          doctest::test_suite(every_level_suite)) {
    Pairs pairs;
    for (const DType t : {DType::F32, DType::F64}) {
        const Array x = filled_from_corners(t, {63}, 0, 1), one = filled_from_corners(t, {}, 12, 1);
        pairs.add("third", {x}, [](auto v) { return v[0] * (1.0 / 3); });
        pairs.add("number", {one}, [](auto v) { return exp(v[0]) * 0.1; });
        pairs.add("to f32", {x}, [](auto v) { return cast(v[0], DType::F32); });
        pairs.add("to f64", {x}, [](auto v) { return cast(v[0], DType::F64); });
        pairs.add("to i32", {x}, [](auto v) { return cast(v[0], DType::I32); });
        pairs.add("to i64", {x}, [](auto v) { return cast(v[0], DType::I64); });
        pairs.add("to u8", {x}, [](auto v) { return cast(v[0], DType::U8); });
        pairs.add("repeated", {one}, [](auto v) { return exp(broadcast_to(v[0], {100})); });
        pairs.add("halves of a unit", {x}, [](auto v) { return sin(v[0] * 0.25); });
    }
    pairs.check_everywhere();
}

TEST_CASE("folding: what is made of constants and reductions is within the bounds of sums" *
          doctest::test_suite(every_level_suite)) {
    const Options level = every_level().back();
    for (const DType t : {DType::F32, DType::F64}) {
        const Drawn d = draw({"x", {{{5, 12}}}, {}}, t, 7);
        const double u = t == DType::F32 ? 0x1p-24 : 0x1p-53;
        using Build = Expr (*)(const Expr&);
        const std::pair<Build, double> cases[] = {
            {[](const Expr& x) { return softmax(x); }, 24},
            {[](const Expr& x) { return log_softmax(x); }, 40},
            {[](const Expr& x) { return logsumexp(x); }, 40},
            {[](const Expr& x) { return sum(abs(x), 1); }, 20},
            {[](const Expr& x) { return mean(abs(x), 0); }, 4},
            {[](const Expr& x) { return sqrt(sum(sqr(x))); }, 24},
            {[](const Expr& x) { return prod(x, 1); }, 24},
            {[](const Expr& x) { return max(exp(x), 1); }, 4}};
        for (const auto& [build, bound] : cases)
            for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
                const auto results =
                    function({.inputs = d.leaves,
                              .outputs = {build(constant(d.values[0])), build(d.leaves[0])},
                              .mode = mode,
                              .options = level})
                        .call(d.values);
                for (std::int64_t i = 0; i < results[0].size(); ++i) {
                    const double a = results[0].as_double(i), b = results[1].as_double(i);
                    CHECK(std::fabs(a - b) <= bound * u * std::max(std::fabs(b), 1e-3));
                }
            }
    }
}

TEST_CASE("folding: a draw by constant bounds is a draw by given ones" *
          doctest::test_suite(every_level_suite)) {
    for (const DType t : {DType::F32, DType::F64}) {
        const Array low = Array(std::vector<double>{0.25}, {}).astype(t),
                    high = Array(std::vector<double>{3}, {}).astype(t);
        const auto draws = [&](const Expr& a, const Expr& b) {
            RandomStream random(5);
            const Expr u = random.uniform({40}, 0, 1, t), n = random.normal({40}, 0, 1, t);
            return std::vector<Expr>{a + (b - a) * u, a + b * n, exp(a) * u,
                                     where(u < exp(-b), u, n)};
        };
        const Expr a = tensor(t, 0, "a", Sizes{}), b = tensor(t, 0, "b", Sizes{});
        for (const Options& level : every_level())
            for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
                const auto folded = function({.outputs = draws(constant(low), constant(high)),
                                              .mode = mode,
                                              .options = level})
                                        .call(std::vector<Array>{});
                const auto computed =
                    function(
                        {.inputs = {a, b}, .outputs = draws(a, b), .mode = mode, .options = level})
                        .call(std::vector<Array>{low, high});
                // b - a is exact; what differs could only be exp.
                for (std::size_t k = 0; k < folded.size(); ++k) {
                    const std::string wrong = differing(folded[k], computed[k]);
                    CHECK_MESSAGE(wrong.empty(), k, " at ", level.cpu, ": ", wrong);
                }
            }
    }
}

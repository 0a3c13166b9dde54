// The polynomial expansions of transcendental functions, against the C library in more precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <arete/arete.h>

#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::loops;

namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T nan_of = std::numeric_limits<T>::quiet_NaN();

constexpr Op transcendental[] = {Op::Exp, Op::Expm1, Op::Log, Op::Log1p, Op::Tanh,
                                 Op::Sin, Op::Cos,   Op::Erf, Op::Pow};

template <class R>
R reference(Op op, R x, R y) {
    switch (op) {
        case Op::Exp: return std::exp(x);
        case Op::Expm1: return std::expm1(x);
        case Op::Log: return std::log(x);
        case Op::Log1p: return std::log1p(x);
        case Op::Tanh: return std::tanh(x);
        case Op::Sin: return std::sin(x);
        case Op::Cos: return std::cos(x);
        case Op::Erf: return std::erf(x);
        case Op::Pow: return std::pow(x, y);
        default: break;
    }
    FAIL("no reference");
    return 0;
}

bool has_transcendental(const Code& code) {
    for (const Instr& i : code.values)
        if (is_transcendental(i.op)) return true;
    return false;
}

// out[i] = op(x[i], y[i]), after expand_math.
template <class T>
std::vector<T> run(Op op, const std::vector<T>& x, const std::vector<T>& y) {
    const std::int64_t n = static_cast<std::int64_t>(x.size());
    const DType t = dtype_of<T>;
    Nest nest;
    nest.name = std::string(name(op));
    Var i = nest.add_var("i", n);
    nest.axes = {i};
    std::vector<Value> args;
    for (int k = 0; k < arity(op); ++k)
        args.push_back(nest.load(nest.add_buffer({k == 0 ? "x" : "y", t, {n}}), Index::var(i)));
    BufferId out = nest.add_buffer({"out", t, {n}});
    nest.stores.push_back({out, Index::var(i), nest.make(op, t, args).id, {}});
    expand_math(nest);
    CHECK_FALSE(has_transcendental(nest));
    verify(nest);

    std::vector<T> result(x.size()), a = x, b = y;
    std::vector<void*> buffers{a.data()};
    if (arity(op) == 2) buffers.push_back(b.data());
    buffers.push_back(result.data());
    CHECK(interpret(naive(nest), buffers).code == 0);
    return result;
}

// Distance in units in the last place of the correctly rounded result; infinite where one is NaN
// and the other is not, or zeros differ in sign. An infinity counts as the next binade's start.
template <class T>
double ulps(T got, Wide<T> want) {
    using R = Wide<T>;
    using L = std::numeric_limits<T>;
    const double wrong = std::numeric_limits<double>::infinity();
    if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : wrong;
    if (want == 0 && (got != 0 || std::signbit(got) != std::signbit(want))) return wrong;
    if (got == 0 && std::signbit(got) != std::signbit(want)) return wrong;
    const R top = std::ldexp(R(1), L::max_exponent);
    auto finite = [&](R v) { return std::isinf(v) ? std::copysign(top, v) : v; };
    if (std::isinf(got) && std::abs(want) >= top)
        return std::signbit(got) == std::signbit(want) ? 0 : wrong;
    if (std::isinf(want) && !std::isinf(got)) return wrong;
    int e = L::min_exponent;
    if (want != 0) std::frexp(want, &e);
    e = std::min(std::max(e, L::min_exponent), L::max_exponent) - L::digits;
    return static_cast<double>(std::abs(finite(got) - finite(want)) / std::ldexp(R(1), e));
}

template <class T>
void check_ulps(Op op, const std::vector<T>& x, const std::vector<T>& y, double limit) {
    std::vector<T> got = run(op, x, y);
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
        using R = Wide<T>;
        double u = ulps<T>(got[k], reference<R>(op, x[k], y[k]));
        if (!(u <= worst)) {
            worst = u;
            at = k;
        }
    }
    INFO(std::string(name(op)), " ", std::string(name(dtype_of<T>)), "(", x[at], ", ", y[at],
         ") = ", got[at]);
    CHECK(worst <= limit);
}

// Every exponent with random significands and both signs, and moderate numbers.
template <class T>
std::vector<T> samples(std::mt19937_64& random, int per_exponent, int moderate) {
    using L = std::numeric_limits<T>;
    std::vector<T> out;
    std::uniform_real_distribution<double> unit(0, 1);
    for (int e = L::min_exponent - L::digits; e < L::max_exponent; ++e)
        for (int k = 0; k < per_exponent; ++k) {
            T v = std::ldexp(static_cast<T>(1 + unit(random)), e);
            if (std::isfinite(v)) out.push_back(random() & 1 ? v : -v);
        }
    for (int k = 0; k < moderate; ++k) {
        double width = k % 3 == 0 ? 1 : k % 3 == 1 ? 4 : 100;
        out.push_back(static_cast<T>(width * (2 * unit(random) - 1)));
    }
    return out;
}

// Bases and exponents whose power is mostly finite: |y log x| up to the overflow.
template <class T>
void pow_samples(std::mt19937_64& random, int n, std::vector<T>& xs, std::vector<T>& ys) {
    using L = std::numeric_limits<T>;
    std::uniform_real_distribution<double> unit(0, 1);
    for (int k = 0; k < n; ++k) {
        double x = k % 3 == 0   ? std::exp2((2 * unit(random) - 1) * (L::max_exponent - 1))
                   : k % 3 == 1 ? 0.5 + unit(random)
                                : 1 + std::ldexp(2 * unit(random) - 1, -k % (L::digits - 1));
        T base = static_cast<T>(x);
        double log2 = std::log2(static_cast<double>(base));
        if (log2 == 0) continue;
        T y = static_cast<T>((2 * unit(random) - 1) * (L::max_exponent + 60) / log2);
        if (k % 7 == 0) {
            base = -base;
            y = std::round(y);
        }
        xs.push_back(base);
        ys.push_back(y);
    }
}

template <class T>
std::vector<T> special_values() {
    using L = std::numeric_limits<T>;
    std::vector<T> out;
    for (T v : {T(0),
                T(1),
                T(2),
                T(3),
                T(0.5),
                T(1.5),
                T(2.5),
                T(1e10),
                L::infinity(),
                L::max(),
                L::min(),
                L::denorm_min(),
                L::epsilon(),
                T(1) + L::epsilon(),
                T(1) - L::epsilon() / 2,
                T(1) / L::epsilon() - 1,
                T(2) / L::epsilon() + 2,
                std::log(L::max()),
                std::log(L::denorm_min()),
                T(0.55),
                T(1000)}) {
        out.push_back(v);
        out.push_back(-v);
    }
    out.push_back(L::quiet_NaN());
    return out;
}

}  // namespace

TEST_CASE_TEMPLATE("expansions are within 2 ulp at every magnitude", T, float, double) {
    std::mt19937_64 random(7);
    for (Op op : transcendental) {
        std::vector<T> x, y;
        if (op == Op::Pow) {
            pow_samples<T>(random, 20000, x, y);
        } else {
            x = samples<T>(random, std::is_same_v<T, float> ? 24 : 4, 12000);
            y.assign(x.size(), T(0));
        }
        check_ulps<T>(op, x, y, 2.0);
    }
}

TEST_CASE_TEMPLATE("expansions of special values agree with C", T, float, double) {
    std::vector<T> special = special_values<T>();
    for (Op op : transcendental) {
        std::vector<T> x, y;
        for (T a : special) {
            if (op == Op::Pow) {
                for (T b : special) {
                    x.push_back(a);
                    y.push_back(b);
                }
            } else {
                x.push_back(a);
                y.push_back(T(0));
            }
        }
        check_ulps<T>(op, x, y, 2.0);
    }
}

TEST_CASE_TEMPLATE("exact results are exact", T, float, double) {
    auto one = [](Op op, T x, T y = 0) { return run<T>(op, {x}, {y})[0]; };
    CHECK(one(Op::Exp, T(0)) == T(1));
    CHECK(one(Op::Cos, T(0)) == T(1));
    CHECK(one(Op::Log, T(1)) == T(0));
    CHECK(one(Op::Tanh, T(40)) == T(1));
    CHECK(one(Op::Erf, T(-40)) == T(-1));
    CHECK(one(Op::Expm1, T(-100)) == T(-1));
    for (int k = 0; k < 24; ++k) CHECK(one(Op::Pow, T(2), T(k)) == std::ldexp(T(1), k));
    CHECK(one(Op::Pow, T(3), T(5)) == T(243));
    CHECK(one(Op::Pow, T(-3), T(3)) == T(-27));
}

TEST_CASE_TEMPLATE("sines near multiples of pi/2", T, float, double) {
    std::mt19937_64 random(11);
    std::vector<T> x;
    const std::int64_t most = std::is_same_v<T, float> ? 3000000 : std::int64_t{1} << 50;
    for (int k = 0; k < 4000; ++k) {
        std::int64_t n =
            k < 2000 ? k : std::uniform_int_distribution<std::int64_t>(0, most)(random);
        T v = static_cast<T>(static_cast<long double>(n) * 1.57079632679489661923L);
        x.insert(x.end(), {v, std::nextafter(v, infinity<T>), -v});
    }
    std::vector<T> zeros(x.size(), T(0));
    check_ulps<T>(Op::Sin, x, zeros, 2.0);
    check_ulps<T>(Op::Cos, x, zeros, 2.0);

    // Around the end of the short reduction.
    std::vector<T> around;
    const T end = std::is_same_v<T, float> ? T(0x1p19) : T(0x1p46);
    for (T v = end, w = end; around.size() < 400;
         v = std::nextafter(v, T(0)), w = std::nextafter(w, infinity<T>))
        around.insert(around.end(), {v, w, -v, -w});
    check_ulps<T>(Op::Sin, around, std::vector<T>(around.size()), 2.0);
    check_ulps<T>(Op::Cos, around, std::vector<T>(around.size()), 2.0);
    for (Op op : {Op::Sin, Op::Cos})
        for (T v : run<T>(op, {infinity<T>, -infinity<T>, nan_of<T>}, {0, 0, 0}))
            CHECK(std::isnan(v));
}

// Values of a multiple-precision library.
TEST_CASE("sines of huge numbers") {
    const auto sine = [](double x) { return run<double>(Op::Sin, {x}, {0})[0]; };
    const auto cosine = [](double x) { return run<double>(Op::Cos, {x}, {0})[0]; };
    const auto near = [](double got, double want) { return ulps<double>(got, want) <= 1; };
    CHECK(near(sine(1e22), -0x1.b453ab76bf397p-1));
    CHECK(near(cosine(1e22), 0x1.0be2cef01c8f4p-1));
    CHECK(near(sine(0x1p120), 0x1.82e34655e6fcbp-2));
    CHECK(near(cosine(-0x1p120), -0x1.da0cd0b66d8cep-1));
    CHECK(near(sine(-1.7976931348623157e308), -0x1.452fc98b34e97p-8));
    CHECK(near(cosine(1.7976931348623157e308), -0x1.fffe62ecfab75p-1));
    // The f64 nearest to a multiple of pi/2.
    CHECK(near(sine(6381956970095103.0 * 0x1p797), 1.0));
    CHECK(near(cosine(6381956970095103.0 * 0x1p797), -0x1.14ae72e6ba22fp-61));
    const auto single = [](Op op, float x) { return run<float>(op, {x}, {0})[0]; };
    CHECK(single(Op::Sin, 3.4028234663852886e38f) == -0x1.0b3366p-1f);
    CHECK(single(Op::Cos, 3.4028234663852886e38f) == 0x1.b4bf2cp-1f);
    CHECK(single(Op::Sin, 524289.0f) == 0x1.d71b5p-1f);
    CHECK(single(Op::Cos, 6291456.0f) == -0x1.bd8d56p-2f);
    CHECK(single(Op::Sin, 1e10f) == -0x1.f334c8p-2f);
    CHECK(single(Op::Cos, 1e30f) == -0x1.392444p-1f);
}

TEST_CASE("expand_math keeps the rest of a nest") {
    const std::int64_t n = 5, m = 3;
    Nest nest;
    nest.name = "softmax-like";
    Var i = nest.add_var("i", m), j = nest.add_var("j", n);
    nest.axes = {i};
    nest.reduce_axes = {j};
    BufferId x = nest.add_buffer({"x", DType::F64, {m, n}});
    BufferId at = nest.add_buffer({"at", DType::I64, {m}});
    BufferId out = nest.add_buffer({"out", DType::F64, {m}});
    Value element = exp(nest.load(x, Index::var(i) * n + Index::var(j)));
    nest.accumulators.push_back({Reduction::Sum, element.id, DType::F64});
    Value where = nest.load(at, Index::var(i));
    Value picked = nest.load(x, Index::var(i) * n + Index::value(where.id));
    Value ok = ge(where, 0.0) & lt(where, static_cast<double>(n));
    nest.checks.push_back({ok.id, 3, Index::var(i)});
    Value result = log(nest.acc(AccId(0), DType::F64)) - picked;
    nest.stores.push_back({out, Index::var(i), result.id, {}});
    verify(nest);

    Nest expanded = nest;
    expand_math(expanded);
    verify(expanded);
    CHECK_FALSE(has_transcendental(expanded));
    CHECK(expanded.name == nest.name);
    CHECK(expanded.buffers.size() == nest.buffers.size());
    CHECK(expanded.checks.size() == 1);

    std::vector<double> xs(static_cast<std::size_t>(m * n));
    for (std::size_t k = 0; k < xs.size(); ++k) xs[k] = 0.37 * static_cast<double>(k) - 2;
    std::vector<std::int64_t> index{4, 0, 2};
    std::vector<double> before(3), after(3);
    void* a[] = {xs.data(), index.data(), before.data()};
    void* b[] = {xs.data(), index.data(), after.data()};
    CHECK(interpret(naive(nest), a).code == 0);
    CHECK(interpret(naive(expanded), b).code == 0);
    for (std::size_t k = 0; k < 3; ++k)
        CHECK(after[k] == doctest::Approx(before[k]).epsilon(1e-15));
}

TEST_CASE("a nest without transcendental functions stays as it is") {
    Nest nest;
    nest.name = "plain";
    Var i = nest.add_var("i", 4);
    nest.axes = {i};
    BufferId x = nest.add_buffer({"x", DType::F32, {4}});
    BufferId out = nest.add_buffer({"out", DType::F32, {4}});
    nest.stores.push_back({out, Index::var(i), (nest.load(x, Index::var(i)) + 1.0).id, {}});
    std::string before = to_string(nest);
    expand_math(nest);
    CHECK(to_string(nest) == before);
}

TEST_CASE("expansions of constants fold but for what the processor rounds as it can") {
    Code code;
    Value one = code.constant(DType::F32, 1.0);
    const Value e = expand(Op::Exp, {&one, 1});
    IdVector<ValueId, Scalar> values(code.values.size());
    int products = 0;
    for (const ValueId id : needed(code, {&e.id, 1})) {
        const Instr& i = code.values[id];
        std::vector<Scalar> x;
        for (ValueId a : operands(i)) x.push_back(values[a]);
        values[id] = i.op == Op::Const ? i.constant : evaluate(i.op, i.dtype, x);
        // The first operation of a polynomial, then all that depends on it.
        if (products == 0) CHECK((i.op == Op::Const || i.op == Op::MulAdd));
        products += i.op == Op::MulAdd;
    }
    CHECK(products > 0);
    CHECK(values[e.id].f32 == doctest::Approx(2.7182818).epsilon(1e-7));
}

// Lanes that need the long way beside lanes that do not, in rows of every length: reductions,
// updates and shared subexpressions around the branch.
TEST_CASE_TEMPLATE("sines and remainders of mixed magnitudes", T, float, double) {
    std::mt19937_64 random(5);
    for (std::int64_t columns : {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65}) {
        const std::int64_t rows = 6;
        const auto x = matrix<T>("x", {rows, columns}), y = matrix<T>("y", {rows, columns});
        const Expr remainder = arete::mod(x, y), s = arete::sin(x);
        FunctionOptions o{.inputs = {x, y},
                          .outputs = {s, arete::cos(x) + s, remainder, arete::floordiv(x, y),
                                      arete::max(s, 0), arete::max(remainder, 1), s.T() * 2,
                                      arete::sin(x * x)(arete::all, 0), arete::cos(x(0))}};
        Array a(dtype_of<T>, {rows, columns}), b(dtype_of<T>, {rows, columns});
        for (std::int64_t k = 0; k < a.size(); ++k) {
            const int power = k % 7 == 3 ? 60 : k % 11 == 5 ? 100 : 3;
            const auto unit = [&] {
                return static_cast<T>(static_cast<double>(random() >> 11) * 0x1p-53);
            };
            a.template data<T>()[k] = std::ldexp(unit() - T(0.5), power);
            b.template data<T>()[k] = unit() + T(0.01);
        }
        const std::vector<Array> in{a, b};
        o.mode = Mode::interpret;
        const auto want = arete::function(o).call(in);
        o.mode = Mode::fast_run;
        const auto got = arete::function(o).call(in);
        for (std::size_t k = 0; k < want.size(); ++k) {
            CAPTURE(columns);
            CAPTURE(k);
            // Without instructions for fused multiply-adds, polynomials round otherwise.
            if (k == 2 || k == 3 || k == 5)
                CHECK(got[k].equals(want[k]));
            else
                CHECK(test::difference(got[k], want[k]) <=
                      4 * double{std::numeric_limits<T>::epsilon()});
        }
    }
}

// Elementary functions as they run: compiled, in vectors, against the C library in more precision.
// Of f32 a sample of all patterns by default, all 2^32 of them with ARETE_EXHAUSTIVE=1 (about 20
// minutes on two cores); of f64 numbers of every exponent and sign.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <thread>

#include "tests/support.h"

using namespace arete;

namespace {

bool exhaustive() {
    const char* v = std::getenv("ARETE_EXHAUSTIVE");
    return v && std::string_view(v) == "1";
}

using Wide = long double;

struct Elementary {
    const char* name;
    Expr (*build)(const Operand&);
    double (*reference)(double);
    Wide (*wide)(Wide);
    double limit = 2;  ///< ulp
};

// Formulas in the type of x, of two forms the one that does not cancel.
template <class R>
R sigmoid_of(R x) {
    const R e = std::exp(-std::abs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}
template <class R>
R softplus_of(R x) {
    return std::max(x, R(0)) + std::log1p(std::exp(-std::abs(x)));
}

const Elementary functions[] = {
    {"exp", exp, std::exp, std::exp},
    {"expm1", expm1, std::expm1, std::expm1},
    {"log", log, std::log, std::log},
    {"log1p", log1p, std::log1p, std::log1p},
    {"sqrt", sqrt, std::sqrt, std::sqrt, 0.5},
    {"tanh", tanh, std::tanh, std::tanh},
    {"sigmoid", sigmoid, sigmoid_of<double>, sigmoid_of<Wide>},
    {"softplus", softplus, softplus_of<double>, softplus_of<Wide>, 4},
    {"erf", erf, std::erf, std::erf},
    {"erfc", erfc, std::erfc, std::erfc, 4},
    {"sin", sin, std::sin, std::sin},
    {"cos", cos, std::cos, std::cos},
    {"tan", tan, std::tan, std::tan},
    {"exp2", exp2, std::exp2, std::exp2},
    {"log2", log2, std::log2, std::log2},
    {"log10", log10, std::log10, std::log10},
    {"cbrt", cbrt, std::cbrt, std::cbrt},
    {"asin", asin, std::asin, std::asin},
    {"acos", acos, std::acos, std::acos},
    {"atan", atan, std::atan, std::atan},
    {"sinh", sinh, std::sinh, std::sinh},
    {"cosh", cosh, std::cosh, std::cosh},
    {"asinh", asinh, std::asinh, std::asinh},
    {"acosh", acosh, std::acosh, std::acosh},
    {"atanh", atanh, std::atanh, std::atanh},
};

constexpr double wrong = std::numeric_limits<double>::infinity();

/// Units in the last place between a number and what it should be: of the binade of `want`, and of
/// denormals below. Infinite where one is NaN and the other is not, where zeros or infinities have
/// another sign, and where an infinity stands for a number that rounds to none.
template <class T, class R>
double ulps(T got, R want) {
    using L = std::numeric_limits<T>;
    if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : wrong;
    if (static_cast<T>(want) == got) {
        // Zero, and zero rounded to, keep their sign.
        if (got == 0 && std::signbit(got) != std::signbit(want)) return wrong;
        if (std::isinf(got)) return 0;
    } else if (std::isinf(want)) {
        return wrong;
    }
    R value = got;
    if (std::isinf(got)) {
        if (std::signbit(got) != std::signbit(want)) return wrong;
        value = std::copysign(std::ldexp(R(1), L::max_exponent), R(got));  // after the largest
    }
    int e = 0;
    std::frexp(want, &e);
    e = want == 0 ? L::min_exponent : std::max(e, L::min_exponent);
    return static_cast<double>(std::abs(value - want) / std::ldexp(R(1), e - L::digits));
}

struct Worst {
    double error = 0;
    double x = 0, y = 0, got = 0;
    std::uint64_t count = 0;

    void add(double u, double at, double y_at, double value) {
        ++count;
        if (u <= error) return;
        error = u;
        x = at;
        y = y_at;
        got = value;
    }
    void add(const Worst& other) {
        const std::uint64_t all = count + other.count;
        if (other.error > error) *this = other;
        count = all;
    }
};

/// Calls `chunk` for all numbers below `chunks`, on two threads, each with a state of its own.
template <class Make>
Worst on_two_threads(std::int64_t chunks, Make make) {
    Worst all;
    std::mutex mutex;
    auto work = [&](std::int64_t first) {
        auto chunk = make();
        Worst own;
        for (std::int64_t k = first; k < chunks; k += 2) chunk(k, own);
        std::lock_guard lock(mutex);
        all.add(own);
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    return all;
}

Options one_thread() {
    Options o = Options::from_environment();
    o.num_threads = 1;
    return o;
}

constexpr std::int64_t length = 1 << 16;

Worst measure(const Elementary& f) {
    // Every pattern, or one in 4099: prime, so that all low bits occur at all exponents.
    const std::int64_t step = exhaustive() ? 1 : 4099, patterns = (std::int64_t{1} << 32) / step;
    return on_two_threads((patterns + length - 1) / length, [&] {
        const auto x = vector<float>("x", {length});
        Function compiled =
            function({.inputs = {x}, .outputs = {f.build(x)}, .options = one_thread()});
        return [&f, compiled, step, patterns, in = std::vector<Array>{Array(DType::F32, {length})},
                out = std::vector<Array>{Array(DType::F32, {length})}](std::int64_t chunk,
                                                                       Worst& worst) mutable {
            float* xs = in[0].data<float>();
            for (std::int64_t k = 0; k < length; ++k) {
                const std::int64_t pattern = std::min(chunk * length + k, patterns - 1) * step;
                xs[k] = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
            }
            compiled.call_into(out, in);
            const float* ys = out[0].data<float>();
            for (std::int64_t k = 0; k < length; ++k) {
                worst.add(ulps(ys[k], f.reference(double{xs[k]})), xs[k], 0, ys[k]);
            }
        };
    });
}

/// Every exponent of f64, denormals and infinities among them: the powers of two, the numbers after
/// and before them, and others; of both signs.
std::vector<double> every_exponent() {
    std::vector<double> out;
    for (std::uint64_t e = 0; e < 2048; ++e)
        for (std::uint64_t k = 0; k < 12; ++k) {
            const std::uint64_t fraction = k == 0   ? 0
                                           : k == 1 ? 1
                                           : k == 2 ? (std::uint64_t{1} << 52) - 1
                                                    : (e * 12 + k) * 0x9e3779b97f4a7c15u >> 12;
            for (std::uint64_t sign : {0, 1})
                out.push_back(std::bit_cast<double>(sign << 63 | e << 52 | fraction));
        }
    return out;
}

Worst measure_f64(const Elementary& f) {
    const std::vector<double> xs = every_exponent();
    const auto x = vector<double>("x");
    const auto ys =
        function({.inputs = {x}, .outputs = {f.build(x)}, .options = one_thread()})(xs)[0];
    Worst worst;
    for (std::size_t k = 0; k < xs.size(); ++k) {
        const double y = ys.data<double>()[k];
        worst.add(ulps(y, f.wide(Wide{xs[k]})), xs[k], 0, y);
    }
    return worst;
}

/// Bits that look random, of a number.
std::uint64_t scrambled(std::uint64_t n) {
    n = (n + 1) * 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

/// Pair n of a sample for pow: any bits, or bases and exponents whose power is finite.
std::pair<float, float> pow_operands(std::uint64_t n) {
    const std::uint64_t bits = scrambled(n);
    const auto a = static_cast<std::uint32_t>(bits), b = static_cast<std::uint32_t>(bits >> 32);
    if (n % 4 == 0) return {std::bit_cast<float>(a), std::bit_cast<float>(b)};
    const float unit = static_cast<float>(b) * 0x1p-31f - 1;  // in [-1, 1]
    if (n % 4 == 1) {  // whole exponents of any base, negative ones among them
        return {std::bit_cast<float>(a), static_cast<float>(static_cast<int>(unit * 20))};
    }
    const float base = n % 4 == 2 ? std::bit_cast<float>(a & 0x7fffffff)
                                  : 1 + static_cast<float>(static_cast<std::int32_t>(a)) *
                                            std::ldexp(1.0f, -32 - static_cast<int>(n / 4 % 20));
    const double log2 = std::log2(static_cast<double>(base));
    if (!std::isfinite(log2) || log2 == 0) return {base, unit};
    return {base, static_cast<float>(unit * 190 / log2)};
}

Worst measure_pow() {
    const std::int64_t pairs = std::int64_t{1} << (exhaustive() ? 29 : 20);
    return on_two_threads(pairs / length, [&] {
        const auto x = vector<float>("x", {length}), y = vector<float>("y", {length});
        Function compiled =
            function({.inputs = {x, y}, .outputs = {pow(x, y)}, .options = one_thread()});
        return [compiled,
                in = std::vector<Array>{Array(DType::F32, {length}), Array(DType::F32, {length})},
                out = std::vector<Array>{Array(DType::F32, {length})}](std::int64_t chunk,
                                                                       Worst& worst) mutable {
            float *xs = in[0].data<float>(), *ys = in[1].data<float>();
            for (std::int64_t k = 0; k < length; ++k)
                std::tie(xs[k], ys[k]) =
                    pow_operands(static_cast<std::uint64_t>(chunk * length + k));
            compiled.call_into(out, in);
            const float* zs = out[0].data<float>();
            for (std::int64_t k = 0; k < length; ++k)
                worst.add(ulps(zs[k], std::pow(double{xs[k]}, double{ys[k]})), xs[k], ys[k], zs[k]);
        };
    });
}

void report(const char* name, const Worst& w, double limit = 2) {
    if (exhaustive())
        MESSAGE(fmt::format("{}: {} values, at most {:.3f} ulp, at {:a} {:a}", name, w.count,
                            w.error, w.x, w.y));
    CHECK_MESSAGE(w.error <= limit, std::string(name), "(", w.x, ", ", w.y, ") = ", w.got, ": ",
                  w.error, " ulp");
}

}  // namespace

TEST_CASE("compiled functions of one f32 are within their bounds") {
    for (const Elementary& f : functions) {
        const Worst w = measure(f);
        CHECK(w.count >= std::uint64_t{1} << (exhaustive() ? 32 : 20));
        report(f.name, w, f.limit);
    }
}

TEST_CASE("compiled functions of one f64 are within their bounds at every exponent") {
    for (const Elementary& f : functions) report(f.name, measure_f64(f), f.limit);
}

TEST_CASE("compiled pow of f32 is within 2 ulp") {
    report("pow", measure_pow());
}

TEST_CASE("the measure of errors finds them") {
    CHECK(ulps(1.0f, 1.0) == 0);
    CHECK(ulps(std::nextafter(1.0f, 2.0f), 1.0) == 1);
    CHECK(ulps(1.0f, 1.0 + 0x1p-24) == 0.5);
    CHECK(ulps(0x1p-149f, 0.0) == 1);
    CHECK(ulps(0x1p-148f, 0x1p-149) == 1);
    CHECK(ulps(0.0f, 0x1p-151) == 0.25);
    CHECK(ulps(-0.0f, 0.0) == wrong);
    CHECK(ulps(-0.0f, 0x1p-160) == wrong);
    CHECK(ulps(NAN, 1.0) == wrong);
    CHECK(ulps(1.0f, NAN) == wrong);
    CHECK(ulps(INFINITY, -INFINITY) == wrong);
    CHECK(ulps(INFINITY, 0x1p128) == 0);
    CHECK(ulps(INFINITY, 0x1.fffffep127) == 1);
    CHECK(ulps(0x1.fffffep127f, INFINITY) == wrong);
}

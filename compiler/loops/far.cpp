#include "compiler/loops/far.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "compiler/core/error.h"

namespace arete::loops {

namespace {

__extension__ using Wide = unsigned __int128;

// 2/pi in binary behind 63 bits and a point: bit p from the left, counted from 0, has weight
// 2^(63 - p). The largest f64 needs bits up to 1224.
constexpr std::array<std::uint64_t, 21> two_over_pi{0,
                                                    0xa2f9836e4e441529,
                                                    0xfc2757d1f534ddc0,
                                                    0xdb6295993c439041,
                                                    0xfe5163abdebbc561,
                                                    0xb7246e3a424dd2e0,
                                                    0x06492eea09d1921c,
                                                    0xfe1deb1cb129a73e,
                                                    0xe88235f52ebb4484,
                                                    0xe99c7026b45f7e41,
                                                    0x3991d639835339f4,
                                                    0x9c845f8bbdf9283b,
                                                    0x1ff897ffde05980f,
                                                    0xef2f118b5a0a6d1f,
                                                    0x6d367ecf27cb09b7,
                                                    0x4f463f669e5fea2d,
                                                    0x7527bac7ebe5f17b,
                                                    0x3d0739f78a5292ea,
                                                    0x6bfb5fb11f8d5d08,
                                                    0x56033046fc7b6bab,
                                                    0xf0cfbc209af4361d};

double power_of_two(int e) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
}

// x = quadrant pi/2 + high + low, |high| <= pi/4, the quadrant modulo 4.
struct Reduced {
    double high, low;
    unsigned quadrant;
};

Reduced reduce(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const auto exponent = static_cast<unsigned>(bits >> 52 & 0x7ff);
    if (exponent < 1022) return {x, 0, 0};  // |x| < 1/2
    // |x| = m 2^(exponent - 1075). Bits of 2/pi whose product with that has a weight of 4 or more
    // add whole turns. Of the rest the first 192: pi/2 times an integer is never nearer to an f64
    // than 2^-62 of it, so that more than 64 bits are left behind the point.
    const std::uint64_t m = (bits & 0xfffffffffffff) | std::uint64_t{1} << 52;
    const unsigned first = exponent - 1013, shift = first % 64;
    const auto word = [&](unsigned k) {
        const std::uint64_t a = two_over_pi[first / 64 + k], b = two_over_pi[first / 64 + k + 1];
        return shift ? a << shift | b >> (64 - shift) : a;
    };
    Wide sum = Wide{m} * word(2);
    std::uint64_t c = static_cast<std::uint64_t>(sum);
    sum = Wide{m} * word(1) + (sum >> 64);
    std::uint64_t b = static_cast<std::uint64_t>(sum);
    std::uint64_t a = m * word(0) + static_cast<std::uint64_t>(sum >> 64);

    // Two bits before the point; behind it a fraction, taken to be signed: that rounds the quadrant
    // to the nearest.
    auto quadrant = static_cast<unsigned>(a >> 62);
    a = a << 2 | b >> 62;
    b = b << 2 | c >> 62;
    c = c << 2;
    const bool below = a >> 63;
    if (below) {
        ++quadrant;
        a = ~a;
        b = ~b;  // less by one unit of the last of 192 bits, which is far below what counts
        c = ~c;
    }
    int zeros = 0;
    if (a == 0) {
        a = b;
        b = c;
        c = 0;
        zeros = 64;
    }
    if (const int z = std::countl_zero(a); z > 0) {
        a = a << z | b >> (64 - z);
        b = b << z | c >> (64 - z);
        zeros += z;
    }
    const double last = power_of_two(-53 - zeros);
    const double top = static_cast<double>(a >> 11) * last,
                 rest = static_cast<double>((a & 0x7ff) << 42 | b >> 22) * (0x1p-53 * last);
    constexpr double half_pi = 0x1.921fb54442d18p+0, half_pi_low = 0x1.1a62633145c07p-54;
    const double product = top * half_pi;
    const double error = std::fma(top, half_pi, -product) + (top * half_pi_low + rest * half_pi);
    Reduced r{product + error, 0, quadrant};
    r.low = (product - r.high) + error;
    if (below != (x < 0)) {
        r.high = -r.high;
        r.low = -r.low;
    }
    if (x < 0) r.quadrant = 0 - r.quadrant;
    return r;
}

// The polynomials of math_trig.cpp for f64, with the low part as a first-order correction.
double sine_of(const Reduced& r, unsigned quarter) {
    const double x = r.high, v = x * x;
    const unsigned quadrant = r.quadrant + quarter;
    double result = 0;
    if (quadrant & 1) {
        const double p =
            0.041666666666666574 +
            v * (-0.0013888888888869803 +
                 v * (2.4801587286802243e-05 +
                      v * (-2.7557313582939197e-07 +
                           v * (2.0875619314440719e-09 + v * -1.1354296536173022e-11))));
        const double half = 0.5 * v, one_less = 1 - half;
        result = one_less + (((1 - one_less) - half) + (v * v * p - x * r.low));
    } else {
        const double p =
            -0.16666666666666621 +
            v * (0.0083333333333198405 +
                 v * (-0.00019841269827728812 +
                      v * (2.7557312965228156e-06 +
                           v * (-2.5050643636545242e-08 + v * 1.5890127484780242e-10))));
        result = x + (x * v * p + r.low * (1 - 0.5 * v));
    }
    return quadrant & 2 ? -result : result;
}

// What code calls.
template <class T>
void sines(T* y, const T* x, std::int64_t n) {
    for (std::int64_t k = 0; k < n; ++k) y[k] = far_sin(x[k]);
}
template <class T>
void cosines(T* y, const T* x, std::int64_t n) {
    for (std::int64_t k = 0; k < n; ++k) y[k] = far_cos(x[k]);
}
template <class T>
void remainders(T* y, const T* a, const T* b, std::int64_t n) {
    for (std::int64_t k = 0; k < n; ++k) y[k] = far_fmod(a[k], b[k]);
}

}  // namespace

double far_sin(double x) {
    if (!std::isfinite(x)) return std::numeric_limits<double>::quiet_NaN();
    return sine_of(reduce(x), 0);
}

double far_cos(double x) {
    if (!std::isfinite(x)) return std::numeric_limits<double>::quiet_NaN();
    return sine_of(reduce(x), 1);
}

double far_fmod(double a, double b) {
    const double x = std::fabs(a), y = std::fabs(b);
    if (!(x / y >= 0x1p52) || !std::isfinite(x) || y == 0) return std::fmod(a, b);
    // x = m 2^e, y = n 2^f, m and n integers and e >= f: x mod y = (m 2^(e - f) mod n) 2^f, by
    // repeated squares of 2.
    struct Parts {
        std::uint64_t significand;
        int exponent;
    };
    const auto parts = [](double v) {
        const auto bits = std::bit_cast<std::uint64_t>(v);
        const auto exponent = static_cast<int>(bits >> 52);
        const std::uint64_t fraction = bits & 0xfffffffffffff;
        return exponent ? Parts{fraction | std::uint64_t{1} << 52, exponent - 1075}
                        : Parts{fraction, -1074};
    };
    const Parts p = parts(x), q = parts(y);
    const std::uint64_t n = q.significand;
    const auto times = [n](std::uint64_t s, std::uint64_t t) {
        return static_cast<std::uint64_t>(Wide{s} * t % n);
    };
    std::uint64_t rest = p.significand % n, square = 2 % n;
    for (int k = p.exponent - q.exponent; k > 0; k >>= 1) {
        if (k & 1) rest = times(rest, square);
        square = times(square, square);
    }
    return std::copysign(std::ldexp(static_cast<double>(rest), q.exponent), a);
}

float far_fmod(float a, float b) {
    return static_cast<float>(far_fmod(static_cast<double>(a), static_cast<double>(b)));
}

float far_sin(float x) {
    return static_cast<float>(far_sin(static_cast<double>(x)));
}

float far_cos(float x) {
    return static_cast<float>(far_cos(static_cast<double>(x)));
}

std::span<const FarFunction> far_functions() {
    static const FarFunction table[] = {
        {"arete_far_sin_f32", reinterpret_cast<void*>(sines<float>)},
        {"arete_far_sin_f64", reinterpret_cast<void*>(sines<double>)},
        {"arete_far_cos_f32", reinterpret_cast<void*>(cosines<float>)},
        {"arete_far_cos_f64", reinterpret_cast<void*>(cosines<double>)},
        {"arete_far_fmod_f32", reinterpret_cast<void*>(remainders<float>)},
        {"arete_far_fmod_f64", reinterpret_cast<void*>(remainders<double>)},
    };
    return table;
}

std::string_view far_name(Op op, DType t) {
    ARETE_CHECK(is_rare(op) && is_float(t), "{} of {}", name(op), name(t));
    const auto k = static_cast<std::size_t>(op) - static_cast<std::size_t>(Op::SinIf);
    return far_functions()[2 * k + (t == DType::F64 ? 1 : 0)].name;
}

}  // namespace arete::loops

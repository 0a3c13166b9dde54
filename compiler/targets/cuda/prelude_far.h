// The part of the prelude for arguments that the expansions of compiler/loops/math.h do not reach:
// compiler/loops/far.cpp in CUDA C++, with the same bits, which the tests compare. It has no
// integers of 128 bits: cards have none.
#pragma once

#include <string_view>

namespace arete::cuda {

inline constexpr std::string_view far_functions_text = R"cuda(
ARETE_TABLE unsigned long long two_over_pi[21] = {
    0x0ULL,                0xa2f9836e4e441529ULL, 0xfc2757d1f534ddc0ULL, 0xdb6295993c439041ULL,
    0xfe5163abdebbc561ULL, 0xb7246e3a424dd2e0ULL, 0x06492eea09d1921cULL, 0xfe1deb1cb129a73eULL,
    0xe88235f52ebb4484ULL, 0xe99c7026b45f7e41ULL, 0x3991d639835339f4ULL, 0x9c845f8bbdf9283bULL,
    0x1ff897ffde05980fULL, 0xef2f118b5a0a6d1fULL, 0x6d367ecf27cb09b7ULL, 0x4f463f669e5fea2dULL,
    0x7527bac7ebe5f17bULL, 0x3d0739f78a5292eaULL, 0x6bfb5fb11f8d5d08ULL, 0x56033046fc7b6babULL,
    0xf0cfbc209af4361dULL};

ARETE_FN double power_of_two(int e) {
    return bits_f64(static_cast<long long>(static_cast<unsigned long long>(e + 1023) << 52));
}
// Bits of 2/pi, 64 from bit `first` on.
ARETE_FN unsigned long long bits_of_two_over_pi(unsigned first) {
    const unsigned shift = first % 64;
    const unsigned long long a = two_over_pi[first / 64], b = two_over_pi[first / 64 + 1];
    return shift ? a << shift | b >> (64 - shift) : a;
}

// x = quadrant pi/2 + high + low.
struct arete_reduced {
    double high, low;
    unsigned quadrant;
};
ARETE_FAR arete_reduced reduced_angle(double x) {
    arete_reduced r;
    r.high = x;
    r.low = 0;
    r.quadrant = 0;
    const unsigned long long bits = static_cast<unsigned long long>(bits_i64(x));
    const unsigned exponent = static_cast<unsigned>(bits >> 52 & 0x7ff);
    if (exponent < 1022) return r;
    const unsigned long long m = (bits & 0xfffffffffffffULL) | 1ULL << 52;
    const unsigned first = exponent - 1013;
    const unsigned long long w0 = bits_of_two_over_pi(first), w1 = bits_of_two_over_pi(first + 64),
                             w2 = bits_of_two_over_pi(first + 128);
    unsigned long long c = m * w2;
    const unsigned long long carry = high_product(m, w2);
    unsigned long long b = m * w1 + carry;
    unsigned long long a = m * w0 + high_product(m, w1) + (b < carry ? 1 : 0);
    r.quadrant = static_cast<unsigned>(a >> 62);
    a = a << 2 | b >> 62;
    b = b << 2 | c >> 62;
    c = c << 2;
    const bool below = a >> 63;
    if (below) {
        ++r.quadrant;
        a = ~a;
        b = ~b;
        c = ~c;
    }
    int zeros = 0;
    if (a == 0) {
        a = b;
        b = c;
        c = 0;
        zeros = 64;
    }
    while (!(a >> 63) && (a | b | c) != 0) {
        a = a << 1 | b >> 63;
        b = b << 1 | c >> 63;
        c = c << 1;
        ++zeros;
    }
    const double last = power_of_two(-53 - zeros);
    const double top = static_cast<double>(a >> 11) * last,
                 rest = static_cast<double>((a & 0x7ff) << 42 | b >> 22) * (0x1p-53 * last);
    const double half_pi = 0x1.921fb54442d18p+0, half_pi_low = 0x1.1a62633145c07p-54;
    const double product = top * half_pi;
    const double error = fma(top, half_pi, -product) + (top * half_pi_low + rest * half_pi);
    r.high = product + error;
    r.low = (product - r.high) + error;
    if (below != (x < 0)) {
        r.high = -r.high;
        r.low = -r.low;
    }
    if (x < 0) r.quadrant = 0 - r.quadrant;
    return r;
}
ARETE_FAR double sine_of(arete_reduced r, unsigned quarter) {
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
ARETE_FN bool is_finite(double x) { return x - x == 0; }
ARETE_FN double far_sin(double x) {
    return is_finite(x) ? sine_of(reduced_angle(x), 0) : bits_f64(0x7ff8000000000000LL);
}
ARETE_FN double far_cos(double x) {
    return is_finite(x) ? sine_of(reduced_angle(x), 1) : bits_f64(0x7ff8000000000000LL);
}

// s t mod n for s, t < n < 2^53: the quotient's estimate is off by a few.
ARETE_FN unsigned long long product_mod(unsigned long long s, unsigned long long t,
                                        unsigned long long n) {
    const unsigned long long q = static_cast<unsigned long long>(
        static_cast<double>(s) * static_cast<double>(t) / static_cast<double>(n));
    long long r = static_cast<long long>(s * t - q * n);
    while (r < 0) r += static_cast<long long>(n);
    while (r >= static_cast<long long>(n)) r -= static_cast<long long>(n);
    return static_cast<unsigned long long>(r);
}
ARETE_FAR double far_fmod(double a, double b) {
    const double x = fabs(a), y = fabs(b);
    if (!(x / y >= 0x1p52) || !is_finite(x) || y == 0) return fmod(a, b);
    const unsigned long long mask = 0xfffffffffffffULL;
    const unsigned long long bx = static_cast<unsigned long long>(bits_i64(x)),
                             by = static_cast<unsigned long long>(bits_i64(y));
    const int ex = static_cast<int>(bx >> 52), ey = static_cast<int>(by >> 52);
    const unsigned long long m = ex ? (bx & mask) | 1ULL << 52 : bx & mask,
                             n = ey ? (by & mask) | 1ULL << 52 : by & mask;
    const int px = ex ? ex - 1075 : -1074, py = ey ? ey - 1075 : -1074;
    unsigned long long rest = m % n, square = 2 % n;
    for (int k = px - py; k > 0; k >>= 1) {
        if (k & 1) rest = product_mod(rest, square, n);
        square = product_mod(square, square, n);
    }
    return copysign(ldexp(static_cast<double>(rest), py), a);
}
ARETE_FN float far_sin(float x) { return static_cast<float>(far_sin(static_cast<double>(x))); }
ARETE_FN float far_cos(float x) { return static_cast<float>(far_cos(static_cast<double>(x))); }
ARETE_FN float far_fmod(float a, float b) {
    return static_cast<float>(far_fmod(static_cast<double>(a), static_cast<double>(b)));
}
)cuda";

}  // namespace arete::cuda
